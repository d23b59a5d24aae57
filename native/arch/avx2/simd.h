// Helpers of the AVX2 kernels. They live in an unnamed namespace: an inline function with external linkage that was
// compiled for this instruction set could be the copy the linker keeps for baseline code too.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace claw::avx2 {
namespace {

constexpr int kLanes = 8;

constexpr int smaller(int a, int b) { return a < b ? a : b; }

// The lanes of a vector that starts `rest` elements before the end of its row; none where that is not positive.
inline __m256i lanesLeft(int rest) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(rest), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// How much of a vector a row still has: all of it, or the first `rest` lanes. Masked accesses are slow on some
// processors, so that only the last vector of a row makes them.
struct Whole {};
struct Part {
  int rest;
};

inline __m256 load(const float* from, Whole) { return _mm256_loadu_ps(from); }
inline __m256 load(const float* from, Part part) { return _mm256_maskload_ps(from, lanesLeft(part.rest)); }
inline void store(float* to, __m256 values, Whole) { _mm256_storeu_ps(to, values); }
inline void store(float* to, __m256 values, Part part) { _mm256_maskstore_ps(to, lanesLeft(part.rest), values); }

// body(k, Whole or Part) for each vector of a row of `count` elements.
template <class Body>
inline __attribute__((always_inline)) void eachVector(int count, const Body& body) {
  int k = 0;
  for (; k + kLanes <= count; k += kLanes) body(k, Whole{});
  if (k < count) body(k, Part{count - k});
}

inline __m128i loadHalfBits(const uint16_t* from, Whole) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline __m128i loadHalfBits(const uint16_t* from, Part part) {
  alignas(16) uint16_t halves[kLanes] = {};
  __builtin_memcpy(halves, from, static_cast<size_t>(part.rest) * sizeof *halves);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(halves));
}

template <class Extent>
inline __m256 load(const uint16_t* from, Extent extent) {
  return _mm256_cvtph_ps(loadHalfBits(from, extent));
}

// Rounds to half, ties to even.
inline __m128i toHalves(__m256 values) {
  return _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// All bits of the lanes whose half is NaN or infinite.
inline __m128i notFiniteHalves(__m128i halves) {
  return _mm_cmpgt_epi16(_mm_and_si128(halves, _mm_set1_epi16(0x7fff)), _mm_set1_epi16(0x7bff));
}

inline int32_t largestLane(__m256i lanes) {
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b01001110));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0b10110001)));
}

inline int32_t sumLanes(__m256i lanes) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b01001110));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0b10110001)));
}

// The closing tree of the 16-lane sum: i + (i + 8), i + (i + 4), i + (i + 2), i + (i + 1).
inline float sumLanes(__m256 low, __m256 high) {
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace claw::avx2
