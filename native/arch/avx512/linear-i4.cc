// LINEAR with i4 weights. A weight is stored as q + 8 in four bits; a group's dot product starts at -8 times the sum of
// its activations. Its magnitude is at most 32 * 8 * 127, so it is a 16-bit number in the low half of its lane, and so
// is the row's multiplier: one vpdpwssd multiplies and adds them, with zeros in the multiplier's high halves against
// the sign bits in the dot product's.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

template <int Blocks, int Tokens>
class I4Tile : public IntegerTile<Blocks, Tokens> {
  using Base = IntegerTile<Blocks, Tokens>;

 public:
  I4Tile(const Job& job, int block, int token) : Base(job, block, token) {
    blockGroups_ = static_cast<size_t>(Base::matrix_.held()) * Base::matrix_.groups;
    multipliers_ = Base::matrix_.multipliers + block * blockGroups_ * kRowBlock;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const uint8_t* weights = Base::weights(segment);
    const int8_t* multipliers = multipliers_ + static_cast<size_t>(segment) * Base::matrix_.groups * kRowBlock;
    const int8_t* q = Base::q(segment);
    const int32_t* starts = Base::starts(segment);
    const size_t ahead = Base::job_.prefetchFor(segment);
    __m512i sums[Blocks][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm512_setzero_si512();
    }
    const int padded = Base::rows_.paddedSegment;
    int k = 0;
    for (; k + kGroup <= padded; k += kGroup) {
      addGroup<kGroup / 8>(weights, q, ahead, starts++, multipliers, kGroup / 8, sums);
      weights += kGroup * kRowBlock / 2;
      q += kGroup;
      multipliers += kRowBlock;
    }
    if (k < padded) addGroup<0>(weights, q, ahead, starts, multipliers, (padded - k) / 8, sums);
    Base::toLeaves(segment, sums, leaves);
  }

 private:
  // Steps known in advance (Steps > 0) are unrolled.
  template <int Steps>
  inline __attribute__((always_inline)) void addGroup(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                      const int32_t* starts, const int8_t* multipliers, int steps,
                                                      __m512i (&sums)[Blocks][Tokens]) const {
    __m512i dots[Blocks][Tokens];
    Base::start(starts, dots);
    if constexpr (Steps > 0) {
#pragma GCC unroll 8
      for (int step = 0; step < Steps; ++step) addStep(weights + step * 64, q + step * 8, ahead, dots);
    } else {
      for (int step = 0; step < steps; ++step) addStep(weights + step * 64, q + step * 8, ahead, dots);
    }
    addScaled(multipliers, dots, sums);
  }

  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m512i (&dots)[Blocks][Tokens]) const {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low[Blocks];
    __m512i high[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      const __m512i packed = _mm512_loadu_si512(weights + i * Base::blockBytes_);
      _mm_prefetch(weights + i * Base::blockBytes_ + ahead, _MM_HINT_T1);
      low[i] = _mm512_and_si512(packed, nibble);
      high[i] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), nibble);
    }
    addHalf(low, q, dots);
    addHalf(high, q + 4, dots);
  }

  inline __attribute__((always_inline)) void addHalf(const __m512i (&w)[Blocks], const int8_t* q,
                                                     __m512i (&dots)[Blocks][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int8_t* values = q + j * Base::qStride();
      if constexpr (Blocks == 1) {
        dot4At(dots[0][j], w[0], values);
      } else {
        const __m512i four = broadcast4(values);
#pragma GCC unroll 8
        for (int i = 0; i < Blocks; ++i) dot4(dots[i][j], w[i], four);
      }
    }
  }

  inline __attribute__((always_inline)) void addScaled(const int8_t* multipliers,
                                                       const __m512i (&dots)[Blocks][Tokens],
                                                       __m512i (&sums)[Blocks][Tokens]) const {
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      const void* from = multipliers + i * blockGroups_ * kRowBlock;
      const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)));
      const __m512i scale = _mm512_and_si512(wide, _mm512_set1_epi32(0xffff));
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sums[i][j]) : "v"(dots[i][j]), "v"(scale));
      }
    }
  }

  size_t blockGroups_;
  const int8_t* multipliers_;
};

struct I4 {
  static constexpr int kManyTokens = 6;

  template <int Blocks, int Tokens>
  using Tile = I4Tile<Blocks, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens <= 2 ? 4 : tokens <= 6 ? 2 : 1; }
};

}  // namespace

void linearI4(const LinearTask& task) { runLinear<I4>(task); }

}  // namespace claw::avx512
