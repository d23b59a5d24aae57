// All chunks of a tile of rows, one after the other, in memory that ends where nothing may be touched.
#pragma once

#include "tests/bits.h"

namespace claw::test {

inline void attendAll(const Kernels& kernels, AttentionTask task) {
  const auto queries = static_cast<size_t>(task.allQueries());
  const size_t floats = AttentionSums::floats(queries, static_cast<size_t>(task.kv->headDim));
  Guarded<float> scratch(attentionScratch(queries)), folded(floats), next(floats);
  task.scratch = scratch.data();
  const AttentionSums sums = AttentionSums::at(folded.data(), task);
  kernels.attendChunk(task, 0, sums);
  for (int32_t chunk = 1; chunk < task.chunks(); ++chunk) {
    kernels.attendChunk(task, chunk, AttentionSums::at(next.data(), task));
    kernels.foldChunk(task, AttentionSums::at(next.data(), task), sums, {0, task.allQueries()});
  }
  // In two parts, as two threads would.
  kernels.finishAttention(task, sums, {0, task.allQueries() / 2});
  kernels.finishAttention(task, sums, {task.allQueries() / 2, task.allQueries()});
}

}  // namespace claw::test
