#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/numeric.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

// Where one row's segment lies in the arrays of QuantizedRows.
struct Segment {
  int8_t* q;
  int32_t* lefts;
  int32_t* sums;
  float* scale;
};

// The largest e in [0, maxShift] with own * 2^e <= largest.
int32_t groupShift(float own, float largest, int32_t maxShift) {
  int32_t shift = 0;
  for (float next = own * 2; shift < maxShift && next <= largest; next *= 2) shift++;
  return shift;
}

void quantizeGroup(const float* x, int32_t count, float multiplier, int8_t* q, int32_t* sum) {
  int32_t total = 0;
  for (int32_t k = 0; k < count; k++) {
    const int32_t value = static_cast<int32_t>(roundEven(x[k] * multiplier));
    q[k] = static_cast<int8_t>(value);
    total += value;
  }
  *sum = total;
}

int32_t quantizeSegment(const float* x, const QuantizedRows& rows, const Segment& out) {
  std::fill_n(out.q, rows.paddedSegment, int8_t{0});
  const uint32_t largestBits = largestMagnitude(x, rows.segmentLength);
  const bool finite = largestBits < kNotFiniteBits;
  const float largest = finite ? std::bit_cast<float>(largestBits) : 0.0f;
  if (largest < kTiny) {
    std::fill_n(out.lefts, rows.groups, rows.maxShift);
    std::fill_n(out.sums, rows.groups, 0);
    *out.scale = 0.0f;
    return finite ? 0 : kNotFinite;
  }
  const float scale = largest / 127.0f;
  const float reciprocal = 1.0f / scale;
  *out.scale = scale * static_cast<float>(powerOfTwo(-rows.maxShift));
  for (int32_t g = 0; g < rows.groups; g++) {
    const int32_t first = g * kGroup;
    const int32_t count = std::min(kGroup, rows.segmentLength - first);
    const float own = std::bit_cast<float>(largestMagnitude(x + first, count));
    const int32_t shift = groupShift(own, largest, rows.maxShift);
    out.lefts[g] = rows.maxShift - shift;
    quantizeGroup(x + first, count, reciprocal * static_cast<float>(1 << shift), out.q + first, out.sums + g);
  }
  return 0;
}

}  // namespace

int32_t quantizeRow(const float* x, const QuantizedRows& out, int32_t row) {
  int32_t status = 0;
  for (int32_t s = 0; s < out.segments; s++) {
    const size_t place = static_cast<size_t>(row) * out.segments + s;
    const Segment segment = {out.q + place * out.paddedSegment, out.lefts + place * out.groups,
                             out.sums + place * out.groups, out.scales + place};
    status |= quantizeSegment(x + static_cast<size_t>(s) * out.segmentLength, out, segment);
  }
  return status;
}

}  // namespace claw::scalar
