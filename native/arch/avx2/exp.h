// exp as docs/reference/arithmetic.md defines it, 8 lanes at a time. Only for sources that use fused multiply-adds.
#pragma once

#include "arch/avx2/simd.h"

namespace claw::avx2 {
namespace {

inline __m256 powerOfTwo(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// p * 2^n rounded once, subnormal or not, for p from 1/2 to 2 and n from -151 to 128: the first product by half of the
// power is exact, because its exponent is that of a normal number.
inline __m256 scaled(__m256 p, __m256i n) {
  const __m256i half = _mm256_srai_epi32(n, 1);
  return _mm256_mul_ps(_mm256_mul_ps(p, powerOfTwo(half)), powerOfTwo(_mm256_sub_epi32(n, half)));
}

inline __m256 expLanes(__m256 x) {
  const auto constant = [](float value) { return _mm256_set1_ps(value); };
  const __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(x, constant(1.44269502f)));
  const __m256 n = _mm256_cvtepi32_ps(whole);
  __m256 r = _mm256_fmadd_ps(n, constant(-0.693145752f), x);
  r = _mm256_fmadd_ps(n, constant(-1.42860677e-6f), r);
  __m256 p = constant(1.0f / 5040);
  p = _mm256_fmadd_ps(p, r, constant(1.0f / 720));
  p = _mm256_fmadd_ps(p, r, constant(1.0f / 120));
  p = _mm256_fmadd_ps(p, r, constant(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, constant(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, constant(0.5f));
  p = _mm256_fmadd_ps(p, r, constant(1.0f));
  p = _mm256_fmadd_ps(p, r, constant(1.0f));
  const __m256 overflow = _mm256_cmp_ps(x, constant(88.72283f), _CMP_GT_OQ);
  const __m256 underflow = _mm256_cmp_ps(x, constant(-104.0f), _CMP_LT_OQ);
  const __m256 bounded = _mm256_blendv_ps(scaled(p, whole), constant(__builtin_inff()), overflow);
  return _mm256_andnot_ps(underflow, bounded);
}

inline float expOne(float x) { return _mm256_cvtss_f32(expLanes(_mm256_set1_ps(x))); }

}  // namespace
}  // namespace claw::avx2
