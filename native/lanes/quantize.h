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

template <class Lanes>
CLAW_INLINE int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment,
                                    float* scratch) {
  const ptrdiff_t place = static_cast<ptrdiff_t>(row) * out.segments + segment;
  int8_t* q = out.q + place * out.paddedSegment;
  int32_t* starts = out.starts + place * out.groups;
  const int32_t largest = rotateSegment<Lanes>(x, scratch, out.segmentLength, activationFactor);
  const bool finite = largest < kFirstNotFinite;
  const float magnitude = __builtin_bit_cast(float, largest);
  float* scales = out.scales + place * out.scalesPerSegment();
  if (!finite || magnitude < kTiny) {
    __builtin_memset(q, 0, static_cast<size_t>(out.paddedSegment));
    __builtin_memset(starts, 0, static_cast<size_t>(out.groups) * sizeof *starts);
    __builtin_memset(scales, 0, static_cast<size_t>(out.scalesPerSegment()) * sizeof *scales);
    return finite ? 0 : kNotFinite;
  }
  if (out.format == Format::i4) *scales = magnitude / 127.0f;
  float reciprocal = 1.0f / (magnitude / 127.0f);
  const int run = groupLength(out.format);
  const int offset = out.format == Format::i8 ? -128 : -8;
  for (int first = 0; first < out.segmentLength; first += run) {
    const int count = smaller(run, out.segmentLength - first);
    const int padded = smaller(run, out.paddedSegment - first);
    if (out.format == Format::i8) {
      const float scale = scaleOf(largestOf<Lanes>(scratch + first, count));
      reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
      *scales++ = scale;
    }
    *starts++ = offset * roundRun<Lanes>(scratch + first, count, reciprocal, q + first, padded);
  }
  return 0;
}

}  // namespace claw::lanes
