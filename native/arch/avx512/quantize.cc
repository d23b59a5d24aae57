// QUANTIZE: activation rows to int8 segments and groups.
#include "arch/avx512/simd.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
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

// Both halves of a group; lanes beyond the segment are zero.
struct GroupValues {
  __m512 low;
  __m512 high;
};

GroupValues loadGroup(const Segment& s, int group) {
  const float* from = s.x + group * kGroup;
  const int rest = s.length - group * kGroup;
  const __m512 low = _mm512_maskz_loadu_ps(lanesLeft(rest), from);
  if (rest <= kLanes) return {low, _mm512_setzero_ps()};
  return {low, _mm512_maskz_loadu_ps(lanesLeft(rest - kLanes), from + kLanes)};
}

// Leaves the largest magnitude of each group, as bits, in `lefts`; returns the segment's.
int32_t findLargest(const Segment& s) {
  int32_t largest = 0;
  for (int group = 0; group < s.groups; ++group) {
    const GroupValues values = loadGroup(s, group);
    const __m512i joint = _mm512_max_epi32(magnitudesOf(values.low), magnitudesOf(values.high));
    s.lefts[group] = _mm512_reduce_max_epi32(joint);
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

__m512i quantizeLanes(__m512 values, __m512 multiplier, int rest, int8_t* q) {
  const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(values, multiplier));
  _mm512_mask_cvtepi32_storeu_epi8(q, lanesLeft(rest), rounded);
  return rounded;
}

void quantizeGroup(const Segment& s, int group, int32_t largest, float reciprocal) {
  const int shift = groupShift(s.lefts[group], largest, s.maxShift);
  const __m512 multiplier = _mm512_set1_ps(reciprocal * static_cast<float>(1 << shift));
  const GroupValues values = loadGroup(s, group);
  const int rest = s.padded - group * kGroup;
  int8_t* q = s.q + group * kGroup;
  __m512i sum = quantizeLanes(values.low, multiplier, rest, q);
  if (rest > kLanes) sum = _mm512_add_epi32(sum, quantizeLanes(values.high, multiplier, rest - kLanes, q + kLanes));
  s.lefts[group] = s.maxShift - shift;
  s.sums[group] = _mm512_reduce_add_epi32(sum);
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

}  // namespace claw::avx512
