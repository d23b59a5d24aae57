// Helpers of the NEON kernels. They live in an unnamed namespace, because folders with more instructions include them
// too, and a copy compiled there must never serve a machine that lacks those.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace claw::neon {
namespace {

constexpr int kLanes = 4;

inline int smaller(int a, int b) { return a < b ? a : b; }

// Four elements `rest` elements before the end of their row; zeros stand for what lies beyond it.
template <class T, class Load>
inline auto loadRest(const T* from, int rest, Load load) {
  if (rest >= kLanes) return load(from);
  T values[kLanes] = {};
  for (int i = 0; i < rest; ++i) values[i] = from[i];
  return load(values);
}

inline float32x4_t load(const float* from, int rest) {
  return loadRest(from, rest, [](const float* values) { return vld1q_f32(values); });
}

inline void store(float* to, int rest, float32x4_t values) {
  if (rest >= kLanes) return vst1q_f32(to, values);
  float each[kLanes];
  vst1q_f32(each, values);
  for (int i = 0; i < rest; ++i) to[i] = each[i];
}

inline float32x4_t loadHalves(const uint16_t* from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }

inline float32x4_t loadHalves(const uint16_t* from, int rest) {
  return loadRest(from, rest, [](const uint16_t* values) { return loadHalves(values); });
}

// Rounds to half, ties to even.
inline uint16x4_t toHalves(float32x4_t values) { return vreinterpret_u16_f16(vcvt_f16_f32(values)); }

// All bits of the lanes whose half is NaN or infinite.
inline uint16x4_t notFiniteHalves(uint16x4_t halves) {
  const uint16x4_t exponent = vdup_n_u16(0x7c00);
  return vceq_u16(vand_u16(halves, exponent), exponent);
}

inline bool anyOf(uint16x4_t lanes) { return vmaxv_u16(lanes) != 0; }

// The closing tree of the 16-lane sum: i + (i + 8), i + (i + 4), i + (i + 2), i + (i + 1).
inline float sumLanes(const float32x4_t (&lanes)[4]) {
  const float32x4_t four = vaddq_f32(vaddq_f32(lanes[0], lanes[2]), vaddq_f32(lanes[1], lanes[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

// Zeros in a tile of vectors. All loops over a tile are unrolled whole: an array that is indexed by a variable anywhere
// lives in memory everywhere.
template <class T, int Rows, int Columns>
CLAW_INLINE void clear(T (&tile)[Rows][Columns]) {
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) tile[i][j] = T{};
  }
}

}  // namespace
}  // namespace claw::neon
