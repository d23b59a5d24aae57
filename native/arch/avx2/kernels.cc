// The AVX2 kernel table (with FMA and F16C, which every processor but the earliest has beside it).
#include "kernels/kernels.h"

#include "arch/avx2/table.h"

namespace claw {

namespace avx2 {

void linear(const LinearTask& task) {
  if (task.matrix->format == Format::f16) linearF16(task);
  else linearInteger(task);
}

}  // namespace avx2

const Kernels& avx2Kernels() {
  static constexpr Kernels table{
      .name = "avx2",
      .linear = avx2::linear,
      .quantizeSegment = avx2::quantizeSegment,
      .rmsNormRow = avx2::rmsNormRow,
      .embedRow = avx2::embedRow,
      .ropeRow = avx2::ropeRow,
      .siluMul = avx2::siluMul,
      .add = avx2::add,
      .storeKv = avx2::storeKv,
      .attendChunk = avx2::attendChunk,
      .foldChunk = avx2::foldChunk,
      .finishAttention = avx2::finishAttention,
      .adaptDown = avx2::adaptDown,
      .adaptUp = avx2::adaptUp,
      .packBlock = avx2::packBlock,
  };
  return table;
}

}  // namespace claw
