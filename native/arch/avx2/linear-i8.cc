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
class I8Tile {
 public:
  I8Tile(const Job& job, int block, int token)
      : job_(job), x_{*job.task.quantized, token}, blockBytes_(job.task.matrix->blockBytes()) {
    weights_ = job.task.matrix->weights + static_cast<size_t>(block) * blockBytes_;
  }

  void leaf(int segment, Sums<Vectors, Tokens>& leaves) const {
    const int padded = x_.rows.paddedSegment;
    const uint8_t* weights = weights_ + static_cast<size_t>(segment) * padded * kRowBlock;
    const int8_t* q = x_.q(segment);
    const int32_t* lefts = x_.rows.lefts + x_.group(segment);
    const size_t ahead = job_.prefetchFor(segment);
    __m256i sums[Vectors][Tokens];
    clear(sums);
    for (int k = 0; k < padded; k += kGroup, ++lefts) {
      __m256i factors[Tokens];
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        factors[j] = _mm256_set1_epi16(static_cast<int16_t>(1 << lefts[j * x_.groupStride()]));
      }
      const int steps = smaller(padded - k, kGroup) / 4;
      for (int step = 0; step < steps; ++step, weights += 64, q += 4) addStep(weights, q, ahead, factors, sums);
    }
    x_.toLeaves(segment, sums, leaves);
  }

 private:
  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     const __m256i (&factors)[Tokens],
                                                     __m256i (&sums)[Vectors][Tokens]) const {
    const auto loadWeights = [&](int i) __attribute__((always_inline)) {
      const uint8_t* from = weights + i / kHalves * blockBytes_ + i % kHalves * 32;
      if (i % kHalves == 0) _mm_prefetch(from + ahead, _MM_HINT_T1);
      const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const __m256i values = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
      return SignedBytes{values, _mm256_abs_epi8(values)};
    };
    const auto loadFour = [&](int j) __attribute__((always_inline)) { return broadcast4(q + j * x_.qStride()); };
    eachPair<Vectors, Tokens>(
        loadWeights, loadFour, [&](int i, int j, const SignedBytes& w, __m256i four) __attribute__((always_inline)) {
          const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(four, w.values));
          sums[i][j] = _mm256_add_epi32(sums[i][j], _mm256_madd_epi16(pairs, factors[j]));
        });
  }

  const Job& job_;
  Activations<Tokens> x_;
  size_t blockBytes_;
  const uint8_t* weights_;
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
