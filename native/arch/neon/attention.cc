// uses-fma: ATTENTION of one token row against one KV head, in chunks of 256 positions. Scores hold positions in lanes
// (keys are stored that way), weighted sums of values hold head dimensions; several query heads share each load.
#include "arch/neon/exp.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

constexpr int kQueryTile = 4;                     // query heads computed together
constexpr int kPositions = 16;                    // interleaved in the keys' layout
constexpr int kSumVectors = kPositions / kLanes;  // of the 16-lane sum

float32x4_t loadKept(const uint16_t* from) { return loadHalves(from); }
float32x4_t loadKept(const uint16_t* from, int rest) { return loadHalves(from, rest); }
float32x4_t loadKept(const float* from) { return vld1q_f32(from); }
float32x4_t loadKept(const float* from, int rest) { return load(from, rest); }

// A chunk's maximum m and sum l, and the running ones, of one query head.
struct Softmax {
  float largest;
  float total;
  float chunkLargest;
  float chunkTotal;
};

struct Scratch {
  float* weights;  // [queries][kAttentionChunk]: scores, then exp(score - m)
  float* values;   // [queries][headDim]: the chunk's weighted sum of values
  float* running;  // [queries][headDim]: O
  Softmax* softmax;

  explicit Scratch(const AttentionTask& task) {
    const ptrdiff_t sums = static_cast<ptrdiff_t>(task.queries) * task.kv->headDim;
    weights = task.scratch;
    values = weights + static_cast<ptrdiff_t>(task.queries) * kAttentionChunk;
    running = values + sums;
    softmax = reinterpret_cast<Softmax*>(running + sums);
  }
};

// Positions [first, first + count) of the row's sequence, kept as T; `first` is a multiple of kAttentionChunk.
template <class T>
struct Chunk {
  const AttentionTask& task;
  const Scratch& scratch;
  int first;
  int count;

  int page(int position) const { return task.pages[(first + position) / kPageTokens]; }
  // Keys of the 16 positions from `position` on, and values from `position` to the end of its page.
  const T* keys(int position) const {
    const T* all = task.kv->keys<T>(page(position), task.layer, task.head);
    return all + static_cast<ptrdiff_t>(position % kPageTokens) * task.kv->headDim;
  }
  const T* values(int position) const {
    const T* all = task.kv->values<T>(page(position), task.layer, task.head);
    return all + static_cast<ptrdiff_t>(position % kPageTokens) * task.kv->headDim;
  }
  float* weights(int query) const { return scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk; }
};

// Stores four scores from position `at` of the chunk on; those beyond the row's own position become -infinity.
template <class T>
void storeScores(const Chunk<T>& chunk, int query, int at, float32x4_t products) {
  float* to = chunk.weights(query) + at;
  vst1q_f32(to, vdupq_n_f32(-__builtin_inff()));
  store(to, chunk.count - at, vmulq_n_f32(products, chunk.task.scale));
}

// Scores of `Queries` heads from `query` on against `Tiles` times 16 positions of one page, from `at` on.
template <int Queries, int Tiles, class T>
void scoreTile(const Chunk<T>& chunk, int query, int at) {
  constexpr int kVectors = Tiles * kSumVectors;
  const ptrdiff_t headDim = chunk.task.kv->headDim;
  const float* q = chunk.task.q + query * headDim;
  const T* keys = chunk.keys(at);
  float32x4_t sums[Queries][kVectors];
  clear(sums);
  for (int d = 0; d < headDim; ++d, keys += kPositions) {
    float32x4_t columns[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = loadKept(keys + (v / kSumVectors) * headDim * kPositions + (v % kSumVectors) * kLanes);
    }
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      const float value = q[g * headDim + d];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[g][v] = vfmaq_n_f32(sums[g][v], columns[v], value);
    }
  }
  for (int g = 0; g < Queries; ++g) {
    for (int v = 0; v < kVectors; ++v) storeScores(chunk, query + g, at + v * kLanes, sums[g][v]);
  }
}

template <int Queries, class T>
void scorePositions(const Chunk<T>& chunk, int query) {
  constexpr int kTiles = Queries <= 2 ? 2 : 1;  // 16 sums at most
  static_assert(kPageTokens % (kTiles * kPositions) == 0);
  for (int at = 0; at < chunk.count; at += kTiles * kPositions) scoreTile<Queries, kTiles>(chunk, query, at);
}

// Scores of one head to weights exp(score - m); keeps m and l.
template <class T>
void weigh(const Chunk<T>& chunk, int query) {
  float* weights = chunk.weights(query);
  float32x4_t largest = vld1q_f32(weights);
  for (int j = kLanes; j < chunk.count; j += kLanes) largest = vmaxq_f32(largest, vld1q_f32(weights + j));
  const float top = vmaxvq_f32(largest);
  float32x4_t lanes[1][kSumVectors];
  clear(lanes);
  for (int j = 0; j < chunk.count; j += kPositions) {
    for (int v = 0; v < kSumVectors; ++v) {
      float* at = weights + j + v * kLanes;
      const float32x4_t weight = expLanes(vsubq_f32(vld1q_f32(at), vdupq_n_f32(top)));
      vst1q_f32(at, weight);
      lanes[0][v] = vaddq_f32(lanes[0][v], weight);  // unseen positions weigh +0, which changes no lane
    }
  }
  chunk.scratch.softmax[query].chunkLargest = top;
  chunk.scratch.softmax[query].chunkTotal = sumLanes(lanes[0]);
}

// Weighted sums of `Vectors` vectors of head dimensions from `d` on for `Queries` heads from `query` on; the last
// vector holds `rest` dimensions.
template <int Queries, int Vectors, class T>
void valueTile(const Chunk<T>& chunk, int query, int d, int rest) {
  const ptrdiff_t headDim = chunk.task.kv->headDim;
  const float* weights = chunk.weights(query);
  float32x4_t sums[Queries][Vectors];
  clear(sums);
  const T* values = nullptr;
  for (int j = 0; j < chunk.count; ++j, values += headDim) {
    if (j % kPageTokens == 0) values = chunk.values(j) + d;
    float32x4_t vectors[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors - 1; ++v) vectors[v] = loadKept(values + v * kLanes);
    const T* last = values + (Vectors - 1) * kLanes;
    vectors[Vectors - 1] = rest >= kLanes ? loadKept(last) : loadKept(last, rest);
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      const float weight = weights[g * kAttentionChunk + j];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[g][v] = vfmaq_n_f32(sums[g][v], vectors[v], weight);
    }
  }
  for (int g = 0; g < Queries; ++g) {
    float* to = chunk.scratch.values + (query + g) * headDim + d;
    for (int v = 0; v < Vectors; ++v) store(to + v * kLanes, v == Vectors - 1 ? rest : kLanes, sums[g][v]);
  }
}

template <int Queries, class T>
void sumValues(const Chunk<T>& chunk, int query) {
  constexpr int kVectors = Queries <= 2 ? 8 : 4;  // 16 sums at most
  const int headDim = chunk.task.kv->headDim;
  int d = 0;
  for (; d + kVectors * kLanes <= headDim; d += kVectors * kLanes) {
    valueTile<Queries, kVectors>(chunk, query, d, kLanes);
  }
  for (; d < headDim; d += kLanes) valueTile<Queries, 1>(chunk, query, d, headDim - d);
}

template <int Queries, class T>
void attendQueries(const Chunk<T>& chunk, int query) {
  scorePositions<Queries>(chunk, query);
  for (int g = 0; g < Queries; ++g) weigh(chunk, query + g);
  sumValues<Queries>(chunk, query);
}

template <class T>
void attendChunk(const Chunk<T>& chunk) {
  constexpr void (*kHeads[kQueryTile])(const Chunk<T>&, int) = {attendQueries<1, T>, attendQueries<2, T>,
                                                                attendQueries<3, T>, attendQueries<4, T>};
  const int queries = chunk.task.queries;
  const int tiles = (queries + kQueryTile - 1) / kQueryTile;
  for (int tile = 0; tile < tiles; ++tile) {
    const int first = queries * tile / tiles;
    kHeads[queries * (tile + 1) / tiles - first - 1](chunk, first);
  }
}

// Folds a chunk into the running (M, L, O) of one head: O = (O * a) + (o * b), and L likewise.
template <class T>
void fold(const Chunk<T>& chunk, int query) {
  const int headDim = chunk.task.kv->headDim;
  float* running = chunk.scratch.running + static_cast<ptrdiff_t>(query) * headDim;
  const float* values = chunk.scratch.values + static_cast<ptrdiff_t>(query) * headDim;
  Softmax& s = chunk.scratch.softmax[query];
  if (chunk.first == 0) {
    s.largest = s.chunkLargest;
    s.total = s.chunkTotal;
    __builtin_memcpy(running, values, static_cast<size_t>(headDim) * sizeof(float));
    return;
  }
  const float joint = s.largest > s.chunkLargest ? s.largest : s.chunkLargest;
  const float a = expOne(s.largest - joint);
  const float b = expOne(s.chunkLargest - joint);
  s.largest = joint;
  s.total = (s.total * a) + (s.chunkTotal * b);
  for (int d = 0; d < headDim; d += kLanes) {
    const int rest = headDim - d;
    const float32x4_t before = vmulq_n_f32(load(running + d, rest), a);
    store(running + d, rest, vaddq_f32(before, vmulq_n_f32(load(values + d, rest), b)));
  }
}

void finish(const AttentionTask& task, const Scratch& scratch, int query) {
  const int headDim = task.kv->headDim;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(query) * headDim;
  const float inverse = 1.0f / scratch.softmax[query].total;
  for (int d = 0; d < headDim; d += kLanes) {
    store(task.out + offset + d, headDim - d, vmulq_n_f32(load(scratch.running + offset + d, headDim - d), inverse));
  }
}

template <class T>
void attendKept(const AttentionTask& task) {
  const Scratch scratch(task);
  for (int first = 0; first <= task.position; first += kAttentionChunk) {
    const Chunk<T> chunk{task, scratch, first, smaller(kAttentionChunk, task.position + 1 - first)};
    attendChunk(chunk);
    for (int query = 0; query < task.queries; ++query) fold(chunk, query);
  }
  for (int query = 0; query < task.queries; ++query) finish(task, scratch, query);
}

}  // namespace

void attend(const AttentionTask& task) {
  if (task.kv->format == KvFormat::f16) return attendKept<uint16_t>(task);
  attendKept<float>(task);
}

}  // namespace claw::neon
