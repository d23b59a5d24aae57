// RMS_NORM and SILU_MUL. Only for sources that use fused multiply-adds.
#pragma once

#include "lanes/exp.h"

namespace claw::lanes {

template <class Lanes>
CLAW_INLINE int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width) {
  auto squares = Lanes::set(0.0f);
  // Lanes beyond the row add +0 to what is not negative, which changes nothing.
  eachVector(width, [&](int k, auto extent) {
    const auto values = load<Lanes>(x + k, extent);
    squares = Lanes::fma(values, values, squares);
  });
  const float sum = Lanes::sum(squares);
  if (!(sum < __builtin_inff())) {
    __builtin_memset(out, 0, static_cast<size_t>(width) * sizeof *out);
    return kNotFinite;
  }
  const auto inverse = Lanes::set(1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + epsilon));
  eachVector(width, [&](int k, auto extent) {
    const auto scaled = Lanes::mul(load<Lanes>(x + k, extent), inverse);
    store<Lanes>(out + k, Lanes::mul(scaled, load<Lanes>(gain + k, extent)), extent);
  });
  return 0;
}

template <class Lanes>
CLAW_INLINE void siluMul(const float* gate, const float* up, float* out, int32_t count) {
  const auto one = Lanes::set(1.0f);
  const auto minus = Lanes::set(INT32_MIN);
  eachVector(count, [&](int k, auto extent) {
    const auto g = load<Lanes>(gate + k, extent);
    const auto silu = Lanes::div(g, Lanes::add(one, exp<Lanes>(Lanes::flip(g, minus))));
    store<Lanes>(out + k, Lanes::mul(silu, load<Lanes>(up + k, extent)), extent);
  });
}

}  // namespace claw::lanes
