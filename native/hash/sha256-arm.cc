// The SHA-256 instructions of ARMv8: four rounds in a pair of them, on the state as ABCD and EFGH.

#include "hash/sha256.h"

#if defined(__aarch64__) && defined(__linux__)

#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

namespace claw::sha256 {
namespace {

#define CLAW_SHA __attribute__((target("+crypto")))
#define CLAW_SHA_INLINE __attribute__((target("+crypto"), always_inline)) inline

struct Lane {
  uint32x4_t abcd, efgh;
  uint32x4_t words[4];  // of the message schedule: the last 16
  const uint8_t* bytes;
};

CLAW_SHA_INLINE Lane enter(const Sha256Lane& from) {
  Lane lane{};
  lane.abcd = vld1q_u32(from.state.data());
  lane.efgh = vld1q_u32(from.state.data() + 4);
  lane.bytes = from.bytes;
  return lane;
}

CLAW_SHA_INLINE void leave(const Lane& lane, Sha256Lane* to) {
  vst1q_u32(to->state.data(), lane.abcd);
  vst1q_u32(to->state.data() + 4, lane.efgh);
  to->bytes = lane.bytes;
}

// Four rounds with the words that are in their turn; then those make room for the words of four rounds 16 later.
CLAW_SHA_INLINE void fourRounds(Lane* lane, int group) {
  uint32x4_t* const w = lane->words;
  const uint32x4_t now = w[group & 3];
  const uint32x4_t sum = vaddq_u32(now, vld1q_u32(kRounds + 4 * group));
  const uint32x4_t abcd = lane->abcd;
  lane->abcd = vsha256hq_u32(abcd, lane->efgh, sum);
  lane->efgh = vsha256h2q_u32(lane->efgh, abcd, sum);
  if (group >= 12) return;
  w[group & 3] = vsha256su1q_u32(vsha256su0q_u32(now, w[(group + 1) & 3]), w[(group + 2) & 3], w[(group + 3) & 3]);
}

template <int kLanes>
CLAW_SHA_INLINE void compress(Lane (&lanes)[kLanes], size_t blocks) {
  for (; blocks > 0; blocks--) {
    Lane before[kLanes];
    for (int l = 0; l < kLanes; l++) {
      before[l] = lanes[l];
      for (int i = 0; i < 4; i++) {
        lanes[l].words[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(lanes[l].bytes + 16 * i)));
      }
    }
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
      for (int l = 0; l < kLanes; l++) fourRounds(&lanes[l], group);
    }
    for (int l = 0; l < kLanes; l++) {
      lanes[l].abcd = vaddq_u32(lanes[l].abcd, before[l].abcd);
      lanes[l].efgh = vaddq_u32(lanes[l].efgh, before[l].efgh);
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

}  // namespace

Sha256Kernel armKernel() {
  return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0 ? Sha256Kernel{"armv8", one, two} : Sha256Kernel{};
}

}  // namespace claw::sha256

#else

namespace claw::sha256 {

Sha256Kernel armKernel() { return {}; }

}  // namespace claw::sha256

#endif
