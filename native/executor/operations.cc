// Running a program: every thread walks the runs of operations and takes its share of each.
#include <algorithm>
#include <atomic>
#include <cstddef>

#include "executor/attention.h"
#include "executor/device.h"
#include "executor/executable.h"
#include "kernels/tree.h"

namespace claw {
namespace {

constexpr int32_t kCombineTile = 64;   // columns combined at a time

// One thread's view of a step.
struct Walk {
  const Team& team;
  const Kernels& kernels;
  const KvCache& kv;
  const StepBlock& step;
  int32_t rows;
  int32_t outputs;
  const AttentionContext& attention;
  BlockShares& blocks;
  float* scratch;  // of QUANTIZE

  int32_t count(Domain domain) const { return domain == Domain::tokens ? rows : outputs; }
  int32_t token(Domain domain, int32_t row) const { return domain == Domain::tokens ? row : step.outputs[row]; }

  void flag(Domain domain, int32_t row, int32_t bits) const {
    if (bits == 0) return;
    std::atomic_ref<int32_t>(step.status[token(domain, row)]).fetch_or(bits, std::memory_order_relaxed);
  }
  int32_t page(int32_t row) const { return step.pages[step.pageStart[row] + step.positions[row] / kPageTokens]; }
};

float* rowOf(const Buffer* buffer, int32_t row) {
  return buffer->values + static_cast<ptrdiff_t>(row) * buffer->shape.width;
}

void runLinear(const Operation& op, const Walk& walk) {
  const Buffer& in = *op.a;
  LinearTask task{};
  task.matrix = op.matrix;
  task.quantized = in.shape.quantized ? &in.quantized : nullptr;
  task.x = in.values;
  task.xStride = in.shape.width;
  task.rows = walk.count(op.domain);
  task.out = op.dst->values;
  task.outStride = op.dst->shape.width;
  task.partial = op.op == Op::linearPartial;
  task.subtrees = op.subtrees.data();
  task.subtreeCount = static_cast<int32_t>(op.subtrees.size());
  if (task.rows == 0) return;
  for (BlockRange range; walk.blocks.take(op.product, walk.team.thread, &range);) {
    task.blockFirst = range.first;
    task.blockEnd = range.end;
    walk.kernels.linear(task);
  }
}

void quantizeSegment(const Operation& op, const Walk& walk, int32_t row, int32_t segment) {
  const QuantizedRows& out = op.dst->quantized;
  const float* x = rowOf(op.a, row) + static_cast<ptrdiff_t>(segment) * out.segmentLength;
  walk.flag(op.domain, row, walk.kernels.quantizeSegment(x, out, row, segment, walk.scratch));
}

// The leaves of one segment and row; rows without an adapter here have none.
void adaptSegment(const Operation& op, const Walk& walk, int32_t row, int32_t leaf) {
  const int32_t segment = leaf - op.firstLeaf;
  const int32_t adapter = walk.step.adapters[row];
  if (adapter == 0 || segment < 0 || segment >= op.segments) return;
  const AdapterFactor& a = op.adapters[static_cast<size_t>(adapter) - 1];
  if (a.values == nullptr) return;
  const int32_t length = op.a->shape.width / op.segments;
  const ptrdiff_t first = static_cast<ptrdiff_t>(segment) * length;
  walk.kernels.adaptDown(rowOf(op.a, row) + first, a.values + first * a.rank, length, a.rank,
                         rowOf(op.dst, row) + static_cast<ptrdiff_t>(leaf) * op.stride);
}

float leafTree(const float* leaves, ptrdiff_t stride, int32_t first, int32_t end) {
  if (end - first == 1) return leaves[first * stride];
  const int32_t middle = treeMiddle(first, end);
  return leafTree(leaves, stride, first, middle) + leafTree(leaves, stride, middle, end);
}

// Adds an adapter's product to the outputs [first, first + count) of a row.
void adaptOutputs(const Operation& op, const Walk& walk, int32_t row, int32_t first, int32_t count) {
  const int32_t adapter = walk.step.adapters[row];
  if (adapter == 0) return;
  const AdapterFactor& b = op.adapters[static_cast<size_t>(adapter) - 1];
  if (b.values == nullptr) return;
  float roots[kAdapterRankMax];
  for (int32_t r = 0; r < b.rank; r++) roots[r] = leafTree(rowOf(op.a, row) + r, op.stride, 0, op.segments) * b.scale;
  walk.kernels.adaptUp(roots, b.values + first, op.dst->shape.width, b.rank, rowOf(op.dst, row) + first, count);
}

void storeKvRow(const Operation& op, const Walk& walk, int32_t row) {
  const int32_t page = walk.page(row);
  const int32_t slot = walk.step.positions[row] % kPageTokens;
  for (int32_t h = 0; h < op.heads; h++) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(h) * op.headDim;
    const KvPlace place = {page, op.layer, op.firstHead + h, slot};
    const int32_t status = walk.kernels.storeKv(walk.kv, place, rowOf(op.a, row) + offset, rowOf(op.b, row) + offset);
    walk.flag(op.domain, row, status);
  }
}

// The roots present, of columns [first, first + count), added as the tree over [node) says.
struct Combination {
  const Operation& op;
  const float* partials;
  int32_t first;
  int32_t count;

  void sum(Subtree node, float* out) const {
    for (const Subtree& tree : op.subtrees) {
      if (tree.first != node.first || tree.end != node.end) continue;
      const float* root = partials + static_cast<ptrdiff_t>(node.first) * op.dst->shape.width + first;
      std::copy_n(root, count, out);
      return;
    }
    const int32_t middle = treeMiddle(node.first, node.end);
    float right[kCombineTile];
    sum({node.first, middle}, out);
    sum({middle, node.end}, right);
    for (int32_t i = 0; i < count; i++) out[i] += right[i];
  }
};

void combineRow(const Operation& op, int32_t row) {
  const int32_t width = op.dst->shape.width;
  float* out = rowOf(op.dst, row);
  for (int32_t first = 0; first < width; first += kCombineTile) {
    const int32_t count = std::min(kCombineTile, width - first);
    Combination{op, rowOf(op.a, row), first, count}.sum({0, op.a->shape.width / width}, out + first);
  }
}

void runRow(const Operation& op, const Walk& walk, int32_t row) {
  const int32_t width = op.dst == nullptr ? 0 : op.dst->shape.width;
  switch (op.op) {
    case Op::embed:
    case Op::embedPartial: {
      const int32_t held = walk.step.tokens[row] - op.firstToken;
      if (held >= 0 && held < op.matrix->rows) walk.kernels.embedRow(*op.matrix, held, rowOf(op.dst, row));
      return;
    }
    case Op::rmsNorm:
      return walk.flag(op.domain, row,
                       walk.kernels.rmsNormRow(rowOf(op.a, row), op.vector, op.number, rowOf(op.dst, row), width));
    case Op::quantize:
      for (int32_t s = 0; s < op.dst->quantized.segments; s++) quantizeSegment(op, walk, row, s);
      return;
    case Op::combine:
      return combineRow(op, row);
    case Op::rope: {
      const float* table = op.vector + static_cast<ptrdiff_t>(walk.step.positions[row]) * op.headDim;
      return walk.kernels.ropeRow(rowOf(op.dst, row), table, op.heads, op.headDim, op.halves);
    }
    case Op::kvWrite:
      return storeKvRow(op, walk, row);
    case Op::add:
      return walk.kernels.add(rowOf(op.a, row), rowOf(op.b, row), rowOf(op.dst, row), width);
    case Op::gather:
      std::copy_n(rowOf(op.a, walk.step.outputs[row]), width, rowOf(op.dst, row));
      return;
    default:
      return;
  }
}

// One piece of a row: the values from `piece * pieceWidth` on.
void runPiece(const Operation& op, const Walk& walk, int32_t row, int32_t piece) {
  if (op.op == Op::quantize) return quantizeSegment(op, walk, row, piece);
  if (op.op == Op::adaptDown) return adaptSegment(op, walk, row, piece);
  const ptrdiff_t first = static_cast<ptrdiff_t>(piece) * op.pieceWidth;
  const auto count = static_cast<int32_t>(std::min<ptrdiff_t>(op.pieceWidth, op.dst->shape.width - first));
  if (op.op == Op::adaptUp) return adaptOutputs(op, walk, row, static_cast<int32_t>(first), count);
  walk.kernels.siluMul(rowOf(op.a, row) + first, rowOf(op.b, row) + first, rowOf(op.dst, row) + first, count);
}

// Each row goes through all operations of the run while it is in the cache.
void runRows(Run run, const Walk& walk) {
  const int32_t rows = walk.count(run.front().domain);
  for (int32_t row = walk.team.first(rows); row < walk.team.end(rows); row++) {
    for (const Operation& op : run) runRow(op, walk, row);
  }
}

void runPieces(Run run, const Walk& walk) {
  const Operation& op = run.front();
  const int32_t perRow = (op.dst->shape.width + op.pieceWidth - 1) / op.pieceWidth;
  const int32_t pieces = walk.count(op.domain) * perRow;
  for (int32_t index = walk.team.first(pieces); index < walk.team.end(pieces); index++) {
    for (const Operation& each : run) runPiece(each, walk, index / perRow, index % perRow);
  }
}

}  // namespace

// One thread exchanges while the others wait; false when that failed, and the step ends.
bool Executable::exchange(Run run, const Team& team, uint32_t* met) {
  const uint32_t before = (*met)++;
  if (team.thread == 0) {
    stepError_ = exchanges_->run(run, step_.tokens, rows_);
    exchanged_.store(*met, std::memory_order_release);
    exchanged_.notify_all();
  } else {
    waitUntilChanged(exchanged_, before);
  }
  return !stepError_;
}

void Executable::run(const Team& team) {
  const AttentionContext attention = {team, device_->kernels(), device_->kv(), step_, plans_, scratch_};
  const Walk walk = {team,      device_->kernels(), device_->kv(), step_, rows_, outputs_,
                     attention, *blockShares_,      quantizeScratch(team.thread)};
  uint32_t met = 0;
  for (const Run& run : runs_) {
    if (run.front().barrier) team.barrier.wait();
    switch (run.front().share) {
      case Share::rows:
        runRows(run, walk);
        break;
      case Share::pieces:
        runPieces(run, walk);
        break;
      case Share::blocks:
        runLinear(run.front(), walk);
        break;
      case Share::heads:
        AttentionRun(run.front(), walk.attention).run();
        break;
      case Share::exchange:
        if (!exchange(run, team, &met)) return;
        break;
    }
  }
}

}  // namespace claw
