// QUANTIZE: activation rows to int8 segments and groups.
#include "arch/neon/simd.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

// One segment of one row: its values and where its parts go.
struct Segment {
  const float* x;
  int length;
  int padded;
  int groups;
  int maxShift;
  int8_t* q;
  float* scale;
  int32_t* lefts;
  int32_t* sums;
};

Segment segmentOf(const float* x, const QuantizedRows& out, int row, int segment) {
  const ptrdiff_t place = static_cast<ptrdiff_t>(row) * out.segments + segment;
  return {.x = x + static_cast<ptrdiff_t>(segment) * out.segmentLength,
          .length = out.segmentLength,
          .padded = out.paddedSegment,
          .groups = out.groups,
          .maxShift = out.maxShift,
          .q = out.q + place * out.paddedSegment,
          .scale = out.scales + place,
          .lefts = out.lefts + place * out.groups,
          .sums = out.sums + place * out.groups};
}

// Leaves the largest magnitude of each group, as bits, in `lefts`; returns the segment's.
int32_t findLargest(const Segment& s) {
  int32_t largest = 0;
  for (int group = 0; group < s.groups; ++group) {
    const int first = group * kGroup;
    s.lefts[group] = largestMagnitude(s.x + first, smaller(kGroup, s.length - first));
    if (s.lefts[group] > largest) largest = s.lefts[group];
  }
  return largest;
}

// The largest e in [0, maxShift] with own * 2^e <= largest, from the exponents and mantissas of both. Exact for
// subnormal `own` too: `largest` is at least 2^-100, so that e is maxShift, and the exponents say so.
int groupShift(int32_t own, int32_t largest, int maxShift) {
  constexpr int32_t kMantissa = 0x7fffff;
  const int doublings = (largest >> 23) - (own >> 23) - ((own & kMantissa) > (largest & kMantissa) ? 1 : 0);
  return smaller(doublings, maxShift);
}

void storeZeros(const Segment& s) {
  *s.scale = 0.0f;
  __builtin_memset(s.q, 0, static_cast<size_t>(s.padded));
  for (int group = 0; group < s.groups; ++group) {
    s.lefts[group] = s.maxShift;
    s.sums[group] = 0;
  }
}

void quantizeGroup(const Segment& s, int group, int32_t largest, float reciprocal) {
  const int shift = groupShift(s.lefts[group], largest, s.maxShift);
  const float factor = reciprocal * static_cast<float>(1 << shift);
  const int first = group * kGroup;
  int16x8_t sums = vdupq_n_s16(0);
  for (int k = first; k < smaller(first + kGroup, s.padded); k += 8) {
    const int8x8_t q = roundToBytes(s.x + k, s.length - k, factor);
    vst1_s8(s.q + k, q);
    sums = vaddw_s8(sums, q);
  }
  s.lefts[group] = s.maxShift - shift;
  s.sums[group] = vaddlvq_s16(sums);
}

int32_t quantizeSegment(const Segment& s) {
  const int32_t largest = findLargest(s);
  const bool finite = largest < kNotFiniteBits;
  if (!finite || fromBits(largest) < kTiny) {
    storeZeros(s);
    return finite ? 0 : kNotFinite;
  }
  const float scale = fromBits(largest) / 127.0f;
  const float reciprocal = 1.0f / scale;
  *s.scale = scale / static_cast<float>(1 << s.maxShift);
  for (int group = 0; group < s.groups; ++group) quantizeGroup(s, group, largest, reciprocal);
  return 0;
}

}  // namespace

int32_t quantizeRow(const float* x, const QuantizedRows& out, int32_t row) {
  int32_t status = 0;
  for (int segment = 0; segment < out.segments; ++segment) {
    status |= quantizeSegment(segmentOf(x, out, row, segment));
  }
  return status;
}

}  // namespace claw::neon
