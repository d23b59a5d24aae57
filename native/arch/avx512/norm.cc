// uses-fma: the sum of squares of RMS_NORM and the polynomial of exp in SILU_MUL.
#include "arch/avx512/exp.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  __m512 squares = _mm512_setzero_ps();
  for (int k = 0; k < width; k += kLanes) {
    const __mmask16 lanes = lanesLeft(width - k);
    const __m512 values = _mm512_maskz_loadu_ps(lanes, x + k);
    squares = _mm512_mask3_fmadd_ps(values, values, squares, lanes);
  }
  const float sum = sumLanes(squares);
  const bool finite = (bitsOf(sum) & kMagnitude) < kNotFiniteBits;
  const float inverse = 1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + epsilon);
  for (int k = 0; k < width; k += kLanes) {
    const __mmask16 lanes = lanesLeft(width - k);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + k), _mm512_set1_ps(inverse));
    const __m512 result = _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(lanes, gain + k));
    _mm512_mask_storeu_ps(out + k, lanes, finite ? result : _mm512_setzero_ps());
  }
  return finite ? 0 : kNotFinite;
}

void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  const __m512 one = _mm512_set1_ps(1.0f);
  for (int k = 0; k < count; k += kLanes) {
    const __mmask16 lanes = lanesLeft(count - k);
    const __m512 g = _mm512_maskz_loadu_ps(lanes, gate + k);
    const __m512 minus = _mm512_xor_ps(g, _mm512_set1_ps(-0.0f));
    const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, expLanes(minus)));
    _mm512_mask_storeu_ps(out + k, lanes, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(lanes, up + k)));
  }
}

}  // namespace claw::avx512
