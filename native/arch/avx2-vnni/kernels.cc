// The AVX2 kernel table with integer products by the dot product instructions of AVX-VNNI.
#include "kernels/kernels.h"

#include "arch/avx2-vnni/table.h"
#include "arch/avx2/table.h"

namespace claw {

namespace {

void linear(const LinearTask& task) {
  if (task.matrix->format == Format::f16) return avx2::linearF16(task);
  avx2::vnni::linearInteger(task);
}

Kernels makeTable() {
  Kernels table = avx2Kernels();
  table.name = "avx2-vnni";
  table.linear = linear;
  return table;
}

}  // namespace

const Kernels& avx2VnniKernels() {
  static const Kernels table = makeTable();
  return table;
}

}  // namespace claw
