// uses-fma: training's products, exponentials and sums; docs/reference/training.md.
#include "arch/neon/lanes.h"
#include "train/example.h"

namespace claw::train {
namespace {

struct Lanes : neon::Lanes {
  // A tile of a product: as many sums as the registers hold beside what they are made from.
  static constexpr int kTileRows = 6;
  static constexpr int kColumnVectors = 1;
};

}  // namespace

const Kernels& neonTrainKernels() {
  static constexpr Kernels kernels = makeKernels<Lanes>("neon");
  return kernels;
}

}  // namespace claw::train
