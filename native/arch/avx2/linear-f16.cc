// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "arch/avx2/simd.h"
#include "arch/avx2/table.h"
#include "lanes/linear.h"

namespace claw::avx2 {
namespace {

struct F16 {
  using Segment = HalfSegment;

  static constexpr int kTokens = 6;
  static constexpr int kSums = 6;  // of two vectors each; two weights and a value are in registers besides
  static constexpr int kLineColumns = 2;

  // Chains enough to hide the latency of a fused multiply-add.
  static TileShape tileFor(int tokens) {
    if (tokens == 1) return {4, 1};
    return tokens <= 3 ? TileShape{2, 3} : TileShape{1, 6};
  }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    constexpr int kHalves = kRowBlock / kLanes;
    constexpr int kVectors = Blocks * kHalves;
    const uint16_t* weights = at.weights;
    const uint8_t* line = reinterpret_cast<const uint8_t*>(weights) + request.ahead;
    const float* x = at.x + token * at.xStride;
    __m256 sums[kVectors][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm256_setzero_ps();
    }
    for (const float* end = x + at.length; x < end; ++x, weights += kRowBlock, line += request.pace / kLineColumns) {
      prefetch<Blocks>(line, at.blockHalves * 2);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
        const __m256 w = load(weights + i / kHalves * at.blockHalves + i % kHalves * kLanes, Whole{});
#pragma GCC unroll 8
        for (int j = 0; j < Tokens; ++j) {
          sums[i][j] = _mm256_fmadd_ps(w, _mm256_broadcast_ss(x + j * at.xStride), sums[i][j]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) _mm256_store_ps(leaves + (j * kVectors + i) * kLanes, sums[i][j]);
    }
  }
};

}  // namespace

void linearF16(const LinearTask& task) { Product<F16>::run(task); }

}  // namespace claw::avx2
