// The little these tests need: a check that ends the program with its place, and random numbers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
      std::abort();                                                             \
    }                                                                           \
  } while (false)

namespace claw::test {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}

  uint32_t bits() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>(state_ >> 32);
  }
  // An integer in [low, high].
  int32_t between(int32_t low, int32_t high) {
    return low + static_cast<int32_t>(bits() % static_cast<uint32_t>(high - low + 1));
  }
  // A number in [-1, 1).
  float unit() { return static_cast<float>(static_cast<int32_t>(bits()) >> 8) * 0x1p-23f; }

 private:
  uint64_t state_;
};

}  // namespace claw::test
