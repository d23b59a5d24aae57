// LINEAR with i4 weights, q + 8 in four bits. A group's products are summed in 16-bit lanes, two for each row: the even
// one has columns 0 and 1 of every four, the odd one columns 2 and 3. Sixteen products of at most 15 * 127 fit. The even
// lane starts at -8 times the sum of the group's activations and ends at no more than 8 * 127 * 32 = 32512, whatever it
// wraps through on the way. The row's multiplier is a 16-bit number too, so one vpmaddwd multiplies both lanes and adds
// them.
#include "arch/avx2/integer.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

// Of eight columns: the first four and the next, of a vector of rows or of a token.
struct EightColumns {
  __m256i first;
  __m256i second;
};

template <int Vectors, int Tokens>
class I4Tile : public IntegerTile<Vectors, Tokens> {
  using Base = IntegerTile<Vectors, Tokens>;

 public:
  I4Tile(const Job& job, int block, int token) : Base(job, block, token) {
    blockGroups_ = static_cast<size_t>(Base::matrix_.held()) * Base::matrix_.groups;
    multipliers_ = Base::matrix_.multipliers + block * blockGroups_ * kRowBlock;
  }

  void leaf(int segment, Sums<Vectors, Tokens>& leaves) const {
    const int padded = Base::rows_.paddedSegment;
    const uint8_t* weights = Base::weights(segment);
    const int8_t* multipliers = multipliers_ + static_cast<size_t>(segment) * Base::matrix_.groups * kRowBlock;
    const int8_t* q = Base::q(segment);
    const int32_t* starts = Base::starts(segment);
    const size_t ahead = Base::job_.prefetchFor(segment);
    __m256i sums[Vectors][Tokens];
    clear(sums);
    for (int k = 0; k < padded; k += kGroup, ++starts, multipliers += kRowBlock) {
      __m256i dots[Vectors][Tokens];
      startDots(starts, dots);
      const int steps = smaller(padded - k, kGroup) / 8;
      for (int step = 0; step < steps; ++step, weights += 64, q += 8) addStep(weights, q, ahead, dots);
      addScaled(multipliers, dots, sums);
    }
    Base::toLeaves(segment, sums, leaves);
  }

 private:
  inline __attribute__((always_inline)) void startDots(const int32_t* starts,
                                                       __m256i (&dots)[Vectors][Tokens]) const {
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m256i start = _mm256_set1_epi32(starts[j * Base::startStride()] & 0xffff);
#pragma GCC unroll 8
      for (int i = 0; i < Vectors; ++i) dots[i][j] = start;
    }
  }

  inline __attribute__((always_inline)) void addStep(const uint8_t* weights, const int8_t* q, size_t ahead,
                                                     __m256i (&dots)[Vectors][Tokens]) const {
    const auto loadWeights = [&](int i) __attribute__((always_inline)) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const uint8_t* from = weights + i / kHalves * Base::blockBytes_ + i % kHalves * 32;
      if (i % kHalves == 0) _mm_prefetch(from + ahead, _MM_HINT_T1);
      const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      return EightColumns{_mm256_and_si256(packed, nibble), _mm256_and_si256(_mm256_srli_epi16(packed, 4), nibble)};
    };
    const auto loadEight = [&](int j) __attribute__((always_inline)) {
      const int8_t* values = q + j * Base::qStride();
      return EightColumns{broadcast4(values), broadcast4(values + 4)};
    };
    eachPair<Vectors, Tokens>(
        loadWeights, loadEight,
        [&](int i, int j, const EightColumns& w, const EightColumns& eight) __attribute__((always_inline)) {
          dots[i][j] = _mm256_add_epi16(dots[i][j], _mm256_maddubs_epi16(w.first, eight.first));
          dots[i][j] = _mm256_add_epi16(dots[i][j], _mm256_maddubs_epi16(w.second, eight.second));
        });
  }

  // Eight multipliers, each in both 16-bit lanes of its row.
  inline __m256i loadMultipliers(const int8_t* from) const {
    const __m256i places = _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3,  //
                                            -1, 4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7);
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(_mm256_broadcastq_epi64(eight), places), 8);
  }

  inline __attribute__((always_inline)) void addScaled(const int8_t* multipliers,
                                                       const __m256i (&dots)[Vectors][Tokens],
                                                       __m256i (&sums)[Vectors][Tokens]) const {
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
      const __m256i m = loadMultipliers(multipliers + i / kHalves * blockGroups_ * kRowBlock + i % kHalves * kLanes);
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        sums[i][j] = _mm256_add_epi32(sums[i][j], _mm256_madd_epi16(dots[i][j], m));
      }
    }
  }

  size_t blockGroups_;
  const int8_t* multipliers_;
};

struct I4 {
  static constexpr int kTileTokens = 4;

  template <int Vectors, int Tokens>
  using Tile = I4Tile<Vectors, Tokens>;

  static constexpr int blocksFor(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
};

}  // namespace

void linearI4(const LinearTask& task) { runLinear<I4>(task); }

}  // namespace claw::avx2
