// uses-fma: ATTENTION, as native/lanes/attention.h computes it.
#include "arch/avx2/lanes.h"
#include "arch/avx2/table.h"
#include "lanes/attention.h"

namespace claw::avx2 {

void attendChunk(const AttentionTask& task, int32_t chunk, const AttentionSums& sums) {
  lanes::attendChunk<Lanes>(task, chunk, sums);
}

void foldChunk(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range) {
  lanes::foldChunk<Lanes>(task, chunk, folded, range);
}

void finishAttention(const AttentionTask& task, const AttentionSums& folded, QueryRange range) {
  lanes::finishAttention<Lanes>(task, folded, range);
}

}  // namespace claw::avx2
