// LINEAR with i4 weights. A weight is stored as q + 8 in four bits; a group's dot product starts at -8 times the sum of
// its activations. Its magnitude is at most 32 * 8 * 127, so it is a 16-bit number in the low half of its lane, and
// so is the row's multiplier shifted left: one vpdpwssd multiplies and adds them, with zeros in the multiplier's
// high halves against the sign bits in the dot product's.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

template <int Blocks, int Tokens>
class I4Tile {
 public:
  I4Tile(const Job& job, int block, int token)
      : job_(job), matrix_(*job.task.matrix), x_{*job.task.quantized, token}, blockBytes_(matrix_.blockBytes()) {
    weights_ = matrix_.weights + static_cast<size_t>(block) * blockBytes_;
    blockGroups_ = static_cast<size_t>(matrix_.held()) * matrix_.groups;
    multipliers_ = matrix_.multipliers + block * blockGroups_ * kRowBlock;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const int padded = x_.rows.paddedSegment;
    const uint8_t* weights = weights_ + static_cast<size_t>(segment) * padded * kRowBlock / 2;
    const int8_t* multipliers = multipliers_ + static_cast<size_t>(segment) * matrix_.groups * kRowBlock;
    const int8_t* q = x_.q(segment, 0);
    ptrdiff_t group = x_.group(segment, 0);
    const size_t ahead = job_.prefetchFor(segment);
    __m512i sums[Blocks][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm512_setzero_si512();
    }
    for (int k = 0; k < padded; k += kGroup, ++group) {
      __m512i dots[Blocks][Tokens];
      startDots(x_.rows.sums + group, dots);
      const int steps = smaller(padded - k, kGroup) / 8;
      for (int step = 0; step < steps; ++step) addStep(weights + step * 64, q + step * 8, ahead, dots);
      addScaled(multipliers, x_.rows.lefts + group, dots, sums);
      weights += kGroup * kRowBlock / 2;
      multipliers += kRowBlock;
      q += kGroup;
    }
    x_.toLeaves(segment, sums, leaves);
  }

 private:
  ptrdiff_t groupStride() const { return static_cast<ptrdiff_t>(x_.rows.segments) * x_.rows.groups; }

  inline __attribute__((always_inline)) void startDots(const int32_t* sums,
                                                       __m512i (&dots)[Blocks][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512i start = _mm512_set1_epi32(-8 * sums[j * groupStride()]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) dots[i][j] = start;
    }
  }

  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m512i (&dots)[Blocks][Tokens]) const {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low[Blocks];
    __m512i high[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      const __m512i packed = _mm512_loadu_si512(weights + i * blockBytes_);
      _mm_prefetch(weights + i * blockBytes_ + ahead, _MM_HINT_T1);
      low[i] = _mm512_and_si512(packed, nibble);
      high[i] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), nibble);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int8_t* values = q + j * x_.qStride();
      if constexpr (Blocks == 1) {
        dot4At(dots[0][j], low[0], values);
        dot4At(dots[0][j], high[0], values + 4);
      } else {
        const __m512i first = broadcast4(values);
#pragma GCC unroll 8
        for (int i = 0; i < Blocks; ++i) dot4(dots[i][j], low[i], first);
        const __m512i second = broadcast4(values + 4);
#pragma GCC unroll 8
        for (int i = 0; i < Blocks; ++i) dot4(dots[i][j], high[i], second);
      }
    }
  }

  inline __attribute__((always_inline)) void addScaled(const int8_t* multipliers, const int32_t* lefts,
                                                       const __m512i (&dots)[Blocks][Tokens],
                                                       __m512i (&sums)[Blocks][Tokens]) const {
    __m512i scale[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      const void* from = multipliers + i * blockGroups_ * kRowBlock;
      const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)));
      scale[i] = _mm512_and_si512(wide, _mm512_set1_epi32(0xffff));
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512i left = _mm512_set1_epi32(lefts[j * groupStride()]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) {
        const __m512i shifted = _mm512_sllv_epi16(scale[i], left);
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sums[i][j]) : "v"(dots[i][j]), "v"(shifted));
      }
    }
  }

  const Job& job_;
  const Matrix& matrix_;
  Activations<Tokens> x_;
  size_t blockBytes_;
  size_t blockGroups_;
  const uint8_t* weights_;
  const int8_t* multipliers_;
};

struct I4 {
  template <int Blocks, int Tokens>
  using Tile = I4Tile<Blocks, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens <= 2 ? 4 : tokens <= 6 ? 2 : 1; }

  static void prepare(Job&, int, int) {}
};

}  // namespace

void linearI4(const LinearTask& task) { runLinear<I4>(task); }

}  // namespace claw::avx512
