#include "arena/arena.h"

#include <sys/resource.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "arena/malloc-trace.h"
#include "arena/nodes.h"
#include "tests/check.h"

namespace {

using namespace claw;

bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % kAlignment == 0; }

void testPieces() {
  const Arena arena;
  Region region = arena.map(Purpose::kv, 1000);
  CHECK(region && region.size() >= 1000);
  CHECK(arena.bytes(Purpose::kv) == region.size() && arena.bytes(Purpose::weights) == 0);
  size_t taken = 0;
  for (const size_t bytes : {size_t{1}, size_t{64}, size_t{65}, size_t{0}, size_t{700}}) {
    auto* piece = static_cast<uint8_t*>(region.take(bytes));
    CHECK(piece == region.base() + taken && aligned(piece));
    for (size_t i = 0; i < bytes; i++) {
      CHECK(piece[i] == 0);
      piece[i] = 1;
    }
    taken += alignUp(bytes);
  }
  CHECK(region.take(region.size() - taken + 1) == nullptr);
  CHECK(region.take(region.size() - taken) != nullptr);
  CHECK(region.take(1) == nullptr);
  CHECK(region.take(0) != nullptr);
}

void testOwnership() {
  const Arena arena;
  {
    Region region = arena.map(Purpose::weights, size_t{16} << 20);
    const size_t bytes = region.size();
    Region moved = std::move(region);
    CHECK(moved && !region && arena.bytes(Purpose::weights) == bytes);
    moved = arena.map(Purpose::buffers, 1);
    CHECK(arena.bytes(Purpose::weights) == 0 && arena.bytes(Purpose::buffers) == moved.size());
  }
  CHECK(arena.bytes(Purpose::buffers) == 0);
}

void testRefusal() {
  const Arena arena;
  CHECK(!arena.map(Purpose::kv, SIZE_MAX));
  CHECK(!arena.map(Purpose::kv, SIZE_MAX / 2));
  CHECK(arena.bytes(Purpose::kv) == 0);
  Region none;
  CHECK(none.take(1) == nullptr);
  size_t product = 0;
  CHECK(multiply({3, 5, 7}, &product) && product == 105);
  CHECK(!multiply({SIZE_MAX / 2, 3}, &product));
}

void testNodes() {
  CHECK(parseNodes("0\n") == std::vector<int>({0}));
  CHECK(parseNodes("0-2,5,7-8\n") == std::vector<int>({0, 1, 2, 5, 7, 8}));
  for (const char* wrong : {"", "\n", "x", "0-", "3-1", "0,x", "0-99999", "-1"}) CHECK(parseNodes(wrong).empty());
}

void testLocking() {
  Arena arena;
  arena.lock();
  const Region small = arena.map(Purpose::kv, 1000);
  CHECK(static_cast<bool>(small) != arena.lockRefused());
}

// A limit that is too small refuses the region and leaves nothing behind.
void testLockRefused() {
  const rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
  Arena arena;
  arena.lock();
  const Region region = arena.map(Purpose::kv, size_t{1} << 20);
  CHECK(static_cast<bool>(region) != arena.lockRefused());
  CHECK(arena.bytes(Purpose::kv) == region.size());
}

void testMallocTrace() {
  const MallocRequest requests[] = {{0, 100000}, {1, 50000}, {0, 0}, {2, 70000}, {1, 1}};
  const MallocTrace trace = traceMalloc(requests, 3);
  CHECK(trace.seconds >= 0 && trace.liveBytes == 150000);
}

}  // namespace

int main() {
  testPieces();
  testOwnership();
  testRefusal();
  testNodes();
  testLocking();
  testMallocTrace();
  testLockRefused();
  return 0;
}
