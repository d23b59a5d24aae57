// LINEAR with i8 weights. A weight is stored as q + 128, so an unsigned dot product is too large by 128 times the sum
// of its activations; the segment's sum starts at what takes that off.
#include "arch/avx512/integer.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

template <int Blocks, int Tokens>
class I8Tile : public IntegerTile<Blocks, Tokens> {
  using Base = IntegerTile<Blocks, Tokens>;

 public:
  using Base::Base;

  void leaf(int segment, Sums<Blocks, Tokens>& leaves) const {
    const uint8_t* weights = Base::weights(segment);
    const int8_t* q = Base::q(segment);
    const size_t ahead = Base::job_.prefetchFor(segment);
    __m512i sums[Blocks][Tokens];
    Base::start(Base::starts(segment), sums);
    for (const int8_t* end = q + Base::rows_.paddedSegment; q < end; q += kSegmentPad) {
      addStep(weights, q, ahead, sums);
      addStep(weights + 64, q + 4, ahead, sums);
      weights += kSegmentPad * kRowBlock;
    }
    Base::toLeaves(segment, sums, leaves);
  }

 private:
  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m512i (&sums)[Blocks][Tokens]) const {
    __m512i w[Blocks];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) {
      w[i] = _mm512_loadu_si512(weights + i * Base::blockBytes_);
      _mm_prefetch(weights + i * Base::blockBytes_ + ahead, _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const int8_t* values = q + j * Base::qStride();
      if constexpr (Blocks == 1) {
        dot4At(sums[0][j], w[0], values);
      } else {
        const __m512i four = broadcast4(values);
#pragma GCC unroll 8
        for (int i = 0; i < Blocks; ++i) dot4(sums[i][j], w[i], four);
      }
    }
  }
};

struct I8 {
  static constexpr int kManyTokens = 6;

  template <int Blocks, int Tokens>
  using Tile = I8Tile<Blocks, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens <= 6 ? 4 : 2; }
};

}  // namespace

void linearI8(const LinearTask& task) { runLinear<I8>(task); }

}  // namespace claw::avx512
