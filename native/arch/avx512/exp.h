// exp as docs/reference/arithmetic.md defines it, 16 lanes at a time. Only for sources that use fused multiply-adds.
#pragma once

#include "arch/avx512/simd.h"

namespace claw::avx512 {
namespace {

inline __m512 expLanes(__m512 x) {
  const auto constant = [](float value) { return _mm512_set1_ps(value); };
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, constant(1.44269502f)), _MM_FROUND_TO_NEAREST_INT);
  __m512 r = _mm512_fmadd_ps(n, constant(-0.693145752f), x);
  r = _mm512_fmadd_ps(n, constant(-1.42860677e-6f), r);
  __m512 p = constant(1.0f / 5040);
  p = _mm512_fmadd_ps(p, r, constant(1.0f / 720));
  p = _mm512_fmadd_ps(p, r, constant(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, constant(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, constant(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, constant(0.5f));
  p = _mm512_fmadd_ps(p, r, constant(1.0f));
  p = _mm512_fmadd_ps(p, r, constant(1.0f));
  const __m512 result = _mm512_scalef_ps(p, n);  // p * 2^n, rounded once, subnormal or not
  const __mmask16 overflow = _mm512_cmp_ps_mask(x, constant(88.72283f), _CMP_GT_OQ);
  const __mmask16 underflow = _mm512_cmp_ps_mask(x, constant(-104.0f), _CMP_LT_OQ);
  const __m512 bounded = _mm512_mask_mov_ps(result, overflow, constant(__builtin_inff()));
  return _mm512_mask_mov_ps(bounded, underflow, _mm512_setzero_ps());
}

inline float expOne(float x) { return _mm512_cvtss_f32(expLanes(_mm512_set1_ps(x))); }

}  // namespace
}  // namespace claw::avx512
