// ADD, ROPE and KV_WRITE: products and sums that must not fuse, and conversions.
#include "arch/avx2/simd.h"
#include "arch/avx2/table.h"
#include "kernels/scalar.h"

namespace claw::avx2 {

void add(const float* a, const float* b, float* out, int32_t count) {
  eachVector(count, [&](int k, auto extent) {
    store(out + k, _mm256_add_ps(load(a + k, extent), load(b + k, extent)), extent);
  });
}

namespace {

// Pairs (2i, 2i + 1): even lanes hold a, odd lanes b, and the table alternates cosine and sine the same way.
void ropeAdjacent(float* head, const float* table, int headDim) {
  eachVector(headDim, [&](int i, auto extent) {
    const __m256 values = load(head + i, extent);
    const __m256 angles = load(table + i, extent);
    const __m256 straight = _mm256_mul_ps(values, _mm256_moveldup_ps(angles));
    const __m256 crossed = _mm256_mul_ps(_mm256_permute_ps(values, 0b10110001), _mm256_movehdup_ps(angles));
    store(head + i, _mm256_addsub_ps(straight, crossed), extent);
  });
}

// Both are the elements of one parity of 16 alternating ones; a shuffle works within 128 bits, so its pairs are ordered after.
__m256 evenLanes(__m256 low, __m256 high) {
  const __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0b10001000));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0b11011000));
}
__m256 oddLanes(__m256 low, __m256 high) {
  const __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0b11011101));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0b11011000));
}

// Pairs (i, i + headDim / 2).
void ropeHalves(float* head, const float* table, int headDim) {
  const int pairs = headDim / 2;
  const auto rotate = [&](int i, auto extent, auto firstAngles, auto secondAngles) {
    const __m256 low = load(table + 2 * i, firstAngles);
    const __m256 high = load(table + 2 * i + kLanes, secondAngles);
    const __m256 cosine = evenLanes(low, high);
    const __m256 sine = oddLanes(low, high);
    const __m256 a = load(head + i, extent);
    const __m256 b = load(head + pairs + i, extent);
    store(head + i, _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine)), extent);
    store(head + pairs + i, _mm256_add_ps(_mm256_mul_ps(a, sine), _mm256_mul_ps(b, cosine)), extent);
  };
  int i = 0;
  for (; i + kLanes <= pairs; i += kLanes) rotate(i, Whole{}, Whole{}, Whole{});
  const int rest = pairs - i;
  if (rest > 0) rotate(i, Part{rest}, Part{2 * rest}, Part{2 * rest - kLanes});
}

}  // namespace

void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves) {
  const auto rotate = halves ? ropeHalves : ropeAdjacent;
  for (int head = 0; head < heads; ++head) rotate(row + static_cast<ptrdiff_t>(head) * headDim, table, headDim);
}

namespace {

// Converts 8 values at a time and replaces what has no finite half by zero; store(k, halves, how many).
template <class Store>
int32_t storeHalves(const float* from, int count, const Store& store) {
  __m128i bad = _mm_setzero_si128();
  eachVector(count, [&](int k, auto extent) {
    const __m128i halves = toHalves(load(from + k, extent));
    const __m128i notFinite = notFiniteHalves(halves);
    bad = _mm_or_si128(bad, notFinite);
    alignas(16) uint16_t each[kLanes];
    _mm_store_si128(reinterpret_cast<__m128i*>(each), _mm_andnot_si128(notFinite, halves));
    store(k, each, smaller(kLanes, count - k));
  });
  return _mm_testz_si128(bad, bad) != 0 ? 0 : kKvRange;
}

int32_t storeF16(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  constexpr int kTile = 16;  // positions interleaved in the keys' layout
  const int headDim = kv.headDim;
  uint16_t* tile = kv.keys<uint16_t>(place.page, place.layer, place.head);
  uint16_t* column = tile + static_cast<ptrdiff_t>(place.slot / kTile) * headDim * kTile + place.slot % kTile;
  uint16_t* row = kv.values<uint16_t>(place.page, place.layer, place.head) + static_cast<ptrdiff_t>(place.slot) * headDim;
  const int32_t keyStatus = storeHalves(k, headDim, [&](int d, const uint16_t* halves, int count) {
    for (int i = 0; i < count; ++i) column[(d + i) * kTile] = halves[i];
  });
  const int32_t valueStatus = storeHalves(v, headDim, [&](int d, const uint16_t* halves, int count) {
    __builtin_memcpy(row + d, halves, static_cast<size_t>(count) * sizeof *halves);
  });
  return keyStatus | valueStatus;
}

}  // namespace

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  // Floats and bytes are the scalar kernel's work too: the keys' scatter has no vector form.
  if (kv.format != KvFormat::f16) return scalar::storeKv(kv, place, k, v);
  return storeF16(kv, place, k, v);
}

}  // namespace claw::avx2
