// Half floats by arithmetic that every machine has. Functions of these headers have internal linkage: a folder of
// native/arch compiles them with its own instructions, and the linker must not hand those to everybody else.
#pragma once

#include <bit>
#include <cstdint>

namespace claw {

// Exact for finite halves, without a branch: packed weights and KV pages hold no others.
static inline float finiteHalfToFloat(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | (static_cast<uint32_t>(half & 0x8000) << 16));
}

// Exact for every half; infinity and NaN stay what they are.
static inline float halfToFloat(uint16_t half) {
  if ((half & 0x7c00) != 0x7c00) return finiteHalfToFloat(half);
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  return std::bit_cast<float>(sign | 0x7f800000u | (static_cast<uint32_t>(half & 0x3ff) << 13));
}

// Nearest half, ties to even; 65520 and beyond become infinity.
static inline uint16_t floatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // A subnormal half: floats from 0.5 to 1 are spaced like halves below 2^-14, so the addition rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  magnitude += 0x0fffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u) >> 13));
}

static inline bool isFiniteHalf(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

}  // namespace claw
