// The frame of the three matrix products: tiles of row blocks by tokens, leaves per segment, the balanced tree.
//
// A format is a class with
//   blocksFor(tokens)                        row blocks that a tile of so many tokens computes together
//   template <int Blocks, int Tokens> Tile   constructed from (job, block, token); leaf(segment, leaves) computes the
//                                            leaves of one held segment: lanes are the 16 rows of a block
//   prepare(job, tokenFirst, tokenEnd)       anything worth computing once for all row blocks
#pragma once

#include <array>
#include <utility>

#include "arch/avx512/simd.h"

namespace claw::avx512 {
namespace {

// Tokens that pass over all row blocks together: their activations stay in the second-level cache.
constexpr int kTokenChunk = 96;

// The widest tile: so many tokens need each weight only once. Beyond it a tile has kManyTokens at most.
constexpr int kTileTokens = 8;
constexpr int kManyTokens = 6;

// Bytes of each weight stream requested ahead of use, into the second-level cache, where every weight is used once.
constexpr size_t kPrefetchBytes = 8192;

// Partial sums alive at once in a balanced tree of kSegmentsMax leaves: one per level.
constexpr int kTreeDepth = 7;
static_assert(kSegmentsMax <= 1 << (kTreeDepth - 1));

// What the tiles of one call share.
struct Job {
  const LinearTask& task;
  int tokenFirst = 0;                          // of the chunk
  int tile = 0;                                // of the chunk's `tiles`, which pass over the same weights in turn
  int tiles = 1;
  size_t prefetchBytes = kPrefetchBytes;       // from a weight to the one to request while it is used
  uint8_t merges[kSegmentsMax] = {};           // additions of the tree that follow each leaf
  int32_t starts[kTokenChunk][kSegmentsMax];  // i8: what a segment's integer sum starts at

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

template <int Blocks, int Tokens>
using Sums = __m512[Blocks][Tokens];

template <int Blocks, int Tokens>
inline void addInto(Sums<Blocks, Tokens>& left, const Sums<Blocks, Tokens>& right) {
  for (int i = 0; i < Blocks; ++i) {
    for (int j = 0; j < Tokens; ++j) left[i][j] = _mm512_add_ps(left[i][j], right[i][j]);
  }
}

template <int Blocks, int Tokens>
void storeTile(const LinearTask& task, int block, int token, ptrdiff_t offset, const Sums<Blocks, Tokens>& sums) {
  const bool scaled = !task.partial && task.matrix->format != Format::f16;
  for (int i = 0; i < Blocks; ++i) {
    const int row = (block + i) * kRowBlock;
    const __mmask16 lanes = lanesLeft(task.matrix->rows - row);
    const __m512 scale = scaled ? _mm512_loadu_ps(task.matrix->scales + row) : _mm512_setzero_ps();
    for (int j = 0; j < Tokens; ++j) {
      const __m512 value = scaled ? _mm512_mul_ps(sums[i][j], scale) : sums[i][j];
      _mm512_mask_storeu_ps(task.out + (token + j) * task.outStride + offset + row, lanes, value);
    }
  }
}

template <class Kind, int Blocks, int Tokens>
void runTile(const Job& job, int block, int token) {
  const LinearTask& task = job.task;
  const typename Kind::template Tile<Blocks, Tokens> tile(job, block, token);
  Sums<Blocks, Tokens> stack[kTreeDepth];
  for (int i = 0; i < task.subtreeCount; ++i) {
    const Subtree subtree = task.subtrees[i];
    int depth = 0;
    for (int leaf = subtree.first; leaf < subtree.end; ++leaf) {
      tile.leaf(leaf - task.matrix->segmentFirst, stack[depth++]);
      for (int merge = job.merges[leaf]; merge > 0; --merge, --depth) addInto(stack[depth - 2], stack[depth - 1]);
    }
    const ptrdiff_t offset = task.partial ? static_cast<ptrdiff_t>(subtree.first) * task.matrix->rows : 0;
    storeTile<Blocks, Tokens>(task, block, token, offset, stack[0]);
  }
}

using TileFunction = void (*)(const Job& job, int block, int token);

// Entry t - 1 computes t tokens of several row blocks (wide) or of one.
template <class Kind, bool Wide, int... Index>
constexpr std::array<TileFunction, sizeof...(Index)> tilesOf(std::integer_sequence<int, Index...>) {
  return {runTile<Kind, Wide ? Kind::blocksFor(Index + 1) : 1, Index + 1>...};
}

template <class Kind>
void runChunk(Job& job, int tokenFirst, int tokenEnd) {
  constexpr std::make_integer_sequence<int, kTileTokens> widths{};
  static constexpr auto wide = tilesOf<Kind, true>(widths);
  static constexpr auto narrow = tilesOf<Kind, false>(widths);
  const int count = tokenEnd - tokenFirst;
  job.tiles = count <= kTileTokens ? 1 : (count + kManyTokens - 1) / kManyTokens;
  const int blocks = Kind::blocksFor((count + job.tiles - 1) / job.tiles);
  for (int block = job.task.blockFirst; block < job.task.blockEnd;) {
    const bool fits = block + blocks <= job.task.blockEnd;
    if (job.tiles > 1) job.prefetchBytes = (fits ? blocks : 1) * job.task.matrix->blockBytes();
    for (job.tile = 0; job.tile < job.tiles; ++job.tile) {
      const int first = count * job.tile / job.tiles;
      const int tokens = count * (job.tile + 1) / job.tiles - first;
      (fits ? wide : narrow)[tokens - 1](job, block, tokenFirst + first);
    }
    block += fits ? blocks : 1;
  }
}

template <class Kind>
void runLinear(const LinearTask& task) {
  Job job(task);
  for (int first = 0; first < task.rows; first += kTokenChunk) {
    const int end = smaller(first + kTokenChunk, task.rows);
    job.tokenFirst = first;
    Kind::prepare(job, first, end);
    runChunk<Kind>(job, first, end);
  }
}

}  // namespace
}  // namespace claw::avx512
