// LINEAR with i8 weights. A weight is stored as q + 128, so a group's unsigned dot product is too large by 128 times
// the sum of its activations; those excesses, shifted as their groups are, are taken off once per segment.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

template <int Blocks, int Tokens>
class I8Tile {
 public:
  I8Tile(const Job& job, int block, int token)
      : job_(job), x_{*job.task.quantized, token}, blockBytes_(job.task.matrix->blockBytes()) {
    weights_ = job.task.matrix->weights + static_cast<size_t>(block) * blockBytes_;
  }

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const int padded = x_.rows.paddedSegment;
    const uint8_t* weights = weights_ + static_cast<size_t>(segment) * padded * kRowBlock;
    const int8_t* q = x_.q(segment, 0);
    const int32_t* lefts = x_.rows.lefts + x_.group(segment, 0);
    __m512i sums[Blocks][Tokens];
    start(segment, sums);
    const size_t ahead = job_.prefetchFor(segment);
    for (int k = 0; k < padded; k += kGroup, ++lefts) {
      addGroup(weights, q, smaller(padded - k, kGroup) / 4, ahead, lefts, sums);
      weights += kGroup * kRowBlock;
      q += kGroup;
    }
    x_.toLeaves(segment, sums, leaves);
  }

 private:
  void start(int segment, __m512i (&sums)[Blocks][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512i value = _mm512_set1_epi32(job_.starts[x_.token + j - job_.tokenFirst][segment]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) sums[i][j] = value;
    }
  }

  // sums += the group's products of `steps` times four columns, shifted left.
  inline __attribute__((always_inline)) void addGroup(const uint8_t* weights, const int8_t* q, int steps,
                                                      size_t ahead, const int32_t* lefts,
                                                      __m512i (&sums)[Blocks][Tokens]) const {
    __m512i dots[Blocks][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) dots[i][j] = _mm512_setzero_si512();
    }
    for (int step = 0; step < steps; ++step) addStep(weights + step * 64, q + step * 4, ahead, dots);
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m512i left = _mm512_set1_epi32(lefts[j * x_.rows.segments * static_cast<ptrdiff_t>(x_.rows.groups)]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks; ++i) {
        sums[i][j] = _mm512_add_epi32(sums[i][j], _mm512_sllv_epi32(dots[i][j], left));
      }
    }
  }

  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m512i (&dots)[Blocks][Tokens]) const {
    __m512i w[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      w[i] = _mm512_loadu_si512(weights + i * blockBytes_);
      _mm_prefetch(weights + i * blockBytes_ + ahead, _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int8_t* values = q + j * x_.qStride();
      if constexpr (Blocks == 1) {
        dot4At(dots[0][j], w[0], values);
      } else {
        const __m512i four = broadcast4(values);
#pragma GCC unroll 8
        for (int i = 0; i < Blocks; ++i) dot4(dots[i][j], w[i], four);
      }
    }
  }

  const Job& job_;
  Activations<Tokens> x_;
  size_t blockBytes_;
  const uint8_t* weights_;
};

struct I8 {
  template <int Blocks, int Tokens>
  using Tile = I8Tile<Blocks, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens <= 2 ? 4 : tokens <= 6 ? 2 : 1; }

  static void prepare(Job& job, int tokenFirst, int tokenEnd) {
    const QuantizedRows& rows = *job.task.quantized;
    for (int token = tokenFirst; token < tokenEnd; ++token) {
      for (int segment = 0; segment < job.task.matrix->held(); ++segment) {
        const ptrdiff_t at = (static_cast<ptrdiff_t>(token) * rows.segments + segment) * rows.groups;
        uint32_t excess = 0;  // modulo 2^32, as all of the integer sum
        for (int g = 0; g < rows.groups; ++g) {
          excess += static_cast<uint32_t>(rows.sums[at + g]) << (7 + rows.lefts[at + g]);
        }
        job.starts[token - tokenFirst][segment] = static_cast<int32_t>(0u - excess);
      }
    }
  }
};

}  // namespace

void linearI8(const LinearTask& task) { runLinear<I8>(task); }

}  // namespace claw::avx512
