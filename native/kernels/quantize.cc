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

// Rounds values that share a scale, which it returns.
float quantizeRun(const float* values, int32_t count, int8_t* q) {
  const float largest = std::bit_cast<float>(largestMagnitude(values, count));
  if (largest < kTiny) return 0.0f;
  const float scale = largest / 127.0f;
  const float reciprocal = 1.0f / scale;
  for (int32_t k = 0; k < count; k++) q[k] = static_cast<int8_t>(roundEven(values[k] * reciprocal));
  return scale;
}

}  // namespace

int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch) {
  const int32_t length = out.segmentLength;
  const size_t place = static_cast<size_t>(row) * out.segments + segment;
  int8_t* q = out.q + place * out.paddedSegment;
  applySigns(x, length, scratch);
  transformSegment(scratch, length, activationFactor);
  std::fill_n(q, out.paddedSegment, int8_t{0});
  const bool finite = largestMagnitude(scratch, length) < kNotFiniteBits;
  if (!finite) std::fill_n(scratch, length, 0.0f);
  float* scales = out.scales + place * out.scalesPerSegment();
  const int32_t run = out.format == Format::i8 ? kScaleGroup : length;
  for (int32_t first = 0; first < length; first += run) {
    *scales++ = quantizeRun(scratch + first, std::min(run, length - first), q + first);
  }
  const int32_t group = groupLength(out.format);
  for (int32_t g = 0; g < out.groups; g++) {
    const int32_t sum = sumOf(q + g * group, std::min(group, length - g * group));
    out.starts[place * out.groups + g] = (out.format == Format::i8 ? -128 : -8) * sum;
  }
  return finite ? 0 : kNotFinite;
}

}  // namespace claw::scalar
