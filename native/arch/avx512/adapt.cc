// uses-fma: ADAPT_DOWN and ADAPT_UP, as native/lanes/adapt.h computes them.
#include "lanes/adapt.h"

#include "arch/avx512/lanes.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

void adaptDown(const float* x, const float* a, int32_t length, int32_t rank, float* leaves) {
  lanes::adaptDown<Lanes>(x, a, length, rank, leaves);
}

void adaptUp(const float* roots, const float* b, ptrdiff_t stride, int32_t rank, float* out, int32_t count) {
  lanes::adaptUp<Lanes>(roots, b, stride, rank, out, count);
}

}  // namespace claw::avx512
