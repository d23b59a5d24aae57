// The 16 lanes of the arithmetic as one register; native/lanes/ holds the kernels written over them. What each function
// does is said there, in lanes/lanes.h. In the unnamed namespace, so that kernels made for it have internal linkage.
#pragma once

#include "arch/avx512/simd.h"
#include "lanes/lanes.h"

namespace claw::avx512 {
namespace {

struct Lanes {
  using Floats = __m512;
  using Ints = __m512i;
  using Mask = __mmask16;

  static constexpr int kRadix = 8;         // vectors a rotation keeps in registers
  static constexpr int kTileVectors = 16;  // sums a product keeps in registers

  CLAW_INLINE static Mask first(int count) {
    return static_cast<Mask>(count >= kLanes ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1);
  }

  CLAW_INLINE static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  CLAW_INLINE static Floats load(const float* from, int count) { return _mm512_maskz_loadu_ps(first(count), from); }
  CLAW_INLINE static Ints halfBits(const uint16_t* from) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(at256(from))); }
  CLAW_INLINE static Ints halfBits(const uint16_t* from, int count) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(count), from));
  }
  CLAW_INLINE static Floats load(const uint16_t* from) { return _mm512_cvtph_ps(_mm256_loadu_si256(at256(from))); }
  CLAW_INLINE static Floats load(const uint16_t* from, int count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), from));
  }
  CLAW_INLINE static Ints load(const int8_t* from) { return _mm512_cvtepi8_epi32(_mm_loadu_si128(at128(from))); }
  CLAW_INLINE static Ints load(const uint8_t* from) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(at128(from))); }
  CLAW_INLINE static Ints load(const uint32_t* from) { return _mm512_loadu_si512(from); }

  CLAW_INLINE static void store(float* to, Floats a) { _mm512_storeu_ps(to, a); }
  CLAW_INLINE static void store(float* to, Floats a, int count) { _mm512_mask_storeu_ps(to, first(count), a); }
  CLAW_INLINE static bool storeHalves(uint16_t* to, Floats a) {
    const __m256i halves = toHalves(a);
    const Mask bad = notFiniteHalves(halves);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_mask_mov_epi16(halves, bad, _mm256_setzero_si256()));
    return bad == 0;
  }
  CLAW_INLINE static void storeBytes(void* to, Ints a) {
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a));
  }

  CLAW_INLINE static Floats set(float a) { return _mm512_set1_ps(a); }
  CLAW_INLINE static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  CLAW_INLINE static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  CLAW_INLINE static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  CLAW_INLINE static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  CLAW_INLINE static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  CLAW_INLINE static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  CLAW_INLINE static Floats flip(Floats a, Ints signs) {
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), signs));
  }
  CLAW_INLINE static Floats round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  CLAW_INLINE static Floats scale(Floats a, Floats n) { return _mm512_scalef_ps(a, n); }

  CLAW_INLINE static Mask greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  CLAW_INLINE static Floats where(Mask mask, Floats a, Floats b) { return _mm512_mask_blend_ps(mask, b, a); }

  CLAW_INLINE static Ints set(int32_t a) { return _mm512_set1_epi32(a); }
  CLAW_INLINE static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  CLAW_INLINE static Ints sub(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
  CLAW_INLINE static Ints mul(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
  CLAW_INLINE static Ints max(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  CLAW_INLINE static Ints min(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
  CLAW_INLINE static Ints both(Ints a, Ints b) { return _mm512_and_si512(a, b); }
  template <int Bits>
  CLAW_INLINE static Ints left(Ints a) { return _mm512_slli_epi32(a, Bits); }
  template <int Bits>
  CLAW_INLINE static Ints right(Ints a) { return _mm512_srli_epi32(a, Bits); }
  CLAW_INLINE static uint32_t equal(Ints a, Ints b) { return _mm512_cmpeq_epi32_mask(a, b); }

  CLAW_INLINE static Ints toInts(Floats a) { return _mm512_cvtps_epi32(a); }
  CLAW_INLINE static Floats toFloats(Ints a) { return _mm512_cvtepi32_ps(a); }
  CLAW_INLINE static Ints bits(Floats a) { return _mm512_castps_si512(a); }
  CLAW_INLINE static Floats fromBits(Ints a) { return _mm512_castsi512_ps(a); }

  CLAW_INLINE static float sum(Floats a) { return sumLanes(a); }
  CLAW_INLINE static float largest(Floats a) { return _mm512_reduce_max_ps(a); }
  CLAW_INLINE static int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a); }
  CLAW_INLINE static int32_t largest(Ints a) { return _mm512_reduce_max_epi32(a); }

  template <int Distance>
  CLAW_INLINE static Floats butterfly(Floats a) {
    if constexpr (Distance == 8) return paired<0xff00>(a, _mm512_shuffle_f32x4(a, a, 0b01001110));
    else if constexpr (Distance == 4) return paired<0xf0f0>(a, _mm512_shuffle_f32x4(a, a, 0b10110001));
    else if constexpr (Distance == 2) return paired<0xcccc>(a, _mm512_permute_ps(a, 0b01001110));
    else return paired<0xaaaa>(a, _mm512_permute_ps(a, 0b10110001));
  }

  CLAW_INLINE static Floats subAdd(Floats a, Floats b) {
    return _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b);
  }
  CLAW_INLINE static Floats swapPairs(Floats a) { return _mm512_permute_ps(a, 0b10110001); }
  CLAW_INLINE static Floats evenTwice(Floats a) { return _mm512_moveldup_ps(a); }
  CLAW_INLINE static Floats oddTwice(Floats a) { return _mm512_movehdup_ps(a); }
  CLAW_INLINE static Floats even(Floats low, Floats high) { return _mm512_permutex2var_ps(low, evenIndex(), high); }
  CLAW_INLINE static Floats odd(Floats low, Floats high) {
    return _mm512_permutex2var_ps(low, _mm512_add_epi32(evenIndex(), _mm512_set1_epi32(1)), high);
  }

  CLAW_INLINE static void prefetch(const void* from) { _mm_prefetch(from, _MM_HINT_T1); }

 private:
  CLAW_INLINE static const __m128i* at128(const void* from) { return static_cast<const __m128i*>(from); }
  CLAW_INLINE static const __m256i* at256(const void* from) { return static_cast<const __m256i*>(from); }
  // Sums in the low lanes of each pair; in the High ones the partner less the lane itself.
  template <int High>
  CLAW_INLINE static Floats paired(Floats a, Floats partner) {
    return _mm512_mask_sub_ps(_mm512_add_ps(a, partner), High, partner, a);
  }
  CLAW_INLINE static __m512i evenIndex() {
    return _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  }
};

}  // namespace
}  // namespace claw::avx512
