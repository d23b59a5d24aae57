// Rotating queries and keys where keys are kept as bytes (docs/reference/arithmetic.md, Attention). Sums and products with
// powers of two only, so that one portable version serves every instruction set.
#pragma once

#include <cstdint>

namespace claw {

void rotateKey(const float* from, float* to, int32_t headDim);
void rotateQuery(const float* from, float* to, int32_t headDim);

}  // namespace claw
