// Whether this processor and this operating system run the AVX2 kernels, and those with AVX-VNNI. This file is compiled
// for AVX2 like its neighbours, so the functions that run before the answer is known are kept free of it by their target
// attribute.
#include <cpuid.h>

#include <cstdint>

#include "kernels/kernels.h"

#define CLAW_BASELINE __attribute__((target("no-avx")))

namespace claw {
namespace {

constexpr uint32_t kSavedRegisters = 0x02 | 0x04;  // bits of XCR0: SSE and AVX registers
constexpr uint32_t kLeaf1Ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;  // FMA, OSXSAVE, AVX, F16C
constexpr uint32_t kLeaf7Ebx = 1u << 5;                                    // AVX2
constexpr uint32_t kLeaf7Sub1Eax = 1u << 4;                                // AVX-VNNI

CLAW_BASELINE bool savedBySystem() {
  uint32_t low;
  uint32_t high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kSavedRegisters) == kSavedRegisters;
}

}  // namespace

CLAW_BASELINE bool avx2Supported() {
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kLeaf1Ecx) != kLeaf1Ecx) return false;
  if (!savedBySystem()) return false;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & kLeaf7Ebx) == kLeaf7Ebx;
}

#ifdef CLAW_HAVE_AVX2_VNNI
CLAW_BASELINE bool avx2VnniSupported() {
  uint32_t eax, ebx, ecx, edx;
  return avx2Supported() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 &&
         (eax & kLeaf7Sub1Eax) == kLeaf7Sub1Eax;
}
#endif

}  // namespace claw
