// uses-fma: ATTENTION, as native/lanes/attention.h computes it.
#include "arch/neon/lanes.h"
#include "arch/neon/table.h"
#include "lanes/attention.h"

namespace claw::neon {

void attendChunk(const AttentionTask& task, int32_t chunk, const AttentionSums& sums) {
  lanes::attendChunk<Lanes>(task, chunk, sums);
}

void foldChunk(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range) {
  lanes::foldChunk<Lanes>(task, chunk, folded, range);
}

void finishAttention(const AttentionTask& task, const AttentionSums& folded, QueryRange range) {
  lanes::finishAttention<Lanes>(task, folded, range);
}

}  // namespace claw::neon
