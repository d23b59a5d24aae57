// uses-fma: the chains over groups of i8.
// LINEAR with i8 and i4 weights: one instruction multiplies four columns of four rows.
#include "arch/neon-dotprod/table.h"
#include "arch/neon/integer.h"

namespace claw::neon {
namespace {

struct FourColumns {
  static constexpr int kTokens = 4;  // 16 sums, two weights and four activations are in registers
  static constexpr int kBlocks = 2;  // enough sums at once to hide the latency of each

  int32x4_t sum{};

  CLAW_INLINE void add(int8x16_t first, int8x16_t second, int8x8_t q) {
    sum = vdotq_lane_s32(sum, first, q, 0);
    sum = vdotq_lane_s32(sum, second, q, 1);
  }
  CLAW_INLINE int32x4_t total() const { return sum; }
};

}  // namespace

void dotprod::linearInteger(const LinearTask& task) {
  if (task.matrix->format == Format::i8) Product<Integer<FourColumns, Format::i8>>::run(task);
  else Product<Integer<FourColumns, Format::i4>>::run(task);
}

}  // namespace claw::neon
