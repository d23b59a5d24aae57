#include "executor/attention-plan.h"

#include <algorithm>

namespace claw {
namespace {

constexpr int32_t kTileQueries = 32;  // times 256 weights of four bytes: 32 KB
constexpr int32_t kTileRowsMax = 16;

}  // namespace

int32_t AttentionShape::tileRows() const { return std::clamp(kTileQueries / group(), 1, kTileRowsMax); }

void AttentionPlan::build(std::span<const int32_t> positions, std::span<const int32_t> pageStarts) {
  tiles_.clear();
  int64_t total = 0;
  for (size_t row = 0; row < positions.size(); row++) {
    const auto index = static_cast<int32_t>(row);
    const int32_t position = positions[row];
    AttentionTile* last = tiles_.empty() ? nullptr : &tiles_.back();
    // A tile ends with its chunk, so that all of its rows see the same chunks.
    if (last != nullptr && pageStarts[row] == pageStarts[row - 1] && position == last->position + last->rows &&
        position % kAttentionChunk != 0 && last->rows < shape_.tileRows()) {
      last->rows++;
    } else {
      tiles_.push_back({index, 1, position});
    }
  }
  for (const AttentionTile& tile : tiles_) total += tileCost(tile);
  const auto threads = static_cast<int32_t>(cuts_.size()) - 1;
  split_ = false;
  int32_t tile = 0;
  int64_t before = 0;  // the cost of all tiles before
  for (int32_t t = 0; t < threads; t++) {
    const int64_t at = total * t / threads;
    while (tile < tiles() && before + tileCost(this->tile(tile)) <= at) before += tileCost(this->tile(tile++));
    AttentionCut& cut = cuts_[static_cast<size_t>(t)];
    cut = tile == tiles() ? AttentionCut{tile, 0, 0} : place(tile, at - before);
    split_ = split_ || cut.chunk > 0;
  }
  cuts_.back() = {tiles(), 0, 0};
}

// The place in a tile that is nearest to `cost`, and allowed.
AttentionCut AttentionPlan::place(int32_t index, int64_t cost) const {
  const AttentionTile& tile = this->tile(index);
  const int64_t unit = unitCost(tile);
  auto head = static_cast<int32_t>(cost / unit);
  const int64_t rest = cost % unit;
  const int32_t chunks = tile.chunks();
  auto chunk = static_cast<int32_t>((rest / tile.rows + kAttentionChunk / 2) / kAttentionChunk);
  const bool fits = static_cast<int64_t>(chunks) * tile.rows <= storedChunks_;
  if (!fits) chunk = 2 * rest < unit ? 0 : chunks;
  if (chunk >= chunks) {
    head++;
    chunk = 0;
  }
  return head == shape_.heads ? AttentionCut{index + 1, 0, 0} : AttentionCut{index, head, chunk};
}

int32_t AttentionPlan::starter(int32_t index) const {
  int32_t thread = index - 1;
  while (cut(thread).sameUnit(cut(index)) && cut(thread).chunk > 0) thread--;
  return thread;
}

int32_t AttentionPlan::ender(int32_t index) const {
  int32_t thread = index;
  while (cut(thread + 1).sameUnit(cut(index))) thread++;
  return thread;
}

}  // namespace claw
