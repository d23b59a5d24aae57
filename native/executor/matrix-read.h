// Taking a matrix over as it was packed before, out of a file: all threads read its blocks and compare their checksums
// while they are in the cache.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/arena.h"
#include "executor/device.h"
#include "executor/matrix-work.h"

namespace claw {

// `offset` bytes into an open file.
struct FilePlace {
  int descriptor;
  int64_t offset;
};

// Reads all of it, whatever pieces the system hands out; false when the file ends before or reading fails.
bool readFully(const FilePlace& place, uint8_t* to, size_t bytes);

class MatrixRead final : public MatrixWork {
 public:
  ~MatrixRead() override;
  // Checks and allocates, on the submitting thread. The descriptor may be closed afterwards.
  static Error begin(std::shared_ptr<Device> device, const MatrixShape& shape, const FilePlace& place,
                     uint64_t checksum, std::unique_ptr<MatrixRead>* read);
  void run(const Team& team) override;
  // The id is -1 when the bytes are not those that were written.
  Error end(int32_t* id) override;

 private:
  std::shared_ptr<Device> device_;
  FilePlace place_{-1, 0};
  uint64_t checksum_ = 0;
  Matrix matrix_{};
  Region region_;
  std::vector<uint64_t> blocks_;
  std::atomic<size_t> nextBlock_{0};
  std::atomic<bool> unreadable_{false};
};

}  // namespace claw
