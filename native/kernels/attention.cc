// uses-fma: scores, weighted values and exp.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/half.h"
#include "kernels/numeric.h"
#include "kernels/scalar.h"

namespace claw::scalar {
namespace {

constexpr int32_t kTile = 16;  // positions interleaved in the keys' layout

struct Chunk {
  int32_t first;  // absolute position
  int32_t count;
};

float toFloat(uint16_t half) { return finiteHalfToFloat(half); }
float toFloat(float value) { return value; }

// Fills `scores`; returns the largest.
template <class T>
float scoreChunk(const AttentionTask& task, const float* q, const Chunk& chunk, float* scores) {
  const int32_t headDim = task.kv->headDim;
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t tile = 0; tile < chunk.count; tile += kTile) {
    const int32_t position = chunk.first + tile;
    const int32_t page = task.pages[position / kPageTokens];
    const T* keys = task.kv->keys<T>(page, task.layer, task.head) + (position % kPageTokens) * headDim;
    float sums[kTile] = {};
    for (int32_t d = 0; d < headDim; d++, keys += kTile) {
      for (int32_t i = 0; i < kTile; i++) sums[i] = std::fma(q[d], toFloat(keys[i]), sums[i]);
    }
    for (int32_t i = 0; i < std::min(kTile, chunk.count - tile); i++) {
      const float score = sums[i] * task.scale;
      scores[tile + i] = score;
      largest = score > largest ? score : largest;
    }
  }
  return largest;
}

// Writes the chunk's weighted sum of values; returns the sum of the weights.
template <class T>
float weighChunk(const AttentionTask& task, const Chunk& chunk, const float* scores, float largest, float* out) {
  const int32_t headDim = task.kv->headDim;
  float lanes[16] = {};
  std::fill_n(out, headDim, 0.0f);
  for (int32_t j = 0; j < chunk.count; j++) {
    const int32_t position = chunk.first + j;
    const int32_t page = task.pages[position / kPageTokens];
    const T* values = task.kv->values<T>(page, task.layer, task.head) + (position % kPageTokens) * headDim;
    const float weight = exactExp(scores[j] - largest);
    lanes[position & 15] += weight;
    for (int32_t d = 0; d < headDim; d++) out[d] = std::fma(weight, toFloat(values[d]), out[d]);
  }
  return sumLanes(lanes);
}

template <class T>
void attendQuery(const AttentionTask& task, const float* q, float* out) {
  const int32_t headDim = task.kv->headDim;
  float* scores = task.scratch;
  float* folded = scores + kAttentionChunk;
  float largest = 0.0f;
  float total = 0.0f;
  for (int32_t first = 0; first <= task.position; first += kAttentionChunk) {
    const Chunk chunk = {first, std::min(kAttentionChunk, task.position + 1 - first)};
    const float top = scoreChunk<T>(task, q, chunk, scores);
    const float sum = weighChunk<T>(task, chunk, scores, top, first == 0 ? out : folded);
    if (first == 0) {
      largest = top;
      total = sum;
      continue;
    }
    const float joint = std::max(largest, top);
    const float a = exactExp(largest - joint);
    const float b = exactExp(top - joint);
    largest = joint;
    total = (total * a) + (sum * b);
    for (int32_t d = 0; d < headDim; d++) out[d] = (out[d] * a) + (folded[d] * b);
  }
  const float inverse = 1.0f / total;
  for (int32_t d = 0; d < headDim; d++) out[d] *= inverse;
}

template <class T>
void attendAll(const AttentionTask& task) {
  for (int32_t query = 0; query < task.queries; query++) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(query) * task.kv->headDim;
    attendQuery<T>(task, task.q + offset, task.out + offset);
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

}  // namespace

void attend(const AttentionTask& task) {
  if (task.kv->format == KvFormat::f16) return attendAll<uint16_t>(task);
  attendAll<float>(task);
}

int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v) {
  return kv.format == KvFormat::f16 ? store<uint16_t>(kv, place, k, v) : store<float>(kv, place, k, v);
}

}  // namespace claw::scalar
