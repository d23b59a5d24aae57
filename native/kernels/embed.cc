#include <cstddef>
#include <cstdint>

#include "kernels/half.h"
#include "kernels/rotate.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

// One segment of a row of a matrix that holds every segment, as its packed layout interleaves it.
struct PackedSegment {
  const Matrix& matrix;
  size_t block;
  int32_t row;  // within the block
  int32_t segment;

  size_t place() const { return block * matrix.segments + segment; }
  const uint8_t* weights() const { return matrix.weights + place() * (matrix.blockBytes() / matrix.segments); }
  float scale(int32_t group) const { return matrix.scales[(place() * matrix.scalesPerSegment() + group) * kRowBlock + row]; }
};

void embedF16(const PackedSegment& at, float* out) {
  const auto* w = reinterpret_cast<const uint16_t*>(at.weights()) + at.row;
  for (int32_t k = 0; k < at.matrix.segmentLength; k++) out[k] = finiteHalfToFloat(w[k * kRowBlock]);
}

void embedI8(const PackedSegment& at, float* out) {
  const uint8_t* w = at.weights() + at.row * 4;
  for (int32_t k = 0; k < at.matrix.segmentLength; k++) {
    const int32_t q = w[(k / 4) * kRowBlock * 4 + k % 4] - 128;
    out[k] = static_cast<float>(q) * at.scale(k / kScaleGroup);
  }
}

void embedI4(const PackedSegment& at, float* out) {
  const uint8_t* w = at.weights() + at.row * 4;
  const int8_t* multipliers = at.matrix.multipliers + at.place() * at.matrix.groups * kRowBlock + at.row;
  for (int32_t k = 0; k < at.matrix.segmentLength; k++) {
    const uint8_t pair = w[(k / 8) * kRowBlock * 4 + k % 4];
    const int32_t q = (k % 8 < 4 ? pair & 15 : pair >> 4) - 8;
    out[k] = static_cast<float>(q * multipliers[(k / kGroup) * kRowBlock]) * at.scale(0);
  }
}

}  // namespace

void embedRow(const Matrix& matrix, int32_t token, float* out) {
  for (int32_t s = 0; s < matrix.segments; s++, out += matrix.segmentLength) {
    const PackedSegment at = {matrix, static_cast<size_t>(token) / kRowBlock, token % kRowBlock, s};
    if (matrix.format == Format::f16) {
      embedF16(at, out);
      continue;
    }
    if (matrix.format == Format::i8) embedI8(at, out);
    else embedI4(at, out);
    transformSegment(out, matrix.segmentLength, activationFactor);  // the inverse of the weights' factors
    applySigns(out, matrix.segmentLength, out);
  }
}

}  // namespace claw::scalar
