// uses-fma: the chains of adapters' products.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/scalar.h"

namespace claw::scalar {

void adaptDown(const float* x, const float* a, int32_t length, int32_t rank, float* leaves) {
  std::fill_n(leaves, rank, 0.0f);
  for (int32_t k = 0; k < length; k++, a += rank) {
    for (int32_t r = 0; r < rank; r++) leaves[r] = std::fma(a[r], x[k], leaves[r]);
  }
}

void adaptUp(const float* roots, const float* b, ptrdiff_t stride, int32_t rank, float* out, int32_t count) {
  for (int32_t n = 0; n < count; n++) {
    float sum = 0.0f;
    for (int32_t r = 0; r < rank; r++) sum = std::fma(b[r * stride + n], roots[r], sum);
    out[n] += sum;
  }
}

}  // namespace claw::scalar
