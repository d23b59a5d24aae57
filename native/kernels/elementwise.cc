// uses-fma: the sum of squares and exp.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/numeric.h"
#include "kernels/scalar.h"

namespace claw::scalar {

int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  float lanes[16] = {};
  for (int32_t k = 0; k < width; k++) lanes[k & 15] = std::fma(x[k], x[k], lanes[k & 15]);
  const float sum = sumLanes(lanes);
  if (magnitudeBits(sum) >= kNotFiniteBits) {
    std::fill_n(out, width, 0.0f);
    return kNotFinite;
  }
  const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(width) + epsilon);
  for (int32_t k = 0; k < width; k++) out[k] = (x[k] * inverse) * gain[k];
  return 0;
}

void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  const int32_t pairs = headDim / 2;
  for (int32_t h = 0; h < heads; h++, row += headDim) {
    for (int32_t i = 0; i < pairs; i++) {
      float& first = row[halves ? i : 2 * i];
      float& second = row[halves ? i + pairs : 2 * i + 1];
      const float a = first;
      const float b = second;
      const float cosine = table[2 * i];
      const float sine = table[2 * i + 1];
      first = (a * cosine) - (b * sine);
      second = (a * sine) + (b * cosine);
    }
  }
}

void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  for (int32_t k = 0; k < count; k++) out[k] = silu(gate[k]) * up[k];
}

void add(const float* a, const float* b, float* out, int32_t count) {
  for (int32_t k = 0; k < count; k++) out[k] = a[k] + b[k];
}

}  // namespace claw::scalar
