// Sealing and packing of weights.
#include "lanes/pack.h"

#include "arch/avx2/lanes.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {

int32_t packBlock(const PackTask& task) { return lanes::packBlock<Lanes>(task); }

}  // namespace claw::avx2
