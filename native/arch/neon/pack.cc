// Sealing and packing of weights.
#include "lanes/pack.h"

#include "arch/neon/lanes.h"
#include "arch/neon/table.h"

namespace claw::neon {

int32_t packBlock(const PackTask& task) { return lanes::packBlock<Lanes>(task); }

}  // namespace claw::neon
