// What the integer products share: dot products of unsigned weights with signed activations, and leaves.
#pragma once

#include "arch/avx512/simd.h"
#include "lanes/linear.h"

namespace claw::avx512 {
namespace {

// sum += the four products of unsigned bytes of `weights` and signed bytes of `values` in each lane. Inline assembly,
// because GCC 12 moves the accumulators of the intrinsic through memory in tiles as large as these.
CLAW_INLINE void dot4(__m512i& sum, __m512i weights, __m512i values) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(values));
}

// The same with the four activations at `values` for every lane.
CLAW_INLINE void dot4At(__m512i& sum, __m512i weights, const int8_t* values) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sum)
          : "v"(weights), "m"(*reinterpret_cast<const int8_t(*)[4]>(values)));
}

CLAW_INLINE __m512i broadcast4(const int8_t* values) {
  int32_t word;
  __builtin_memcpy(&word, values, sizeof word);
  return _mm512_set1_epi32(word);
}

// sums += the products of four columns: `weights` of each row block, and those at `q` of each token.
template <int Blocks, int Tokens>
CLAW_INLINE void addColumns(const __m512i (&weights)[Blocks], const int8_t* q, ptrdiff_t stride,
                            __m512i (&sums)[Blocks][Tokens]) {
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    if constexpr (Blocks == 1) {
      dot4At(sums[0][j], weights[0], q + j * stride);
    } else {
      const __m512i four = broadcast4(q + j * stride);
#pragma GCC unroll 4
      for (int i = 0; i < Blocks; ++i) dot4(sums[i][j], weights[i], four);
    }
  }
}

// The number of each token's that the sums of all rows start at.
template <int Blocks, int Tokens>
CLAW_INLINE void start(const int32_t* starts, ptrdiff_t stride, __m512i (&sums)[Blocks][Tokens]) {
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m512i value = _mm512_set1_epi32(starts[j * stride]);
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) sums[i][j] = value;
  }
}

// leaves += the sums of a group of i8 times the scales of the input and of the rows.
template <int Blocks, int Tokens>
CLAW_INLINE void addToLeaves(const IntegerSegment& at, const float* rowScales, const float* scales,
                             const __m512i (&sums)[Blocks][Tokens], __m512 (&leaves)[Tokens][Blocks]) {
  __m512 ofRows[Blocks];
#pragma GCC unroll 4
  for (int i = 0; i < Blocks; ++i) ofRows[i] = _mm512_loadu_ps(rowScales + i * at.blockScales);
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m512 ofInput = _mm512_set1_ps(scales[j * at.scaleStride]);
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][j]), ofInput);
      leaves[j][i] = _mm512_fmadd_ps(scaled, ofRows[i], leaves[j][i]);
    }
  }
}

template <int Blocks, int Tokens>
CLAW_INLINE void toLeaves(const IntegerSegment& at, int token, const __m512i (&sums)[Blocks][Tokens], float* leaves) {
  const float* scales = at.scales + token * at.scaleStride;
  __m512 ofRows[Blocks];
#pragma GCC unroll 4
  for (int i = 0; i < Blocks; ++i) ofRows[i] = _mm512_loadu_ps(at.rowScales + i * at.blockScales);
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m512 ofInput = _mm512_set1_ps(scales[j * at.scaleStride]);
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      const __m512 leaf = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][j]), ofInput), ofRows[i]);
      _mm512_store_ps(leaves + (j * Blocks + i) * kRowBlock, leaf);
    }
  }
}

}  // namespace
}  // namespace claw::avx512
