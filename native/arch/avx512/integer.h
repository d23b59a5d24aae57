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

// The activations of a tile's tokens, by held segment.
template <int Tokens>
struct Activations {
  const QuantizedRows& rows;
  int token;

  const int8_t* q(int segment, int j) const {
    return rows.q + (static_cast<ptrdiff_t>(token + j) * rows.segments + segment) * rows.paddedSegment;
  }
  ptrdiff_t qStride() const { return static_cast<ptrdiff_t>(rows.segments) * rows.paddedSegment; }
  // Offset of the first of the segment's groups of token j in `lefts` and `sums`.
  ptrdiff_t group(int segment, int j) const {
    return (static_cast<ptrdiff_t>(token + j) * rows.segments + segment) * rows.groups;
  }
  float scale(int segment, int j) const {
    return rows.scales[static_cast<ptrdiff_t>(token + j) * rows.segments + segment];
  }

  template <int Blocks>
  void toLeaves(int segment, const __m512i (&sums)[Blocks][Tokens], Sums<Blocks, Tokens>& leaves) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512 factor = _mm512_set1_ps(scale(segment, j));
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) leaves[i][j] = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][j]), factor);
    }
  }
};

}  // namespace
}  // namespace claw::avx512
