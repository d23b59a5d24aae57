// What the integer products share: dot products of unsigned weights with signed activations, and leaves.
#pragma once

#include "arch/avx512/linear.h"

namespace claw::avx512 {
namespace {

// sum += the four products of unsigned bytes of `weights` and signed bytes of `values` in each lane. Inline assembly,
// because GCC 12 moves the accumulators of the intrinsic through memory in tiles as large as these.
inline __attribute__((always_inline)) void dot4(__m512i& sum, __m512i weights, __m512i values) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(values));
}

// The same with the four activations at `values` for every lane.
inline __attribute__((always_inline)) void dot4At(__m512i& sum, __m512i weights, const int8_t* values) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sum)
          : "v"(weights), "m"(*reinterpret_cast<const int8_t(*)[4]>(values)));
}

inline __m512i broadcast4(const int8_t* values) {
  int32_t word;
  __builtin_memcpy(&word, values, sizeof word);
  return _mm512_set1_epi32(word);
}

// What the integer tiles of either format have in common: where a tile's weights, activations and scales lie.
template <int Blocks, int Tokens>
class IntegerTile {
 public:
  IntegerTile(const Job& job, int block, int token)
      : job_(job), matrix_(*job.task.matrix), rows_(*job.task.quantized), token_(token), blockBytes_(matrix_.blockBytes()) {
    weights_ = matrix_.weights + static_cast<size_t>(block) * blockBytes_;
    scales_ = matrix_.scales + static_cast<size_t>(block) * matrix_.held() * kRowBlock;
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

  // What all rows of a token start at.
  inline __attribute__((always_inline)) void start(const int32_t* starts, __m512i (&sums)[Blocks][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512i value = _mm512_set1_epi32(starts[j * startStride()]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) sums[i][j] = value;
    }
  }

  inline __attribute__((always_inline)) void toLeaves(int segment, const __m512i (&sums)[Blocks][Tokens],
                                                      Sums<Blocks, Tokens>& leaves) const {
    const float* scales = scales_ + static_cast<ptrdiff_t>(segment) * kRowBlock;
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      const __m512 ofRows = _mm512_loadu_ps(scales + i * static_cast<ptrdiff_t>(matrix_.held()) * kRowBlock);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        const __m512 ofInput = _mm512_set1_ps(rows_.scales[place(segment, j)]);
        leaves[i][j] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][j]), ofInput), ofRows);
      }
    }
  }

  ptrdiff_t place(int segment, int j) const { return static_cast<ptrdiff_t>(token_ + j) * rows_.segments + segment; }

  const Job& job_;
  const Matrix& matrix_;
  const QuantizedRows& rows_;
  int token_;
  size_t blockBytes_;
  const uint8_t* weights_;
  const float* scales_;
};

}  // namespace
}  // namespace claw::avx512
