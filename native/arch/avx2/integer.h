// What the integer products share: the activations of a tile and the leaves they become.
#pragma once

#include "arch/avx2/linear.h"

namespace claw::avx2 {
namespace {

constexpr int kShiftMax = 8;  // of a group's integer sum, as the arithmetic says: multipliers stay 16-bit numbers

// The four activations at `values` in every lane.
inline __attribute__((always_inline)) __m256i broadcast4(const int8_t* values) {
  int32_t word;
  __builtin_memcpy(&word, values, sizeof word);
  return _mm256_set1_epi32(word);
}

// The activations of a tile's tokens, by held segment.
template <int Tokens>
struct Activations {
  const QuantizedRows& rows;
  int token;

  ptrdiff_t place(int segment, int j) const { return static_cast<ptrdiff_t>(token + j) * rows.segments + segment; }
  const int8_t* q(int segment) const { return rows.q + place(segment, 0) * rows.paddedSegment; }
  ptrdiff_t qStride() const { return static_cast<ptrdiff_t>(rows.segments) * rows.paddedSegment; }
  // Offset of the segment's first group in `lefts` and `sums`, of the first token; and from a token to the next.
  ptrdiff_t group(int segment) const { return place(segment, 0) * rows.groups; }
  ptrdiff_t groupStride() const { return static_cast<ptrdiff_t>(rows.segments) * rows.groups; }

  template <int Vectors>
  void toLeaves(int segment, const __m256i (&sums)[Vectors][Tokens], __m256 (&leaves)[Vectors][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m256 factor = _mm256_set1_ps(rows.scales[place(segment, j)]);
#pragma GCC unroll 8
      for (int i = 0; i < Vectors; ++i) leaves[i][j] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), factor);
    }
  }
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
