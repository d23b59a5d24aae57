// Running a program: every thread walks the operations and takes its share of each.
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
constexpr int32_t kGateTile = 64;      // elements: whole cache lines, so that threads do not share one

// One thread's view of a step.
struct Walk {
  const Team& team;
  const Kernels& kernels;
  const KvCache& kv;
  const StepBlock& step;
  int32_t rows;
  int32_t outputs;
  const AttentionContext& attention;

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
  task.blockFirst = walk.team.first(op.matrix->rowBlocks());
  task.blockEnd = walk.team.end(op.matrix->rowBlocks());
  task.out = op.dst->values;
  task.outStride = op.dst->shape.width;
  task.partial = op.op == Op::linearPartial;
  task.subtrees = op.subtrees.data();
  task.subtreeCount = static_cast<int32_t>(op.subtrees.size());
  if (task.rows > 0 && task.blockFirst < task.blockEnd) walk.kernels.linear(task);
}

void runSiluMul(const Operation& op, const Walk& walk) {
  const int64_t count = static_cast<int64_t>(walk.count(op.domain)) * op.dst->shape.width;
  const int32_t tiles = static_cast<int32_t>((count + kGateTile - 1) / kGateTile);
  const int64_t first = static_cast<int64_t>(walk.team.first(tiles)) * kGateTile;
  const int64_t end = std::min(count, static_cast<int64_t>(walk.team.end(tiles)) * kGateTile);
  if (first >= end) return;
  const auto length = static_cast<int32_t>(end - first);
  walk.kernels.siluMul(op.a->values + first, op.b->values + first, op.dst->values + first, length);
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
      const float* root = partials + static_cast<ptrdiff_t>(node.first) * op.matrix->rows + first;
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
  const Matrix& m = *op.matrix;
  float* out = rowOf(op.dst, row);
  for (int32_t first = 0; first < m.rows; first += kCombineTile) {
    const int32_t count = std::min(kCombineTile, m.rows - first);
    Combination{op, rowOf(op.a, row), first, count}.sum({0, m.segments}, out + first);
    if (m.format == Format::f16) continue;
    for (int32_t i = 0; i < count; i++) out[first + i] *= m.scales[first + i];
  }
}

void runRow(const Operation& op, const Walk& walk, int32_t row) {
  const int32_t width = op.dst == nullptr ? 0 : op.dst->shape.width;
  switch (op.op) {
    case Op::embed:
      return walk.kernels.embedRow(*op.matrix, walk.step.tokens[row], rowOf(op.dst, row));
    case Op::rmsNorm:
      return walk.flag(op.domain, row,
                       walk.kernels.rmsNormRow(rowOf(op.a, row), op.vector, op.number, rowOf(op.dst, row), width));
    case Op::quantize:
      return walk.flag(op.domain, row, walk.kernels.quantizeRow(rowOf(op.a, row), op.dst->quantized, row));
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

void runOperation(const Operation& op, const Walk& walk) {
  switch (op.op) {
    case Op::linear:
    case Op::linearPartial:
      return runLinear(op, walk);
    case Op::attention:
      return AttentionRun(op, walk.attention).run();
    case Op::siluMul:
      return runSiluMul(op, walk);
    default: {
      const int32_t count = walk.count(op.domain);
      for (int32_t row = walk.team.first(count); row < walk.team.end(count); row++) runRow(op, walk, row);
    }
  }
}

}  // namespace

void Executable::run(const Team& team, int32_t rows, int32_t outputs) const {
  const AttentionContext attention = {team, device_->kernels(), device_->kv(), step_, plans_, scratch_};
  const Walk walk = {team, device_->kernels(), device_->kv(), step_, rows, outputs, attention};
  for (const Operation& op : operations_) {
    if (op.barrier) team.barrier.wait();
    runOperation(op, walk);
  }
}

}  // namespace claw
