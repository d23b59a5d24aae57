// uses-fma: LINEAR with f16 weights, a chain of fused multiply-adds over k for every row and token.
#include "lanes/linear.h"
#include "arch/neon/simd.h"
#include "arch/neon/table.h"

namespace claw::neon {
namespace {

struct F16 {
  using Segment = HalfSegment;

  static constexpr int kTokens = 5;  // 20 sums, four weights and a value are in registers
  static constexpr int kSums = 5;
  static constexpr int kLineColumns = 2;

  // Chains enough to hide the latency of each.
  static TileShape tileFor(int tokens) { return tokens == 1 ? TileShape{4, 1} : TileShape{1, kTokens}; }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    constexpr int kBlockVectors = kRowBlock / kLanes;
    constexpr int kVectors = Blocks * kBlockVectors;
    const uint16_t* weights = at.weights;
    const uint8_t* line = reinterpret_cast<const uint8_t*>(weights) + request.ahead;
    const float* x = at.x + token * at.xStride;
    float32x4_t sums[kVectors][Tokens];
    clear(sums);
    for (const float* end = x + at.length; x < end; ++x, weights += kRowBlock, line += request.pace / kLineColumns) {
      prefetch<Blocks>(line, at.blockHalves * 2);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        const float32x4_t w = loadHalves(weights + v / kBlockVectors * at.blockHalves + v % kBlockVectors * kLanes);
#pragma GCC unroll 8
        for (int j = 0; j < Tokens; ++j) sums[v][j] = vfmaq_n_f32(sums[v][j], w, x[j * at.xStride]);
      }
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) vst1q_f32(leaves + (j * kVectors + v) * kLanes, sums[v][j]);
    }
  }
};

}  // namespace

void linearF16(const LinearTask& task) { Product<F16>::run(task); }

}  // namespace claw::neon
