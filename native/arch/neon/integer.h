// The integer products, over an instruction or a few that multiply columns and add them:
//   Dot: kTokens, kBlocks (see linear.h), starting at zero; add(first, second, q) of the 4 columns `first` of four rows
//        times the low half of q and the columns `second` times the high half; total() of each row.
// Weights stored as q + 128 become signed by their top bit; those stored as q + 8 stay unsigned, and each group starts
// at -8 times the sum of its activations.
#pragma once

#include "arch/neon/linear.h"

namespace claw::neon {
namespace {

constexpr int kStep = 8;  // columns multiplied at a time: two words of a row in i8, one in i4

template <class Dot, Format kFormat, int Blocks, int Tokens>
class IntegerTile {
 public:
  IntegerTile(const LinearTask& task, int block, int token)
      : matrix_(*task.matrix), rows_(*task.quantized), token_(token), blockBytes_(matrix_.blockBytes()) {
    weights_ = matrix_.weights + static_cast<size_t>(block) * blockBytes_;
    scales_ = matrix_.scales + block * blockScales();
    blockMultipliers_ = static_cast<ptrdiff_t>(matrix_.held()) * matrix_.groups * kRowBlock;
    multipliers_ = kFormat == Format::i4 ? matrix_.multipliers + block * blockMultipliers_ : nullptr;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const int padded = rows_.paddedSegment;
    const uint8_t* weights = weights_ + static_cast<ptrdiff_t>(segment) * (padded / kStep) * kStepBytes;
    const int8_t* q = rows_.q + place(segment, 0) * padded;
    int32x4_t sums[kVectors][Tokens];
    if constexpr (kFormat == Format::i8) {
      Dot dots[kVectors][Tokens];
      clear(dots);
      for (const int8_t* end = q + padded; q < end; weights += kStepBytes, q += kStep) addStep(weights, q, dots);
      totals(dots, sums);
    } else {
      clear(sums);
      for (int group = 0; group < matrix_.groups; ++group) {
        Dot dots[kVectors][Tokens];
        clear(dots);
        const int steps = smaller(padded - group * kGroup, kGroup) / kStep;
        for (int step = 0; step < steps; ++step, weights += kStepBytes, q += kStep) addStep(weights, q, dots);
        addGroup(segment, group, dots, sums);
      }
    }
    toLeaves(segment, sums, leaves);
  }

 private:
  static constexpr int kVectors = Blocks * kBlockVectors;
  static constexpr int kStepBytes = kRowBlock * kStep / (kFormat == Format::i8 ? 1 : 2);

  CLAW_INLINE void addStep(const uint8_t* weights, const int8_t* q, Dot (&dots)[kVectors][Tokens]) const {
    const ptrdiff_t stride = static_cast<ptrdiff_t>(rows_.segments) * rows_.paddedSegment;
    int8x8_t values[Tokens];
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) values[j] = vld1_s8(q + j * stride);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const uint8_t* from = weights + (v / kBlockVectors) * blockBytes_ + (v % kBlockVectors) * 16;
      const uint8x16_t bytes = vld1q_u8(from);
      uint8x16_t first;
      uint8x16_t second;
      if constexpr (kFormat == Format::i8) {
        first = veorq_u8(bytes, vdupq_n_u8(128));
        second = veorq_u8(vld1q_u8(from + kRowBlock * 4), vdupq_n_u8(128));
      } else {
        first = vandq_u8(bytes, vdupq_n_u8(15));
        second = vshrq_n_u8(bytes, 4);
      }
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        dots[v][j].add(vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second), values[j]);
      }
    }
  }

  CLAW_INLINE void totals(const Dot (&dots)[kVectors][Tokens], int32x4_t (&sums)[kVectors][Tokens]) const {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[v][j] = dots[v][j].total();
    }
  }

  // sums += the group's dot products times the rows' multipliers.
  CLAW_INLINE void addGroup(int segment, int group, const Dot (&dots)[kVectors][Tokens],
                            int32x4_t (&sums)[kVectors][Tokens]) const {
    int32x4_t multipliers[kVectors];
    loadMultipliers(segment * matrix_.groups + group, multipliers);
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int32x4_t start = vdupq_n_s32(rows_.starts[place(segment, j) * rows_.startsPerSegment + group]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        sums[v][j] = vmlaq_s32(sums[v][j], vaddq_s32(dots[v][j].total(), start), multipliers[v]);
      }
    }
  }

  CLAW_INLINE void loadMultipliers(int group, int32x4_t (&into)[kVectors]) const {
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      const int8x16_t bytes = vld1q_s8(multipliers_ + i * blockMultipliers_ + static_cast<ptrdiff_t>(group) * kRowBlock);
      const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
      const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
      into[i * kBlockVectors] = vmovl_s16(vget_low_s16(low));
      into[i * kBlockVectors + 1] = vmovl_s16(vget_high_s16(low));
      into[i * kBlockVectors + 2] = vmovl_s16(vget_low_s16(high));
      into[i * kBlockVectors + 3] = vmovl_s16(vget_high_s16(high));
    }
  }

  CLAW_INLINE void toLeaves(int segment, const int32x4_t (&sums)[kVectors][Tokens],
                            Sums<Blocks, Tokens>& leaves) const {
    const float* scales = scales_ + static_cast<ptrdiff_t>(segment) * kRowBlock;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const float32x4_t ofRows = vld1q_f32(scales + v / kBlockVectors * blockScales() + v % kBlockVectors * kLanes);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        const float ofInput = rows_.scales[place(segment, j)];
        leaves[v][j] = vmulq_f32(vmulq_n_f32(vcvtq_f32_s32(sums[v][j]), ofInput), ofRows);
      }
    }
  }

  ptrdiff_t place(int segment, int j) const { return static_cast<ptrdiff_t>(token_ + j) * rows_.segments + segment; }
  ptrdiff_t blockScales() const { return static_cast<ptrdiff_t>(matrix_.held()) * kRowBlock; }

  const Matrix& matrix_;
  const QuantizedRows& rows_;
  int token_;
  size_t blockBytes_;
  ptrdiff_t blockMultipliers_;
  const uint8_t* weights_;
  const int8_t* multipliers_;
  const float* scales_;
};

template <class Dot, Format kFormat>
struct Integer {
  static constexpr int kTokens = Dot::kTokens;
  static constexpr int kBlocks = Dot::kBlocks;

  template <int Blocks, int Tokens>
  using Tile = IntegerTile<Dot, kFormat, Blocks, Tokens>;
};

}  // namespace
}  // namespace claw::neon
