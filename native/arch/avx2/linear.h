// The frame of the three matrix products: tiles of row blocks by tokens, leaves per segment, the balanced tree.
//
// A format is a class with
//   kTileTokens                              tokens of the widest tile, as many as 16 registers serve
//   blocksFor(tokens)                        row blocks that a tile computes together when it has all tokens
//   template <int Vectors, int Tokens> Tile  constructed from (job, block, token); leaf(segment, leaves) computes the
//                                            leaves of one held segment in vectors of 8 rows, two for each block
#pragma once

#include <utility>

#include "arch/avx2/simd.h"

namespace claw::avx2 {
namespace {

// Tokens that pass over all row blocks together: their activations stay in the second-level cache.
constexpr int kTokenChunk = 96;

// Vectors of rows in a row block.
constexpr int kHalves = kRowBlock / kLanes;

// Bytes of each weight stream requested ahead of use, into the second-level cache, where every weight is used once.
constexpr size_t kPrefetchBytes = 8192;

// Partial sums alive at once in a balanced tree of kSegmentsMax leaves: one per level.
constexpr int kTreeDepth = 7;
static_assert(kSegmentsMax <= 1 << (kTreeDepth - 1));

// What the tiles of one call share.
struct Job {
  const LinearTask& task;
  int tile = 0;                           // of the chunk's `tiles`, which pass over the same weights in turn
  int tiles = 1;
  size_t prefetchBytes = kPrefetchBytes;  // from a weight to the one to request while it is used
  uint8_t merges[kSegmentsMax] = {};      // additions of the tree that follow each leaf

  explicit Job(const LinearTask& linear) : task(linear) {
    for (int i = 0; i < task.subtreeCount; ++i) countMerges(task.subtrees[i].first, task.subtrees[i].end);
  }

  // How far ahead of the weights of a segment to request others. Where several tiles use the same weights, each of
  // them requests its share of the next blocks'; the others ask again for what they have, which costs next to nothing.
  size_t prefetchFor(int segment) const { return segment % tiles == tile ? prefetchBytes : 0; }

  void countMerges(int first, int end) {
    if (end - first < 2) return;
    const int middle = first + (end - first + 1) / 2;
    countMerges(first, middle);
    countMerges(middle, end);
    ++merges[end - 1];
  }
};

template <int Vectors, int Tokens>
using Sums = __m256[Vectors][Tokens];

// step(i, j, weights(i), values(j)) for each vector of rows and each token of a tile; keeps the fewer of both in registers
// and passes the others by.
template <int Vectors, int Tokens, class Weights, class Values, class Step>
inline __attribute__((always_inline)) void eachPair(const Weights& weights, const Values& values, const Step& step) {
  if constexpr (Vectors < Tokens) {
    decltype(weights(0)) w[Vectors];
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) w[i] = weights(i);
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const auto x = values(j);
#pragma GCC unroll 8
      for (int i = 0; i < Vectors; ++i) step(i, j, w[i], x);
    }
  } else {
    decltype(values(0)) x[Tokens];
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) x[j] = values(j);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
      const auto w = weights(i);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) step(i, j, w, x[j]);
    }
  }
}

template <int Vectors, int Tokens>
inline void addInto(Sums<Vectors, Tokens>& left, const Sums<Vectors, Tokens>& right) {
  for (int i = 0; i < Vectors; ++i) {
    for (int j = 0; j < Tokens; ++j) left[i][j] = _mm256_add_ps(left[i][j], right[i][j]);
  }
}

template <int Vectors, int Tokens>
void storeTile(const LinearTask& task, int block, int token, ptrdiff_t offset, const Sums<Vectors, Tokens>& sums) {
  for (int i = 0; i < Vectors; ++i) {
    const int row = block * kRowBlock + i * kLanes;
    const int rest = task.matrix->rows - row;
    for (int j = 0; j < Tokens; ++j) {
      float* to = task.out + (token + j) * task.outStride + offset + row;
      if (rest >= kLanes) store(to, sums[i][j], Whole{});
      else if (rest > 0) store(to, sums[i][j], Part{rest});
    }
  }
}

template <class Kind, int Vectors, int Tokens>
void runTile(const Job& job, int block, int token) {
  const LinearTask& task = job.task;
  const typename Kind::template Tile<Vectors, Tokens> tile(job, block, token);
  Sums<Vectors, Tokens> stack[kTreeDepth];
  for (int i = 0; i < task.subtreeCount; ++i) {
    const Subtree subtree = task.subtrees[i];
    int depth = 0;
    for (int leaf = subtree.first; leaf < subtree.end; ++leaf) {
      tile.leaf(leaf - task.matrix->segmentFirst, stack[depth++]);
      for (int merge = job.merges[leaf]; merge > 0; --merge, --depth) addInto(stack[depth - 2], stack[depth - 1]);
    }
    const ptrdiff_t offset = task.partial ? static_cast<ptrdiff_t>(subtree.first) * task.matrix->rows : 0;
    storeTile<Vectors, Tokens>(task, block, token, offset, stack[0]);
  }
}

using TileFunction = void (*)(const Job& job, int block, int token);

// Entry t - 1 computes t tokens of several row blocks (wide) or of one.
template <int Tokens>
struct Tiles {
  TileFunction wide[Tokens];
  TileFunction narrow[Tokens];
};

template <class Kind, int... Index>
constexpr Tiles<sizeof...(Index)> tilesOf(std::integer_sequence<int, Index...>) {
  return {{runTile<Kind, Kind::blocksFor(Index + 1) * kHalves, Index + 1>...},
          {runTile<Kind, kHalves, Index + 1>...}};
}

template <class Kind>
void runChunk(Job& job, int tokenFirst, int tokenEnd) {
  static constexpr auto tiles = tilesOf<Kind>(std::make_integer_sequence<int, Kind::kTileTokens>{});
  const int count = tokenEnd - tokenFirst;
  job.tiles = (count + Kind::kTileTokens - 1) / Kind::kTileTokens;
  const int blocks = job.tiles == 1 ? Kind::blocksFor(count) : 1;
  if (job.tiles > 1) job.prefetchBytes = job.task.matrix->blockBytes();
  for (int block = job.task.blockFirst; block < job.task.blockEnd;) {
    const bool wide = blocks > 1 && block + blocks <= job.task.blockEnd;
    for (job.tile = 0; job.tile < job.tiles; ++job.tile) {
      const int first = count * job.tile / job.tiles;
      const int tokens = count * (job.tile + 1) / job.tiles - first;
      (wide ? tiles.wide : tiles.narrow)[tokens - 1](job, block, tokenFirst + first);
    }
    block += wide ? blocks : 1;
  }
}

template <class Kind>
void runLinear(const LinearTask& task) {
  Job job(task);
  for (int first = 0; first < task.rows; first += kTokenChunk) {
    runChunk<Kind>(job, first, smaller(first + kTokenChunk, task.rows));
  }
}

}  // namespace
}  // namespace claw::avx2
