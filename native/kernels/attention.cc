// uses-fma: scores, weighted values and exp.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/half.h"
#include "kernels/kv-rotation.h"
#include "kernels/numeric.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

constexpr int32_t kTile = 16;  // positions interleaved in the keys' layout

// Positions that one query head of a task sees of a chunk.
struct View {
  const AttentionTask& task;
  int32_t first;  // absolute position
  int32_t count;

  View(const AttentionTask& whole, int32_t chunk, int32_t query)
      : task(whole),
        first(chunk * kAttentionChunk),
        count(std::min(kAttentionChunk, whole.position + query / whole.queries + 1 - first)) {}
  int32_t page(int32_t j) const { return task.pages[(first + j) / kPageTokens]; }
};

float toFloat(uint16_t half) { return finiteHalfToFloat(half); }
float toFloat(float value) { return value; }
float toFloat(int8_t value) { return value; }

// The scale of the key at position `j` of the chunk: 1 but for bytes. That of the value lies kPageTokens behind it.
template <class T>
float scaleAt(const View& view, int32_t j, int32_t offset) {
  if constexpr (std::is_same_v<T, int8_t>) {
    return view.task.kv->scales(view.page(j), view.task.layer, view.task.head)[j % kPageTokens + offset];
  }
  return 1.0f;
}

// Where a query is among rows that are so far from each other.
ptrdiff_t offsetOf(const AttentionTask& task, int32_t query, ptrdiff_t stride) {
  return query / task.queries * stride + static_cast<ptrdiff_t>(query % task.queries) * task.kv->headDim;
}

// Fills `scores`; returns the largest.
template <class T>
float scoreChunk(const View& view, const float* q, float* scores) {
  const AttentionTask& task = view.task;
  const int32_t headDim = task.kv->headDim;
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t tile = 0; tile < view.count; tile += kTile) {
    const T* keys = task.kv->keys<T>(view.page(tile), task.layer, task.head) + (tile % kPageTokens) * headDim;
    float sums[kTile] = {};
    for (int32_t d = 0; d < headDim; d++, keys += kTile) {
      for (int32_t i = 0; i < kTile; i++) sums[i] = std::fma(q[d], toFloat(keys[i]), sums[i]);
    }
    for (int32_t i = 0; i < std::min(kTile, view.count - tile); i++) {
      const float score = (sums[i] * scaleAt<T>(view, tile + i, 0)) * task.scale;
      scores[tile + i] = score;
      largest = score > largest ? score : largest;
    }
  }
  return largest;
}

// Writes the chunk's weighted sum of values; returns the sum of the weights.
template <class T>
float weighChunk(const View& view, const float* scores, float largest, float* out) {
  const AttentionTask& task = view.task;
  const int32_t headDim = task.kv->headDim;
  float lanes[16] = {};
  std::fill_n(out, headDim, 0.0f);
  for (int32_t j = 0; j < view.count; j++) {
    const T* values = task.kv->values<T>(view.page(j), task.layer, task.head) + (j % kPageTokens) * headDim;
    const float weight = exactExp(scores[j] - largest);
    lanes[j & 15] += weight;  // a chunk begins at a multiple of 16 positions
    const float scaled = weight * scaleAt<T>(view, j, kPageTokens);
    for (int32_t d = 0; d < headDim; d++) out[d] = std::fma(scaled, toFloat(values[d]), out[d]);
  }
  return sumLanes(lanes);
}

template <class T>
void attendAll(const AttentionTask& task, int32_t chunk, const AttentionSums& sums) {
  for (int32_t query = 0; query < task.allQueries(); query++) {
    const View view(task, chunk, query);
    float* out = sums.values + static_cast<ptrdiff_t>(query) * task.kv->headDim;
    sums.largest[query] = scoreChunk<T>(view, task.q + offsetOf(task, query, task.qStride), task.scratch);
    sums.totals[query] = weighChunk<T>(view, task.scratch, sums.largest[query], out);
  }
}

// The value as the cache keeps it; zero, and the status, when it cannot.
uint16_t fitted(float value, uint16_t*, int32_t* status) {
  const uint16_t half = floatToHalf(value);
  if (isFiniteHalf(half)) return half;
  *status = kKvRange;
  return 0;
}

float fitted(float value, float*, int32_t* status) {
  if (std::isfinite(value)) return value;
  *status = kKvRange;
  return 0.0f;
}

template <class T>
int32_t store(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  int32_t status = 0;
  T* tile = kv.keys<T>(place.page, place.layer, place.head) + (place.slot / kTile) * kTile * kv.headDim;
  T* values = kv.values<T>(place.page, place.layer, place.head) + place.slot * kv.headDim;
  for (int32_t d = 0; d < kv.headDim; d++) {
    tile[d * kTile + place.slot % kTile] = fitted(k[d], tile, &status);
    values[d] = fitted(v[d], values, &status);
  }
  return status;
}

// The scale of a vector, whose bytes go to every `step`-th place of `to`.
float quantize(const KvCache& kv, const float* values, int8_t* to, int32_t step, int32_t* status) {
  const uint32_t bits = largestMagnitude(values, kv.headDim);
  const float largest = std::bit_cast<float>(bits);
  if (bits >= kNotFiniteBits) *status = kKvRange;
  if (bits >= kNotFiniteBits || largest < kTiny) {
    for (int32_t d = 0; d < kv.headDim; d++) to[d * step] = 0;
    return 0.0f;
  }
  const float scale = largest / 127.0f;
  const float reciprocal = 1.0f / scale;
  for (int32_t d = 0; d < kv.headDim; d++) to[d * step] = static_cast<int8_t>(roundEven(values[d] * reciprocal));
  return scale;
}

int32_t storeBytes(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  int32_t status = 0;
  int8_t* tile = kv.keys<int8_t>(place.page, place.layer, place.head) + (place.slot / kTile) * kTile * kv.headDim;
  int8_t* values = kv.values<int8_t>(place.page, place.layer, place.head) + place.slot * kv.headDim;
  float* scales = kv.scales(place.page, place.layer, place.head) + place.slot;
  float rotated[kHeadDimMax];
  rotateKey(k, rotated, kv.headDim);
  scales[0] = quantize(kv, rotated, tile + place.slot % kTile, kTile, &status);
  scales[kPageTokens] = quantize(kv, v, values, 1, &status);
  return status;
}

}  // namespace

void attendChunk(const AttentionTask& task, int32_t chunk, const AttentionSums& sums) {
  switch (task.kv->format) {
    case KvFormat::f16:
      return attendAll<uint16_t>(task, chunk, sums);
    case KvFormat::f32:
      return attendAll<float>(task, chunk, sums);
    case KvFormat::i8:
      return attendAll<int8_t>(task, chunk, sums);
  }
}

void foldChunk(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range) {
  const int32_t headDim = task.kv->headDim;
  for (int32_t query = range.first; query < range.end; query++) {
    const float* from = chunk.values + static_cast<ptrdiff_t>(query) * headDim;
    float* into = folded.values + static_cast<ptrdiff_t>(query) * headDim;
    const float joint = std::max(folded.largest[query], chunk.largest[query]);
    const float a = exactExp(folded.largest[query] - joint);
    const float b = exactExp(chunk.largest[query] - joint);
    folded.largest[query] = joint;
    folded.totals[query] = (folded.totals[query] * a) + (chunk.totals[query] * b);
    for (int32_t d = 0; d < headDim; d++) into[d] = (into[d] * a) + (from[d] * b);
  }
}

void finishAttention(const AttentionTask& task, const AttentionSums& folded, QueryRange range) {
  const int32_t headDim = task.kv->headDim;
  for (int32_t query = range.first; query < range.end; query++) {
    const float* from = folded.values + static_cast<ptrdiff_t>(query) * headDim;
    float* out = task.out + offsetOf(task, query, task.outStride);
    const float inverse = 1.0f / folded.totals[query];
    for (int32_t d = 0; d < headDim; d++) out[d] = from[d] * inverse;
  }
}

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  switch (kv.format) {
    case KvFormat::f16:
      return store<uint16_t>(kv, place, k, v);
    case KvFormat::f32:
      return store<float>(kv, place, k, v);
    case KvFormat::i8:
      return storeBytes(kv, place, k, v);
  }
  return 0;
}

}  // namespace claw::scalar
