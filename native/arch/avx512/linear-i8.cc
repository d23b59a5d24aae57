// uses-fma: the chains over groups of i8.
// LINEAR with i8 weights. A weight is stored as q + 128, so an unsigned dot product is too large by 128 times the sum
// of its activations; the segment's sum starts at what takes that off.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

struct I8 {
  using Segment = IntegerSegment;

  static constexpr int kTokens = 8;
  static constexpr int kSums = 24;  // four weights and four activations are in registers besides
  static constexpr int kLineColumns = 4;

  static TileShape tileFor(int tokens) {
    if (tokens == 1) return {1, 1};  // one stream from memory
    if (tokens <= 6) return {4, 6};
    return tokens <= 32 ? TileShape{2, 8} : TileShape{4, 6};
  }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    const uint8_t* weights = at.weights;
    const uint8_t* line = weights + request.ahead;
    const int8_t* q = at.q + token * at.qStride;
    const int32_t* starts = at.starts + token * at.startStride;
    const float* scales = at.scales + token * at.scaleStride;
    const int8_t* end = q + at.padded;
    for (int group = 0; q < end; ++group) {
      __m512i sums[Blocks][Tokens];
      start(starts + group, at.startStride, sums);
      const int8_t* groupEnd = end - q < kScaleGroup ? end : q + kScaleGroup;
      for (; q < groupEnd; q += kLineColumns, weights += kLineBytes, line += request.pace) {
        __m512i w[Blocks];
#pragma GCC unroll 4
        for (int i = 0; i < Blocks; ++i) w[i] = _mm512_loadu_si512(weights + i * at.blockBytes);
        prefetch<Blocks>(line, at.blockBytes);
        addColumns(w, q, at.qStride, sums);
      }
      addToLeaves(at, group, scales + group, sums, leaves);
    }
  }
};

}  // namespace

void linearI8(const LinearTask& task) { Product<I8>::run(task); }

}  // namespace claw::avx512
