// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "arch/neon/linear.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

template <int Blocks, int Tokens>
class F16Tile {
 public:
  F16Tile(const LinearTask& task, int block, int token)
      : matrix_(*task.matrix), xStride_(task.xStride), blockHalves_(matrix_.blockBytes() / sizeof(uint16_t)) {
    x_ = task.x + token * xStride_;
    weights_ = reinterpret_cast<const uint16_t*>(matrix_.weights) + static_cast<size_t>(block) * blockHalves_;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const ptrdiff_t first = static_cast<ptrdiff_t>(segment) * matrix_.segmentLength;
    const uint16_t* weights = weights_ + first * kRowBlock;
    const float* x = x_ + first;
    Sums<Blocks, Tokens> sums;
    clear(sums);
    for (int k = 0; k < matrix_.segmentLength; ++k) addColumn(weights + k * kRowBlock, x + k, sums);
    __builtin_memcpy(leaves, sums, sizeof sums);
  }

 private:
  static constexpr int kVectors = Blocks * kBlockVectors;

  CLAW_INLINE void addColumn(const uint16_t* weights, const float* x, Sums<Blocks, Tokens>& sums) const {
    float32x4_t w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      w[v] = loadHalves(weights + (v / kBlockVectors) * blockHalves_ + (v % kBlockVectors) * kLanes);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const float value = x[j * xStride_];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[v][j] = vfmaq_n_f32(sums[v][j], w[v], value);
    }
  }

  const Matrix& matrix_;
  ptrdiff_t xStride_;
  size_t blockHalves_;
  const float* x_;
  const uint16_t* weights_;
};

struct F16 {
  static constexpr int kTokens = 5;  // 20 sums, four weights and a value are in registers
  static constexpr int kBlocks = 3;  // enough chains at once to hide the latency of each

  template <int Blocks, int Tokens>
  using Tile = F16Tile<Blocks, Tokens>;
};

}  // namespace

void linearF16(const LinearTask& task) { runLinear<F16>(task); }

}  // namespace claw::neon
