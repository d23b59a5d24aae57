#include "executor/phases.h"

#include <cstddef>

namespace claw {
namespace {

constexpr int32_t kAdapterWidth = 256;  // outputs that a thread adds an adapter's product to at a time
constexpr int32_t kGateWidth = 256;  // values of a piece that nothing else determines: whole cache lines

// ---- Shares ----

void shareInPieces(Operation* op, int32_t width) {
  op->share = Share::pieces;
  op->pieceWidth = width;
}

// A gate is cut as the quantization of its result is, so that a thread quantizes what it has just written.
void shareGate(std::span<Operation> operations, size_t at) {
  Operation& gate = operations[at];
  shareInPieces(&gate, kGateWidth);
  for (const Operation& later : operations.subspan(at + 1)) {
    if (later.op == Op::quantize && later.a == gate.dst) return shareInPieces(&gate, later.dst->quantized.segmentLength);
    if (later.dst == gate.dst) return;
  }
}

// Quantization goes by rows where its input was written row by row, or else by segments.
void shareQuantization(std::span<Operation> operations, size_t at) {
  Operation& op = operations[at];
  for (size_t i = at; i-- > 0;) {
    if (operations[i].dst != op.a) continue;
    if (operations[i].share == Share::rows && operations[i].domain == op.domain) return;
    break;
  }
  shareInPieces(&op, op.dst->quantized.segmentLength);
}

void chooseShare(std::span<Operation> operations, size_t at) {
  Operation& op = operations[at];
  switch (op.op) {
    case Op::linear:
    case Op::linearPartial:
      op.share = Share::blocks;
      return;
    case Op::attention:
      op.share = Share::heads;
      return;
    case Op::siluMul:
      return shareGate(operations, at);
    case Op::quantize:
      return shareQuantization(operations, at);
    case Op::send:
    case Op::receive:
      op.share = Share::exchange;
      return;
    case Op::adaptDown:
      return shareInPieces(&op, op.stride);
    case Op::adaptUp:
      return shareInPieces(&op, kAdapterWidth);
    default:
      op.share = Share::rows;
  }
}

bool adapts(const Operation& op) { return op.op == Op::adaptDown || op.op == Op::adaptUp; }

// Whether a thread's share of both is the same rows, or pieces, of every buffer they touch. GATHER is so for the rows
// it writes; the rows it reads are of the other domain, which never counts as the same share.
bool sameShare(const Operation& a, const Operation& b) {
  // A piece of ADAPT_UP reads the whole row that ADAPT_DOWN wrote in pieces, which read whole rows themselves.
  if (adapts(a) || adapts(b)) return false;
  if (a.share != b.share || a.domain != b.domain) return false;
  if (a.share == Share::rows) return true;
  return a.share == Share::pieces && a.pieceWidth == b.pieceWidth && a.dst->shape.width == b.dst->shape.width;
}

// ---- Barriers ----

bool exchanges(const Operation& op) { return op.share == Share::exchange; }

bool usesKv(const Operation& op) { return op.op == Op::kvWrite || op.op == Op::attention; }

// Whether `later` reads or overwrites what `earlier` writes, or overwrites what it reads.
bool conflict(const Operation& earlier, const Operation& later) {
  // Two of ATTENTION meet as well: other threads may still read the chunks that this one keeps for them.
  if (usesKv(earlier) && usesKv(later)) return true;
  const Buffer* written = earlier.dst;
  if (written != nullptr && (written == later.dst || written == later.a || written == later.b)) return true;
  return later.dst != nullptr && (later.dst == earlier.a || later.dst == earlier.b);
}

// Two operations need no meeting of the threads in between when each thread touches only its own share in both, or
// when neither reads or writes what the other writes.
bool mayFollowFreely(const Operation& earlier, const Operation& later) {
  return sameShare(earlier, later) || !conflict(earlier, later);
}

// All threads meet before an exchange, and wait for its end.
void placeBarriers(std::span<Operation> operations) {
  size_t phaseFirst = 0;
  for (size_t i = 0; i < operations.size(); i++) {
    Operation& op = operations[i];
    const bool follows = i > 0 && exchanges(operations[i - 1]);
    op.barrier = exchanges(op) && !follows;
    if (op.barrier || follows) phaseFirst = i;
    if (exchanges(op)) continue;
    for (size_t k = phaseFirst; k < i && !op.barrier; k++) op.barrier = !mayFollowFreely(operations[k], op);
    if (op.barrier) phaseFirst = i;
  }
}

// Operations of one exchange are all under way at once.
bool together(const Operation& a, const Operation& b) { return sameShare(a, b) || (exchanges(a) && exchanges(b)); }

}  // namespace

void shareOut(std::vector<Operation>* operations) {
  for (size_t i = 0; i < operations->size(); i++) chooseShare(*operations, i);
  placeBarriers(*operations);
}

std::vector<Run> runsOf(std::span<const Operation> operations) {
  std::vector<Run> runs;
  size_t first = 0;
  for (size_t i = 1; i <= operations.size(); i++) {
    if (i < operations.size() && !operations[i].barrier && together(operations[first], operations[i])) continue;
    runs.push_back(operations.subspan(first, i - first));
    first = i;
  }
  return runs;
}

}  // namespace claw
