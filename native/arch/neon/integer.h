// The integer products, over an instruction or a few that multiply columns and add them:
//   Dot: kTokens, kBlocks of a tile, starting at zero; add(first, second, q) of the 4 columns `first` of four rows
//        times the low half of q and the columns `second` times the high half; total() of each row.
// Weights stored as q + 128 become signed by their top bit; those stored as q + 8 stay unsigned, and each group starts
// at -8 times the sum of its activations.
#pragma once

#include "lanes/linear.h"
#include "arch/neon/simd.h"

namespace claw::neon {
namespace {

constexpr int kStep = 8;  // columns multiplied at a time: two words of a row in i8, one in i4
constexpr int kBlockVectors = kRowBlock / kLanes;

template <class Dot, Format kFormat>
struct Integer {
  using Segment = IntegerSegment;

  static constexpr int kTokens = Dot::kTokens;
  static constexpr int kSums = Dot::kTokens;
  static constexpr int kLineColumns = kFormat == Format::i8 ? 4 : 8;

  static TileShape tileFor(int tokens) { return tokens == 1 ? TileShape{Dot::kBlocks, 1} : TileShape{1, kTokens}; }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    Place place{at.weights, at.weights + request.ahead, at.q + token * at.qStride};
    if constexpr (kFormat == Format::i8) {
      const float* scales = at.scales + token * at.scaleStride;
      for (int k = 0, group = 0; k < at.padded; ++group) {
        Dot dots[Blocks * kBlockVectors][Tokens];
        clear(dots);
        for (const int end = smallerOf(k + kScaleGroup, at.padded); k < end; k += kStep) {
          addStep<Blocks>(at, place, request.pace, dots);
        }
        addToLeaves(at, group, scales + group, dots, leaves);
      }
    } else {
      int32x4_t sums[Blocks * kBlockVectors][Tokens];
      clear(sums);
      for (int k = 0; k < at.padded; k += kGroup) {
        Dot dots[Blocks * kBlockVectors][Tokens];
        clear(dots);
        const int columns = smallerOf(at.padded - k, kGroup);
        for (int c = 0; c < columns; c += kStep) addStep<Blocks>(at, place, request.pace, dots);
        addGroup<Blocks>(at, k / kGroup, at.starts + token * at.startStride, dots, sums);
      }
      toLeaves(at, token, sums, leaves);
    }
  }

 private:
  // Of the first row block and the first token.
  struct Place {
    const uint8_t* weights;
    const uint8_t* line;  // to request
    const int8_t* q;
  };

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addStep(const Segment& at, Place& place, ptrdiff_t pace,
                                  Dot (&dots)[Blocks * kBlockVectors][Tokens]) {
    constexpr int kLines = kStep / kLineColumns;
#pragma GCC unroll 2
    for (int line = 0; line < kLines; ++line, place.line += pace) prefetch<Blocks>(place.line, at.blockBytes);
    int8x8_t values[Tokens];
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) values[j] = vld1_s8(place.q + j * at.qStride);
#pragma GCC unroll 16
    for (int v = 0; v < Blocks * kBlockVectors; ++v) {
      const uint8_t* from = place.weights + v / kBlockVectors * at.blockBytes + v % kBlockVectors * 16;
      const uint8x16_t bytes = vld1q_u8(from);
      uint8x16_t first;
      uint8x16_t second;
      if constexpr (kFormat == Format::i8) {
        first = veorq_u8(bytes, vdupq_n_u8(128));
        second = veorq_u8(vld1q_u8(from + kLineBytes), vdupq_n_u8(128));
      } else {
        first = vandq_u8(bytes, vdupq_n_u8(15));
        second = vshrq_n_u8(bytes, 4);
      }
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        dots[v][j].add(vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second), values[j]);
      }
    }
    place.weights += kLines * kLineBytes;
    place.q += kStep;
  }

  // sums += the group's dot products times the rows' multipliers.
  template <int Blocks, int Tokens>
  CLAW_INLINE static void addGroup(const Segment& at, int group, const int32_t* starts,
                                   const Dot (&dots)[Blocks * kBlockVectors][Tokens],
                                   int32x4_t (&sums)[Blocks * kBlockVectors][Tokens]) {
    int32x4_t multipliers[Blocks * kBlockVectors];
    loadMultipliers<Blocks>(at.multipliers + static_cast<ptrdiff_t>(group) * kRowBlock, at.blockMultipliers, multipliers);
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int32x4_t start = vdupq_n_s32(starts[j * at.startStride + group]);
#pragma GCC unroll 16
      for (int v = 0; v < Blocks * kBlockVectors; ++v) {
        sums[v][j] = vmlaq_s32(sums[v][j], vaddq_s32(dots[v][j].total(), start), multipliers[v]);
      }
    }
  }

  template <int Blocks>
  CLAW_INLINE static void loadMultipliers(const int8_t* from, ptrdiff_t stride,
                                          int32x4_t (&into)[Blocks * kBlockVectors]) {
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      const int8x16_t bytes = vld1q_s8(from + i * stride);
      const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
      const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
      into[i * kBlockVectors] = vmovl_s16(vget_low_s16(low));
      into[i * kBlockVectors + 1] = vmovl_s16(vget_high_s16(low));
      into[i * kBlockVectors + 2] = vmovl_s16(vget_low_s16(high));
      into[i * kBlockVectors + 3] = vmovl_s16(vget_high_s16(high));
    }
  }

  // leaves += a group's dot products times the scales of the input and of the rows.
  template <int Vectors, int Tokens>
  CLAW_INLINE static void addToLeaves(const Segment& at, int group, const float* scales,
                                      const Dot (&dots)[Vectors][Tokens], float* leaves) {
    const float* rowScales = at.rowScales + group * kRowBlock;
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const float32x4_t ofRows = vld1q_f32(rowScales + v / kBlockVectors * at.blockScales + v % kBlockVectors * kLanes);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        float* leaf = leaves + (j * Vectors + v) * kLanes;
        const float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(dots[v][j].total()), scales[j * at.scaleStride]);
        vst1q_f32(leaf, vfmaq_f32(group == 0 ? vdupq_n_f32(0) : vld1q_f32(leaf), scaled, ofRows));
      }
    }
  }

  template <int Vectors, int Tokens>
  CLAW_INLINE static void toLeaves(const Segment& at, int token, const int32x4_t (&sums)[Vectors][Tokens],
                                   float* leaves) {
    const float* scales = at.scales + token * at.scaleStride;
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const float* rowScales = at.rowScales + v / kBlockVectors * at.blockScales + v % kBlockVectors * kLanes;
      const float32x4_t ofRows = vld1q_f32(rowScales);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        const float32x4_t ofInput = vmulq_n_f32(vcvtq_f32_s32(sums[v][j]), scales[j * at.scaleStride]);
        vst1q_f32(leaves + (j * Vectors + v) * kLanes, vmulq_f32(ofInput, ofRows));
      }
    }
  }
};

}  // namespace
}  // namespace claw::neon
