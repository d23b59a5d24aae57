// The frame of the matrix products of every tuned set: panels of row blocks, tiles of tokens, leaves per segment, the
// balanced tree. Plain C++ that each set compiles with its own instructions; all of it in an unnamed namespace, because
// a copy compiled for one set must never serve another.
//
// A panel is a few row blocks. One segment of its weights stays in the first-level cache while all tiles of a group of
// tokens use it; the leaves wait in a stack, one level for each open addition of the tree.
//
// A format is a class with
//   Segment            made from (task, block, segment): where one segment of a panel and of all tokens lies; advance()
//                      goes to the next; tokenBytes(task) is what a token's activations take
//   kTokens, kSums     at most so many tokens in a tile, and row blocks times tokens
//   kLineColumns       columns in a cache line of weights
//   tileFor(tokens)    the shape of the tiles that compute so many tokens
//   leaf<Blocks, Tokens>(segment, token, request, leaves)  computes the leaves [token][block][16 rows] of a tile
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/kernels.h"
#include "kernels/tree.h"

namespace claw {
namespace {

struct TileShape {
  int blocks;  // 1, 2 or 4
  int tokens;
};

// Weights to bring closer while others are used: from `ahead` bytes after those in use on, `pace` bytes for each
// cache line used.
struct Request {
  ptrdiff_t ahead;
  ptrdiff_t pace;
};

constexpr int kLineBytes = 64;
constexpr int kBlocksMax = 4;  // of a panel

// Tokens of a group: their leaves and a segment of their activations stay in the first-level cache.
constexpr int kGroupTokens = 24;

// Activations that pass over all row blocks together: they stay in the second-level cache.
constexpr int64_t kChunkBytes = 384 << 10;

// Bytes of each weight stream requested ahead of use where one tile is all there is.
constexpr ptrdiff_t kPrefetchBytes = 2048;

// The same of the multipliers of i4.
constexpr ptrdiff_t kMultipliersAhead = 512;

// Partial sums alive at once in a balanced tree of kSegmentsMax leaves: one per level.
constexpr int kTreeDepth = 7;
static_assert(kSegmentsMax <= 1 << (kTreeDepth - 1));

constexpr int smallerOf(int a, int b) { return a < b ? a : b; }

// Asks for the cache line at `from`, and for the same of the row blocks that follow.
template <int Blocks>
CLAW_INLINE void prefetch(const void* from, ptrdiff_t blockBytes) {
#pragma GCC unroll 4
  for (int i = 0; i < Blocks; ++i) __builtin_prefetch(static_cast<const uint8_t*>(from) + i * blockBytes);
}

template <class Kind>
using LeafFunction = void (*)(const typename Kind::Segment& at, int token, Request request, float* leaves);

template <class Kind, int Blocks, int Tokens>
constexpr LeafFunction<Kind> leafOf() {
  if constexpr (Blocks * Tokens <= Kind::kSums) return Kind::template leaf<Blocks, Tokens>;
  return nullptr;
}

// Entry t - 1 computes t tokens.
template <class Kind, int Blocks, int... Index>
constexpr std::array<LeafFunction<Kind>, Kind::kTokens> leavesOf(std::integer_sequence<int, Index...>) {
  return {leafOf<Kind, Blocks, Index + 1>()...};
}

template <class Kind, int Blocks>
constexpr auto kLeaves = leavesOf<Kind, Blocks>(std::make_integer_sequence<int, Kind::kTokens>{});

template <class Kind>
class Product {
 public:
  static void run(const LinearTask& task) {
    Product product(task);
    const int64_t fit = kChunkBytes / Kind::Segment::tokenBytes(task);
    const int chunk = fit > kGroupTokens ? static_cast<int>(fit < task.rows ? fit : task.rows) : kGroupTokens;
    for (int first = 0; first < task.rows; first += chunk) product.runChunk(first, smallerOf(chunk, task.rows - first));
  }

 private:
  explicit Product(const LinearTask& task) : task_(task) {
    for (int i = 0; i < task.subtreeCount; ++i) countMerges(task.subtrees[i].first, task.subtrees[i].end);
  }

  void countMerges(int first, int end) {
    if (end - first < 2) return;
    const int middle = treeMiddle(first, end);
    countMerges(first, middle);
    countMerges(middle, end);
    ++merges_[end - 1];
  }

  void runChunk(int first, int count) {
    const TileShape shape = Kind::tileFor(count);
    const int group = kGroupTokens / shape.tokens * shape.tokens;
    blocks_ = shape.blocks;
    width_ = shape.tokens;
    for (int block = task_.blockFirst; block < task_.blockEnd; block += blocks_) {
      while (block + blocks_ > task_.blockEnd) blocks_ /= 2;
      setRequests((count + width_ - 1) / width_);
      for (int done = 0; done < count; done += group) runGroup(block, first + done, smallerOf(group, count - done));
    }
  }

  // Where several tiles use the same weights, each of them requests its share of the next panel's.
  void setRequests(int tiles) {
    const auto panelBytes = static_cast<ptrdiff_t>(blocks_ * task_.matrix->blockBytes());
    request_ = {tiles == 1 ? kPrefetchBytes : panelBytes, (kLineBytes + tiles - 1) / tiles};
    requestStep_ = request_.pace * (task_.matrix->paddedSegment / Kind::kLineColumns);
    leaf_ = blocks_ == 1 ? kLeaves<Kind, 1>.data() : blocks_ == 2 ? kLeaves<Kind, 2>.data() : kLeaves<Kind, 4>.data();
  }

  void runGroup(int block, int token, int count) {
    for (int i = 0; i < task_.subtreeCount; ++i) {
      const Subtree subtree = task_.subtrees[i];
      int depth = 0;
      typename Kind::Segment segment(task_, block, subtree.first - task_.matrix->segmentFirst);
      for (int leaf = subtree.first; leaf < subtree.end; ++leaf, segment.advance()) {
        runTiles(segment, token, count, stack_[depth++]);
        for (int merge = merges_[leaf]; merge > 0; --merge, --depth) add(stack_[depth - 2], stack_[depth - 1], count);
      }
      store(block, token, count, subtree);
    }
    request_.ahead += requestStep_ * ((count + width_ - 1) / width_);
  }

  void runTiles(const typename Kind::Segment& segment, int token, int count, float* leaves) const {
    Request request = request_;
    for (int tiles = (count + width_ - 1) / width_; tiles > 0; --tiles) {
      const int tokens = (count + tiles - 1) / tiles;
      leaf_[tokens - 1](segment, token, request, leaves);
      token += tokens;
      count -= tokens;
      leaves += tokens * blocks_ * kRowBlock;
      request.ahead += requestStep_;
    }
  }

  void add(float* left, const float* right, int tokens) const {
    const int count = tokens * blocks_ * kRowBlock;
    for (int i = 0; i < count; i += kRowBlock) {
      for (int r = 0; r < kRowBlock; ++r) left[i + r] += right[i + r];
    }
  }

  void store(int block, int token, int count, Subtree subtree) const {
    const ptrdiff_t slot = task_.partial ? static_cast<ptrdiff_t>(subtree.first) * task_.matrix->rows : 0;
    const int row = block * kRowBlock;
    const auto bytes = sizeof(float) * static_cast<size_t>(smallerOf(blocks_ * kRowBlock, task_.matrix->rows - row));
    for (int j = 0; j < count; ++j) {
      float* to = task_.out + (token + j) * task_.outStride + slot + row;
      std::memcpy(to, stack_[0] + j * blocks_ * kRowBlock, bytes);
    }
  }

  const LinearTask& task_;
  int blocks_ = 1;                     // of the panel
  int width_ = 1;                      // tokens of a tile
  const LeafFunction<Kind>* leaf_ = nullptr;
  Request request_{};                  // of the next group's first tile
  ptrdiff_t requestStep_ = 0;          // from a tile to the next
  uint8_t merges_[kSegmentsMax] = {};  // additions of the tree that follow each leaf
  alignas(kLineBytes) float stack_[kTreeDepth][kGroupTokens * kBlocksMax * kRowBlock];
};

// Where one segment of a panel lies, for integer products; pointers are to the first row block's and the first token's.
struct IntegerSegment {
  const uint8_t* weights;
  const int8_t* multipliers;  // i4 only
  const float* rowScales;     // i8: of each group
  ptrdiff_t blockBytes;  // from a row block to the next
  ptrdiff_t blockMultipliers;
  ptrdiff_t blockScales;
  const int8_t* q;
  const int32_t* starts;
  const float* scales;
  ptrdiff_t qStride;  // from a token to the next
  ptrdiff_t startStride;
  ptrdiff_t scaleStride;
  ptrdiff_t bytes;  // of the segment of a row block
  ptrdiff_t multipliersBytes;
  int groups;
  int scaleCount;  // of the segment: groups or 1
  int padded;

  IntegerSegment(const LinearTask& task, int block, int segment) {
    const Matrix& m = *task.matrix;
    const QuantizedRows& rows = *task.quantized;
    const bool i4 = m.format == Format::i4;
    padded = m.paddedSegment;
    bytes = static_cast<ptrdiff_t>(padded) * kRowBlock / (i4 ? 2 : 1);
    multipliersBytes = i4 ? static_cast<ptrdiff_t>(m.groups) * kRowBlock : 0;
    blockBytes = bytes * m.held();
    blockMultipliers = multipliersBytes * m.held();
    groups = m.groups;
    scaleCount = m.scalesPerSegment();
    blockScales = static_cast<ptrdiff_t>(kRowBlock) * m.held() * scaleCount;
    weights = m.weights + block * blockBytes + segment * bytes;
    multipliers = m.multipliers + block * blockMultipliers + segment * multipliersBytes;
    rowScales = m.scales + block * blockScales + static_cast<ptrdiff_t>(segment) * scaleCount * kRowBlock;
    const ptrdiff_t segments = rows.segments;
    scaleStride = segments * scaleCount;
    qStride = segments * padded;
    startStride = segments * groups;
    q = rows.q + static_cast<ptrdiff_t>(segment) * padded;
    starts = rows.starts + static_cast<ptrdiff_t>(segment) * groups;
    scales = rows.scales + static_cast<ptrdiff_t>(segment) * scaleCount;
  }

  void advance() {
    weights += bytes;
    multipliers += multipliersBytes;
    rowScales += scaleCount * kRowBlock;
    q += padded;
    starts += groups;
    scales += scaleCount;
  }

  static int64_t tokenBytes(const LinearTask& task) {
    return static_cast<int64_t>(task.quantized->segments) * task.quantized->paddedSegment;
  }
};

// The same for products of halves.
struct HalfSegment {
  const uint16_t* weights;
  ptrdiff_t blockHalves;  // from a row block to the next
  const float* x;
  ptrdiff_t xStride;  // from a token to the next
  int length;

  HalfSegment(const LinearTask& task, int block, int segment) : length(task.matrix->segmentLength) {
    const ptrdiff_t first = static_cast<ptrdiff_t>(segment) * length;
    blockHalves = static_cast<ptrdiff_t>(length) * task.matrix->held() * kRowBlock;
    weights = reinterpret_cast<const uint16_t*>(task.matrix->weights) + block * blockHalves + first * kRowBlock;
    x = task.x + first;
    xStride = task.xStride;
  }

  void advance() {
    weights += static_cast<ptrdiff_t>(length) * kRowBlock;
    x += length;
  }

  static int64_t tokenBytes(const LinearTask& task) {
    return static_cast<int64_t>(task.matrix->held()) * task.matrix->segmentLength * static_cast<int64_t>(sizeof(float));
  }
};

}  // namespace
}  // namespace claw
