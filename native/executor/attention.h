// ATTENTION on one thread of a team: its part of the plan, then its part of folding what several threads computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "arena/arena.h"
#include "executor/attention-plan.h"
#include "executor/executable.h"
#include "executor/program.h"
#include "executor/thread-pool.h"

namespace claw {

// Chunks of one row that each thread keeps room for: all of a sequence of so many pages, as long as the room stays
// below 4 MB. What does not fit is not shared between threads.
int64_t storedChunks(const AttentionShape& shape, int32_t pages);

// Floats that each thread needs for a plan of this shape.
size_t scratchFloats(const AttentionPlan& plan);

struct AttentionContext {
  const Team& team;
  const Kernels& kernels;
  const KvCache& kv;
  const StepBlock& step;
  std::span<const AttentionPlan> plans;
  std::span<const Region> scratch;  // by thread
};

class AttentionRun {
 public:
  AttentionRun(const Operation& op, const AttentionContext& context)
      : op_(op), context_(context), plan_(context.plans[static_cast<size_t>(op.plan)]) {}

  void run() const;

 private:
  AttentionTask task(const AttentionCut& unit) const;
  void attend(const AttentionCut& first, int32_t chunkEnd) const;
  void foldShared(int32_t cut) const;
  void rotateQueries(AttentionTask* task) const;
  // Memory of a thread: weights, a chunk, what is folded, rotated queries, and the chunks kept for others.
  float* chunk(int32_t thread) const;
  float* folded(int32_t thread) const { return chunk(thread) + sums(); }
  float* stored(int32_t thread) const { return folded(thread) + 2 * sums(); }
  ptrdiff_t sums() const;

  const Operation& op_;
  const AttentionContext& context_;
  const AttentionPlan& plan_;
};

}  // namespace claw
