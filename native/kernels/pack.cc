#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/dequantize.h"
#include "kernels/half.h"
#include "kernels/i4-multiplier.h"
#include "kernels/numeric.h"
#include "kernels/rotate.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

// One segment of a row of a block while it is sealed: its f32 values, and where it goes.
struct Segment {
  const Matrix& matrix;
  float* values;
  size_t place;   // among the (row block, segment) pairs held
  int32_t index;  // of the row within its block

  uint8_t* bytes() const { return matrix.weights + place * (matrix.blockBytes() / matrix.held()); }
  void setScale(int32_t group, float scale) const {
    matrix.scales[(place * matrix.scalesPerSegment() + group) * kRowBlock + index] = scale;
  }
};

// False when a value becomes infinite.
bool sealF16(const Segment& segment) {
  bool fits = true;
  auto* out = reinterpret_cast<uint16_t*>(segment.bytes()) + segment.index;
  for (int32_t k = 0; k < segment.matrix.segmentLength; k++) {
    const uint16_t half = floatToHalf(segment.values[k]);
    fits = fits && isFiniteHalf(half);
    out[k * kRowBlock] = half;
  }
  return fits;
}

void sealGroupI8(const Segment& segment, int32_t g) {
  const Matrix& m = segment.matrix;
  const int32_t first = g * kScaleGroup;
  const int32_t end = std::min(first + kScaleGroup, m.segmentLength);
  const float largest = std::bit_cast<float>(largestMagnitude(segment.values + first, end - first));
  const float scale = largest < kTiny ? 0.0f : largest / 127.0f;
  const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
  uint8_t* out = segment.bytes() + segment.index * 4;
  for (int32_t k = first; k < std::min(first + kScaleGroup, m.paddedSegment); k++) {
    const float q = k < end ? roundEven(segment.values[k] * reciprocal) : 0.0f;
    out[(k / 4) * kRowBlock * 4 + k % 4] = static_cast<uint8_t>(static_cast<int32_t>(q) + 128);
  }
  segment.setScale(g, scale);
}

void sealI8(const Segment& segment) {
  for (int32_t g = 0; g < segment.matrix.groups; g++) sealGroupI8(segment, g);
}

// The value of largest magnitude divided by -8, the first of equals.
float plainStep(const float* values, int32_t count) {
  float extreme = 0.0f;
  for (int32_t k = 0; k < count; k++) {
    if (std::abs(values[k]) > std::abs(extreme)) extreme = values[k];
  }
  return extreme / -8.0f;
}

// The 4-bit values of one group, offset by 8; unused ones hold 0 + 8.
void quantizeI4(const float* values, int32_t count, float inverse, uint8_t* nibbles) {
  std::fill_n(nibbles, kGroup, uint8_t{8});
  for (int32_t k = 0; k < count; k++) {
    nibbles[k] = static_cast<uint8_t>(static_cast<int32_t>(quantizedI4(values[k], inverse)) + 8);
  }
}

void sealGroupI4(const Segment& segment, int32_t g, float scale) {
  const Matrix& m = segment.matrix;
  const int32_t first = g * kGroup;
  const int32_t count = std::min(kGroup, m.segmentLength - first);
  const float* values = segment.values + first;
  const float multiplier = bestMultiplierI4(values, count, plainStep(values, count), scale);
  uint8_t nibbles[kGroup];
  quantizeI4(values, count, inverseStepI4(multiplier, scale), nibbles);
  m.multipliers[(segment.place * m.groups + g) * kRowBlock + segment.index] = static_cast<int8_t>(multiplier);
  uint8_t* out = segment.bytes() + static_cast<size_t>(first) / 8 * kRowBlock * 4 + segment.index * 4;
  const int32_t columns = std::min(kGroup, m.paddedSegment - first);
  for (int32_t k = 0; k < columns; k += 8, out += kRowBlock * 4) {
    for (int32_t i = 0; i < 4; i++) out[i] = static_cast<uint8_t>(nibbles[k + i] | (nibbles[k + 4 + i] << 4));
  }
}

void sealI4(const Segment& segment) {
  const Matrix& m = segment.matrix;
  float largest = 0.0f;
  for (int32_t first = 0; first < m.segmentLength; first += kGroup) {
    const int32_t count = std::min(kGroup, m.segmentLength - first);
    largest = std::max(largest, std::abs(plainStep(segment.values + first, count)));
  }
  const float scale = largest < kTiny ? 0.0f : largest * kI4Headroom / 127.0f;
  for (int32_t g = 0; g < m.groups; g++) sealGroupI4(segment, g, scale);
  segment.setScale(0, scale);
}

// False when a value is or becomes infinite or NaN.
bool sealSegment(const Segment& segment) {
  if (segment.matrix.format == Format::f16) return sealF16(segment);
  const int32_t length = segment.matrix.segmentLength;
  applySigns(segment.values, length, segment.values);
  transformSegment(segment.values, length, weightFactor);
  if (largestMagnitude(segment.values, length) >= kNotFiniteBits) return false;
  if (segment.matrix.format == Format::i8) sealI8(segment);
  else sealI4(segment);
  return true;
}

}  // namespace

int32_t packBlock(const PackTask& task) {
  const Matrix& m = *task.matrix;
  const int32_t firstRow = task.block * kRowBlock;
  float* values = task.scratch;
  for (int32_t r = 0; r < kRowBlock; r++) {
    const int32_t row = firstRow + r;
    if (row < m.rows) dequantizeRow(task.type, task.source + static_cast<size_t>(row) * task.sourceStride, values, m.columns);
    else std::fill_n(values, m.columns, 0.0f);
    if (largestMagnitude(values, m.columns) >= kNotFiniteBits) return row + 1;
    for (int32_t s = 0; s < m.held(); s++) {
      float* segment = values + static_cast<size_t>(m.segmentFirst + s) * m.segmentLength;
      if (!sealSegment({m, segment, static_cast<size_t>(task.block) * m.held() + s, r})) return row + 1;
    }
  }
  return 0;
}

}  // namespace claw::scalar
