// uses-fma: the chains over groups of i8.
// LINEAR with i8 and i4 weights, without VNNI: vpmaddubsw multiplies unsigned by signed bytes and adds pairs of products
// in 16 bits.
#include "arch/avx2/integer.h"
#include "arch/avx2/table.h"

namespace claw::avx2 {
namespace {

struct Pairs {
  static constexpr int kTokens = 4;

  // The sum of two products saturates, and 255 * 127 * 2 would. So the offset of the weights is taken out, their
  // magnitudes are the unsigned factors, and the activations take over the signs: 127 * 127 * 2 fits.
  struct I8 {
    struct Weights {
      __m256i values;
      __m256i magnitudes;
    };

    CLAW_INLINE static Weights weights(__m256i stored) {
      const __m256i values = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
      return {values, _mm256_abs_epi8(values)};
    }
    CLAW_INLINE static __m256i start(int32_t) { return _mm256_setzero_si256(); }
    CLAW_INLINE static void add(__m256i& sum, const Weights& weights, __m256i four) {
      const __m256i pairs = _mm256_maddubs_epi16(weights.magnitudes, _mm256_sign_epi8(four, weights.values));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  };

  // A group's products are summed in 16-bit lanes, two for each row: the even one has columns 0 and 1 of every four, the
  // odd one columns 2 and 3. Sixteen products of at most 15 * 127 fit. The even lane starts at -8 times the sum of the
  // group's activations and ends at no more than 8 * 127 * 32 = 32512, whatever it wraps through on the way.
  struct I4 {
    CLAW_INLINE static __m256i start(int32_t value) { return _mm256_set1_epi32(value & 0xffff); }
    CLAW_INLINE static void add(__m256i& dot, __m256i weights, __m256i four) {
      dot = _mm256_add_epi16(dot, _mm256_maddubs_epi16(weights, four));
    }
    // Each in both 16-bit lanes of its row: vpmaddwd multiplies both and adds them.
    CLAW_INLINE static __m256i multipliers(__m128i eight) {
      const __m256i places = _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3,  //
                                              -1, 4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7);
      return _mm256_srai_epi16(_mm256_shuffle_epi8(_mm256_broadcastq_epi64(eight), places), 8);
    }
    CLAW_INLINE static void addScaled(__m256i& sum, __m256i dot, __m256i multipliers) {
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(dot, multipliers));
    }
  };
};

}  // namespace

void linearInteger(const LinearTask& task) {
  if (task.matrix->format == Format::i8) Product<I8<Pairs>>::run(task);
  else Product<I4<Pairs>>::run(task);
}

}  // namespace claw::avx2
