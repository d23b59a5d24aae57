// How a step's attention is shared between threads. Rows at consecutive positions of a sequence form tiles, which read
// their keys and values together. A tile with one KV head is a unit; units, laid end to end, are cut into parts of equal
// cost, one per thread, also between two chunks of a unit: chunks can be computed apart, if they are folded in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"

namespace claw {

// What the attention operations of a program have in common.
struct AttentionShape {
  int32_t heads;  // KV heads
  int32_t queryHeads;
  int32_t headDim;

  bool operator==(const AttentionShape&) const = default;
  // Query heads of one KV head, at most.
  int32_t group() const { return (queryHeads + heads - 1) / heads; }
  // The first query head of a KV head: query head q belongs to KV head floor(q * heads / queryHeads).
  int32_t firstQuery(int32_t head) const {
    return static_cast<int32_t>((static_cast<int64_t>(head) * queryHeads + heads - 1) / heads);
  }
  // Rows of a tile at most: enough that arithmetic, not reading, takes the time, and that its weights stay in a cache.
  int32_t tileRows() const;
};

struct AttentionTile {
  int32_t row;  // rows [row, row + rows) of the step
  int32_t rows;
  int32_t position;  // of the first row

  int32_t chunks() const { return position / kAttentionChunk + 1; }
};

// A place in the line of units: before this chunk of this head of this tile.
struct AttentionCut {
  int32_t tile;
  int32_t head;
  int32_t chunk;

  bool sameUnit(const AttentionCut& other) const { return tile == other.tile && head == other.head; }
};

class AttentionPlan {
 public:
  // `storedChunks`: chunks of one row that a thread has room to keep until they are folded.
  AttentionPlan(const AttentionShape& shape, int32_t threads, int64_t storedChunks)
      : shape_(shape), storedChunks_(storedChunks), cuts_(static_cast<size_t>(threads) + 1) {}

  // For rows at these positions, whose page tables begin at these entries.
  void build(std::span<const int32_t> positions, std::span<const int32_t> pageStarts);

  const AttentionShape& shape() const { return shape_; }
  int64_t storedChunks() const { return storedChunks_; }
  const AttentionTile& tile(int32_t index) const { return tiles_[static_cast<size_t>(index)]; }
  int32_t tiles() const { return static_cast<int32_t>(tiles_.size()); }
  // Thread t takes what lies between cuts t and t + 1.
  const AttentionCut& cut(int32_t index) const { return cuts_[static_cast<size_t>(index)]; }
  // Whether any unit is shared, so that the threads must meet before its chunks are folded.
  bool split() const { return split_; }
  // The thread that begins the unit of cut `index`, which lies between two of its chunks.
  int32_t starter(int32_t index) const;
  // The thread that ends it.
  int32_t ender(int32_t index) const;

 private:
  AttentionCut place(int32_t tile, int64_t cost) const;
  int64_t unitCost(const AttentionTile& tile) const {
    return static_cast<int64_t>(tile.rows) * (tile.position + tile.rows);
  }
  int64_t tileCost(const AttentionTile& tile) const { return shape_.heads * unitCost(tile); }

  AttentionShape shape_;
  int64_t storedChunks_;
  std::vector<AttentionTile> tiles_;
  std::vector<AttentionCut> cuts_;
  bool split_ = false;
};

}  // namespace claw
