// The choice of an i4 group's multiplier (arithmetic.md, "Weights"). Internal linkage, as in half.h: every instruction
// set compiles its own copy.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/numeric.h"

namespace claw {

// Of a group's plain step: a few values cut off at the edge can serve the others better.
constexpr float kI4Factors[] = {1.0f,        31.0f / 32, 15.0f / 16, 29.0f / 32, 7.0f / 8,  27.0f / 32,
                                13.0f / 16, 33.0f / 32, 17.0f / 16, 35.0f / 32, 9.0f / 8};

// What the largest step of a segment is multiplied by for its scale: the largest factor, so that every one of them is a
// choice for every group.
constexpr float kI4Headroom = 9.0f / 8;

// The 4-bit value of a weight for a step's reciprocal (0: none), as a float.
static inline float quantizedI4(float weight, float inverse) {
  const float q = roundEven(weight * inverse);
  return q < -8.0f ? -8.0f : q > 7.0f ? 7.0f : q;
}

// 1 / (multiplier * scale), or 0 where that step is 0.
static inline float inverseStepI4(float multiplier, float scale) {
  const float step = multiplier * scale;
  return step == 0.0f ? 0.0f : 1.0f / step;
}

// The 16-lane sum of the squared errors of a group that is quantized with `multiplier`.
static inline float errorI4(const float* values, int32_t count, float multiplier, float scale) {
  const float step = multiplier * scale;
  const float inverse = inverseStepI4(multiplier, scale);
  float lanes[16] = {};
  for (int32_t k = 0; k < count; k++) {
    const float error = values[k] - (quantizedI4(values[k], inverse) * step);
    lanes[k % 16] += error * error;
  }
  return sumLanes(lanes);
}

// The multiplier of least error among those tried, the first of equals; `step` is the group's extreme divided by -8.
static inline float bestMultiplierI4(const float* values, int32_t count, float step, float scale) {
  const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
  float best = 0.0f;
  float least = 0.0f;
  for (const float factor : kI4Factors) {
    const float wanted = roundEven((step * factor) * reciprocal);
    const float multiplier = wanted < -127.0f ? -127.0f : wanted > 127.0f ? 127.0f : wanted;
    const float error = errorI4(values, count, multiplier, scale);
    if (factor != 1.0f && !(error < least)) continue;
    best = multiplier;
    least = error;
  }
  return best;
}

}  // namespace claw
