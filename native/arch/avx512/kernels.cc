// The AVX-512 kernel table (F, BW, VL, DQ, VNNI; FMA and F16C come with it).
#include "kernels/kernels.h"

#include "arch/avx512/table.h"

namespace claw {

namespace avx512 {

void linear(const LinearTask& task) {
  switch (task.matrix->format) {
    case Format::f16:
      return linearF16(task);
    case Format::i8:
      return linearI8(task);
    case Format::i4:
      return linearI4(task);
  }
}

}  // namespace avx512

const Kernels& avx512Kernels() {
  static constexpr Kernels table{
      .name = "avx512",
      .linear = avx512::linear,
      .quantizeSegment = avx512::quantizeSegment,
      .rmsNormRow = avx512::rmsNormRow,
      .embedRow = avx512::embedRow,
      .ropeRow = avx512::ropeRow,
      .siluMul = avx512::siluMul,
      .add = avx512::add,
      .storeKv = avx512::storeKv,
      .attendChunk = avx512::attendChunk,
      .foldChunk = avx512::foldChunk,
      .finishAttention = avx512::finishAttention,
      .adaptDown = avx512::adaptDown,
      .adaptUp = avx512::adaptUp,
      .packBlock = avx512::packBlock,
  };
  return table;
}

}  // namespace claw
