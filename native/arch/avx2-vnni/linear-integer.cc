// uses-fma: the chains over groups of i8.
// LINEAR with i8 and i4 weights: one instruction multiplies four columns of eight rows and adds them. Inline
// assembly, because GCC 12 moves the accumulators of the intrinsics through memory.
#include "arch/avx2-vnni/table.h"
#include "arch/avx2/integer.h"

namespace claw::avx2 {
namespace {

struct Fours {
  static constexpr int kTokens = 6;  // twelve sums, two weights and four activations are in registers

  struct I8 {
    CLAW_INLINE static __m256i weights(__m256i stored) { return stored; }
    CLAW_INLINE static __m256i start(int32_t value) { return _mm256_set1_epi32(value); }
    CLAW_INLINE static void add(__m256i& sum, __m256i weights, __m256i four) {
      __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(weights), "x"(four));
    }
  };

  // A group's dot product is at most 32 * 8 * 127 in magnitude, so it is a 16-bit number in the low half of its lane,
  // and so is the row's multiplier, with zeros in the high half against the sign bits of the dot product.
  struct I4 : I8 {
    CLAW_INLINE static __m256i multipliers(__m128i eight) {
      return _mm256_and_si256(_mm256_cvtepi8_epi32(eight), _mm256_set1_epi32(0xffff));
    }
    CLAW_INLINE static void addScaled(__m256i& sum, __m256i dot, __m256i multipliers) {
      __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(dot), "x"(multipliers));
    }
  };
};

}  // namespace

void vnni::linearInteger(const LinearTask& task) {
  if (task.matrix->format == Format::i8) Product<I8<Fours>>::run(task);
  else Product<I4<Fours>>::run(task);
}

}  // namespace claw::avx2
