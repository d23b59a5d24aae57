// What this folder adds to the AVX2 kernels.
#pragma once

#include "kernels/kernels.h"

namespace claw::avx2::vnni {

void linearInteger(const LinearTask& task);

}  // namespace claw::avx2::vnni
