#include "kernels/scalar.h"

namespace claw {

const Kernels& scalarKernels() {
  static constexpr Kernels table = {
      .name = "scalar",
      .linear = scalar::linear,
      .quantizeSegment = scalar::quantizeSegment,
      .rmsNormRow = scalar::rmsNormRow,
      .embedRow = scalar::embedRow,
      .ropeRow = scalar::ropeRow,
      .siluMul = scalar::siluMul,
      .add = scalar::add,
      .storeKv = scalar::storeKv,
      .attendChunk = scalar::attendChunk,
      .foldChunk = scalar::foldChunk,
      .finishAttention = scalar::finishAttention,
      .adaptDown = scalar::adaptDown,
      .adaptUp = scalar::adaptUp,
      .packBlock = scalar::packBlock,
  };
  return table;
}

}  // namespace claw
