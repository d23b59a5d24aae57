// The 16 lanes of the arithmetic as two registers; native/lanes/ holds the kernels written over them. What each function
// does is said there, in lanes/lanes.h. In the unnamed namespace, so that kernels made for it have internal linkage.
#pragma once

#include "arch/avx2/simd.h"
#include "lanes/lanes.h"

namespace claw::avx2 {
namespace {

struct Lanes {
  struct Floats {
    __m256 low;
    __m256 high;
  };
  struct Ints {
    __m256i low;
    __m256i high;
  };
  using Mask = Ints;

  static constexpr int kRadix = 4;        // vectors a rotation keeps in registers
  static constexpr int kTileVectors = 4;  // sums a product keeps in registers

  CLAW_INLINE static Mask first(int count) { return {lanesLeft(count), lanesLeft(count - kLanes)}; }

  CLAW_INLINE static Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + kLanes)}; }
  CLAW_INLINE static Floats load(const float* from, int count) {
    const Mask mask = first(count);
    return {_mm256_maskload_ps(from, mask.low), _mm256_maskload_ps(from + kLanes, mask.high)};
  }
  CLAW_INLINE static Ints halfBits(const uint16_t* from) {
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(at(from))), _mm256_cvtepu16_epi32(_mm_loadu_si128(at(from + kLanes)))};
  }
  CLAW_INLINE static Ints halfBits(const uint16_t* from, int count) { return halfBits(Padded(from, count).halves); }
  CLAW_INLINE static Floats load(const uint16_t* from) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(at(from))), _mm256_cvtph_ps(_mm_loadu_si128(at(from + kLanes)))};
  }
  CLAW_INLINE static Floats load(const uint16_t* from, int count) { return load(Padded(from, count).halves); }
  CLAW_INLINE static Ints load(const int8_t* from) {
    return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(at(from))), _mm256_cvtepi8_epi32(_mm_loadl_epi64(at(from + kLanes)))};
  }
  CLAW_INLINE static Ints load(const uint8_t* from) {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(at(from))), _mm256_cvtepu8_epi32(_mm_loadl_epi64(at(from + kLanes)))};
  }
  CLAW_INLINE static Ints load(const uint32_t* from) {
    const auto* vectors = reinterpret_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(vectors), _mm256_loadu_si256(vectors + 1)};
  }

  CLAW_INLINE static void store(float* to, Floats a) {
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + kLanes, a.high);
  }
  CLAW_INLINE static void store(float* to, Floats a, int count) {
    const Mask mask = first(count);
    _mm256_maskstore_ps(to, mask.low, a.low);
    _mm256_maskstore_ps(to + kLanes, mask.high, a.high);
  }
  CLAW_INLINE static bool storeHalves(uint16_t* to, Floats a) {
    const __m128i low = toHalves(a.low);
    const __m128i high = toHalves(a.high);
    const __m128i badLow = notFiniteHalves(low);
    const __m128i badHigh = notFiniteHalves(high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_andnot_si128(badLow, low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + kLanes), _mm_andnot_si128(badHigh, high));
    const __m128i bad = _mm_or_si128(badLow, badHigh);
    return _mm_testz_si128(bad, bad) != 0;
  }
  CLAW_INLINE static void storeBytes(void* to, Ints a) {
    const __m256i mask = _mm256_set1_epi32(255);
    // Packing works within 128 bits and leaves words of four bytes in the order 0 2 1 3, twice.
    const __m256i words = _mm256_packus_epi32(_mm256_and_si256(a.low, mask), _mm256_and_si256(a.high, mask));
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5));
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm256_castsi256_si128(ordered));
  }

  CLAW_INLINE static Floats set(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
  CLAW_INLINE static Floats add(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats sub(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats mul(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats div(Floats a, Floats b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  CLAW_INLINE static Floats max(Floats a, Floats b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats flip(Floats a, Ints signs) {
    return {_mm256_xor_ps(a.low, _mm256_castsi256_ps(signs.low)), _mm256_xor_ps(a.high, _mm256_castsi256_ps(signs.high))};
  }
  CLAW_INLINE static Floats round(Floats a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
  }
  CLAW_INLINE static Floats scale(Floats a, Floats n) { return {scale(a.low, n.low), scale(a.high, n.high)}; }

  CLAW_INLINE static Mask greater(Floats a, Floats b) {
    return {_mm256_castps_si256(_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ)),
            _mm256_castps_si256(_mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ))};
  }
  CLAW_INLINE static Floats where(Mask mask, Floats a, Floats b) {
    return {_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(mask.low)),
            _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(mask.high))};
  }

  CLAW_INLINE static Ints set(int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
  CLAW_INLINE static Ints add(Ints a, Ints b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
  }
  CLAW_INLINE static Ints sub(Ints a, Ints b) {
    return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
  }
  CLAW_INLINE static Ints mul(Ints a, Ints b) {
    return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
  }
  CLAW_INLINE static Ints max(Ints a, Ints b) {
    return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)};
  }
  CLAW_INLINE static Ints min(Ints a, Ints b) {
    return {_mm256_min_epi32(a.low, b.low), _mm256_min_epi32(a.high, b.high)};
  }
  CLAW_INLINE static Ints both(Ints a, Ints b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
  }
  template <int Bits>
  CLAW_INLINE static Ints left(Ints a) {
    return {_mm256_slli_epi32(a.low, Bits), _mm256_slli_epi32(a.high, Bits)};
  }
  template <int Bits>
  CLAW_INLINE static Ints right(Ints a) {
    return {_mm256_srli_epi32(a.low, Bits), _mm256_srli_epi32(a.high, Bits)};
  }
  CLAW_INLINE static uint32_t equal(Ints a, Ints b) {
    return equal(a.low, b.low) | equal(a.high, b.high) << kLanes;
  }

  CLAW_INLINE static Ints toInts(Floats a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
  CLAW_INLINE static Floats toFloats(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
  CLAW_INLINE static Ints bits(Floats a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
  CLAW_INLINE static Floats fromBits(Ints a) { return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)}; }

  CLAW_INLINE static float sum(Floats a) { return sumLanes(a.low, a.high); }
  CLAW_INLINE static float largest(Floats a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  CLAW_INLINE static int32_t sum(Ints a) { return sumLanes(_mm256_add_epi32(a.low, a.high)); }
  CLAW_INLINE static int32_t largest(Ints a) { return largestLane(_mm256_max_epi32(a.low, a.high)); }

  template <int Distance>
  CLAW_INLINE static Floats butterfly(Floats a) {
    if constexpr (Distance == 8) return {_mm256_add_ps(a.low, a.high), _mm256_sub_ps(a.low, a.high)};
    else return {paired<Distance>(a.low), paired<Distance>(a.high)};
  }

  CLAW_INLINE static Floats subAdd(Floats a, Floats b) {
    return {_mm256_addsub_ps(a.low, b.low), _mm256_addsub_ps(a.high, b.high)};
  }
  CLAW_INLINE static Floats swapPairs(Floats a) {
    return {_mm256_permute_ps(a.low, 0b10110001), _mm256_permute_ps(a.high, 0b10110001)};
  }
  CLAW_INLINE static Floats evenTwice(Floats a) { return {_mm256_moveldup_ps(a.low), _mm256_moveldup_ps(a.high)}; }
  CLAW_INLINE static Floats oddTwice(Floats a) { return {_mm256_movehdup_ps(a.low), _mm256_movehdup_ps(a.high)}; }
  CLAW_INLINE static Floats even(Floats a, Floats b) { return {parity<0x88>(a.low, a.high), parity<0x88>(b.low, b.high)}; }
  CLAW_INLINE static Floats odd(Floats a, Floats b) { return {parity<0xdd>(a.low, a.high), parity<0xdd>(b.low, b.high)}; }

  CLAW_INLINE static void prefetch(const void* from) { _mm_prefetch(from, _MM_HINT_T1); }

 private:
  // Up to 16 halves with zeros behind them.
  struct Padded {
    alignas(32) uint16_t halves[kLaneCount] = {};
    CLAW_INLINE Padded(const uint16_t* from, int count) {
      if (count > 0) __builtin_memcpy(halves, from, static_cast<size_t>(smaller(count, kLaneCount)) * sizeof *from);
    }
  };
  CLAW_INLINE static const __m128i* at(const void* from) { return static_cast<const __m128i*>(from); }
  CLAW_INLINE static __m256 powerOfTwo(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  // The first product by half of the power is exact, because its exponent is that of a normal number.
  CLAW_INLINE static __m256 scale(__m256 a, __m256 n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, powerOfTwo(half)), powerOfTwo(_mm256_sub_epi32(whole, half)));
  }
  CLAW_INLINE static uint32_t equal(__m256i a, __m256i b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b))));
  }
  // Sums in the low lanes of each pair; in the high ones the partner less the lane itself.
  template <int Distance>
  CLAW_INLINE static __m256 paired(__m256 a) {
    constexpr int kHigh = Distance == 4 ? 0xf0 : Distance == 2 ? 0xcc : 0xaa;
    constexpr int kSwap = Distance == 2 ? 0b01001110 : 0b10110001;
    const __m256 partner = Distance == 4 ? _mm256_permute2f128_ps(a, a, 1) : _mm256_permute_ps(a, kSwap);
    return _mm256_blend_ps(_mm256_add_ps(a, partner), _mm256_sub_ps(partner, a), kHigh);
  }
  // A shuffle works within 128 bits, so its pairs are ordered after.
  template <int Choice>
  CLAW_INLINE static __m256 parity(__m256 low, __m256 high) {
    const __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(low, high, Choice));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0b11011000));
  }
};

}  // namespace
}  // namespace claw::avx2
