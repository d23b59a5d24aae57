// ADAPT_DOWN and ADAPT_UP. Only for sources that use fused multiply-adds.
#pragma once

#include "lanes/lanes.h"

namespace claw::lanes {

// Chains over k, a lane for each r.
template <class Lanes>
CLAW_INLINE void adaptDown(const float* x, const float* a, int32_t length, int32_t rank, float* leaves) {
  eachVector(rank, [&](int r, auto extent) {
    auto sum = Lanes::set(0.0f);
    const float* column = a + r;
    for (int k = 0; k < length; ++k, column += rank) {
      sum = Lanes::fma(load<Lanes>(column, extent), Lanes::set(x[k]), sum);
    }
    store<Lanes>(leaves + r, sum, extent);
  });
}

// Chains over r, a lane for each output.
template <class Lanes>
CLAW_INLINE void adaptUp(const float* roots, const float* b, ptrdiff_t stride, int32_t rank, float* out, int32_t count) {
  eachVector(count, [&](int n, auto extent) {
    auto sum = Lanes::set(0.0f);
    const float* row = b + n;
    for (int r = 0; r < rank; ++r, row += stride) {
      sum = Lanes::fma(load<Lanes>(row, extent), Lanes::set(roots[r]), sum);
    }
    store<Lanes>(out + n, Lanes::add(load<Lanes>(out + n, extent), sum), extent);
  });
}

}  // namespace claw::lanes
