// The frame of the three matrix products: tiles of row blocks by tokens, leaves per segment, the balanced tree.
//
// A format is a class with
//   blocksFor(tokens)                        row blocks that a tile of so many tokens computes together: 1, 2 or 4
//   kManyTokens                              tokens of a tile where one tile does not hold all
//   template <int Blocks, int Tokens> Tile   constructed from (job, block, token); leaf(segment, leaves) computes the
//                                            leaves of one held segment: lanes are the 16 rows of a block
#pragma once

#include <array>
#include <utility>

#include "arch/avx512/simd.h"

namespace claw::avx512 {
namespace {

// Tokens that pass over all row blocks together: their activations stay in the second-level cache.
constexpr int kTokenChunk = 96;

// The widest tile: so many tokens need each weight only once.
constexpr int kTileTokens = 8;

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
  for (int i = 0; i < Blocks; ++i) {
    const int row = (block + i) * kRowBlock;
    const __mmask16 lanes = lanesLeft(task.matrix->rows - row);
    for (int j = 0; j < Tokens; ++j) {
      _mm512_mask_storeu_ps(task.out + (token + j) * task.outStride + offset + row, lanes, sums[i][j]);
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

// Entry t - 1 computes t tokens of as many row blocks as suit them, but at most `Blocks`.
template <class Kind, int Blocks, int... Index>
constexpr std::array<TileFunction, sizeof...(Index)> tilesOf(std::integer_sequence<int, Index...>) {
  return {runTile<Kind, smaller(Blocks, Kind::blocksFor(Index + 1)), Index + 1>...};
}

template <class Kind>
const TileFunction* tilesFor(int blocks) {
  constexpr std::make_integer_sequence<int, kTileTokens> widths{};
  static constexpr auto one = tilesOf<Kind, 1>(widths);
  static constexpr auto two = tilesOf<Kind, 2>(widths);
  static constexpr auto four = tilesOf<Kind, 4>(widths);
  return blocks == 1 ? one.data() : blocks == 2 ? two.data() : four.data();
}

template <class Kind>
void runChunk(Job& job, int tokenFirst, int tokenEnd) {
  const int count = tokenEnd - tokenFirst;
  job.tiles = count <= kTileTokens ? 1 : (count + Kind::kManyTokens - 1) / Kind::kManyTokens;
  int blocks = Kind::blocksFor((count + job.tiles - 1) / job.tiles);
  for (int block = job.task.blockFirst; block < job.task.blockEnd; block += blocks) {
    while (block + blocks > job.task.blockEnd) blocks /= 2;
    if (job.tiles > 1) job.prefetchBytes = blocks * job.task.matrix->blockBytes();
    const TileFunction* tiles = tilesFor<Kind>(blocks);
    for (job.tile = 0; job.tile < job.tiles; ++job.tile) {
      const int first = count * job.tile / job.tiles;
      const int tokens = count * (job.tile + 1) / job.tiles - first;
      tiles[tokens - 1](job, block, tokenFirst + first);
    }
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
}  // namespace claw::avx512
