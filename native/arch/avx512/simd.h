// Helpers of the AVX-512 kernels. They live in an unnamed namespace: an inline function with external linkage that was
// compiled for this instruction set could be the copy the linker keeps for baseline code too.
#pragma once

// GCC 12 warns about the undefined operands that its intrinsics use on purpose, once they are inlined (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace claw::avx512 {
namespace {

constexpr int kLanes = 16;

constexpr int smaller(int a, int b) { return a < b ? a : b; }

// The lanes of a vector that starts `rest` elements before the end of its row.
inline __mmask16 lanesLeft(int rest) {
  return rest >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1u << rest) - 1);
}

inline __m512 loadHalves(const uint16_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

inline __m512 loadHalves(__mmask16 lanes, const uint16_t* from) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, from));
}

// Rounds to half, ties to even.
inline __m256i toHalves(__m512 values) {
  return _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// The lanes whose half is NaN or infinite.
inline __mmask16 notFiniteHalves(__m256i halves) {
  const __m256i magnitudes = _mm256_and_si256(halves, _mm256_set1_epi16(0x7fff));
  return _mm256_cmpge_epi16_mask(magnitudes, _mm256_set1_epi16(0x7c00));
}

// The closing tree of the 16-lane sum: i + (i + 8), i + (i + 4), i + (i + 2), i + (i + 1).
inline float sumLanes(__m512 lanes) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace claw::avx512
