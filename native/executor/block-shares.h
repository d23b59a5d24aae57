// The row blocks of every matrix product of a step, dealt out to the threads. Each thread begins with its part, in
// order, and who has ended takes from the back of another's: a thread whose processor is slower, or busy elsewhere for a
// while, keeps nobody waiting. Who computes a block changes no bit of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "executor/thread-pool.h"

namespace claw {

struct BlockRange {
  int32_t first;
  int32_t end;
};

class BlockShares {
 public:
  // For so many products.
  BlockShares(int threads, size_t products);

  // Before any thread takes from it.
  void deal(size_t product, int32_t blocks);
  // Blocks that are this thread's to compute, or false when all have been taken. `end` is `first` plus a multiple of
  // kPanel, or where a thread's part ends.
  bool take(size_t product, int thread, BlockRange* range);

 private:
  static constexpr int32_t kPanel = 4;      // as many blocks share a pass over the activations
  static constexpr int32_t kTakenMax = 16;  // at once: what is taken cannot be taken over
  static constexpr size_t kPerLine = 8;

  struct alignas(64) Line {
    std::atomic<uint64_t> parts[kPerLine];  // first | end << 32
  };

  std::atomic<uint64_t>& part(size_t product, int thread);

  int threads_;
  size_t lines_;  // of a thread
  std::vector<Line> all_;
};

}  // namespace claw
