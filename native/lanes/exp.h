// exp as docs/reference/arithmetic.md defines it. Only for sources that use fused multiply-adds.
#pragma once

#include "lanes/lanes.h"

namespace claw::lanes {

template <class Lanes>
CLAW_INLINE typename Lanes::Floats exp(typename Lanes::Floats x) {
  using Floats = typename Lanes::Floats;
  constexpr float kCoefficients[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  const Floats n = Lanes::round(Lanes::mul(x, Lanes::set(1.44269502f)));
  Floats r = Lanes::fma(n, Lanes::set(-0.693145752f), x);
  r = Lanes::fma(n, Lanes::set(-1.42860677e-6f), r);
  Floats p = Lanes::set(1.0f / 5040);
#pragma GCC unroll 7
  for (const float coefficient : kCoefficients) p = Lanes::fma(p, r, Lanes::set(coefficient));
  const Floats infinite = Lanes::set(__builtin_inff());
  const Floats bounded = Lanes::where(Lanes::greater(x, Lanes::set(88.72283f)), infinite, Lanes::scale(p, n));
  return Lanes::where(Lanes::greater(Lanes::set(-104.0f), x), Lanes::set(0.0f), bounded);
}

// One value, for the few that come alone.
template <class Lanes>
CLAW_INLINE float expOne(float x) {
  float each[kLaneCount];
  Lanes::store(each, exp<Lanes>(Lanes::set(x)), 1);
  return each[0];
}

}  // namespace claw::lanes
