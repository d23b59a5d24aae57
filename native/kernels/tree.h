// The balanced tree over segments. Internal linkage, as in half.h.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace claw {

static inline int32_t treeMiddle(int32_t first, int32_t end) { return first + (end - first + 1) / 2; }

// Adds the leaves [first, end) of each of the 16 rows in the tree's order, in place: the sums come to leaves[first].
static inline void reduceTree(float (*leaves)[kRowBlock], int32_t first, int32_t end) {
  if (end - first == 1) return;
  const int32_t middle = treeMiddle(first, end);
  reduceTree(leaves, first, middle);
  reduceTree(leaves, middle, end);
  for (int32_t r = 0; r < kRowBlock; r++) leaves[first][r] += leaves[middle][r];
}

}  // namespace claw
