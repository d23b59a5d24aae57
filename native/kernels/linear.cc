// uses-fma: the chains of f16 and i8 products.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/half.h"
#include "kernels/scalar.h"
#include "kernels/tree.h"

namespace claw::scalar {
namespace {

// One segment of one input row against the 16 rows of a block.
struct Leaf {
  const Matrix& matrix;
  int32_t block;
  int32_t segment;  // among those held
  int32_t row;
};

void leafF16(const Leaf& leaf, const LinearTask& task, float* sums) {
  const Matrix& m = leaf.matrix;
  const size_t first = static_cast<size_t>(leaf.segment) * m.segmentLength;
  const auto* halves = reinterpret_cast<const uint16_t*>(m.weights + leaf.block * m.blockBytes());
  const uint16_t* w = halves + first * kRowBlock;
  const float* x = task.x + leaf.row * task.xStride + first;
  float acc[kRowBlock] = {};
  for (int32_t k = 0; k < m.segmentLength; k++, w += kRowBlock) {
    for (int32_t r = 0; r < kRowBlock; r++) acc[r] = std::fma(finiteHalfToFloat(w[r]), x[k], acc[r]);
  }
  std::copy_n(acc, kRowBlock, sums);
}

// Unsigned, because sums of offset weights may pass int32 on their way to what fits.
using Sums = uint32_t[kRowBlock];

// Adds weight * q over the 4-column words of an i8 segment.
void addI8(const uint8_t* w, const int8_t* q, int32_t words, Sums& acc) {
  for (int32_t c = 0; c < words; c++, w += kRowBlock * 4, q += 4) {
    for (int32_t r = 0; r < kRowBlock; r++) {
      acc[r] += static_cast<uint32_t>(w[4 * r] * q[0] + w[4 * r + 1] * q[1] + w[4 * r + 2] * q[2] + w[4 * r + 3] * q[3]);
    }
  }
}

// The same over 8-column words of an i4 group.
void addI4(const uint8_t* w, const int8_t* q, int32_t words, int32_t* dot) {
  for (int32_t c = 0; c < words; c++, w += kRowBlock * 4, q += 8) {
    for (int32_t r = 0; r < kRowBlock; r++) {
      for (int32_t i = 0; i < 4; i++) {
        dot[r] += (w[4 * r + i] & 15) * q[i] + (w[4 * r + i] >> 4) * q[4 + i];
      }
    }
  }
}

// A segment's integer sums times the scales of the input and of the rows.
void leafI4(const Leaf& leaf, const QuantizedRows& x, const uint8_t* w, float* leaves) {
  const Matrix& m = leaf.matrix;
  const size_t place = static_cast<size_t>(leaf.row) * x.segments + leaf.segment;
  const int8_t* q = x.q + place * x.paddedSegment;
  const size_t blockPlace = static_cast<size_t>(leaf.block) * m.held() + leaf.segment;
  const int8_t* multipliers = m.multipliers + blockPlace * m.groups * kRowBlock;
  Sums acc = {};
  for (int32_t g = 0; g < m.groups; g++, multipliers += kRowBlock) {
    const int32_t words = std::min(kGroup, m.paddedSegment - g * kGroup) / 8;
    int32_t dot[kRowBlock];
    std::fill_n(dot, kRowBlock, x.starts[place * x.groups + g]);
    addI4(w + static_cast<size_t>(g) * (kGroup / 8) * kRowBlock * 4, q + g * kGroup, words, dot);
    for (int32_t r = 0; r < kRowBlock; r++) acc[r] += static_cast<uint32_t>(dot[r] * multipliers[r]);
  }
  const float* rowScales = m.scales + blockPlace * kRowBlock;
  for (int32_t r = 0; r < kRowBlock; r++) {
    leaves[r] = (static_cast<float>(static_cast<int32_t>(acc[r])) * x.scales[place]) * rowScales[r];
  }
}

// The chain over a segment's groups of their integer sums times the scales of the input and of the rows.
void leafI8(const Leaf& leaf, const QuantizedRows& x, const uint8_t* w, float* leaves) {
  const Matrix& m = leaf.matrix;
  const size_t place = static_cast<size_t>(leaf.row) * x.segments + leaf.segment;
  const int8_t* q = x.q + place * x.paddedSegment;
  const float* rowScales = m.scales + (static_cast<size_t>(leaf.block) * m.held() + leaf.segment) * m.groups * kRowBlock;
  std::fill_n(leaves, kRowBlock, 0.0f);
  for (int32_t g = 0; g < m.groups; g++, rowScales += kRowBlock) {
    const int32_t first = g * kScaleGroup;
    Sums acc;
    std::fill_n(acc, kRowBlock, static_cast<uint32_t>(x.starts[place * x.groups + g]));
    addI8(w + static_cast<size_t>(first) * kRowBlock, q + first, std::min(kScaleGroup, m.paddedSegment - first) / 4, acc);
    const float scale = x.scales[place * x.groups + g];
    for (int32_t r = 0; r < kRowBlock; r++) {
      leaves[r] = std::fma(static_cast<float>(static_cast<int32_t>(acc[r])) * scale, rowScales[r], leaves[r]);
    }
  }
}

void leafInteger(const Leaf& leaf, const QuantizedRows& x, float* leaves) {
  const Matrix& m = leaf.matrix;
  const uint8_t* w = m.weights + leaf.block * m.blockBytes() + leaf.segment * (m.blockBytes() / m.held());
  if (m.format == Format::i8) leafI8(leaf, x, w, leaves);
  else leafI4(leaf, x, w, leaves);
}

// Writes the roots of one input row and row block.
void writeRoots(const LinearTask& task, int32_t block, int32_t row, float (*leaves)[kRowBlock]) {
  const Matrix& m = *task.matrix;
  const int32_t count = std::min(kRowBlock, m.rows - block * kRowBlock);
  for (int32_t s = 0; s < task.subtreeCount; s++) {
    const Subtree tree = task.subtrees[s];
    reduceTree(leaves, tree.first, tree.end);
    const size_t slot = task.partial ? static_cast<size_t>(tree.first) * m.rows : 0;
    float* out = task.out + row * task.outStride + slot + static_cast<size_t>(block) * kRowBlock;
    std::copy_n(leaves[tree.first], count, out);
  }
}

}  // namespace

void linear(const LinearTask& task) {
  const Matrix& m = *task.matrix;
  float leaves[kSegmentsMax][kRowBlock];
  for (int32_t block = task.blockFirst; block < task.blockEnd; block++) {
    for (int32_t row = 0; row < task.rows; row++) {
      for (int32_t segment = 0; segment < m.held(); segment++) {
        const Leaf leaf = {m, block, segment, row};
        float* sums = leaves[m.segmentFirst + segment];
        if (m.format == Format::f16) leafF16(leaf, task, sums);
        else leafInteger(leaf, *task.quantized, sums);
      }
      writeRoots(task, block, row, leaves);
    }
  }
}

}  // namespace claw::scalar
