#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/numeric.h"
#include "kernels/rotate.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

int32_t sumOf(const int8_t* q, int32_t count) {
  int32_t sum = 0;
  for (int32_t k = 0; k < count; k++) sum += q[k];
  return sum;
}

void findStarts(const int8_t* q, const QuantizedRows& rows, int32_t* starts) {
  if (rows.format == Format::i8) {
    *starts = -128 * sumOf(q, rows.segmentLength);
    return;
  }
  for (int32_t g = 0; g < rows.startsPerSegment; g++) {
    starts[g] = -8 * sumOf(q + g * kGroup, std::min(kGroup, rows.segmentLength - g * kGroup));
  }
}

}  // namespace

int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch) {
  const int32_t length = out.segmentLength;
  const size_t place = static_cast<size_t>(row) * out.segments + segment;
  int8_t* q = out.q + place * out.paddedSegment;
  applySigns(x, length, scratch);
  transformSegment(scratch, length, activationFactor);
  const uint32_t largestBits = largestMagnitude(scratch, length);
  const bool finite = largestBits < kNotFiniteBits;
  const float largest = finite ? std::bit_cast<float>(largestBits) : 0.0f;
  const float scale = largest < kTiny ? 0.0f : largest / 127.0f;
  std::fill_n(q, out.paddedSegment, int8_t{0});
  if (scale != 0.0f) {
    const float reciprocal = 1.0f / scale;
    for (int32_t k = 0; k < length; k++) q[k] = static_cast<int8_t>(roundEven(scratch[k] * reciprocal));
  }
  out.scales[place] = scale;
  findStarts(q, out, out.starts + place * out.startsPerSegment);
  return finite ? 0 : kNotFinite;
}

}  // namespace claw::scalar
