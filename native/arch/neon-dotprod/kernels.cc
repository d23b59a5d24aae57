// The NEON kernel table with integer products by the dot product instructions of ARMv8.2 (FEAT_DotProd).
#include "kernels/kernels.h"

#include "arch/neon-dotprod/table.h"
#include "arch/neon/table.h"

namespace claw {

namespace {

void linear(const LinearTask& task) {
  if (task.matrix->format == Format::f16) return neon::linearF16(task);
  neon::dotprod::linearInteger(task);
}

Kernels makeTable() {
  Kernels table = neonKernels();
  table.name = "neon-dotprod";
  table.linear = linear;
  return table;
}

}  // namespace

const Kernels& neonDotprodKernels() {
  static const Kernels table = makeTable();
  return table;
}

}  // namespace claw
