// uses-fma: the sum of squares of RMS_NORM and the polynomial of exp in SILU_MUL.
#include "lanes/norm.h"

#include "arch/avx2/lanes.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {

int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  return lanes::rmsNormRow<Lanes>(x, gain, epsilon, out, width);
}

void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  lanes::siluMul<Lanes>(gate, up, out, count);
}

}  // namespace claw::avx2
