#include "executor/checksum.h"

#include <bit>
#include <cstring>

namespace claw {
namespace {

constexpr size_t kLanes = 8;  // enough to hide the latency of a step
constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio: odd, so that multiplying loses nothing

// Invertible in either argument, so that no single change of a word is ever lost.
uint64_t step(uint64_t state, uint64_t word) { return std::rotl(state ^ word, 29) * kOdd; }

uint64_t wordAt(const uint8_t* bytes, size_t count) {
  uint64_t word = 0;
  if (count > 0) std::memcpy(&word, bytes, count);
  return word;
}

}  // namespace

uint64_t checksum(const uint8_t* bytes, size_t count) {
  static_assert(std::endian::native == std::endian::little, "Packed matrices are little endian.");
  uint64_t lanes[kLanes] = {};
  constexpr size_t wide = kLanes * sizeof(uint64_t);
  size_t at = 0;
  for (; at + wide <= count; at += wide) {
    for (size_t lane = 0; lane < kLanes; lane++) {
      lanes[lane] = step(lanes[lane], wordAt(bytes + at + lane * sizeof(uint64_t), sizeof(uint64_t)));
    }
  }
  uint64_t all = step(0, count);
  for (; at < count; at += sizeof(uint64_t)) {
    all = step(all, wordAt(bytes + at, count - at < sizeof(uint64_t) ? count - at : sizeof(uint64_t)));
  }
  for (const uint64_t lane : lanes) all = step(all, lane);
  return all;
}

}  // namespace claw
