// The frame of the matrix products: tiles of row blocks by tokens, leaves per segment, the balanced tree.
//
// A format is a class with
//   kTokens                                  tokens that a tile of one row block computes together
//   kBlocks                                  row blocks that a tile of one token computes together
//   template <int Blocks, int Tokens> Tile   constructed from (task, block, token); leaf(segment, leaves) computes the
//                                            leaves of one held segment: a row block is four vectors of four rows
#pragma once

#include <array>
#include <utility>

#include "arch/neon/simd.h"

namespace claw::neon {
namespace {

// Tokens that pass over all row blocks together: their activations stay in the second-level cache.
constexpr int kTokenChunk = 64;

constexpr int kBlockVectors = kRowBlock / kLanes;

// Partial sums alive at once in a balanced tree of kSegmentsMax leaves: one per level.
constexpr int kTreeDepth = 7;
static_assert(kSegmentsMax <= 1 << (kTreeDepth - 1));

// What the tiles of one call share.
struct Job {
  const LinearTask& task;
  uint8_t merges[kSegmentsMax] = {};  // additions of the tree that follow each leaf

  explicit Job(const LinearTask& linear) : task(linear) {
    for (int i = 0; i < task.subtreeCount; ++i) countMerges(task.subtrees[i].first, task.subtrees[i].end);
  }

  void countMerges(int first, int end) {
    if (end - first < 2) return;
    const int middle = first + (end - first + 1) / 2;
    countMerges(first, middle);
    countMerges(middle, end);
    ++merges[end - 1];
  }
};

template <int Blocks, int Tokens>
using Sums = float32x4_t[Blocks * kBlockVectors][Tokens];

template <int Vectors, int Tokens>
inline void addInto(float32x4_t (&left)[Vectors][Tokens], const float32x4_t (&right)[Vectors][Tokens]) {
  for (int v = 0; v < Vectors; ++v) {
    for (int j = 0; j < Tokens; ++j) left[v][j] = vaddq_f32(left[v][j], right[v][j]);
  }
}

template <int Vectors, int Tokens>
void storeTile(const LinearTask& task, int row, float* out, const float32x4_t (&sums)[Vectors][Tokens]) {
  for (int v = 0; v < Vectors; ++v, row += kLanes) {
    const int rest = task.matrix->rows - row;
    if (rest <= 0) return;
    for (int j = 0; j < Tokens; ++j) store(out + j * task.outStride + row, rest, sums[v][j]);
  }
}

template <class Kind, int Blocks, int Tokens>
void runTile(const Job& job, int block, int token) {
  const LinearTask& task = job.task;
  const typename Kind::template Tile<Blocks, Tokens> tile(task, block, token);
  Sums<Blocks, Tokens> stack[kTreeDepth];
  for (int i = 0; i < task.subtreeCount; ++i) {
    const Subtree subtree = task.subtrees[i];
    int depth = 0;
    for (int leaf = subtree.first; leaf < subtree.end; ++leaf) {
      tile.leaf(leaf - task.matrix->segmentFirst, stack[depth++]);
      for (int merge = job.merges[leaf]; merge > 0; --merge, --depth) addInto(stack[depth - 2], stack[depth - 1]);
    }
    const ptrdiff_t offset = task.partial ? static_cast<ptrdiff_t>(subtree.first) * task.matrix->rows : 0;
    storeTile(task, block * kRowBlock, task.out + token * task.outStride + offset, stack[0]);
  }
}

using TileFunction = void (*)(const Job& job, int block, int token);

// Entry t - 1 computes t tokens of one row block.
template <class Kind, int... Index>
constexpr std::array<TileFunction, sizeof...(Index)> tilesOf(std::integer_sequence<int, Index...>) {
  return {runTile<Kind, 1, Index + 1>...};
}

template <class Kind>
void runTokens(const Job& job, int tokenFirst, int count) {
  static constexpr auto kTiles = tilesOf<Kind>(std::make_integer_sequence<int, Kind::kTokens>{});
  const int tiles = (count + Kind::kTokens - 1) / Kind::kTokens;
  int block = job.task.blockFirst;
  if (count == 1) {
    for (; block + Kind::kBlocks <= job.task.blockEnd; block += Kind::kBlocks) {
      runTile<Kind, Kind::kBlocks, 1>(job, block, tokenFirst);
    }
  }
  for (; block < job.task.blockEnd; ++block) {
    for (int tile = 0; tile < tiles; ++tile) {
      const int first = count * tile / tiles;
      kTiles[count * (tile + 1) / tiles - first - 1](job, block, tokenFirst + first);
    }
  }
}

template <class Kind>
void runLinear(const LinearTask& task) {
  const Job job(task);
  for (int first = 0; first < task.rows; first += kTokenChunk) {
    runTokens<Kind>(job, first, smaller(kTokenChunk, task.rows - first));
  }
}

}  // namespace
}  // namespace claw::neon
