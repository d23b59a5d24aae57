// uses-fma: the sum of squares of RMS_NORM and the polynomial of exp in SILU_MUL.
#include "arch/neon/exp.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

constexpr int kSumVectors = 4;  // of the 16-lane sum

float sumOfSquares(const float* x, int width) {
  float32x4_t squares[kSumVectors];
  for (float32x4_t& lanes : squares) lanes = vdupq_n_f32(0);
  for (int k = 0; k < width; k += kSumVectors * kLanes) {
    for (int i = 0; i < kSumVectors; ++i) {
      const int at = k + i * kLanes;
      if (at >= width) break;
      const float32x4_t values = load(x + at, width - at);  // zeros beyond the row: their squares change no lane
      squares[i] = vfmaq_f32(squares[i], values, values);
    }
  }
  return sumLanes(squares);
}

}  // namespace

int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  const float sum = sumOfSquares(x, width);
  const bool finite = (bitsOf(sum) & INT32_MAX) < kNotFiniteBits;
  const float inverse = 1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + epsilon);
  for (int k = 0; k < width; k += kLanes) {
    const int rest = width - k;
    const float32x4_t result = vmulq_f32(vmulq_n_f32(load(x + k, rest), inverse), load(gain + k, rest));
    store(out + k, rest, finite ? result : vdupq_n_f32(0));
  }
  return finite ? 0 : kNotFinite;
}

void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  for (int k = 0; k < count; k += kLanes) {
    const int rest = count - k;
    const float32x4_t g = load(gate + k, rest);
    const float32x4_t silu = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1), expLanes(vnegq_f32(g))));
    store(out + k, rest, vmulq_f32(silu, load(up + k, rest)));
  }
}

}  // namespace claw::neon
