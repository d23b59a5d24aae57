// EMBED.
#include "lanes/embed.h"

#include "arch/avx512/lanes.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

void embedRow(const Matrix& matrix, int32_t token, float* out) { lanes::embedRow<Lanes>(matrix, token, out); }

}  // namespace claw::avx512
