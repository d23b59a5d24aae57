// The NEON kernel table, for every 64-bit ARM processor.
#include "kernels/kernels.h"

#include "arch/neon/table.h"

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
      .quantizeSegment = neon::quantizeSegment,
      .rmsNormRow = neon::rmsNormRow,
      .embedRow = neon::embedRow,
      .ropeRow = neon::ropeRow,
      .siluMul = neon::siluMul,
      .add = neon::add,
      .storeKv = neon::storeKv,
      .attendChunk = neon::attendChunk,
      .foldChunk = neon::foldChunk,
      .finishAttention = neon::finishAttention,
      .adaptDown = neon::adaptDown,
      .adaptUp = neon::adaptUp,
      .packBlock = neon::packBlock,
  };
  return table;
}

}  // namespace claw
