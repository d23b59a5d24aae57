// A matrix on its way to a device: packed from a model, or mapped as it was packed before.
#pragma once

#include <cstdint>

#include "executor/error.h"
#include "executor/thread-pool.h"

namespace claw {

class MatrixWork {
 public:
  virtual ~MatrixWork() = default;
  // On every thread of the pool.
  virtual void run(const Team& team) = 0;
  // Afterwards, on the submitting thread: hands the matrix to the device.
  virtual Error end(int32_t* id) = 0;
};

}  // namespace claw
