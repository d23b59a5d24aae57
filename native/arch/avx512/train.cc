// uses-fma: training's products, exponentials and sums; docs/reference/training.md.
#include "arch/avx512/lanes.h"
#include "train/example.h"

namespace claw::train {
namespace {

struct Lanes : avx512::Lanes {
  // A tile of a product: as many sums as the registers hold beside what they are made from.
  static constexpr int kTileRows = 8;
  static constexpr int kColumnVectors = 2;
};

}  // namespace

const Kernels& avx512TrainKernels() {
  static constexpr Kernels kernels = makeKernels<Lanes>("avx512");
  return kernels;
}

}  // namespace claw::train
