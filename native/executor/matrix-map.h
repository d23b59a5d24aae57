// Taking a matrix over as it was packed before, out of a file that is mapped: all threads read it once, which brings it
// into memory and compares its checksum.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/arena.h"
#include "executor/device.h"
#include "executor/matrix-work.h"

namespace claw {

class MatrixMap final : public MatrixWork {
 public:
  // Checks and maps, on the submitting thread. The descriptor may be closed afterwards.
  static Error begin(std::shared_ptr<Device> device, const MatrixShape& shape, const FilePlace& place,
                     uint64_t checksum, std::unique_ptr<MatrixMap>* map);
  void run(const Team& team) override;
  // The id is -1 when the bytes are not those that were written.
  Error end(int32_t* id) override;

 private:
  std::shared_ptr<Device> device_;
  uint64_t checksum_ = 0;
  Matrix matrix_{};
  Region region_;
  std::vector<uint64_t> blocks_;
  std::atomic<size_t> nextBlock_{0};
};

}  // namespace claw
