// uses-fma: they are what is measured; no result of theirs is kept.
//
// Registers 0 to 23 accumulate, more than latency times throughput of any of these instructions; 30 and 31 are operands.
#include "peaks/kernels.h"

#if defined(__aarch64__)
#ifdef __linux__
#include <sys/auxv.h>
#endif

#define CLAW_EIGHT(step, a, b, c, d, e, f, g, h) step(a) step(b) step(c) step(d) step(e) step(f) step(g) step(h)
#define CLAW_STEPS(step)                                     \
  CLAW_EIGHT(step, "0", "1", "2", "3", "4", "5", "6", "7")   \
  CLAW_EIGHT(step, "8", "9", "10", "11", "12", "13", "14", "15") \
  CLAW_EIGHT(step, "16", "17", "18", "19", "20", "21", "22", "23")
#define CLAW_CLOBBERS                                                                                             \
  "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", \
      "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31"
#define CLAW_CLEAR(i) "movi v" i ".16b, #0\n"
#define CLAW_LOOP(set, step)                                                                        \
  asm volatile(set "\n" CLAW_STEPS(CLAW_CLEAR) CLAW_CLEAR("30") CLAW_CLEAR("31") ".balign 64\n1:\n" \
               CLAW_STEPS(step) "subs %0, %0, #1\n b.ne 1b\n"                                             \
               : "+r"(iterations)::CLAW_CLOBBERS)

#define CLAW_SMMLA(i) "smmla v" i ".4s, v30.16b, v31.16b\n"
#define CLAW_SDOT(i) "sdot v" i ".4s, v30.16b, v31.16b\n"
#define CLAW_SMLAL(i) "smlal v" i ".4s, v30.4h, v31.4h\n"
#define CLAW_FMLA(i) "fmla v" i ".4s, v30.4s, v31.4s\n"

namespace claw {
namespace {

constexpr double kSteps = 24;  // of CLAW_STEPS

// Bits of the auxiliary vector, as Linux gives them to every process.
constexpr unsigned long kDotProduct = 1ul << 20;    // of AT_HWCAP
constexpr unsigned long kMatrixProduct = 1ul << 13;  // of AT_HWCAP2

void multiplyMatrix(int64_t iterations) { CLAW_LOOP(".arch armv8.2-a+i8mm", CLAW_SMMLA); }
void multiplyDot(int64_t iterations) { CLAW_LOOP(".arch armv8.2-a+dotprod", CLAW_SDOT); }
void multiplyLong(int64_t iterations) { CLAW_LOOP("", CLAW_SMLAL); }
void fusedFour(int64_t iterations) { CLAW_LOOP("", CLAW_FMLA); }

struct NeonLine {
  static void load(const uint8_t* line) {
    asm volatile("ldp q0, q1, [%0]\n ldp q2, q3, [%0, #32]" ::"r"(line) : "v0", "v1", "v2", "v3");
  }
  static void end() {}
};

PeakKernel multiplyKernel() {
#ifdef __linux__
  if ((getauxval(AT_HWCAP2) & kMatrixProduct) != 0) return {"smmla", kSteps * 32, multiplyMatrix};
  if ((getauxval(AT_HWCAP) & kDotProduct) != 0) return {"sdot", kSteps * 16, multiplyDot};
#endif
  return {"smlal", kSteps * 4, multiplyLong};
}

}  // namespace

PeakKernels peakKernels() {
  return makePeakKernels<NeonLine>(multiplyKernel(), {"fmla", kSteps * 8, fusedFour});
}

}  // namespace claw

#endif
