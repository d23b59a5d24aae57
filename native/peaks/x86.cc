// uses-fma: they are what is measured; no result of theirs is kept.
//
// Registers 0 to 11 accumulate, more than latency times throughput of any of these instructions; 13 to 15 are operands.
// All hold zeros, so that no subnormal slows a product down. The compiler is told of the registers by their SSE names
// and compiles this file for the baseline; what runs is chosen by what the processor has.
#include "peaks/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define CLAW_TWELVE(step) \
  step("0") step("1") step("2") step("3") step("4") step("5") step("6") step("7") step("8") step("9") step("10") step("11")
#define CLAW_ALL(step) CLAW_TWELVE(step) step("12") step("13") step("14") step("15")
#define CLAW_CLOBBERS                                                                                              \
  "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"
#define CLAW_LOOP(clear, step, leave)                                                                 \
  asm volatile(CLAW_ALL(clear) ".balign 64\n1:\n" CLAW_TWELVE(step) "dec %0\n jnz 1b\n" leave "\n"    \
               : "+r"(iterations)::CLAW_CLOBBERS)

#define CLAW_CLEAR_SSE(i) "pxor %%xmm" i ", %%xmm" i "\n"
#define CLAW_CLEAR_AVX(i) "vpxor %%xmm" i ", %%xmm" i ", %%xmm" i "\n"
#define CLAW_DPBUSD_ZMM(i) "vpdpbusd %%zmm15, %%zmm14, %%zmm" i "\n"
#define CLAW_DPBUSD_YMM(i) "%{vex%} vpdpbusd %%ymm15, %%ymm14, %%ymm" i "\n"
#define CLAW_MADDUBS_YMM(i)                \
  "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n" \
  "vpmaddwd %%ymm13, %%ymm12, %%ymm12\n"   \
  "vpaddd %%ymm12, %%ymm" i ", %%ymm" i "\n"
#define CLAW_MADD_XMM(i)        \
  "movdqa %%xmm14, %%xmm12\n"   \
  "pmaddwd %%xmm15, %%xmm12\n"  \
  "paddd %%xmm12, %%xmm" i "\n"
#define CLAW_FMA_ZMM(i) "vfmadd231ps %%zmm15, %%zmm14, %%zmm" i "\n"
#define CLAW_FMA_YMM(i) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" i "\n"
#define CLAW_MULADD_XMM(i)     \
  "movaps %%xmm14, %%xmm12\n"  \
  "mulps %%xmm15, %%xmm12\n"   \
  "addps %%xmm12, %%xmm" i "\n"

// GCC 11 came with the first assemblers that know these.
#if defined(__clang__) || __GNUC__ >= 11
#define CLAW_AVX_VNNI 1
#endif

namespace claw {
namespace {

constexpr double kSteps = 12;  // of CLAW_TWELVE

void multiplyZmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_AVX, CLAW_DPBUSD_ZMM, "vzeroupper"); }
#ifdef CLAW_AVX_VNNI
void multiplyVnniYmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_AVX, CLAW_DPBUSD_YMM, "vzeroupper"); }
#endif
void multiplyYmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_AVX, CLAW_MADDUBS_YMM, "vzeroupper"); }
void multiplyXmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_SSE, CLAW_MADD_XMM, ""); }
void fusedZmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_AVX, CLAW_FMA_ZMM, "vzeroupper"); }
void fusedYmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_AVX, CLAW_FMA_YMM, "vzeroupper"); }
void fusedXmm(int64_t iterations) { CLAW_LOOP(CLAW_CLEAR_SSE, CLAW_MULADD_XMM, ""); }

struct ZmmLine {
  static void load(const uint8_t* line) { asm volatile("vmovdqa64 (%0), %%zmm0" ::"r"(line) : "xmm0"); }
  static void end() { asm volatile("vzeroupper"); }
};

struct YmmLine {
  static void load(const uint8_t* line) {
    asm volatile("vmovdqa (%0), %%ymm0\n vmovdqa 32(%0), %%ymm1" ::"r"(line) : "xmm0", "xmm1");
  }
  static void end() { asm volatile("vzeroupper"); }
};

struct XmmLine {
  static void load(const uint8_t* line) {
    asm volatile("movaps (%0), %%xmm0\n movaps 16(%0), %%xmm1\n movaps 32(%0), %%xmm2\n movaps 48(%0), %%xmm3" ::"r"(line)
                 : "xmm0", "xmm1", "xmm2", "xmm3");
  }
  static void end() {}
};

#ifdef CLAW_AVX_VNNI
bool hasAvxVnni() {
  uint32_t eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1u << 4) != 0;
}
#endif

PeakKernel multiplyOfYmm() {
#ifdef CLAW_AVX_VNNI
  if (hasAvxVnni()) return {"vpdpbusd ymm", kSteps * 32, multiplyVnniYmm};
#endif
  return {"vpmaddubsw ymm", kSteps * 32, multiplyYmm};
}

}  // namespace

PeakKernels peakKernels() {
  __builtin_cpu_init();
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni")) {
    return makePeakKernels<ZmmLine>({"vpdpbusd zmm", kSteps * 64, multiplyZmm},
                                    {"vfmadd231ps zmm", kSteps * 32, fusedZmm});
  }
  if (fma) return makePeakKernels<YmmLine>(multiplyOfYmm(), {"vfmadd231ps ymm", kSteps * 16, fusedYmm});
  return makePeakKernels<XmmLine>({"pmaddwd xmm", kSteps * 8, multiplyXmm},
                                  {"mulps, addps xmm", kSteps * 8, fusedXmm});
}

}  // namespace claw

#endif
