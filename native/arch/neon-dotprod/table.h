// What this folder adds to the NEON kernels.
#pragma once

#include "kernels/kernels.h"

namespace claw::neon::dotprod {

void linearInteger(const LinearTask& task);

}  // namespace claw::neon::dotprod
