// uses-fma: ATTENTION of one token row against one KV head, in chunks of 256 positions. Scores hold positions in lanes
// (keys are stored that way), weighted sums of values hold head dimensions; several query heads share each load.
#include "arch/avx2/exp.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

constexpr int kQueryTile = 4;                 // query heads computed together
constexpr int kTile = 16;                     // positions interleaved in the keys' layout
constexpr int kTilesPerPage = kPageTokens / kTile;
constexpr int kTileVectors = kTile / kLanes;

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

  int pages() const { return (count + kPageTokens - 1) / kPageTokens; }
  int tiles() const { return (count + kTile - 1) / kTile; }
  int page(int index) const { return task.pages[first / kPageTokens + index]; }
  const T* values(int index) const { return task.kv->values<T>(page(index), task.layer, task.head); }
  // Keys and values of a tile of positions of the chunk.
  const T* tileKeys(int tile) const {
    const T* keys = task.kv->keys<T>(page(tile / kTilesPerPage), task.layer, task.head);
    return keys + tile % kTilesPerPage * kTile * task.kv->headDim;
  }
  const T* tileValues(int tile) const {
    return values(tile / kTilesPerPage) + tile % kTilesPerPage * kTile * task.kv->headDim;
  }
  // Of a tile to come, or of the last one the row attends to where the chunk or the sequence ends before it.
  const T* tileKeysAhead(int tile) const { return tileKeys(smaller(tile, (task.position - first) / kTile)); }
};

// All loops over a tile are unrolled whole: an array that is indexed by a variable anywhere lives in memory everywhere.
template <int Rows, int Columns>
inline void clear(__m256 (&sums)[Rows][Columns]) {
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Columns; ++j) sums[i][j] = _mm256_setzero_ps();
  }
}

// Stores 8 scores from position `at` of the chunk on; those beyond the row's own position become -infinity.
template <class T>
void storeScores(const Chunk<T>& chunk, int query, int at, __m256 products) {
  const __m256 scores = _mm256_mul_ps(products, _mm256_set1_ps(chunk.task.scale));
  const __m256 seen = _mm256_castsi256_ps(lanesLeft(chunk.count - at));
  float* to = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk + at;
  _mm256_storeu_ps(to, _mm256_blendv_ps(_mm256_set1_ps(-__builtin_inff()), scores, seen));
}

// Scores of `Queries` heads from `query` on against `Tiles` tiles from `tile` on.
template <int Queries, int Tiles, class T>
void scoreTile(const Chunk<T>& chunk, int query, int tile) {
  const int headDim = chunk.task.kv->headDim;
  const float* q = chunk.task.q + static_cast<ptrdiff_t>(query) * headDim;
  const T* keys[Tiles];
  const T* nextKeys[Tiles];
  const T* values[Tiles];
  for (int t = 0; t < Tiles; ++t) {
    keys[t] = chunk.tileKeys(tile + t);
    nextKeys[t] = chunk.tileKeysAhead(tile + t + Tiles);
    values[t] = chunk.tileValues(tile + t);
  }
  __m256 sums[Queries][Tiles * kTileVectors];
  clear(sums);
  for (int d = 0; d < headDim; ++d) {
    __m256 value[Queries];
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) value[g] = _mm256_broadcast_ss(q + g * headDim + d);
#pragma GCC unroll 8
    for (int t = 0; t < Tiles; ++t) {
      _mm_prefetch(nextKeys[t] + d * kTile, _MM_HINT_T1);
      _mm_prefetch(values[t] + d * kTile, _MM_HINT_T1);
#pragma GCC unroll 8
      for (int h = 0; h < kTileVectors; ++h) {
        const __m256 column = load(keys[t] + d * kTile + h * kLanes, Whole{});
#pragma GCC unroll 8
        for (int g = 0; g < Queries; ++g) {
          __m256& sum = sums[g][t * kTileVectors + h];
          sum = _mm256_fmadd_ps(value[g], column, sum);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < Queries; ++g) {
#pragma GCC unroll 8
    for (int v = 0; v < Tiles * kTileVectors; ++v) {
      storeScores(chunk, query + g, tile * kTile + v * kLanes, sums[g][v]);
    }
  }
}

template <int Queries, class T>
void scoreTiles(const Chunk<T>& chunk, int query) {
  constexpr int kTiles = Queries == 1 ? 4 : Queries <= 3 ? 2 : 1;
  int tile = 0;
  for (; tile + kTiles <= chunk.tiles(); tile += kTiles) scoreTile<Queries, kTiles>(chunk, query, tile);
  for (; tile < chunk.tiles(); ++tile) scoreTile<Queries, 1>(chunk, query, tile);
}

float largestLane(__m256 lanes) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Scores of one head to weights exp(score - m); keeps m and l.
template <class T>
void weigh(const Chunk<T>& chunk, int query) {
  float* weights = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  __m256 largest = _mm256_loadu_ps(weights);
  for (int j = kLanes; j < chunk.count; j += kLanes) largest = _mm256_max_ps(largest, _mm256_loadu_ps(weights + j));
  const float top = largestLane(largest);
  __m256 lanes[kTileVectors] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int j = 0; j < chunk.count; j += kTile) {
#pragma GCC unroll 8
    for (int h = 0; h < kTileVectors; ++h) {
      float* at = weights + j + h * kLanes;
      const __m256 weight = expLanes(_mm256_sub_ps(_mm256_loadu_ps(at), _mm256_set1_ps(top)));
      _mm256_storeu_ps(at, weight);
      lanes[h] = _mm256_add_ps(lanes[h], weight);  // unseen positions weigh +0, which changes no lane
    }
  }
  chunk.scratch.softmax[query].chunkLargest = top;
  chunk.scratch.softmax[query].chunkTotal = sumLanes(lanes[0], lanes[1]);
}

// Weighted sums of `Vectors` vectors of head dimensions from `d` on, all of them Whole or one Part.
template <int Queries, int Vectors, class T, class Extent>
void valueTile(const Chunk<T>& chunk, int query, int d, Extent extent) {
  const int headDim = chunk.task.kv->headDim;
  const float* weights = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  __m256 sums[Queries][Vectors];
  clear(sums);
  for (int page = 0; page < chunk.pages(); ++page) {
    const T* values = chunk.values(page) + d;
    const int end = smaller(chunk.count, (page + 1) * kPageTokens);
    for (int j = page * kPageTokens; j < end; ++j, values += headDim) {
      __m256 weight[Queries];
#pragma GCC unroll 8
      for (int g = 0; g < Queries; ++g) weight[g] = _mm256_broadcast_ss(weights + g * kAttentionChunk + j);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const __m256 vector = load(values + v * kLanes, extent);
#pragma GCC unroll 8
        for (int g = 0; g < Queries; ++g) sums[g][v] = _mm256_fmadd_ps(weight[g], vector, sums[g][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < Queries; ++g) {
    float* to = chunk.scratch.values + static_cast<ptrdiff_t>(query + g) * headDim + d;
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(to + v * kLanes, sums[g][v], extent);
  }
}

// Head dimensions from `d` on, in tiles of so many vectors; what is left in tiles of half as many.
template <int Queries, int Vectors, class T>
void valueTiles(const Chunk<T>& chunk, int query, int d) {
  const int headDim = chunk.task.kv->headDim;
  constexpr int kWidth = Vectors * kLanes;
  for (; d + kWidth <= headDim; d += kWidth) valueTile<Queries, Vectors>(chunk, query, d, Whole{});
  if constexpr (Vectors > 1) valueTiles<Queries, Vectors / 2>(chunk, query, d);
  else if (d < headDim) valueTile<Queries, 1>(chunk, query, d, Part{headDim - d});
}

template <int Queries, class T>
void attendQueries(const Chunk<T>& chunk, int query) {
  scoreTiles<Queries>(chunk, query);
  for (int g = 0; g < Queries; ++g) weigh(chunk, query + g);
  valueTiles<Queries, Queries == 1 ? 8 : Queries <= 3 ? 4 : 2>(chunk, query, 0);
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
  eachVector(headDim, [&](int d, auto extent) {
    const __m256 before = _mm256_mul_ps(load(running + d, extent), _mm256_set1_ps(a));
    const __m256 added = _mm256_mul_ps(load(values + d, extent), _mm256_set1_ps(b));
    store(running + d, _mm256_add_ps(before, added), extent);
  });
}

void finish(const AttentionTask& task, const Scratch& scratch, int query) {
  const int headDim = task.kv->headDim;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(query) * headDim;
  const __m256 inverse = _mm256_set1_ps(1.0f / scratch.softmax[query].total);
  eachVector(headDim, [&](int d, auto extent) {
    store(task.out + offset + d, _mm256_mul_ps(load(scratch.running + offset + d, extent), inverse), extent);
  });
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

}  // namespace claw::avx2
