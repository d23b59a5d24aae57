// The NEON kernel table, for every 64-bit ARM processor. EMBED and ADD are the scalar ones: the compiler makes vectors
// of an addition itself, and a row out of a packed matrix is a walk through memory.
#include "kernels/kernels.h"

#include "arch/neon/table.h"
#include "kernels/scalar.h"

namespace claw {

namespace {

void linear(const LinearTask& task) {
  if (task.matrix->format == Format::f16) return neon::linearF16(task);
  neon::linearInteger(task);
}

}  // namespace

const Kernels& neonKernels() {
  static constexpr Kernels table{
      .name = "neon",
      .linear = linear,
      .quantizeRow = neon::quantizeRow,
      .rmsNormRow = neon::rmsNormRow,
      .embedRow = scalar::embedRow,
      .ropeRow = neon::ropeRow,
      .siluMul = neon::siluMul,
      .add = scalar::add,
      .storeKv = neon::storeKv,
      .attendChunk = neon::attendChunk,
      .foldChunk = neon::foldChunk,
      .finishAttention = neon::finishAttention,
      .packBlock = neon::packBlock,
  };
  return table;
}

}  // namespace claw
