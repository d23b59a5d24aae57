// uses-fma: the chains over groups of i8.
// LINEAR with i8 weights. A weight is stored as q + 128, so an unsigned dot product is too large by 128 times the sum
// of its activations; a group's sum starts at what takes that off.
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
    auto& out = *reinterpret_cast<__m512(*)[Tokens][Blocks]>(leaves);
    if constexpr (Blocks * Tokens > kSumsBesideLeaves) return walk(at, token, request, out);
    __m512 chains[Tokens][Blocks];
    walk(at, token, request, chains);
    __builtin_memcpy(out, chains, sizeof chains);
  }

 private:
  // So many sums leave registers for as many leaves.
  static constexpr int kSumsBesideLeaves = 8;

  // Where a group lies, of the first row block and the first token.
  struct Group {
    const uint8_t* weights;
    const uint8_t* line;  // to request
    const int8_t* q;
    const int32_t* starts;
    const float* scales;
    const float* rowScales;
  };

  template <int Blocks, int Tokens>
  CLAW_INLINE static void walk(const Segment& at, int token, Request request, __m512 (&leaves)[Tokens][Blocks]) {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < Blocks; ++i) leaves[j][i] = _mm512_setzero_ps();
    }
    Group group{at.weights,
                at.weights + request.ahead,
                at.q + token * at.qStride,
                at.starts + token * at.startStride,
                at.scales + token * at.scaleStride,
                at.rowScales};
    for (int k = at.padded; k > 0; k -= kScaleGroup) {
      const int columns = smallerOf(k, kScaleGroup);
      if constexpr (Blocks * Tokens > kSumsBesideLeaves) addGroupApart(at, group, columns, request.pace, leaves);
      else addGroup(at, group, columns, request.pace, leaves);
      group.weights += columns * kRowBlock;
      group.line += columns / kLineColumns * request.pace;
      group.q += columns;
      ++group.starts;
      ++group.scales;
      group.rowScales += kRowBlock;
    }
  }

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addGroup(const Segment& at, const Group& group, int columns, ptrdiff_t pace,
                                   __m512 (&leaves)[Tokens][Blocks]) {
    const uint8_t* weights = group.weights;
    const uint8_t* line = group.line;
    const int8_t* q = group.q;
    __m512i sums[Blocks][Tokens];
    start(group.starts, at.startStride, sums);
#pragma GCC unroll 4
    for (const int8_t* end = q + columns; q < end; q += kLineColumns, weights += kLineBytes, line += pace) {
      __m512i w[Blocks];
#pragma GCC unroll 4
      for (int i = 0; i < Blocks; ++i) w[i] = _mm512_loadu_si512(weights + i * at.blockBytes);
      prefetch<Blocks>(line, at.blockBytes);
      addColumns(w, q, at.qStride, sums);
    }
    addToLeaves(at, group.rowScales, group.scales, sums, leaves);
  }

  // A call of its own, because GCC 12 moves the sums of an outer loop through memory.
  template <int Blocks, int Tokens>
  [[gnu::noinline]] static void addGroupApart(const Segment& at, const Group& group, int columns, ptrdiff_t pace,
                                              __m512 (&leaves)[Tokens][Blocks]) {
    addGroup(at, group, columns, pace, leaves);
  }
};

}  // namespace

void linearI8(const LinearTask& task) { Product<I8>::run(task); }

}  // namespace claw::avx512
