// EMBED.
#include "lanes/embed.h"

#include "arch/neon/lanes.h"
#include "arch/neon/table.h"

namespace claw::neon {

void embedRow(const Matrix& matrix, int32_t token, float* out) { lanes::embedRow<Lanes>(matrix, token, out); }

}  // namespace claw::neon
