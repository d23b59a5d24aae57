// uses-fma: the chains of f16 products.
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

// Sums of weight * q over the 4-column words [first, end) of an i8 segment, the weights' offset taken out.
void groupI8(const uint8_t* w, const int8_t* q, int32_t sumOfQ, int32_t words, int32_t* dot) {
  int32_t acc[kRowBlock] = {};
  for (int32_t c = 0; c < words; c++, w += kRowBlock * 4, q += 4) {
    for (int32_t r = 0; r < kRowBlock; r++) {
      acc[r] += w[4 * r] * q[0] + w[4 * r + 1] * q[1] + w[4 * r + 2] * q[2] + w[4 * r + 3] * q[3];
    }
  }
  for (int32_t r = 0; r < kRowBlock; r++) dot[r] = acc[r] - 128 * sumOfQ;
}

// The same over 8-column words of an i4 segment, times the group's multipliers.
void groupI4(const uint8_t* w, const int8_t* q, int32_t sumOfQ, int32_t words, const int8_t* multipliers,
             int32_t* dot) {
  int32_t acc[kRowBlock] = {};
  for (int32_t c = 0; c < words; c++, w += kRowBlock * 4, q += 8) {
    for (int32_t r = 0; r < kRowBlock; r++) {
      for (int32_t i = 0; i < 4; i++) {
        acc[r] += (w[4 * r + i] & 15) * q[i] + (w[4 * r + i] >> 4) * q[4 + i];
      }
    }
  }
  for (int32_t r = 0; r < kRowBlock; r++) dot[r] = (acc[r] - 8 * sumOfQ) * multipliers[r];
}

void leafInteger(const Leaf& leaf, const QuantizedRows& x, float* sums) {
  const Matrix& m = leaf.matrix;
  const bool i4 = m.format == Format::i4;
  const size_t perWord = i4 ? 8 : 4;  // columns in the 4 bytes a row has of a word
  const size_t place = static_cast<size_t>(leaf.row) * x.segments + leaf.segment;
  const int8_t* q = x.q + place * x.paddedSegment;
  const int32_t* lefts = x.lefts + place * x.groups;
  const int32_t* sumsOfQ = x.sums + place * x.groups;
  const size_t segmentBytes = m.blockBytes() / m.held();
  const uint8_t* w = m.weights + leaf.block * m.blockBytes() + leaf.segment * segmentBytes;
  const size_t groupPlace = (static_cast<size_t>(leaf.block) * m.held() + leaf.segment) * m.groups;
  uint32_t acc[kRowBlock] = {};  // unsigned: the shift of a negative sum is defined, and nothing overflows anyway
  for (int32_t g = 0; g < m.groups; g++) {
    const int32_t columns = std::min(kGroup, m.paddedSegment - g * kGroup);
    const int32_t words = columns / static_cast<int32_t>(perWord);
    const uint8_t* weights = w + g * (kGroup / perWord) * kRowBlock * 4;
    int32_t dot[kRowBlock];
    if (i4) {
      groupI4(weights, q + g * kGroup, sumsOfQ[g], words, m.multipliers + (groupPlace + g) * kRowBlock, dot);
    } else {
      groupI8(weights, q + g * kGroup, sumsOfQ[g], words, dot);
    }
    for (int32_t r = 0; r < kRowBlock; r++) acc[r] += static_cast<uint32_t>(dot[r]) << lefts[g];
  }
  for (int32_t r = 0; r < kRowBlock; r++) {
    sums[r] = static_cast<float>(static_cast<int32_t>(acc[r])) * x.scales[place];
  }
}

// Writes the roots of one input row and row block, scaled where they are whole sums of integers.
void writeRoots(const LinearTask& task, int32_t block, int32_t row, float (*leaves)[kRowBlock]) {
  const Matrix& m = *task.matrix;
  const int32_t count = std::min(kRowBlock, m.rows - block * kRowBlock);
  const float* scales = m.scales + static_cast<size_t>(block) * kRowBlock;
  for (int32_t s = 0; s < task.subtreeCount; s++) {
    const Subtree tree = task.subtrees[s];
    reduceTree(leaves, tree.first, tree.end);
    const size_t slot = task.partial ? static_cast<size_t>(tree.first) * m.rows : 0;
    float* out = task.out + row * task.outStride + slot + static_cast<size_t>(block) * kRowBlock;
    const bool scaled = !task.partial && m.format != Format::f16;
    for (int32_t r = 0; r < count; r++) out[r] = scaled ? leaves[tree.first][r] * scales[r] : leaves[tree.first][r];
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
