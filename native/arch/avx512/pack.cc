// Sealing and packing of weights.
#include "lanes/pack.h"

#include "arch/avx512/lanes.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

int32_t packBlock(const PackTask& task) { return lanes::packBlock<Lanes>(task); }

}  // namespace claw::avx512
