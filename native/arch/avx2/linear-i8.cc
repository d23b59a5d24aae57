// LINEAR with i8 weights. vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products, which
// 255 * 127 * 2 exceeds. So the weights' offset is taken out, their magnitudes are the unsigned factors, and the activations
// take over the signs: 127 * 127 * 2 fits. vpmaddwd then adds the pairs, times the group's power of two.
#include "arch/avx2/integer.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

struct SignedBytes {
  __m256i values;
  __m256i magnitudes;
};

template <int Vectors, int Tokens>
class I8Tile : public IntegerTile<Vectors, Tokens> {
  using Base = IntegerTile<Vectors, Tokens>;

 public:
  using Base::Base;

  void leaf(int segment, Sums<Vectors, Tokens>& leaves) const {
    const uint8_t* weights = Base::weights(segment);
    const int8_t* q = Base::q(segment);
    const size_t ahead = Base::job_.prefetchFor(segment);
    __m256i sums[Vectors][Tokens];
    clear(sums);
    for (const int8_t* end = q + Base::rows_.paddedSegment; q < end; q += 4, weights += 64) {
      addStep(weights, q, ahead, sums);
    }
    Base::toLeaves(segment, sums, leaves);
  }

 private:
  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m256i (&sums)[Vectors][Tokens]) const {
    const auto loadWeights = [&](int i) __attribute__((always_inline)) {
      const uint8_t* from = weights + i / kHalves * Base::blockBytes_ + i % kHalves * 32;
      if (i % kHalves == 0) _mm_prefetch(from + ahead, _MM_HINT_T1);
      const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const __m256i values = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
      return SignedBytes{values, _mm256_abs_epi8(values)};
    };
    const auto loadFour = [&](int j) __attribute__((always_inline)) { return broadcast4(q + j * Base::qStride()); };
    eachPair<Vectors, Tokens>(
        loadWeights, loadFour, [&](int i, int j, const SignedBytes& w, __m256i four) __attribute__((always_inline)) {
          const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(four, w.values));
          sums[i][j] = _mm256_add_epi32(sums[i][j], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        });
  }
};

struct I8 {
  static constexpr int kTileTokens = 4;

  template <int Vectors, int Tokens>
  using Tile = I8Tile<Vectors, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
};

}  // namespace

void linearI8(const LinearTask& task) { runLinear<I8>(task); }

}  // namespace claw::avx2
