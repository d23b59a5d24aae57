// ROPE and KV_WRITE: products and sums that must not fuse, and conversions.
#include "arch/neon/simd.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

// Up to four pairs; zeros beyond `rest` of them.
float32x4x2_t loadPairs(const float* from, int rest) {
  if (rest >= kLanes) return vld2q_f32(from);
  float values[2 * kLanes] = {};
  for (int i = 0; i < 2 * rest; ++i) values[i] = from[i];
  return vld2q_f32(values);
}

void storePairs(float* to, int rest, float32x4x2_t pairs) {
  if (rest >= kLanes) return vst2q_f32(to, pairs);
  float values[2 * kLanes];
  vst2q_f32(values, pairs);
  for (int i = 0; i < 2 * rest; ++i) to[i] = values[i];
}

// The pairs (a, b), as two vectors, turned by the angles (cosine, sine).
float32x4x2_t rotate(float32x4x2_t pairs, float32x4x2_t angles) {
  const float32x4_t a = pairs.val[0];
  const float32x4_t b = pairs.val[1];
  return {{vsubq_f32(vmulq_f32(a, angles.val[0]), vmulq_f32(b, angles.val[1])),
           vaddq_f32(vmulq_f32(a, angles.val[1]), vmulq_f32(b, angles.val[0]))}};
}

// Pairs (2i, 2i + 1).
void ropeAdjacent(float* head, const float* table, int pairs) {
  for (int i = 0; i < pairs; i += kLanes) {
    const int rest = pairs - i;
    storePairs(head + 2 * i, rest, rotate(loadPairs(head + 2 * i, rest), loadPairs(table + 2 * i, rest)));
  }
}

// Pairs (i, i + headDim / 2).
void ropeHalves(float* head, const float* table, int pairs) {
  for (int i = 0; i < pairs; i += kLanes) {
    const int rest = pairs - i;
    const float32x4x2_t values = {{load(head + i, rest), load(head + pairs + i, rest)}};
    const float32x4x2_t turned = rotate(values, loadPairs(table + 2 * i, rest));
    store(head + i, rest, turned.val[0]);
    store(head + pairs + i, rest, turned.val[1]);
  }
}

// Converts four values at a time, replaces what has no finite half by zero, and stores element d at to[d * stride].
int32_t storeHalves(const float* from, int count, uint16_t* to, int stride) {
  int32_t status = 0;
  for (int d = 0; d < count; d += kLanes) {
    const uint16x4_t halves = toHalves(load(from + d, count - d));
    const uint16x4_t bad = notFiniteHalves(halves);
    if (anyOf(bad)) status = kKvRange;
    uint16_t each[kLanes];
    vst1_u16(each, vbic_u16(halves, bad));
    for (int i = 0; i < smaller(kLanes, count - d); ++i) to[static_cast<ptrdiff_t>(d + i) * stride] = each[i];
  }
  return status;
}

}  // namespace

void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  const auto turn = halves ? ropeHalves : ropeAdjacent;
  for (int head = 0; head < heads; ++head) turn(row + static_cast<ptrdiff_t>(head) * headDim, table, headDim / 2);
}

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  // Floats and bytes are the scalar kernel's work too: the keys' scatter has no vector form.
  if (kv.format != KvFormat::f16) return scalarKernels().storeKv(kv, place, k, v);
  constexpr int kTile = 16;  // positions interleaved in the keys' layout
  uint16_t* tile = kv.keys<uint16_t>(place.page, place.layer, place.head);
  uint16_t* column = tile + static_cast<ptrdiff_t>(place.slot / kTile) * kv.headDim * kTile + place.slot % kTile;
  uint16_t* values = kv.values<uint16_t>(place.page, place.layer, place.head);
  const int32_t keyStatus = storeHalves(k, kv.headDim, column, kTile);
  return keyStatus | storeHalves(v, kv.headDim, values + static_cast<ptrdiff_t>(place.slot) * kv.headDim, 1);
}

}  // namespace claw::neon
