// LINEAR with i4 weights. A weight is stored as q + 8 in four bits; a group's dot product starts at -8 times the sum of
// its activations. Its magnitude is at most 32 * 8 * 127, so it is a 16-bit number in the low half of its lane, and so
// is the row's multiplier: one vpdpwssd multiplies and adds them, with zeros in the multiplier's high halves against
// the sign bits in the dot product's.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

struct I4 {
  using Segment = IntegerSegment;

  static constexpr int kTokens = 8;
  static constexpr int kSums = 12;  // and as many dot products, two times two weights and activations in registers
  static constexpr int kLineColumns = 8;

  static TileShape tileFor(int tokens) {
    if (tokens == 1) return {1, 1};  // one stream from memory
    if (tokens == 2) return {4, 2};
    return tokens == 7 || tokens == 8 ? TileShape{1, 8} : TileShape{2, 6};
  }

  // Where a group lies: the first row block's weights and multipliers, the first token's activations and start.
  struct Group {
    const uint8_t* weights;
    const uint8_t* line;  // to request
    const int8_t* multipliers;
    const int8_t* q;
    const int32_t* starts;
  };

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    Group group{at.weights, at.weights + request.ahead, at.multipliers, at.q + token * at.qStride,
                at.starts + token * at.startStride};
    __m512i sums[Blocks][Tokens];
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm512_setzero_si512();
    }
    for (int k = at.padded; k > 0; k -= kGroup) addGroup(at, group, smallerOf(k, kGroup), request.pace, sums);
    toLeaves(at, token, sums, leaves);
  }

 private:
  template <int Blocks, int Tokens>
  CLAW_INLINE static void addGroup(const Segment& at, Group& group, int columns, ptrdiff_t pace,
                                   __m512i (&sums)[Blocks][Tokens]) {
    __m512i dots[Blocks][Tokens];
    start(group.starts++, at.startStride, dots);
    prefetch<Blocks>(group.multipliers + kMultipliersAhead, at.blockMultipliers);
    for (; columns > 0; columns -= kLineColumns) {
      prefetch<Blocks>(group.line, at.blockBytes);
      group.line += pace;
      addStep(at, group, dots);
      group.weights += kLineBytes;
      group.q += kLineColumns;
    }
    addScaled(at, group.multipliers, dots, sums);
    group.multipliers += kRowBlock;
  }

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addStep(const Segment& at, const Group& group, __m512i (&dots)[Blocks][Tokens]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low[Blocks];
    __m512i high[Blocks];
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      __m512i packed = _mm512_loadu_si512(group.weights + i * at.blockBytes);
      __asm__("" : "+v"(packed));  // or else GCC loads it twice
      low[i] = _mm512_and_si512(packed, nibble);
      high[i] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), nibble);
    }
    addColumns(low, group.q, at.qStride, dots);
    addColumns(high, group.q + 4, at.qStride, dots);
  }

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addScaled(const Segment& at, const int8_t* multipliers, const __m512i (&dots)[Blocks][Tokens],
                                    __m512i (&sums)[Blocks][Tokens]) {
#pragma GCC unroll 4
    for (int i = 0; i < Blocks; ++i) {
      const void* from = multipliers + i * at.blockMultipliers;
      const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)));
      const __m512i factor = _mm512_and_si512(wide, _mm512_set1_epi32(0xffff));
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sums[i][j]) : "v"(dots[i][j]), "v"(factor));
      }
    }
  }
};

}  // namespace

void linearI4(const LinearTask& task) { Product<I4>::run(task); }

}  // namespace claw::avx512
