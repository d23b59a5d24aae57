// QUANTIZE.
#include "lanes/quantize.h"

#include "arch/neon/lanes.h"
#include "arch/neon/table.h"

namespace claw::neon {

int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch) {
  return lanes::quantizeSegment<Lanes>(x, out, row, segment, scratch);
}

}  // namespace claw::neon
