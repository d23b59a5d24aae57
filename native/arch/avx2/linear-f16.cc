// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "arch/avx2/linear.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

template <int Vectors, int Tokens>
class F16Tile {
 public:
  F16Tile(const Job& job, int block, int token)
      : job_(job), matrix_(*job.task.matrix), xStride_(job.task.xStride), blockHalves_(matrix_.blockBytes() / 2) {
    x_ = job.task.x + token * xStride_;
    weights_ = reinterpret_cast<const uint16_t*>(matrix_.weights) + static_cast<size_t>(block) * blockHalves_;
  }

  void leaf(int segment, Sums<Vectors, Tokens>& leaves) const {
    const ptrdiff_t first = static_cast<ptrdiff_t>(segment) * matrix_.segmentLength;
    const uint16_t* weights = weights_ + first * kRowBlock;
    const float* x = x_ + first;
    const size_t ahead = job_.prefetchFor(segment) / sizeof(uint16_t);
    __m256 sums[Vectors][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm256_setzero_ps();
    }
    for (int k = 0; k < matrix_.segmentLength; ++k) addColumn(weights + k * kRowBlock, x + k, ahead, sums);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) leaves[i][j] = sums[i][j];
    }
  }

 private:
  inline __attribute__((always_inline)) void addColumn(const uint16_t* weights, const float* x, size_t ahead,
                                                       Sums<Vectors, Tokens>& sums) const {
    const auto loadWeights = [&](int i) __attribute__((always_inline)) {
      const uint16_t* from = weights + i / kHalves * blockHalves_ + i % kHalves * kLanes;
      if (i % kHalves == 0) _mm_prefetch(from + ahead, _MM_HINT_T1);
      return load(from, Whole{});
    };
    const auto loadValue = [&](int j) __attribute__((always_inline)) { return _mm256_broadcast_ss(x + j * xStride_); };
    eachPair<Vectors, Tokens>(loadWeights, loadValue, [&](int i, int j, __m256 w, __m256 value) __attribute__((always_inline)) {
      sums[i][j] = _mm256_fmadd_ps(w, value, sums[i][j]);
    });
  }

  const Job& job_;
  const Matrix& matrix_;
  ptrdiff_t xStride_;
  size_t blockHalves_;
  const float* x_;
  const uint16_t* weights_;
};

struct F16 {
  template <int Vectors, int Tokens>
  using Tile = F16Tile<Vectors, Tokens>;

  static constexpr int kTileTokens = 6;

  // Chains enough to hide the latency of a fused multiply-add.
  static constexpr int blocksFor(int tokens) { return tokens == 1 ? 4 : tokens <= 3 ? 2 : 1; }
};

}  // namespace

void linearF16(const LinearTask& task) { runLinear<F16>(task); }

}  // namespace claw::avx2
