// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "arch/avx512/simd.h"
#include "arch/avx512/table.h"
#include "lanes/linear.h"

namespace claw::avx512 {
namespace {

struct F16 {
  using Segment = HalfSegment;

  static constexpr int kTokens = 8;
  static constexpr int kSums = 24;  // four weights and four values are in registers besides
  static constexpr int kLineColumns = 2;

  static TileShape tileFor(int tokens) {
    if (tokens == 1) return {4, 1};
    return tokens == 7 || tokens == 8 ? TileShape{2, 8} : TileShape{4, 6};
  }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    const uint16_t* weights = at.weights;
    const uint8_t* line = reinterpret_cast<const uint8_t*>(weights) + request.ahead;
    const float* x = at.x + token * at.xStride;
    __m512 sums[Blocks][Tokens];
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm512_setzero_ps();
    }
    for (const float* end = x + at.length; x < end; ++x, weights += kRowBlock, line += request.pace / kLineColumns) {
      __m512 w[Blocks];
#pragma GCC unroll 4
      for (int i = 0; i < Blocks; ++i) w[i] = loadHalves(weights + i * at.blockHalves);
      prefetch<Blocks>(line, at.blockHalves * 2);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        const __m512 value = _mm512_set1_ps(x[j * at.xStride]);
#pragma GCC unroll 4
        for (int i = 0; i < Blocks; ++i) sums[i][j] = _mm512_fmadd_ps(w[i], value, sums[i][j]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) _mm512_store_ps(leaves + (j * Blocks + i) * kRowBlock, sums[i][j]);
    }
  }
};

}  // namespace

void linearF16(const LinearTask& task) { Product<F16>::run(task); }

}  // namespace claw::avx512
