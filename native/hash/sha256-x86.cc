// The SHA extensions of x86: two rounds an instruction, on the state as ABEF and CDGH.

#include "hash/sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

namespace claw::sha256 {
namespace {

#define CLAW_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define CLAW_SHA_INLINE __attribute__((target("sha,sse4.1,ssse3"), always_inline)) inline

struct Lane {
  __m128i abef, cdgh;
  __m128i words[4];  // of the message schedule: the last 16
  const uint8_t* bytes;
};

CLAW_SHA_INLINE Lane enter(const Sha256Lane& from) {
  const auto* words = reinterpret_cast<const __m128i*>(from.state.data());
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
  Lane lane{};
  lane.abef = _mm_alignr_epi8(cdab, efgh, 8);
  lane.cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  lane.bytes = from.bytes;
  return lane;
}

CLAW_SHA_INLINE void leave(const Lane& lane, Sha256Lane* to) {
  const __m128i feba = _mm_shuffle_epi32(lane.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(lane.cdgh, 0xb1);
  auto* words = reinterpret_cast<__m128i*>(to->state.data());
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
  to->bytes = lane.bytes;
}

// Four rounds with the words that are in their turn; then those make room for the words of four rounds 16 later.
CLAW_SHA_INLINE void fourRounds(Lane* lane, int group) {
  __m128i* const w = lane->words;
  const __m128i now = w[group & 3];
  const __m128i keys = _mm_load_si128(reinterpret_cast<const __m128i*>(kRounds) + group);
  const __m128i sum = _mm_add_epi32(now, keys);
  lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, sum);
  lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(sum, 0x0e));
  if (group >= 12) return;
  const __m128i next = w[(group + 1) & 3];
  const __m128i last = w[(group + 3) & 3];
  const __m128i seventh = _mm_alignr_epi8(last, w[(group + 2) & 3], 4);
  w[group & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, next), seventh), last);
}

template <int kLanes>
CLAW_SHA_INLINE void compress(Lane (&lanes)[kLanes], size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  for (; blocks > 0; blocks--) {
    Lane before[kLanes];
    for (int l = 0; l < kLanes; l++) {
      before[l] = lanes[l];
      const auto* from = reinterpret_cast<const __m128i*>(lanes[l].bytes);
      for (int i = 0; i < 4; i++) lanes[l].words[i] = _mm_shuffle_epi8(_mm_loadu_si128(from + i), swap);
    }
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
      for (int l = 0; l < kLanes; l++) fourRounds(&lanes[l], group);
    }
    for (int l = 0; l < kLanes; l++) {
      lanes[l].abef = _mm_add_epi32(lanes[l].abef, before[l].abef);
      lanes[l].cdgh = _mm_add_epi32(lanes[l].cdgh, before[l].cdgh);
      lanes[l].bytes += 64;
    }
  }
}

CLAW_SHA void one(Sha256Lane* lane, size_t blocks) {
  Lane lanes[1] = {enter(*lane)};
  compress(lanes, blocks);
  leave(lanes[0], lane);
}

CLAW_SHA void two(Sha256Lane* first, Sha256Lane* second, size_t blocks) {
  Lane lanes[2] = {enter(*first), enter(*second)};
  compress(lanes, blocks);
  leave(lanes[0], first);
  leave(lanes[1], second);
}

bool supported() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned sha = 1u << 29, ssse3 = 1u << 9, sse41 = 1u << 19;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & sha) == 0) return false;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & ssse3) != 0 && (c & sse41) != 0;
}

}  // namespace

Sha256Kernel x86Kernel() { return supported() ? Sha256Kernel{"sha-ni", one, two} : Sha256Kernel{}; }

}  // namespace claw::sha256

#else

namespace claw::sha256 {

Sha256Kernel x86Kernel() { return {}; }

}  // namespace claw::sha256

#endif
