#include <cstddef>
#include <cstdint>

#include "kernels/half.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

// One row of a matrix that holds every segment, as its packed layout interleaves it.
struct PackedRow {
  const Matrix& matrix;
  const uint8_t* block;
  const int8_t* multipliers;
  int32_t row;  // within the block
  float scale;
};

void embedF16(const PackedRow& at, float* out) {
  const auto* w = reinterpret_cast<const uint16_t*>(at.block);
  for (int32_t k = 0; k < at.matrix.columns; k++) out[k] = finiteHalfToFloat(w[k * kRowBlock + at.row]);
}

void embedI8(const PackedRow& at, int32_t segment, float* out) {
  const Matrix& m = at.matrix;
  const uint8_t* w = at.block + static_cast<size_t>(segment) * m.paddedSegment * kRowBlock + at.row * 4;
  for (int32_t k = 0; k < m.segmentLength; k++) {
    const int32_t q = w[(k / 4) * kRowBlock * 4 + k % 4] - 128;
    out[k] = static_cast<float>(q) * at.scale;
  }
}

void embedI4(const PackedRow& at, int32_t segment, float* out) {
  const Matrix& m = at.matrix;
  const uint8_t* w = at.block + static_cast<size_t>(segment) * m.paddedSegment * (kRowBlock / 2) + at.row * 4;
  const int8_t* multipliers = at.multipliers + static_cast<size_t>(segment) * m.groups * kRowBlock + at.row;
  for (int32_t k = 0; k < m.segmentLength; k++) {
    const uint8_t pair = w[(k / 8) * kRowBlock * 4 + k % 4];
    const int32_t q = (k % 8 < 4 ? pair & 15 : pair >> 4) - 8;
    out[k] = static_cast<float>(q * multipliers[(k / kGroup) * kRowBlock]) * at.scale;
  }
}

}  // namespace

void embedRow(const Matrix& matrix, int32_t token, float* out) {
  const size_t block = static_cast<size_t>(token) / kRowBlock;
  const int8_t* multipliers = nullptr;
  if (matrix.format == Format::i4) {
    multipliers = matrix.multipliers + block * matrix.segments * matrix.groups * kRowBlock;
  }
  const PackedRow at = {matrix, matrix.weights + block * matrix.blockBytes(), multipliers, token % kRowBlock,
                        matrix.scales[token]};
  if (matrix.format == Format::f16) return embedF16(at, out);
  for (int32_t s = 0; s < matrix.segments; s++, out += matrix.segmentLength) {
    if (matrix.format == Format::i8) embedI8(at, s, out);
    else embedI4(at, s, out);
  }
}

}  // namespace claw::scalar
