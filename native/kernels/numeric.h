// The scalar f32 functions of docs/reference/arithmetic.md. Internal linkage, as in half.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace claw {

constexpr float kTiny = 0x1p-100f;                 // magnitudes below this scale to zero
constexpr uint32_t kNotFiniteBits = 0x7f800000u;  // magnitude bits from which a value is infinite or NaN

// Nearest integer, ties to even, for magnitudes below 2^22.
static inline float roundEven(float value) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: its floats are the integers
  return (value + shift) - shift;
}

static inline uint32_t magnitudeBits(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

static inline uint32_t largestMagnitude(const float* values, int32_t count) {
  uint32_t largest = 0;
  for (int32_t k = 0; k < count; k++) {
    const uint32_t bits = magnitudeBits(values[k]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// 2^n for -1022 <= n <= 1023.
static inline double powerOfTwo(int32_t n) {
  return std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

// Constants pass through double, as they do in the reference.
static inline float exactExp(float x) {
  if (x > static_cast<float>(88.72283)) return std::numeric_limits<float>::infinity();
  if (x < -104.0f) return 0.0f;
  if (x != x) return x;
  const float n = roundEven(x * static_cast<float>(1.44269502));
  float r = std::fma(n, static_cast<float>(-0.693145752), x);
  r = std::fma(n, static_cast<float>(-1.42860677e-6), r);
  float p = static_cast<float>(1.0 / 5040);
  p = std::fma(p, r, static_cast<float>(1.0 / 720));
  p = std::fma(p, r, static_cast<float>(1.0 / 120));
  p = std::fma(p, r, static_cast<float>(1.0 / 24));
  p = std::fma(p, r, static_cast<float>(1.0 / 6));
  p = std::fma(p, r, 0.5f);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  return static_cast<float>(static_cast<double>(p) * powerOfTwo(static_cast<int32_t>(n)));
}

static inline float silu(float x) { return x / (1.0f + exactExp(-x)); }

// Closes a 16-lane sum; the lanes are used up.
static inline float sumLanes(float* lanes) {
  for (int32_t half = 8; half >= 1; half /= 2) {
    for (int32_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

}  // namespace claw
