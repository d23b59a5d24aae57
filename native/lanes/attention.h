// ATTENTION of a tile of token rows of one sequence against one KV head, a chunk of 256 positions at a time. Scores hold
// positions in lanes (keys are stored that way), weighted sums of values hold head dimensions. All query heads of all rows
// of the tile share each load of a key or value. While scores are computed the chunk's values are fetched, while values
// are added up the keys of the next chunk: memory never rests. Only for sources that use fused multiply-adds.
#pragma once

#include "lanes/exp.h"

namespace claw::lanes {

constexpr int kQueryTile = 4;  // query heads computed together
constexpr int kTilesPerPage = kPageTokens / kLaneCount;
constexpr int kCacheLine = 64;

// Kept values as floats; the scale of an int8 comes later.
template <class Lanes, class T, class Extent>
CLAW_INLINE typename Lanes::Floats widen(const T* from, Extent extent) {
  return load<Lanes>(from, extent);
}
// Bytes are never the last thing in a page, so that those beyond a row's end may be read.
template <class Lanes, class Extent>
CLAW_INLINE typename Lanes::Floats widen(const int8_t* from, Extent) {
  return Lanes::toFloats(Lanes::load(from));
}

// The power of two of vectors that `Queries` query heads keep in registers, at most `most`.
template <class Lanes>
constexpr int vectorsFor(int queries, int most) {
  int vectors = 1;
  while (2 * vectors <= most && 2 * vectors * queries <= Lanes::kTileVectors) vectors *= 2;
  return vectors;
}

// Positions [first, first + 256) of a tile's sequence, as far as its last row sees them; kept as T.
template <class Lanes, class T>
class Chunk {
 public:
  using Floats = typename Lanes::Floats;

  Chunk(const AttentionTask& task, int index, const AttentionSums& sums)
      : task_(task), sums_(sums), headDim_(task.kv->headDim), first_(index * kAttentionChunk),
        shared_(smaller(kAttentionChunk, task.position + 1 - first_)),
        count_(smaller(kAttentionChunk, task.position + task.rows - first_)) {
    const int32_t* pages = task.pages + first_ / kPageTokens;
    const int last = (task.position + task.rows - 1 - first_) / kPageTokens;  // beyond this chunk, where others follow
    for (int i = 0; i < kPages; ++i) {
      const auto at = [&](int page) { return task.kv->keys<T>(pages[smaller(page, last)], task.layer, task.head); };
      keys_[i] = at(i);
      ahead_[i] = at(i + kPages);
    }
  }

  void attend() const {
    constexpr Part kParts[kQueryTile] = {part<1>(), part<2>(), part<3>(), part<4>()};
    constexpr int kPageGroup = 2;
    const int queries = task_.queries * task_.rows;
    const int parts = (queries + kQueryTile - 1) / kQueryTile;
    const auto each = [&](auto&& run) {
      for (int i = 0; i < parts; ++i) {
        const int query = queries * i / parts;
        run(kParts[queries * (i + 1) / parts - query - 1], query);
      }
    };
    const int tiles = (count_ + kLaneCount - 1) / kLaneCount;
    for (int tile = 0; tile < tiles; tile += kPageGroup * kTilesPerPage) {
      const int end = smaller(tiles, tile + kPageGroup * kTilesPerPage);
      each([&](const Part& part, int query) { (this->*part.score)(query, tile, end); });
    }
    for (int query = 0; query < queries; ++query) weigh(query);
    each([&](const Part& part, int query) { (this->*part.addValues)(query); });
  }

 private:
  // Functions over so many query heads.
  struct Part {
    void (Chunk::*score)(int query, int tile, int end) const;
    void (Chunk::*addValues)(int query) const;
  };
  template <int Queries>
  static constexpr Part part() {
    return {&Chunk::score<Queries>, &Chunk::addValues<Queries>};
  }

  // Positions of the chunk that a query sees: those up to its row's own.
  int seen(int query) const {
    if (shared_ == kAttentionChunk) return kAttentionChunk;
    return smaller(kAttentionChunk, shared_ + query / task_.queries);
  }
  float* weights(int query) const { return task_.scratch + static_cast<ptrdiff_t>(query) * kAttentionChunk; }
  const T* values(int page) const { return keys_[page] + static_cast<ptrdiff_t>(kPageTokens) * headDim_; }

  // Scores of `Queries` query heads from `query` on against tiles [tile, end) of 16 positions.
  template <int Queries>
  void score(int query, int tile, int end) const {
    constexpr int kTiles = vectorsFor<Lanes>(Queries, 4);
    const float* rows[Queries];
    findQueries(query, rows);
    for (; tile + kTiles <= end; tile += kTiles) scoreTiles<Queries, kTiles>(rows, query, tile);
    for (; tile < end; ++tile) scoreTiles<Queries, 1>(rows, query, tile);
  }

  // All loops over a tile are unrolled whole: an array that is indexed by a variable anywhere lives in memory everywhere.
  template <int Queries, int Tiles>
  CLAW_INLINE void scoreTiles(const float* const (&rows)[Queries], int query, int tile) const {
    const T* columns[Tiles];
    const T* ahead[Tiles];
    for (int t = 0; t < Tiles; ++t) {
      const int page = (tile + t) / kTilesPerPage;
      const ptrdiff_t offset = static_cast<ptrdiff_t>((tile + t) % kTilesPerPage) * kLaneCount * headDim_;
      columns[t] = keys_[page] + offset;
      ahead[t] = values(page) + offset;
    }
    Floats sums[Queries][Tiles];
    clear(sums);
    for (int d = 0; d < headDim_; ++d) {
      Floats column[Tiles];
#pragma GCC unroll 8
      for (int t = 0; t < Tiles; ++t) {
        column[t] = widen<Lanes>(columns[t] + d * kLaneCount, Whole{});
        Lanes::prefetch(ahead[t] + d * kLaneCount);
      }
#pragma GCC unroll 8
      for (int g = 0; g < Queries; ++g) {
        const Floats value = Lanes::set(rows[g][d]);
#pragma GCC unroll 8
        for (int t = 0; t < Tiles; ++t) sums[g][t] = Lanes::fma(value, column[t], sums[g][t]);
      }
    }
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
#pragma GCC unroll 8
      for (int t = 0; t < Tiles; ++t) storeScores(query + g, tile + t, sums[g][t]);
    }
  }

  template <int Queries>
  CLAW_INLINE void findQueries(int query, const float* (&found)[Queries]) const {
    const int row = query / task_.queries;
    int head = query - row * task_.queries;
    const float* at = task_.q + row * task_.qStride + static_cast<ptrdiff_t>(head) * headDim_;
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      found[g] = at;
      at += headDim_;
      if (++head < task_.queries) continue;
      head = 0;
      at += task_.qStride - static_cast<ptrdiff_t>(task_.queries) * headDim_;
    }
  }

  // Positions beyond the row's own score -infinity.
  CLAW_INLINE void storeScores(int query, int tile, Floats products) const {
    const int at = tile * kLaneCount;
    const Floats scores = Lanes::mul(scaled(tile, products), Lanes::set(task_.scale));
    float* to = weights(query) + at;
    if (at + kLaneCount <= shared_) return Lanes::store(to, scores);
    Lanes::store(to, Lanes::where(Lanes::first(seen(query) - at), scores, Lanes::set(-__builtin_inff())));
  }

  // Sums or weights of the 16 positions of a tile, times the scales of their keys, or of their values `offset` behind.
  CLAW_INLINE Floats scaled(int tile, Floats each, int offset = 0) const {
    if constexpr (!kBytes) return each;
    const auto* scales = reinterpret_cast<const float*>(keys_[tile / kTilesPerPage] + 2 * kPageTokens * headDim_);
    return Lanes::mul(each, Lanes::load(scales + tile % kTilesPerPage * kLaneCount + offset));
  }

  // Scores of one query head to weights exp(score - m); gives m and l.
  void weigh(int query) const {
    float* each = weights(query);
    const int count = seen(query);
    Floats largest = Lanes::load(each);
    for (int j = kLaneCount; j < count; j += kLaneCount) largest = Lanes::max(largest, Lanes::load(each + j));
    const float top = Lanes::largest(largest);
    Floats total = Lanes::set(0.0f);
    for (int j = 0; j < count; j += kLaneCount) {
      const Floats weight = exp<Lanes>(Lanes::sub(Lanes::load(each + j), Lanes::set(top)));
      Lanes::store(each + j, scaled(j / kLaneCount, weight, kPageTokens));
      total = Lanes::add(total, weight);  // unseen positions weigh +0, which changes no lane
    }
    sums_.largest[query] = top;
    sums_.totals[query] = Lanes::sum(total);
  }

  template <int Queries>
  void addValues(int query) const {
    addVectors<Queries, vectorsFor<Lanes>(Queries, 8)>(query, 0);
  }

  // Head dimensions from `d` on, in tiles of so many vectors; what is left in tiles of half as many.
  template <int Queries, int Vectors>
  void addVectors(int query, int d) const {
    constexpr int kWidth = Vectors * kLaneCount;
    for (; d + kWidth <= headDim_; d += kWidth) addTile<Queries, Vectors>(query, d, Whole{});
    if constexpr (Vectors > 1) addVectors<Queries, Vectors / 2>(query, d);
    else if (d < headDim_) addTile<Queries, 1>(query, d, lanes::Part{headDim_ - d});
  }

  // Weighted sums of `Vectors` vectors of head dimensions from `d` on.
  template <int Queries, int Vectors, class Extent>
  void addTile(int query, int d, Extent extent) const {
    const float* weight = weights(query);
    Floats sums[Queries][Vectors];
    clear(sums);
    const int shared = seen(query);  // positions that all of these query heads see
    for (int page = 0; page * kPageTokens < shared; ++page) {
      const T* vector = values(page) + d;
      const T* ahead = ahead_[page] + d;
      const int end = smaller(shared, (page + 1) * kPageTokens);
      for (int j = page * kPageTokens; j < end; ++j, vector += headDim_, ahead += headDim_) {
        addPosition<true>(sums, weight + j, vector, ahead, extent, [](int) { return true; });
      }
    }
    for (int j = shared; j < seen(query + Queries - 1); ++j) {
      const T* vector = values(j / kPageTokens) + j % kPageTokens * headDim_ + d;
      addPosition<false>(sums, weight + j, vector, vector, extent, [&](int g) { return j < seen(query + g); });
    }
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      float* to = sums_.values + static_cast<ptrdiff_t>(query + g) * headDim_ + d;
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) store<Lanes>(to + v * kLaneCount, sums[g][v], extent);
    }
  }

  template <bool Ahead, int Queries, int Vectors, class Extent, class Sees>
  CLAW_INLINE void addPosition(Floats (&sums)[Queries][Vectors], const float* weight, const T* vector, const T* ahead,
                               Extent extent, const Sees& sees) const {
    Floats vectors[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) vectors[v] = widen<Lanes>(vector + v * kLaneCount, extent);
    constexpr int kBytes = Vectors * kLaneCount * static_cast<int>(sizeof(T));
#pragma GCC unroll 8
    for (int byte = 0; Ahead && byte < kBytes; byte += kCacheLine) {
      Lanes::prefetch(reinterpret_cast<const uint8_t*>(ahead) + byte);
    }
#pragma GCC unroll 8
    for (int g = 0; g < Queries; ++g) {
      if (!sees(g)) continue;
      const Floats each = Lanes::set(weight[g * kAttentionChunk]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[g][v] = Lanes::fma(each, vectors[v], sums[g][v]);
    }
  }

  template <int Rows, int Columns>
  CLAW_INLINE static void clear(Floats (&sums)[Rows][Columns]) {
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Columns; ++j) sums[i][j] = Lanes::set(0.0f);
    }
  }

  static constexpr bool kBytes = sizeof(T) == 1;
  static constexpr int kPages = kAttentionChunk / kPageTokens;

  const AttentionTask& task_;
  const AttentionSums sums_;
  const int headDim_;
  const int first_;
  const int shared_;  // positions that every row sees
  const int count_;   // that the last row sees
  const T* keys_[kPages];   // by page; the last one stands for those beyond the last position
  const T* ahead_[kPages];  // of the next chunk
};

// Kept as the task's cache keeps them.
template <class Lanes>
void attendChunk(const AttentionTask& task, int32_t chunk, const AttentionSums& sums) {
  switch (task.kv->format) {
    case KvFormat::f16:
      return Chunk<Lanes, uint16_t>(task, chunk, sums).attend();
    case KvFormat::f32:
      return Chunk<Lanes, float>(task, chunk, sums).attend();
    case KvFormat::i8:
      return Chunk<Lanes, int8_t>(task, chunk, sums).attend();
  }
}

// O = (O * a) + (o * b), and L likewise.
template <class Lanes>
void foldChunk(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range) {
  const int headDim = task.kv->headDim;
  for (int query = range.first; query < range.end; ++query) {
    float* into = folded.values + static_cast<ptrdiff_t>(query) * headDim;
    const float* from = chunk.values + static_cast<ptrdiff_t>(query) * headDim;
    float& largest = folded.largest[query];
    float& total = folded.totals[query];
    const float joint = largest > chunk.largest[query] ? largest : chunk.largest[query];
    const float a = expOne<Lanes>(largest - joint);
    const float b = expOne<Lanes>(chunk.largest[query] - joint);
    largest = joint;
    total = (total * a) + (chunk.totals[query] * b);
    eachVector(headDim, [&](int d, auto extent) {
      const auto before = Lanes::mul(load<Lanes>(into + d, extent), Lanes::set(a));
      const auto added = Lanes::mul(load<Lanes>(from + d, extent), Lanes::set(b));
      store<Lanes>(into + d, Lanes::add(before, added), extent);
    });
  }
}

template <class Lanes>
void finishAttention(const AttentionTask& task, const AttentionSums& folded, QueryRange range) {
  const int headDim = task.kv->headDim;
  for (int query = range.first; query < range.end; ++query) {
    const int row = query / task.queries;
    const float* from = folded.values + static_cast<ptrdiff_t>(query) * headDim;
    float* to = task.out + row * task.outStride + static_cast<ptrdiff_t>(query - row * task.queries) * headDim;
    const auto inverse = Lanes::set(1.0f / folded.totals[query]);
    eachVector(headDim, [&](int d, auto extent) {
      store<Lanes>(to + d, Lanes::mul(load<Lanes>(from + d, extent), inverse), extent);
    });
  }
}

}  // namespace claw::lanes
