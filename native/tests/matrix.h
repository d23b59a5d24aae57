// Matrices for tests: a device of one thread packs them, naive loops read them back.
#pragma once

#include <memory>
#include <vector>

#include "executor/device.h"
#include "executor/matrix-load.h"
#include "tests/check.h"

namespace claw::test {

inline std::vector<float> randomFloats(Random* random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random->unit();
  return values;
}

struct Packed {
  Matrix matrix;
  Region region;
};

// Packs f32 rows (whole ones, of the slice) with the scalar kernels.
inline Packed pack(const Device& device, const MatrixShape& shape, const std::vector<float>& values) {
  Packed packed;
  CHECK(!device.allocateMatrix(shape, &packed.matrix, &packed.region));
  std::vector<float> scratch(17 * static_cast<size_t>(shape.columns));
  for (int32_t block = 0; block < packed.matrix.rowBlocks(); block++) {
    const PackTask task = {&packed.matrix, SourceType::f32, reinterpret_cast<const uint8_t*>(values.data()),
                           static_cast<size_t>(shape.columns) * sizeof(float), block, scratch.data()};
    CHECK(scalarKernels().packBlock(task) == 0);
  }
  return packed;
}

}  // namespace claw::test
