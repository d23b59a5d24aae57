// QUANTIZE: activation rows to int8 segments and groups.
#include "arch/avx2/simd.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

constexpr int kVectors = kGroup / kLanes;

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

// The values of a group; lanes beyond the segment are zero.
inline void loadGroup(const Segment& s, int group, __m256 (&values)[kVectors]) {
  const float* from = s.x + group * kGroup;
  const int rest = s.length - group * kGroup;
  if (rest >= kGroup) {
    for (int i = 0; i < kVectors; ++i) values[i] = load(from + i * kLanes, Whole{});
  } else {
    for (int i = 0; i < kVectors; ++i) values[i] = load(from + i * kLanes, Part{rest - i * kLanes});
  }
}

// Leaves the largest magnitude of each group, as bits, in `lefts`; returns the segment's.
int32_t findLargest(const Segment& s) {
  int32_t largest = 0;
  for (int group = 0; group < s.groups; ++group) {
    __m256 values[kVectors];
    loadGroup(s, group, values);
    __m256i joint = magnitudesOf(values[0]);
    for (int i = 1; i < kVectors; ++i) joint = _mm256_max_epi32(joint, magnitudesOf(values[i]));
    s.lefts[group] = largestLane(joint);
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
  const __m256 multiplier = _mm256_set1_ps(reciprocal * static_cast<float>(1 << shift));
  __m256 values[kVectors];
  loadGroup(s, group, values);
  __m256i q[kVectors];
  for (int i = 0; i < kVectors; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], multiplier));
  s.lefts[group] = s.maxShift - shift;
  s.sums[group] = sumLanes(_mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3])));
  // Packing works within 128 bits and leaves words of four values in the order 0, 2, 4, 6, 1, 3, 5, 7.
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  alignas(32) int8_t ordered[kGroup];
  _mm256_store_si256(reinterpret_cast<__m256i*>(ordered),
                     _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
  const int rest = smaller(kGroup, s.padded - group * kGroup);
  __builtin_memcpy(s.q + group * kGroup, ordered, static_cast<size_t>(rest));
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

}  // namespace claw::avx2
