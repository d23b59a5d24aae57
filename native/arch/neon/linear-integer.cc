// uses-fma: the chains over groups of i8.
// LINEAR with i8 and i4 weights, without dot product instructions: products of 16 bits, added in pairs. Two products
// fit 16 bits, since weights and activations are at most 127 in magnitude.
#include "arch/neon/integer.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

struct PairsOfColumns {
  static constexpr int kTokens = 2;  // 16 sums, two weights and four activations are in registers
  static constexpr int kBlocks = 1;

  int32x4_t low{};   // of rows 0 and 1: columns 0 and 1, columns 2 and 3
  int32x4_t high{};  // of rows 2 and 3

  CLAW_INLINE void add(int8x16_t first, int8x16_t second, int8x8_t q) {
    const int8x16_t q0 = vreinterpretq_s8_s32(vdupq_lane_s32(vreinterpret_s32_s8(q), 0));
    const int8x16_t q1 = vreinterpretq_s8_s32(vdupq_lane_s32(vreinterpret_s32_s8(q), 1));
    const int16x8_t lows = vmull_s8(vget_low_s8(first), vget_low_s8(q0));
    const int16x8_t highs = vmull_high_s8(first, q0);
    low = vpadalq_s16(low, vmlal_s8(lows, vget_low_s8(second), vget_low_s8(q1)));
    high = vpadalq_s16(high, vmlal_high_s8(highs, second, q1));
  }
  CLAW_INLINE int32x4_t total() const { return vpaddq_s32(low, high); }
};

}  // namespace

void linearInteger(const LinearTask& task) {
  if (task.matrix->format == Format::i8) Product<Integer<PairsOfColumns, Format::i8>>::run(task);
  else Product<Integer<PairsOfColumns, Format::i4>>::run(task);
}

}  // namespace claw::neon
