// ADD, ROPE, EMBED and KV_WRITE: products and sums that must not fuse, and conversions.
#include "arch/avx512/simd.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {

void add(const float* a, const float* b, float* out, int32_t count) {
  for (int i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = lanesLeft(count - i);
    const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, a + i), _mm512_maskz_loadu_ps(lanes, b + i));
    _mm512_mask_storeu_ps(out + i, lanes, sum);
  }
}

namespace {

// Pairs (2i, 2i + 1): even lanes hold a, odd lanes b, and the table alternates cosine and sine the same way.
void ropeAdjacent(float* head, const float* table, int headDim) {
  constexpr __mmask16 kEven = 0x5555;
  for (int i = 0; i < headDim; i += kLanes) {
    const __mmask16 lanes = lanesLeft(headDim - i);
    const __m512 values = _mm512_maskz_loadu_ps(lanes, head + i);
    const __m512 angles = _mm512_maskz_loadu_ps(lanes, table + i);
    const __m512 straight = _mm512_mul_ps(values, _mm512_moveldup_ps(angles));
    const __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(values, 0b10110001), _mm512_movehdup_ps(angles));
    const __m512 sums = _mm512_add_ps(crossed, straight);
    _mm512_mask_storeu_ps(head + i, lanes, _mm512_mask_sub_ps(sums, kEven, straight, crossed));
  }
}

// Pairs (i, i + headDim / 2).
void ropeHalves(float* head, const float* table, int headDim) {
  const int pairs = headDim / 2;
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int i = 0; i < pairs; i += kLanes) {
    const int rest = pairs - i;
    const __mmask16 lanes = lanesLeft(rest);
    const __m512 low = _mm512_maskz_loadu_ps(lanesLeft(2 * rest), table + 2 * i);
    const __m512 high = _mm512_maskz_loadu_ps(rest > 8 ? lanesLeft(2 * rest - kLanes) : 0, table + 2 * i + kLanes);
    const __m512 cosine = _mm512_permutex2var_ps(low, even, high);
    const __m512 sine = _mm512_permutex2var_ps(low, odd, high);
    const __m512 a = _mm512_maskz_loadu_ps(lanes, head + i);
    const __m512 b = _mm512_maskz_loadu_ps(lanes, head + pairs + i);
    const __m512 first = _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine));
    const __m512 second = _mm512_add_ps(_mm512_mul_ps(a, sine), _mm512_mul_ps(b, cosine));
    _mm512_mask_storeu_ps(head + i, lanes, first);
    _mm512_mask_storeu_ps(head + pairs + i, lanes, second);
  }
}

}  // namespace

void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  const auto rotate = halves ? ropeHalves : ropeAdjacent;
  for (int head = 0; head < heads; ++head) rotate(row + static_cast<ptrdiff_t>(head) * headDim, table, headDim);
}

namespace {

// Converts 16 values at a time and replaces what has no finite half by zero.
template <class Store>
int32_t storeHalves(const float* from, int count, Store store) {
  int32_t status = 0;
  for (int d = 0; d < count; d += kLanes) {
    const __mmask16 lanes = lanesLeft(count - d);
    const __m256i halves = toHalves(_mm512_maskz_loadu_ps(lanes, from + d));
    const __mmask16 bad = notFiniteHalves(halves);
    if (bad != 0) status = kKvRange;
    store(d, lanes, _mm256_mask_mov_epi16(halves, bad, _mm256_setzero_si256()));
  }
  return status;
}

int32_t storeF16(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  const int headDim = kv.headDim;
  uint16_t* tile = kv.keys<uint16_t>(place.page, place.layer, place.head);
  uint16_t* column = tile + static_cast<ptrdiff_t>(place.slot / kLanes) * headDim * kLanes + place.slot % kLanes;
  uint16_t* row = kv.values<uint16_t>(place.page, place.layer, place.head) + static_cast<ptrdiff_t>(place.slot) * headDim;
  const int32_t keyStatus = storeHalves(k, headDim, [&](int d, __mmask16, __m256i halves) {
    alignas(32) uint16_t each[kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(each), halves);
    for (int i = 0; i < smaller(kLanes, headDim - d); ++i) column[(d + i) * kLanes] = each[i];
  });
  const int32_t valueStatus = storeHalves(
      v, headDim, [&](int d, __mmask16 lanes, __m256i halves) { _mm256_mask_storeu_epi16(row + d, lanes, halves); });
  return keyStatus | valueStatus;
}

}  // namespace

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  // Floats and bytes are the scalar kernel's work too: the keys' scatter has no vector form.
  if (kv.format != KvFormat::f16) return scalarKernels().storeKv(kv, place, k, v);
  return storeF16(kv, place, k, v);
}

}  // namespace claw::avx512
