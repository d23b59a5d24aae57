#include "arena/arena.h"

#include "arena/nodes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace claw {
namespace {

// Below this, huge pages would waste more than their fewer misses save.
constexpr size_t kHugeFrom = size_t{8} << 20;

// Reserved huge pages (MAP_HUGETLB) of the usual size; null where there are not enough. They are taken here and now, so that
// writing to them never fails.
void* mapReserved(size_t bytes, size_t* size) {
#ifdef MAP_HUGETLB
  constexpr size_t huge = size_t{2} << 20;
  constexpr int kind = 21 << MAP_HUGE_SHIFT;  // 2^21 bytes
  if (bytes >= kHugeFrom && bytes <= SIZE_MAX - huge) {
    *size = (bytes + huge - 1) / huge * huge;
    void* base = mmap(nullptr, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | kind, -1, 0);
    if (base != MAP_FAILED) return base;
  }
#endif
  return nullptr;
}

size_t wholePages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes > SIZE_MAX - page ? 0 : (bytes + page - 1) / page * page;
}

}  // namespace

bool multiply(std::initializer_list<size_t> factors, size_t* product) {
  *product = 1;
  for (const size_t factor : factors) {
    if (__builtin_mul_overflow(*product, factor, product)) return false;
  }
  return true;
}

Region::Region(Region&& other) noexcept { *this = std::move(other); }

Region& Region::operator=(Region&& other) noexcept {
  if (this == &other) return *this;
  release();
  base_ = std::exchange(other.base_, nullptr);
  size_ = std::exchange(other.size_, 0);
  used_ = std::exchange(other.used_, 0);
  purpose_ = other.purpose_;
  usage_ = std::move(other.usage_);
  return *this;
}

Region::~Region() { release(); }

void Region::release() {
  if (base_ == nullptr) return;
  munmap(base_, size_);
  usage_->bytes[static_cast<size_t>(purpose_)] -= size_;
  base_ = nullptr;
}

void* Region::take(size_t bytes) {
  if (base_ == nullptr || bytes > size_ - used_) return nullptr;
  void* piece = base_ + used_;
  used_ += std::min(alignUp(bytes), size_ - used_);
  return piece;
}

void Region::discard(size_t from, size_t bytes) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = (from + page - 1) / page * page;
  const size_t end = (from + bytes) / page * page;
  if (base_ != nullptr && end <= size_ && first < end) madvise(base_ + first, end - first, MADV_DONTNEED);
}

Region Arena::map(Purpose purpose, size_t bytes) const {
  size_t size = 0;
  void* base = purpose == Purpose::weights ? nullptr : mapReserved(bytes, &size);
  if (base == nullptr) {
    size = wholePages(bytes == 0 ? 1 : bytes);
    if (size == 0) return {};
    // A KV cache may be larger than what is used of it at first: address space costs nothing.
    const int reserve = purpose == Purpose::kv ? MAP_NORESERVE : 0;
    base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | reserve, -1, 0);
    if (base == MAP_FAILED) return {};
#ifdef MADV_HUGEPAGE
    if (size >= kHugeFrom) madvise(base, size, MADV_HUGEPAGE);
#endif
  }
  if (size >= kHugeFrom) spreadOverNodes(base, size);
  return counted(purpose, base, size);
}

Region Arena::counted(Purpose purpose, void* base, size_t size) const {
  usage_->lockRefused.store(locked_ && mlock(base, size) != 0);
  if (lockRefused()) {
    munmap(base, size);
    return {};
  }
  Region region;
  region.base_ = static_cast<uint8_t*>(base);
  region.size_ = size;
  region.purpose_ = purpose;
  region.usage_ = usage_;
  usage_->bytes[static_cast<size_t>(purpose)] += size;
  return region;
}

}  // namespace claw
