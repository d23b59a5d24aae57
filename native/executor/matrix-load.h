// Packing a matrix on all threads: blocks of 16 rows are read, sealed and packed one by one, so that of the source
// only those in work are in memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "executor/device.h"
#include "executor/error.h"
#include "executor/matrix-work.h"
#include "executor/thread-pool.h"

namespace claw {

// The rows of the slice: bytes in memory, or a file from an offset on.
struct MatrixBytes {
  SourceType type;
  const uint8_t* memory = nullptr;
  std::string file;
  int64_t offset = 0;
};

class MatrixLoad final : public MatrixWork {
 public:
  ~MatrixLoad() override;
  // Checks, allocates and opens; on the submitting thread.
  static Error begin(std::shared_ptr<Device> device, const MatrixShape& shape, MatrixBytes source,
                     std::unique_ptr<MatrixLoad>* load);
  void run(const Team& team) override;
  Error end(int32_t* id) override;

 private:
  // The rows of a block of 16, in `buffer` when they come from a file; null when reading fails.
  const uint8_t* rows(int32_t block, uint8_t* buffer);
  int32_t packBlock(int32_t block, const uint8_t* source, float* scratch);
  void noteBadRow(int64_t row);

  std::shared_ptr<Device> device_;
  MatrixBytes source_;
  size_t rowBytes_ = 0;
  int descriptor_ = -1;
  Matrix matrix_{};
  Region region_;
  std::vector<Region> scratch_;  // per thread: the kernel's scratch, then a block of source rows
  std::atomic<int32_t> nextBlock_{0};
  std::atomic<int64_t> badRow_{INT64_MAX};
  std::atomic<bool> unreadable_{false};
};

}  // namespace claw
