// QUANTIZE.
#include "lanes/quantize.h"

#include "arch/avx2/lanes.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {

int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch) {
  return lanes::quantizeSegment<Lanes>(x, out, row, segment, scratch);
}

}  // namespace claw::avx2
