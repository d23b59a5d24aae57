// The 16 lanes of the arithmetic as four registers; native/lanes/ holds the kernels written over them. What each
// function does is said there, in lanes/lanes.h. In the unnamed namespace, so that kernels made for it have internal
// linkage.
#pragma once

#include "arch/neon/simd.h"
#include "lanes/lanes.h"

namespace claw::neon {
namespace {

struct Lanes {
  template <class Register>
  struct Four {
    Register a;
    Register b;
    Register c;
    Register d;
  };
  using Floats = Four<float32x4_t>;
  using Ints = Four<int32x4_t>;
  using Mask = Four<uint32x4_t>;

  static constexpr int kRadix = 4;        // vectors a rotation keeps in registers
  static constexpr int kTileVectors = 4;  // sums a product keeps in registers

  CLAW_INLINE static Mask first(int count) {
    static constexpr int32_t kIndex[kLanes] = {0, 1, 2, 3};
    const int32x4_t index = vld1q_s32(kIndex);
    return made<uint32x4_t>([&](int i) { return vcltq_s32(index, vdupq_n_s32(count - i * kLanes)); });
  }

  CLAW_INLINE static Floats load(const float* from) {
    return made<float32x4_t>([&](int i) { return vld1q_f32(from + i * kLanes); });
  }
  CLAW_INLINE static Floats load(const float* from, int count) { return load(Padded(from, count).values); }
  CLAW_INLINE static Ints halfBits(const uint16_t* from) {
    return made<int32x4_t>([&](int i) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(from + i * kLanes))); });
  }
  CLAW_INLINE static Ints halfBits(const uint16_t* from, int count) { return halfBits(Padded(from, count).values); }
  CLAW_INLINE static Floats load(const uint16_t* from) {
    return made<float32x4_t>([&](int i) { return loadHalves(from + i * kLanes); });
  }
  CLAW_INLINE static Floats load(const uint16_t* from, int count) { return load(Padded(from, count).values); }
  CLAW_INLINE static Ints load(const int8_t* from) {
    const int8x16_t bytes = vld1q_s8(from);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
    return {vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
            vmovl_s16(vget_high_s16(high))};
  }
  CLAW_INLINE static Ints load(const uint8_t* from) {
    return both(load(reinterpret_cast<const int8_t*>(from)), set(int32_t{255}));
  }
  CLAW_INLINE static Ints load(const uint32_t* from) {
    return made<int32x4_t>([&](int i) { return vreinterpretq_s32_u32(vld1q_u32(from + i * kLanes)); });
  }

  CLAW_INLINE static void store(float* to, Floats a) {
    vst1q_f32(to, a.a);
    vst1q_f32(to + kLanes, a.b);
    vst1q_f32(to + 2 * kLanes, a.c);
    vst1q_f32(to + 3 * kLanes, a.d);
  }
  CLAW_INLINE static void store(float* to, Floats a, int count) {
    if (count >= kLaneCount) return store(to, a);
    float each[kLaneCount];
    store(each, a);
    if (count > 0) __builtin_memcpy(to, each, static_cast<size_t>(count) * sizeof *to);
  }
  CLAW_INLINE static bool storeHalves(uint16_t* to, Floats a) {
    const Four<uint16x4_t> halves = mapped<uint16x4_t>([](float32x4_t x) { return toHalves(x); }, a);
    const Four<uint16x4_t> bad = mapped<uint16x4_t>([](uint16x4_t x) { return notFiniteHalves(x); }, halves);
    vst1_u16(to, vbic_u16(halves.a, bad.a));
    vst1_u16(to + kLanes, vbic_u16(halves.b, bad.b));
    vst1_u16(to + 2 * kLanes, vbic_u16(halves.c, bad.c));
    vst1_u16(to + 3 * kLanes, vbic_u16(halves.d, bad.d));
    return !anyOf(vorr_u16(vorr_u16(bad.a, bad.b), vorr_u16(bad.c, bad.d)));
  }
  CLAW_INLINE static void storeBytes(void* to, Ints a) {
    const int16x8_t low = vcombine_s16(vmovn_s32(a.a), vmovn_s32(a.b));
    const int16x8_t high = vcombine_s16(vmovn_s32(a.c), vmovn_s32(a.d));
    vst1q_s8(static_cast<int8_t*>(to), vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
  }

  CLAW_INLINE static Floats set(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x)}; }
  CLAW_INLINE static Floats add(Floats a, Floats b) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y) { return vaddq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats sub(Floats a, Floats b) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y) { return vsubq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats mul(Floats a, Floats b) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y) { return vmulq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats div(Floats a, Floats b) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y) { return vdivq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats fma(Floats a, Floats b, Floats c) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y, float32x4_t z) { return vfmaq_f32(z, x, y); }, a, b, c);
  }
  CLAW_INLINE static Floats max(Floats a, Floats b) {
    return mapped<float32x4_t>([](float32x4_t x, float32x4_t y) { return vmaxq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats flip(Floats a, Ints signs) {
    const auto flipped = [](float32x4_t x, int32x4_t y) {
      return vreinterpretq_f32_s32(veorq_s32(vreinterpretq_s32_f32(x), y));
    };
    return mapped<float32x4_t>(flipped, a, signs);
  }
  CLAW_INLINE static Floats round(Floats a) {
    return mapped<float32x4_t>([](float32x4_t x) { return vrndnq_f32(x); }, a);
  }
  CLAW_INLINE static Floats scale(Floats a, Floats n) {
    // Half of n leaves the first product a normal number, so that only the second one rounds.
    const auto scaled = [](float32x4_t x, float32x4_t y) {
      const int32x4_t whole = vcvtq_s32_f32(y);
      const int32x4_t half = vshrq_n_s32(whole, 1);
      return vmulq_f32(vmulq_f32(x, powerOfTwo(half)), powerOfTwo(vsubq_s32(whole, half)));
    };
    return mapped<float32x4_t>(scaled, a, n);
  }

  CLAW_INLINE static Mask greater(Floats a, Floats b) {
    return mapped<uint32x4_t>([](float32x4_t x, float32x4_t y) { return vcgtq_f32(x, y); }, a, b);
  }
  CLAW_INLINE static Floats where(Mask mask, Floats a, Floats b) {
    return mapped<float32x4_t>([](uint32x4_t m, float32x4_t x, float32x4_t y) { return vbslq_f32(m, x, y); }, mask, a, b);
  }

  CLAW_INLINE static Ints set(int32_t x) { return {vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}; }
  CLAW_INLINE static Ints add(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vaddq_s32(x, y); }, a, b);
  }
  CLAW_INLINE static Ints sub(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vsubq_s32(x, y); }, a, b);
  }
  CLAW_INLINE static Ints mul(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vmulq_s32(x, y); }, a, b);
  }
  CLAW_INLINE static Ints max(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vmaxq_s32(x, y); }, a, b);
  }
  CLAW_INLINE static Ints min(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vminq_s32(x, y); }, a, b);
  }
  CLAW_INLINE static Ints both(Ints a, Ints b) {
    return mapped<int32x4_t>([](int32x4_t x, int32x4_t y) { return vandq_s32(x, y); }, a, b);
  }
  template <int Bits>
  CLAW_INLINE static Ints left(Ints a) {
    return mapped<int32x4_t>([](int32x4_t x) { return vshlq_n_s32(x, Bits); }, a);
  }
  template <int Bits>
  CLAW_INLINE static Ints right(Ints a) {
    const auto shifted = [](int32x4_t x) { return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), Bits)); };
    return mapped<int32x4_t>(shifted, a);
  }
  CLAW_INLINE static uint32_t equal(Ints a, Ints b) {
    static constexpr uint32_t kBits[kLanes] = {1, 2, 4, 8};
    const uint32x4_t bits = vld1q_u32(kBits);
    const auto equalBits = [&](int32x4_t x, int32x4_t y) { return vandq_u32(vceqq_s32(x, y), bits); };
    const Mask found = mapped<uint32x4_t>(equalBits, a, b);
    return vaddvq_u32(vorrq_u32(vorrq_u32(found.a, vshlq_n_u32(found.b, 4)),
                                vorrq_u32(vshlq_n_u32(found.c, 8), vshlq_n_u32(found.d, 12))));
  }

  CLAW_INLINE static Ints toInts(Floats a) { return mapped<int32x4_t>([](float32x4_t x) { return vcvtnq_s32_f32(x); }, a); }
  CLAW_INLINE static Floats toFloats(Ints a) {
    return mapped<float32x4_t>([](int32x4_t x) { return vcvtq_f32_s32(x); }, a);
  }
  CLAW_INLINE static Ints bits(Floats a) {
    return mapped<int32x4_t>([](float32x4_t x) { return vreinterpretq_s32_f32(x); }, a);
  }
  CLAW_INLINE static Floats fromBits(Ints a) {
    return mapped<float32x4_t>([](int32x4_t x) { return vreinterpretq_f32_s32(x); }, a);
  }

  CLAW_INLINE static float sum(Floats a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.a, a.c), vaddq_f32(a.b, a.d));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  CLAW_INLINE static float largest(Floats a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.a, a.b), vmaxq_f32(a.c, a.d)));
  }
  CLAW_INLINE static int32_t sum(Ints a) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(a.a, a.b), vaddq_s32(a.c, a.d)));
  }
  CLAW_INLINE static int32_t largest(Ints a) {
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.a, a.b), vmaxq_s32(a.c, a.d)));
  }

  template <int Distance>
  CLAW_INLINE static Floats butterfly(Floats a) {
    if constexpr (Distance == 8) {
      return {vaddq_f32(a.a, a.c), vaddq_f32(a.b, a.d), vsubq_f32(a.a, a.c), vsubq_f32(a.b, a.d)};
    } else if constexpr (Distance == 4) {
      return {vaddq_f32(a.a, a.b), vsubq_f32(a.a, a.b), vaddq_f32(a.c, a.d), vsubq_f32(a.c, a.d)};
    } else {
      return mapped<float32x4_t>([](float32x4_t x) { return paired<Distance>(x); }, a);
    }
  }

  CLAW_INLINE static Floats subAdd(Floats a, Floats b) {
    const auto mixed = [](float32x4_t x, float32x4_t y) {
      const uint32x4_t even = vreinterpretq_u32_u64(vdupq_n_u64(UINT32_MAX));
      return vbslq_f32(even, vsubq_f32(x, y), vaddq_f32(x, y));
    };
    return mapped<float32x4_t>(mixed, a, b);
  }
  CLAW_INLINE static Floats swapPairs(Floats a) {
    return mapped<float32x4_t>([](float32x4_t x) { return vrev64q_f32(x); }, a);
  }
  CLAW_INLINE static Floats evenTwice(Floats a) {
    return mapped<float32x4_t>([](float32x4_t x) { return vtrn1q_f32(x, x); }, a);
  }
  CLAW_INLINE static Floats oddTwice(Floats a) {
    return mapped<float32x4_t>([](float32x4_t x) { return vtrn2q_f32(x, x); }, a);
  }
  CLAW_INLINE static Floats even(Floats a, Floats b) {
    return {vuzp1q_f32(a.a, a.b), vuzp1q_f32(a.c, a.d), vuzp1q_f32(b.a, b.b), vuzp1q_f32(b.c, b.d)};
  }
  CLAW_INLINE static Floats odd(Floats a, Floats b) {
    return {vuzp2q_f32(a.a, a.b), vuzp2q_f32(a.c, a.d), vuzp2q_f32(b.a, b.b), vuzp2q_f32(b.c, b.d)};
  }

  CLAW_INLINE static void prefetch(const void* from) { __builtin_prefetch(from, 0, 2); }

 private:
  template <class Register, class Function>
  CLAW_INLINE static Four<Register> made(const Function& at) {
    return {at(0), at(1), at(2), at(3)};
  }
  template <class Register, class Function, class... Operands>
  CLAW_INLINE static Four<Register> mapped(const Function& function, const Operands&... operands) {
    return {function(operands.a...), function(operands.b...), function(operands.c...), function(operands.d...)};
  }
  // Up to 16 elements with zeros behind them.
  template <class T>
  struct Padded {
    T values[kLaneCount] = {};
    CLAW_INLINE Padded(const T* from, int count) {
      if (count > 0) __builtin_memcpy(values, from, static_cast<size_t>(smaller(count, kLaneCount)) * sizeof *from);
    }
  };
  // 2^n for -126 <= n <= 127.
  CLAW_INLINE static float32x4_t powerOfTwo(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  // Sums in the low lanes of each pair; in the high ones the partner less the lane itself.
  template <int Distance>
  CLAW_INLINE static float32x4_t paired(float32x4_t x) {
    if constexpr (Distance == 2) {
      const float32x4_t partner = vextq_f32(x, x, 2);
      return vcombine_f32(vget_low_f32(vaddq_f32(x, partner)), vget_high_f32(vsubq_f32(partner, x)));
    } else {
      const float32x4_t partner = vrev64q_f32(x);
      return vtrn1q_f32(vaddq_f32(x, partner), vsubq_f32(x, partner));
    }
  }
};

}  // namespace
}  // namespace claw::neon
