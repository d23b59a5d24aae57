// uses-fma: ATTENTION of one token row against one KV head, in chunks of 256 positions. Scores hold positions in lanes
// (keys are stored that way), weighted sums of values hold head dimensions; several query heads share each load.
#include "arch/avx512/exp.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

constexpr int kQueryTile = 4;   // query heads computed together
constexpr int kVectorTile = 4;  // vectors of 16 head dimensions computed together
constexpr int kTilesPerPage = kPageTokens / kLanes;

__m512 loadKept(const uint16_t* from) { return loadHalves(from); }
__m512 loadKept(__mmask16 lanes, const uint16_t* from) { return loadHalves(lanes, from); }
__m512 loadKept(const float* from) { return _mm512_loadu_ps(from); }
__m512 loadKept(__mmask16 lanes, const float* from) { return _mm512_maskz_loadu_ps(lanes, from); }

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
  int page(int index) const { return task.pages[first / kPageTokens + index]; }
  // Keys of a page, or of the last one the row attends to where the chunk or the sequence ends before it.
  const T* keysAhead(int index) const {
    const int last = task.position / kPageTokens - first / kPageTokens;
    return keys(smaller(index, last));
  }
  const T* keys(int index) const { return task.kv->keys<T>(page(index), task.layer, task.head); }
  const T* values(int index) const { return task.kv->values<T>(page(index), task.layer, task.head); }
};

// All loops over a tile are unrolled whole: an array that is indexed by a variable anywhere lives in memory everywhere.
template <int Rows, int Columns>
inline void clear(__m512 (&sums)[Rows][Columns]) {
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Columns; ++j) sums[i][j] = _mm512_setzero_ps();
  }
}

// Stores 16 scores from position `at` of the chunk on; those beyond the row's own position become -infinity.
template <class T>
void storeScores(const Chunk<T>& chunk, int query, int at, __m512 products) {
  const __m512 scores = _mm512_mul_ps(products, _mm512_set1_ps(chunk.task.scale));
  const __mmask16 seen = at < chunk.count ? lanesLeft(chunk.count - at) : 0;
  const __m512 unseen = _mm512_set1_ps(-__builtin_inff());
  float* to = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk + at;
  _mm512_storeu_ps(to, _mm512_mask_mov_ps(unseen, seen, scores));
}

// Scores of `Queries` heads from `query` on against `Pages` pages from `page` on.
template <int Queries, int Pages, class T>
void scoreTile(const Chunk<T>& chunk, int query, int page) {
  const int headDim = chunk.task.kv->headDim;
  const float* q = chunk.task.q + static_cast<ptrdiff_t>(query) * headDim;
  const T* keys[Pages];
  const T* nextKeys[Pages];
  const T* values[Pages];
  for (int p = 0; p < Pages; ++p) {
    keys[p] = chunk.keys(page + p);
    nextKeys[p] = chunk.keysAhead(page + p + Pages);
    values[p] = chunk.values(page + p);
  }
  __m512 sums[Queries][Pages * kTilesPerPage];
  clear(sums);
  for (int d = 0; d < headDim; ++d) {
    __m512 columns[Pages * kTilesPerPage];
#pragma GCC unroll 8
    for (int p = 0; p < Pages; ++p) {
      columns[2 * p] = loadKept(keys[p] + d * kLanes);
      columns[2 * p + 1] = loadKept(keys[p] + (headDim + d) * kLanes);
      _mm_prefetch(nextKeys[p] + d * kPageTokens, _MM_HINT_T1);
      _mm_prefetch(values[p] + d * kPageTokens, _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      const __m512 value = _mm512_set1_ps(q[g * headDim + d]);
#pragma GCC unroll 8
      for (int p = 0; p < Pages * kTilesPerPage; ++p) sums[g][p] = _mm512_fmadd_ps(value, columns[p], sums[g][p]);
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < Queries; ++g) {
#pragma GCC unroll 8
    for (int p = 0; p < Pages * kTilesPerPage; ++p) {
      storeScores(chunk, query + g, page * kPageTokens + p * kLanes, sums[g][p]);
    }
  }
}

template <int Queries, class T>
void scorePages(const Chunk<T>& chunk, int query) {
  constexpr int kPages = Queries == 1 ? 4 : 2;
  int page = 0;
  for (; page + kPages <= chunk.pages(); page += kPages) scoreTile<Queries, kPages>(chunk, query, page);
  for (; page < chunk.pages(); ++page) scoreTile<Queries, 1>(chunk, query, page);
}

// Scores of one head to weights exp(score - m); keeps m and l.
template <class T>
void weigh(const Chunk<T>& chunk, int query) {
  float* weights = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  __m512 largest = _mm512_loadu_ps(weights);
  for (int j = kLanes; j < chunk.count; j += kLanes) largest = _mm512_max_ps(largest, _mm512_loadu_ps(weights + j));
  const float top = _mm512_reduce_max_ps(largest);
  __m512 lanes = _mm512_setzero_ps();
  for (int j = 0; j < chunk.count; j += kLanes) {
    const __m512 weight = expLanes(_mm512_sub_ps(_mm512_loadu_ps(weights + j), _mm512_set1_ps(top)));
    _mm512_storeu_ps(weights + j, weight);
    lanes = _mm512_add_ps(lanes, weight);  // unseen positions weigh +0, which changes no lane
  }
  chunk.scratch.softmax[query].chunkLargest = top;
  chunk.scratch.softmax[query].chunkTotal = sumLanes(lanes);
}

// Weighted sums of `Vectors` vectors of head dimensions from `d` on for `Queries` heads from `query` on.
template <int Queries, int Vectors, class T>
void valueTile(const Chunk<T>& chunk, int query, int d) {
  const int headDim = chunk.task.kv->headDim;
  const __mmask16 tail = lanesLeft(headDim - d - (Vectors - 1) * kLanes);
  const float* weights = chunk.scratch.weights + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  __m512 sums[Queries][Vectors];
  clear(sums);
  for (int page = 0; page < chunk.pages(); ++page) {
    const T* values = chunk.values(page) + d;
    const int end = smaller(chunk.count, (page + 1) * kPageTokens);
    for (int j = page * kPageTokens; j < end; ++j, values += headDim) {
      __m512 vectors[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors - 1; ++v) vectors[v] = loadKept(values + v * kLanes);
      vectors[Vectors - 1] = loadKept(tail, values + (Vectors - 1) * kLanes);
#pragma GCC unroll 8
      for (int g = 0; g < Queries; ++g) {
        const __m512 weight = _mm512_set1_ps(weights[g * kAttentionChunk + j]);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sums[g][v] = _mm512_fmadd_ps(weight, vectors[v], sums[g][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < Queries; ++g) {
    float* to = chunk.scratch.values + static_cast<ptrdiff_t>(query + g) * headDim + d;
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      _mm512_mask_storeu_ps(to + v * kLanes, v == Vectors - 1 ? tail : __mmask16{0xffff}, sums[g][v]);
    }
  }
}

template <int Queries, class T>
void valueVectors(const Chunk<T>& chunk, int query) {
  const int vectors = (chunk.task.kv->headDim + kLanes - 1) / kLanes;
  constexpr void (*kTiles[kVectorTile])(const Chunk<T>&, int, int) = {
      valueTile<Queries, 1, T>, valueTile<Queries, 2, T>, valueTile<Queries, 3, T>, valueTile<Queries, 4, T>};
  for (int v = 0; v < vectors; v += kVectorTile) {
    kTiles[smaller(vectors - v, kVectorTile) - 1](chunk, query, v * kLanes);
  }
}

template <int Queries, class T>
void attendQueries(const Chunk<T>& chunk, int query) {
  scorePages<Queries>(chunk, query);
  for (int g = 0; g < Queries; ++g) weigh(chunk, query + g);
  valueVectors<Queries>(chunk, query);
}

template <class T>
void attendChunk(const Chunk<T>& chunk) {
  constexpr void (*kHeads[kQueryTile])(const Chunk<T>&, int) = {attendQueries<1, T>, attendQueries<2, T>, attendQueries<3, T>,
                                                             attendQueries<4, T>};
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
    const __mmask16 lanes = lanesLeft(headDim - d);
    const __m512 before = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, running + d), _mm512_set1_ps(a));
    const __m512 added = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, values + d), _mm512_set1_ps(b));
    _mm512_mask_storeu_ps(running + d, lanes, _mm512_add_ps(before, added));
  }
}

void finish(const AttentionTask& task, const Scratch& scratch, int query) {
  const int headDim = task.kv->headDim;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(query) * headDim;
  const __m512 inverse = _mm512_set1_ps(1.0f / scratch.softmax[query].total);
  for (int d = 0; d < headDim; d += kLanes) {
    const __mmask16 lanes = lanesLeft(headDim - d);
    const __m512 value = _mm512_maskz_loadu_ps(lanes, scratch.running + offset + d);
    _mm512_mask_storeu_ps(task.out + offset + d, lanes, _mm512_mul_ps(value, inverse));
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

}  // namespace claw::avx512
