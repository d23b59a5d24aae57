// QUANTIZE: a segment of an activation row, rotated and rounded to int8.
#pragma once

#include "lanes/rotate.h"

namespace claw::lanes {

// Rounds `count` values times `factor` to bytes, of which it stores `padded`; returns their sum.
template <class Lanes>
CLAW_INLINE int32_t roundRun(const float* values, int count, float factor, int8_t* q, int padded) {
  auto sum = Lanes::set(0);
  eachVector(count, [&](int k, auto extent) {
    const auto rounded = Lanes::toInts(Lanes::mul(load<Lanes>(values + k, extent), Lanes::set(factor)));
    sum = Lanes::add(sum, rounded);
    if (k + kLaneCount <= padded) return Lanes::storeBytes(q + k, rounded);
    alignas(16) int8_t each[kLaneCount];
    Lanes::storeBytes(each, rounded);
    __builtin_memcpy(q + k, each, static_cast<size_t>(padded - k));
  });
  return Lanes::sum(sum);
}

// A segment has one scale for i4 and one for each of its groups for i8; for both, sums start anew in every group.
template <class Lanes>
CLAW_INLINE int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment,
                                    float* scratch) {
  const ptrdiff_t place = static_cast<ptrdiff_t>(row) * out.segments + segment;
  int8_t* q = out.q + place * out.paddedSegment;
  int32_t* starts = out.starts + place * out.groups;
  float* scales = out.scales + place * out.scalesPerSegment();
  const int32_t largest = rotateSegment<Lanes>(x, scratch, out.segmentLength, activationFactor);
  if (largest >= kFirstNotFinite) {
    __builtin_memset(q, 0, static_cast<size_t>(out.paddedSegment));
    __builtin_memset(starts, 0, static_cast<size_t>(out.groups) * sizeof *starts);
    __builtin_memset(scales, 0, static_cast<size_t>(out.scalesPerSegment()) * sizeof *scales);
    return kNotFinite;
  }
  const bool i8 = out.format == Format::i8;
  const int length = groupLength(out.format);
  float scale = i8 ? 0.0f : scaleOf(largest);
  if (!i8) *scales = scale;
  for (int first = 0; first < out.segmentLength; first += length) {
    const int count = smaller(length, out.segmentLength - first);
    const int padded = smaller(length, out.paddedSegment - first);
    if (i8) *scales++ = scale = scaleOf(largestOf<Lanes>(scratch + first, count));
    const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
    *starts++ = (i8 ? -128 : -8) * roundRun<Lanes>(scratch + first, count, reciprocal, q + first, padded);
  }
  return 0;
}

}  // namespace claw::lanes
