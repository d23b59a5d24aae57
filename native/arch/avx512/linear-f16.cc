// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "arch/avx512/linear.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

template <int Blocks, int Tokens>
class F16Tile {
 public:
  F16Tile(const Job& job, int block, int token)
      : job_(job), matrix_(*job.task.matrix), xStride_(job.task.xStride), blockHalves_(matrix_.blockBytes() / 2) {
    x_ = job.task.x + token * xStride_;
    weights_ = reinterpret_cast<const uint16_t*>(matrix_.weights) + static_cast<size_t>(block) * blockHalves_;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const ptrdiff_t first = static_cast<ptrdiff_t>(segment) * matrix_.segmentLength;
    const uint16_t* weights = weights_ + first * kRowBlock;
    const float* x = x_ + first;
    const size_t ahead = job_.prefetchFor(segment) / sizeof(uint16_t);
    __m512 sums[Blocks][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm512_setzero_ps();
    }
    for (int k = 0; k < matrix_.segmentLength; ++k) addColumn(weights + k * kRowBlock, x + k, ahead, sums);
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) leaves[i][j] = sums[i][j];
    }
  }

 private:
  inline __attribute__((always_inline)) void addColumn(const uint16_t* weights, const float* x, size_t ahead,
                                                       Sums<Blocks, Tokens>& sums) const {
    __m512 w[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      w[i] = loadHalves(weights + i * blockHalves_);
      _mm_prefetch(weights + i * blockHalves_ + ahead, _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512 value = _mm512_set1_ps(x[j * xStride_]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) sums[i][j] = _mm512_fmadd_ps(w[i], value, sums[i][j]);
    }
  }

  const Job& job_;
  const Matrix& matrix_;
  ptrdiff_t xStride_;
  size_t blockHalves_;
  const float* x_;
  const uint16_t* weights_;
};

struct F16 {
  static constexpr int kManyTokens = 6;

  template <int Blocks, int Tokens>
  using Tile = F16Tile<Blocks, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens <= 6 ? 4 : 2; }
};

}  // namespace

void linearF16(const LinearTask& task) { runLinear<F16>(task); }

}  // namespace claw::avx512
