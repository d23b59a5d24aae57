// f32 values kept in 16 bits, rounded to the nearest, ties to even: the same bits with every instruction set.
#pragma once

#include <bit>

#include "lanes/lanes.h"
#include "train/model.h"

namespace claw::train {

// The upper half of an f32. NaN is not kept apart: what is stored is finite, or the step is refused.
struct BrainFloat {
  CLAW_INLINE static uint16_t narrow(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
  CLAW_INLINE static float widen(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

// `count` is a multiple of 16. False where a value is beyond f16.
template <class Lanes>
bool narrowHalves(const float* from, uint16_t* to, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < count; i += kLaneCount) finite = Lanes::storeHalves(to + i, Lanes::load(from + i)) && finite;
  return finite;
}

template <class Lanes>
void widenHalves(const uint16_t* from, float* to, size_t count) {
  for (size_t i = 0; i < count; i += kLaneCount) Lanes::store(to + i, Lanes::load(from + i));
}

template <class Lanes>
void narrowBrains(const float* __restrict from, uint16_t* __restrict to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = BrainFloat::narrow(from[i]);
}

template <class Lanes>
void widenBrains(const uint16_t* __restrict from, float* __restrict to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = BrainFloat::widen(from[i]);
}

// False where a value is beyond what `keep` holds.
template <class Lanes>
bool narrowKept(Keep keep, const float* from, uint16_t* to, size_t count) {
  if (keep == Keep::f16) return narrowHalves<Lanes>(from, to, count);
  narrowBrains<Lanes>(from, to, count);
  return true;
}

template <class Lanes>
void widenKept(Keep keep, const uint16_t* from, float* to, size_t count) {
  if (keep == Keep::f16) widenHalves<Lanes>(from, to, count);
  else widenBrains<Lanes>(from, to, count);
}

}  // namespace claw::train
