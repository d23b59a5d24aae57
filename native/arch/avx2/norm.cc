// uses-fma: the sum of squares of RMS_NORM and the polynomial of exp in SILU_MUL.
#include "arch/avx2/exp.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

float sumOfSquares(const float* x, int width) {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  const auto addSquares = [&](int k, auto first, auto second) {
    const __m256 a = load(x + k, first);
    const __m256 b = load(x + k + kLanes, second);
    low = _mm256_fmadd_ps(a, a, low);
    high = _mm256_fmadd_ps(b, b, high);
  };
  int k = 0;
  for (; k + 2 * kLanes <= width; k += 2 * kLanes) addSquares(k, Whole{}, Whole{});
  // Lanes beyond the row add +0 to what is not negative, which changes nothing.
  if (k < width) addSquares(k, Part{width - k}, Part{width - k - kLanes});
  return sumLanes(low, high);
}

}  // namespace

int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  const float sum = sumOfSquares(x, width);
  if ((bitsOf(sum) & kMagnitude) >= kNotFiniteBits) {
    __builtin_memset(out, 0, static_cast<size_t>(width) * sizeof *out);
    return kNotFinite;
  }
  const __m256 inverse = _mm256_set1_ps(1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + epsilon));
  eachVector(width, [&](int k, auto extent) {
    store(out + k, _mm256_mul_ps(_mm256_mul_ps(load(x + k, extent), inverse), load(gain + k, extent)), extent);
  });
  return 0;
}

void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  const __m256 one = _mm256_set1_ps(1.0f);
  eachVector(count, [&](int k, auto extent) {
    const __m256 g = load(gate + k, extent);
    const __m256 minus = _mm256_xor_ps(g, _mm256_set1_ps(-0.0f));
    const __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, expLanes(minus)));
    store(out + k, _mm256_mul_ps(silu, load(up + k, extent)), extent);
  });
}

}  // namespace claw::avx2
