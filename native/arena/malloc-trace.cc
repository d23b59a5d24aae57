#include "arena/malloc-trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace claw {
namespace {

size_t residentBytes() {
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  size_t total = 0;
  size_t resident = 0;
  const int found = fscanf(file, "%zu %zu", &total, &resident);
  fclose(file);
  return found == 2 ? resident * static_cast<size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

// What is live, and what the process takes for it, at the moment most is live.
struct Peak {
  size_t live = 0;
  size_t resident = 0;
};

class Slots {
 public:
  explicit Slots(size_t count) : buffers_(count, nullptr), sizes_(count, 0) {}
  ~Slots() {
    for (void* buffer : buffers_) free(buffer);
  }
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  void serve(const MallocRequest& request) {
    const auto slot = static_cast<size_t>(request.slot);
    free(buffers_[slot]);
    buffers_[slot] = request.bytes > 0 ? malloc(static_cast<size_t>(request.bytes)) : nullptr;
    live_ += static_cast<size_t>(request.bytes) - sizes_[slot];
    sizes_[slot] = static_cast<size_t>(request.bytes);
  }
  // As keys and values would be.
  void write(int32_t slot) {
    auto* bytes = static_cast<volatile char*>(buffers_[static_cast<size_t>(slot)]);
    if (bytes == nullptr) return;
    for (size_t at = 0; at < sizes_[static_cast<size_t>(slot)]; at += 4096) bytes[at] = 1;
  }
  size_t live() const { return live_; }

 private:
  std::vector<void*> buffers_;
  std::vector<size_t> sizes_;
  size_t live_ = 0;
};

Peak measurePeak(std::span<const MallocRequest> requests, size_t slots) {
  const size_t before = residentBytes();
  Slots buffers(slots);
  Peak peak;
  for (const MallocRequest& request : requests) {
    buffers.serve(request);
    buffers.write(request.slot);
    if (buffers.live() <= peak.live) continue;
    peak = {buffers.live(), std::max(residentBytes(), before) - before};
  }
  return peak;
}

}  // namespace

MallocTrace traceMalloc(std::span<const MallocRequest> requests, size_t slots) {
  const Peak peak = measurePeak(requests, slots);
  const auto start = std::chrono::steady_clock::now();
  {
    Slots buffers(slots);
    for (const MallocRequest& request : requests) buffers.serve(request);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  return {spent.count(), static_cast<double>(peak.live), static_cast<double>(peak.resident)};
}

}  // namespace claw
