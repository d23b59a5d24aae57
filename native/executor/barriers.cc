// Two operations need no meeting of the threads in between when each thread touches only its own rows in both, or
// when neither reads or writes what the other writes.
#include <vector>

#include "executor/tape.h"

namespace claw {
namespace {

// Whether a thread's share is the same rows of every buffer the operation touches. GATHER is so for the rows it
// writes; the rows it reads are of the other domain, which never counts as the same share.
bool sharesRows(const Operation& op) {
  switch (op.op) {
    case Op::linear:
    case Op::linearPartial:
    case Op::attention:
    case Op::siluMul:
      return false;
    default:
      return true;
  }
}

bool usesKv(const Operation& op) { return op.op == Op::kvWrite || op.op == Op::attention; }

// Whether `later` reads or overwrites what `earlier` writes, or overwrites what it reads.
bool conflict(const Operation& earlier, const Operation& later) {
  // Two of ATTENTION meet as well: other threads may still read the chunks that this one keeps for them.
  if (usesKv(earlier) && usesKv(later)) return true;
  const Buffer* written = earlier.dst;
  if (written != nullptr && (written == later.dst || written == later.a || written == later.b)) return true;
  return later.dst != nullptr && (later.dst == earlier.a || later.dst == earlier.b);
}

bool mayFollowFreely(const Operation& earlier, const Operation& later) {
  const bool sameRows = sharesRows(earlier) && sharesRows(later) && earlier.domain == later.domain;
  return sameRows || !conflict(earlier, later);
}

}  // namespace

void placeBarriers(std::vector<Operation>* operations) {
  size_t groupFirst = 0;  // the operations since the last meeting
  for (size_t i = 0; i < operations->size(); i++) {
    Operation& op = (*operations)[i];
    for (size_t k = groupFirst; k < i && !op.barrier; k++) op.barrier = !mayFollowFreely((*operations)[k], op);
    if (op.barrier) groupFirst = i;
  }
}

}  // namespace claw
