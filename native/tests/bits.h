// What the tests of instruction sets share: random values, buffers that end at forbidden memory, bitwise comparison.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "tests/check.h"

namespace claw::test {

inline Random randomSource(1);

inline uint32_t randomBits() { return randomSource.bits(); }

inline int between(int low, int high) { return randomSource.between(low, high); }

inline bool oneIn(int n) { return between(1, n) == 1; }

// A value of random sign whose magnitude spreads over about `octaves` powers of two below 1; sometimes zero.
inline float randomValue(int octaves) {
  if (oneIn(50)) return oneIn(2) ? 0.0f : -0.0f;
  const float mantissa = 1.0f + static_cast<float>(randomBits() >> 9) * 0x1p-23f;
  return std::ldexp(oneIn(2) ? mantissa : -mantissa, -between(1, octaves));
}

// `count` values that end where the accessible memory ends, filled with a pattern that is not zero.
template <class T>
class Guarded {
 public:
  explicit Guarded(size_t count) : count_(count) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    mapped_ = bytes + page;
    base_ = static_cast<uint8_t*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(base_ != MAP_FAILED);
    CHECK(mprotect(base_ + bytes, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(base_ + bytes - count * sizeof(T));
    std::memset(static_cast<void*>(data_), 0x5a, count * sizeof(T));
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }

  T* data() { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t index) { return data_[index]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }

 private:
  size_t count_;
  size_t mapped_;
  uint8_t* base_;
  T* data_;
};

inline bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b)); }

inline void checkSame(Guarded<float>& a, Guarded<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) std::printf("element %zu of %zu: %a and %a\n", i, a.size(), a[i], b[i]);
    CHECK(same(a[i], b[i]));
  }
}

template <class T>
void checkSame(Guarded<T>& a, Guarded<T>& b) {
  CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace claw::test
