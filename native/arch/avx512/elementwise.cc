// ADD, ROPE and KV_WRITE.
#include "lanes/elementwise.h"

#include "arch/avx512/lanes.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

void add(const float* a, const float* b, float* out, int32_t count) { lanes::add<Lanes>(a, b, out, count); }

void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  lanes::ropeRow<Lanes>(row, table, heads, headDim, halves);
}

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  return lanes::storeKv<Lanes>(kv, place, k, v);
}

}  // namespace claw::avx512
