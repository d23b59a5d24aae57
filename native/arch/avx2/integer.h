// What the integer products share: the activations of a tile and the leaves they become.
#pragma once

#include "arch/avx2/linear.h"

namespace claw::avx2 {
namespace {

// The four activations at `values` in every lane.
inline __attribute__((always_inline)) __m256i broadcast4(const int8_t* values) {
  int32_t word;
  __builtin_memcpy(&word, values, sizeof word);
  return _mm256_set1_epi32(word);
}

// What the integer tiles of either format have in common: where a tile's weights, activations and scales lie.
template <int Vectors, int Tokens>
class IntegerTile {
 public:
  IntegerTile(const Job& job, int block, int token)
      : job_(job), matrix_(*job.task.matrix), rows_(*job.task.quantized), token_(token), blockBytes_(matrix_.blockBytes()) {
    weights_ = matrix_.weights + static_cast<size_t>(block) * blockBytes_;
    scales_ = matrix_.scales + block * blockScales();
  }

 protected:
  const uint8_t* weights(int segment) const {
    return weights_ + static_cast<size_t>(segment) * (blockBytes_ / matrix_.held());
  }
  // Of the tile's first token; and from a token to the next.
  const int8_t* q(int segment) const { return rows_.q + place(segment, 0) * rows_.paddedSegment; }
  ptrdiff_t qStride() const { return static_cast<ptrdiff_t>(rows_.segments) * rows_.paddedSegment; }
  const int32_t* starts(int segment) const { return rows_.starts + place(segment, 0) * rows_.startsPerSegment; }
  ptrdiff_t startStride() const { return static_cast<ptrdiff_t>(rows_.segments) * rows_.startsPerSegment; }

  inline __attribute__((always_inline)) void toLeaves(int segment, const __m256i (&sums)[Vectors][Tokens],
                                                      Sums<Vectors, Tokens>& leaves) const {
    const float* scales = scales_ + static_cast<ptrdiff_t>(segment) * kRowBlock;
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m256 ofInput = _mm256_set1_ps(rows_.scales[place(segment, j)]);
#pragma GCC unroll 8
      for (int i = 0; i < Vectors; ++i) {
        const __m256 ofRows = _mm256_loadu_ps(scales + i / kHalves * blockScales() + i % kHalves * kLanes);
        leaves[i][j] = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), ofInput), ofRows);
      }
    }
  }

  ptrdiff_t place(int segment, int j) const { return static_cast<ptrdiff_t>(token_ + j) * rows_.segments + segment; }
  ptrdiff_t blockScales() const { return static_cast<ptrdiff_t>(matrix_.held()) * kRowBlock; }

  const Job& job_;
  const Matrix& matrix_;
  const QuantizedRows& rows_;
  int token_;
  size_t blockBytes_;
  const uint8_t* weights_;
  const float* scales_;
};

template <int Vectors, int Tokens>
inline __attribute__((always_inline)) void clear(__m256i (&sums)[Vectors][Tokens]) {
#pragma GCC unroll 8
  for (int i = 0; i < Vectors; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm256_setzero_si256();
  }
}

}  // namespace
}  // namespace claw::avx2
