#include "executor/attention.h"

#include <algorithm>

#include "kernels/kv-rotation.h"

namespace claw {
namespace {

constexpr size_t kStoredFloatsMax = size_t{1} << 20;

// Queries of a tile, at most.
size_t queriesOf(const AttentionShape& shape) { return static_cast<size_t>(shape.group()) * shape.tileRows(); }

size_t sumsFloats(const AttentionShape& shape) {
  return AttentionSums::floats(queriesOf(shape), static_cast<size_t>(shape.headDim));
}

// (m, l, o) of one row's queries.
size_t rowFloats(const AttentionShape& shape) {
  return AttentionSums::floats(static_cast<size_t>(shape.group()), static_cast<size_t>(shape.headDim));
}

}  // namespace

int64_t storedChunks(const AttentionShape& shape, int32_t pages) {
  constexpr int32_t kPages = kAttentionChunk / kPageTokens;
  const int64_t all = static_cast<int64_t>((pages + kPages - 1) / kPages) * shape.tileRows();
  return std::min(all, static_cast<int64_t>(kStoredFloatsMax / rowFloats(shape)));
}

size_t scratchFloats(const AttentionPlan& plan) {
  const AttentionShape& shape = plan.shape();
  return attentionScratch(queriesOf(shape)) + 3 * sumsFloats(shape) +
         static_cast<size_t>(plan.storedChunks()) * rowFloats(shape);
}

AttentionTask AttentionRun::task(const AttentionCut& unit) const {
  const AttentionShape& shape = plan_.shape();
  const AttentionTile& tile = plan_.tile(unit.tile);
  const int32_t first = shape.firstQuery(unit.head);
  const ptrdiff_t offset = static_cast<ptrdiff_t>(tile.row) * op_.dst->shape.width + static_cast<ptrdiff_t>(first) * op_.headDim;
  AttentionTask task{};
  task.kv = &context_.kv;
  task.layer = op_.layer;
  task.head = op_.firstHead + unit.head;
  task.queries = shape.firstQuery(unit.head + 1) - first;
  task.rows = tile.rows;
  task.position = tile.position;
  task.pages = context_.step.pages + context_.step.pageStart[tile.row];
  task.q = op_.a->values + offset;
  task.out = op_.dst->values + offset;
  task.qStride = task.outStride = op_.dst->shape.width;
  task.scale = op_.number;
  task.scratch = chunk(context_.team.thread) - attentionScratch(queriesOf(shape));
  if (task.kv->format == KvFormat::i8) rotateQueries(&task);
  return task;
}

// In memory of this thread.
void AttentionRun::rotateQueries(AttentionTask* task) const {
  float* rotated = folded(context_.team.thread) + sums();
  const ptrdiff_t width = static_cast<ptrdiff_t>(task->queries) * op_.headDim;
  for (int32_t row = 0; row < task->rows; row++) {
    for (ptrdiff_t at = 0; at < width; at += op_.headDim) {
      rotateQuery(task->q + row * task->qStride + at, rotated + row * width + at, op_.headDim);
    }
  }
  task->q = rotated;
  task->qStride = width;
}

float* AttentionRun::chunk(int32_t thread) const {
  return reinterpret_cast<float*>(context_.scratch[static_cast<size_t>(thread)].base()) +
         attentionScratch(queriesOf(plan_.shape()));
}

ptrdiff_t AttentionRun::sums() const { return static_cast<ptrdiff_t>(sumsFloats(plan_.shape())); }

// Chunks [first.chunk, chunkEnd) of a unit: folded as they come where they are its first, kept otherwise.
void AttentionRun::attend(const AttentionCut& first, int32_t chunkEnd) const {
  const int32_t thread = context_.team.thread;
  const AttentionTask task = this->task(first);
  const AttentionSums chunk = AttentionSums::at(this->chunk(thread), task);
  const AttentionSums folded = AttentionSums::at(this->folded(thread), task);
  for (int32_t index = first.chunk; index < chunkEnd; index++) {
    if (first.chunk > 0) {
      context_.kernels.attendChunk(task, index, AttentionSums::at(stored(thread), task, index - first.chunk));
    } else if (index == 0) {
      context_.kernels.attendChunk(task, index, folded);
    } else {
      context_.kernels.attendChunk(task, index, chunk);
      context_.kernels.foldChunk(task, chunk, folded, {0, task.allQueries()});
    }
  }
  if (first.chunk == 0 && chunkEnd == task.chunks()) {
    context_.kernels.finishAttention(task, folded, {0, task.allQueries()});
  }
}

// The threads that computed the unit of a cut share its queries, and fold its chunks in order.
void AttentionRun::foldShared(int32_t cut) const {
  const AttentionTask task = this->task(plan_.cut(cut));
  const int32_t starter = plan_.starter(cut);
  const int32_t ender = plan_.ender(cut);
  const Team sharers = {context_.team.thread - starter, ender - starter + 1, context_.team.barrier};
  const QueryRange range = {sharers.first(task.allQueries()), sharers.end(task.allQueries())};
  const AttentionSums folded = AttentionSums::at(this->folded(starter), task);
  for (int32_t thread = starter + 1; thread <= ender; thread++) {
    const int32_t first = plan_.cut(thread).chunk;
    const int32_t end = thread == ender ? task.chunks() : plan_.cut(thread + 1).chunk;
    for (int32_t index = first; index < end; index++) {
      context_.kernels.foldChunk(task, AttentionSums::at(stored(thread), task, index - first), folded, range);
    }
  }
  context_.kernels.finishAttention(task, folded, range);
}

void AttentionRun::run() const {
  const int32_t thread = context_.team.thread;
  const AttentionCut first = plan_.cut(thread);
  const AttentionCut end = plan_.cut(thread + 1);
  for (AttentionCut unit = first; unit.tile < end.tile || (unit.tile == end.tile && unit.head <= end.head);) {
    const int32_t chunkEnd = unit.sameUnit(end) ? end.chunk : plan_.tile(unit.tile).chunks();
    if (unit.chunk < chunkEnd) attend(unit, chunkEnd);
    if (unit.sameUnit(end)) break;
    unit = unit.head + 1 < plan_.shape().heads ? AttentionCut{unit.tile, unit.head + 1, 0} : AttentionCut{unit.tile + 1, 0, 0};
  }
  if (!plan_.split()) return;
  context_.team.barrier.wait();
  if (first.chunk > 0) foldShared(thread);
  if (end.chunk > 0 && !(first.chunk > 0 && first.sameUnit(end))) foldShared(thread + 1);
}

}  // namespace claw
