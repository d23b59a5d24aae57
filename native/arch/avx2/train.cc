// uses-fma: training's products, exponentials and sums; docs/reference/training.md.
#include "arch/avx2/lanes.h"
#include "train/example.h"

namespace claw::train {
namespace {

struct Lanes : avx2::Lanes {
  // A tile of a product: as many sums as the registers hold beside what they are made from.
  static constexpr int kTileRows = 6;
  static constexpr int kColumnVectors = 1;
};

}  // namespace

const Kernels& avx2TrainKernels() {
  static constexpr Kernels kernels = makeKernels<Lanes>("avx2");
  return kernels;
}

}  // namespace claw::train
