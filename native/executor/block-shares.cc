#include "executor/block-shares.h"

#include <algorithm>

namespace claw {
namespace {

uint64_t packed(BlockRange range) {
  return static_cast<uint64_t>(static_cast<uint32_t>(range.first)) | static_cast<uint64_t>(static_cast<uint32_t>(range.end)) << 32;
}

BlockRange unpacked(uint64_t part) {
  return {static_cast<int32_t>(static_cast<uint32_t>(part)), static_cast<int32_t>(part >> 32)};
}

}  // namespace

BlockShares::BlockShares(int threads, size_t products)
    : threads_(threads),
      lines_((products + kPerLine - 1) / kPerLine),
      all_(static_cast<size_t>(threads) * lines_) {}

std::atomic<uint64_t>& BlockShares::part(size_t product, int thread) {
  return all_[static_cast<size_t>(thread) * lines_ + product / kPerLine].parts[product % kPerLine];
}

void BlockShares::deal(size_t product, int32_t blocks) {
  for (int t = 0; t < threads_; t++) {
    const BlockRange range = {partFirst(blocks, t, threads_), partFirst(blocks, t + 1, threads_)};
    part(product, t).store(packed(range), std::memory_order_relaxed);
  }
}

bool BlockShares::take(size_t product, int thread, BlockRange* range) {
  for (int i = 0; i < threads_; i++) {
    std::atomic<uint64_t>& from = part(product, (thread + i) % threads_);
    uint64_t seen = from.load(std::memory_order_relaxed);
    for (BlockRange left = unpacked(seen); left.first < left.end; left = unpacked(seen)) {
      const int32_t half = (left.end - left.first) / 2 / kPanel * kPanel;
      const int32_t count = std::min(std::clamp(half, kPanel, kTakenMax), left.end - left.first);
      const bool own = i == 0;
      *range = own ? BlockRange{left.first, left.first + count} : BlockRange{left.end - count, left.end};
      const BlockRange rest = own ? BlockRange{range->end, left.end} : BlockRange{left.first, range->first};
      if (from.compare_exchange_weak(seen, packed(rest), std::memory_order_relaxed)) return true;
    }
  }
  return false;
}

}  // namespace claw
