// exp as docs/reference/arithmetic.md defines it, four lanes at a time. Only for sources that use fused multiply-adds.
#pragma once

#include "arch/neon/simd.h"

namespace claw::neon {
namespace {

// 2^n for -126 <= n <= 127.
inline float32x4_t powerOfTwo(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

inline float32x4_t expLanes(float32x4_t x) {
  const auto constant = [](double value) { return vdupq_n_f32(static_cast<float>(value)); };
  const float32x4_t n = vrndnq_f32(vmulq_f32(x, constant(1.44269502)));
  float32x4_t r = vfmaq_f32(x, n, constant(-0.693145752));
  r = vfmaq_f32(r, n, constant(-1.42860677e-6));
  float32x4_t p = constant(1.0 / 5040);
  p = vfmaq_f32(constant(1.0 / 720), p, r);
  p = vfmaq_f32(constant(1.0 / 120), p, r);
  p = vfmaq_f32(constant(1.0 / 24), p, r);
  p = vfmaq_f32(constant(1.0 / 6), p, r);
  p = vfmaq_f32(constant(0.5), p, r);
  p = vfmaq_f32(constant(1), p, r);
  p = vfmaq_f32(constant(1), p, r);
  // p * 2^n in two steps: half of n leaves p a normal number, so that only the second product rounds.
  const int32x4_t whole = vcvtq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  const float32x4_t result = vmulq_f32(vmulq_f32(p, powerOfTwo(half)), powerOfTwo(vsubq_s32(whole, half)));
  const float32x4_t bounded = vbslq_f32(vcgtq_f32(x, constant(88.72283)), constant(__builtin_inf()), result);
  return vbslq_f32(vcltq_f32(x, constant(-104)), constant(0), bounded);
}

inline float expOne(float x) { return vgetq_lane_f32(expLanes(vdupq_n_f32(x)), 0); }

}  // namespace
}  // namespace claw::neon
