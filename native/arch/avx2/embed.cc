// EMBED.
#include "lanes/embed.h"

#include "arch/avx2/lanes.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {

void embedRow(const Matrix& matrix, int32_t token, float* out) { lanes::embedRow<Lanes>(matrix, token, out); }

}  // namespace claw::avx2
