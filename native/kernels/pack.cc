#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/dequantize.h"
#include "kernels/half.h"
#include "kernels/i4-multiplier.h"
#include "kernels/numeric.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

// One row of a block while it is sealed: its f32 values (all columns) and where its slice goes.
struct Row {
  const Matrix& matrix;
  const float* values;
  float* steps;  // i4: the d of every group of the row
  int32_t block;
  int32_t index;  // within the block
};

const float* segmentValues(const Row& row, int32_t held) {
  const Matrix& m = row.matrix;
  return row.values + static_cast<size_t>(m.segmentFirst + held) * m.segmentLength;
}

uint8_t* segmentBytes(const Row& row, int32_t held) {
  const Matrix& m = row.matrix;
  return m.weights + row.block * m.blockBytes() + held * (m.blockBytes() / m.held());
}

float& scaleOf(const Row& row) { return row.matrix.scales[static_cast<size_t>(row.block) * kRowBlock + row.index]; }

// False when a value becomes infinite.
bool sealF16(const Row& row) {
  bool fits = true;
  for (int32_t s = 0; s < row.matrix.held(); s++) {
    const float* values = segmentValues(row, s);
    auto* out = reinterpret_cast<uint16_t*>(segmentBytes(row, s)) + row.index;
    for (int32_t k = 0; k < row.matrix.segmentLength; k++) {
      const uint16_t half = floatToHalf(values[k]);
      fits = fits && isFiniteHalf(half);
      out[k * kRowBlock] = half;
    }
  }
  scaleOf(row) = 1.0f;
  return fits;
}

void sealI8(const Row& row) {
  const Matrix& m = row.matrix;
  const float largest = std::bit_cast<float>(largestMagnitude(row.values, m.columns));
  const float scale = largest < kTiny ? 0.0f : largest / 127.0f;
  const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
  for (int32_t s = 0; s < m.held(); s++) {
    const float* values = segmentValues(row, s);
    uint8_t* out = segmentBytes(row, s) + row.index * 4;
    for (int32_t k = 0; k < m.paddedSegment; k++) {
      const float q = k < m.segmentLength ? roundEven(values[k] * reciprocal) : 0.0f;
      out[(k / 4) * kRowBlock * 4 + k % 4] = static_cast<uint8_t>(static_cast<int32_t>(q) + 128);
    }
  }
  scaleOf(row) = scale;
}

// Fills row.steps; returns the largest magnitude of them.
float findSteps(const Row& row) {
  const Matrix& m = row.matrix;
  float* step = row.steps;
  float largest = 0.0f;
  for (int32_t s = 0; s < m.segments; s++) {
    const float* values = row.values + static_cast<size_t>(s) * m.segmentLength;
    for (int32_t first = 0; first < m.segmentLength; first += kGroup, step++) {
      float extreme = 0.0f;
      for (int32_t k = first; k < std::min(first + kGroup, m.segmentLength); k++) {
        if (std::abs(values[k]) > std::abs(extreme)) extreme = values[k];
      }
      *step = extreme / -8.0f;
      largest = std::max(largest, std::abs(*step));
    }
  }
  return largest;
}

// The 4-bit values of one group, offset by 8; unused ones hold 0 + 8.
void quantizeI4(const float* values, int32_t count, float inverse, uint8_t* nibbles) {
  std::fill_n(nibbles, kGroup, uint8_t{8});
  for (int32_t k = 0; k < count; k++) {
    nibbles[k] = static_cast<uint8_t>(static_cast<int32_t>(quantizedI4(values[k], inverse)) + 8);
  }
}

void sealI4(const Row& row) {
  const Matrix& m = row.matrix;
  const float largest = findSteps(row);
  const float scale = largest < kTiny ? 0.0f : largest / 127.0f;
  for (int32_t s = 0; s < m.held(); s++) {
    const float* values = segmentValues(row, s);
    const float* steps = row.steps + static_cast<size_t>(m.segmentFirst + s) * m.groups;
    const size_t groupPlace = (static_cast<size_t>(row.block) * m.held() + s) * m.groups;
    for (int32_t g = 0; g < m.groups; g++) {
      const int32_t first = g * kGroup;
      const int32_t count = std::min(kGroup, m.segmentLength - first);
      const float multiplier = bestMultiplierI4(values + first, count, steps[g], scale);
      uint8_t nibbles[kGroup];
      quantizeI4(values + first, count, inverseStepI4(multiplier, scale), nibbles);
      m.multipliers[(groupPlace + g) * kRowBlock + row.index] = static_cast<int8_t>(multiplier);
      uint8_t* out = segmentBytes(row, s) + static_cast<size_t>(first) / 8 * kRowBlock * 4 + row.index * 4;
      const int32_t columns = std::min(kGroup, m.paddedSegment - first);
      for (int32_t k = 0; k < columns; k += 8, out += kRowBlock * 4) {
        for (int32_t i = 0; i < 4; i++) out[i] = static_cast<uint8_t>(nibbles[k + i] | (nibbles[k + 4 + i] << 4));
      }
    }
  }
  scaleOf(row) = scale;
}

bool sealRow(const Row& row) {
  if (row.matrix.format == Format::f16) return sealF16(row);
  if (row.matrix.format == Format::i8) sealI8(row);
  else sealI4(row);
  return true;
}

}  // namespace

int32_t packBlock(const PackTask& task) {
  const Matrix& m = *task.matrix;
  const int32_t firstRow = task.block * kRowBlock;
  float* values = task.scratch;
  float* steps = task.scratch + m.columns;
  for (int32_t r = 0; r < kRowBlock; r++) {
    const Row row = {m, values, steps, task.block, r};
    if (firstRow + r >= m.rows) {
      std::fill_n(values, m.columns, 0.0f);
      sealRow(row);
      scaleOf(row) = 0.0f;
      continue;
    }
    dequantizeRow(task.type, task.source + static_cast<size_t>(firstRow + r) * task.sourceStride, values, m.columns);
    if (largestMagnitude(values, m.columns) >= kNotFiniteBits) return firstRow + r + 1;
    if (!sealRow(row)) return firstRow + r + 1;
  }
  return 0;
}

}  // namespace claw::scalar
