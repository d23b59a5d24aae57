// From the integer tape to checked operations. After this no operand can lead outside a buffer, matrix or vector;
// what only a step knows (tokens, positions, pages) is checked per step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "executor/error.h"
#include "executor/program.h"

namespace claw {

struct TapeContext {
  std::span<const int32_t> tape;
  std::span<const Buffer> buffers;
  std::span<const Matrix* const> matrices;
  std::span<const Vector> vectors;
};

Error compileTape(const TapeContext& context, std::vector<Operation>* operations);

// The maximal subtrees of the balanced tree over `count` leaves inside [first, end).
std::vector<Subtree> maximalSubtrees(int32_t count, int32_t first, int32_t end);

// Whether every integer sum over a segment stays in int32.
bool sumsFit(Format format, int32_t segmentLength);

}  // namespace claw
