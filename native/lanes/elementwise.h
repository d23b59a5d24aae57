// ADD, ROPE and KV_WRITE: products and sums that must not fuse, and conversions.
#pragma once

#include "lanes/lanes.h"

namespace claw::lanes {

template <class Lanes>
CLAW_INLINE void add(const float* a, const float* b, float* out, int32_t count) {
  eachVector(count, [&](int k, auto extent) {
    store<Lanes>(out + k, Lanes::add(load<Lanes>(a + k, extent), load<Lanes>(b + k, extent)), extent);
  });
}

// Pairs (2i, 2i + 1): even lanes hold a, odd lanes b, and the table alternates cosine and sine the same way.
template <class Lanes>
CLAW_INLINE void ropeAdjacent(float* head, const float* table, int headDim) {
  eachVector(headDim, [&](int i, auto extent) {
    const auto values = load<Lanes>(head + i, extent);
    const auto angles = load<Lanes>(table + i, extent);
    const auto straight = Lanes::mul(values, Lanes::evenTwice(angles));
    const auto crossed = Lanes::mul(Lanes::swapPairs(values), Lanes::oddTwice(angles));
    store<Lanes>(head + i, Lanes::subAdd(straight, crossed), extent);
  });
}

// Pairs (i, i + headDim / 2).
template <class Lanes>
CLAW_INLINE void ropeHalves(float* head, const float* table, int headDim) {
  const int pairs = headDim / 2;
  const auto turn = [&](int i, auto extent, auto low, auto high) {
    const auto cosine = Lanes::even(low, high);
    const auto sine = Lanes::odd(low, high);
    const auto a = load<Lanes>(head + i, extent);
    const auto b = load<Lanes>(head + pairs + i, extent);
    store<Lanes>(head + i, Lanes::sub(Lanes::mul(a, cosine), Lanes::mul(b, sine)), extent);
    store<Lanes>(head + pairs + i, Lanes::add(Lanes::mul(a, sine), Lanes::mul(b, cosine)), extent);
  };
  int i = 0;
  for (; i + kLaneCount <= pairs; i += kLaneCount) {
    turn(i, Whole{}, Lanes::load(table + 2 * i), Lanes::load(table + 2 * i + kLaneCount));
  }
  const int rest = pairs - i;
  if (rest == 0) return;
  turn(i, Part{rest}, Lanes::load(table + 2 * i, 2 * rest), Lanes::load(table + 2 * i + kLaneCount, 2 * rest - kLaneCount));
}

template <class Lanes>
CLAW_INLINE void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  for (int head = 0; head < heads; ++head, row += headDim) {
    if (halves) ropeHalves<Lanes>(row, table, headDim);
    else ropeAdjacent<Lanes>(row, table, headDim);
  }
}

// Converts 16 values at a time, replaces what has no finite half by zero, and stores element d at to[d * stride].
template <class Lanes>
CLAW_INLINE int32_t storeHalves(const float* from, int count, uint16_t* to, int stride) {
  int32_t status = 0;
  eachVector(count, [&](int k, auto extent) {
    alignas(32) uint16_t each[kLaneCount];
    if (!Lanes::storeHalves(each, load<Lanes>(from + k, extent))) status = kKvRange;
    for (int i = 0; i < smaller(kLaneCount, count - k); ++i) to[static_cast<ptrdiff_t>(k + i) * stride] = each[i];
  });
  return status;
}

template <class Lanes>
CLAW_INLINE int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  // Floats and bytes are the scalar kernel's work too: the keys' scatter has no vector form.
  if (kv.format != KvFormat::f16) return scalarKernels().storeKv(kv, place, k, v);
  uint16_t* tile = kv.keys<uint16_t>(place.page, place.layer, place.head);
  uint16_t* column = tile + static_cast<ptrdiff_t>(place.slot / kLaneCount) * kv.headDim * kLaneCount + place.slot % kLaneCount;
  uint16_t* values = kv.values<uint16_t>(place.page, place.layer, place.head);
  const int32_t keyStatus = storeHalves<Lanes>(k, kv.headDim, column, kLaneCount);
  return keyStatus | storeHalves<Lanes>(v, kv.headDim, values + static_cast<ptrdiff_t>(place.slot) * kv.headDim, 1);
}

}  // namespace claw::lanes
