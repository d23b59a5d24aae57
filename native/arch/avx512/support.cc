// Whether this processor and this operating system run the AVX-512 kernels. This file is compiled for AVX-512 like its
// neighbours, so the functions that run before the answer is known are kept free of it by their target attribute.
#include <cpuid.h>

#include <cstdint>

#include "kernels/kernels.h"

#define CLAW_BASELINE __attribute__((target("no-avx")))

namespace claw {
namespace {

// Bits of XCR0: SSE and AVX registers, mask registers, both parts of the 512-bit registers.
constexpr uint32_t kSavedRegisters = 0x02 | 0x04 | 0x20 | 0x40 | 0x80;

constexpr uint32_t kLeaf1Ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;  // FMA, OSXSAVE, AVX, F16C
constexpr uint32_t kLeaf7Ebx = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // AVX2; AVX-512 F, DQ, BW, VL
constexpr uint32_t kLeaf7Ecx = 1u << 11;                                            // AVX-512 VNNI

CLAW_BASELINE bool savedBySystem() {
  uint32_t low;
  uint32_t high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kSavedRegisters) == kSavedRegisters;
}

}  // namespace

CLAW_BASELINE bool avx512Supported() {
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kLeaf1Ecx) != kLeaf1Ecx) return false;
  if (!savedBySystem()) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (ebx & kLeaf7Ebx) == kLeaf7Ebx && (ecx & kLeaf7Ecx) == kLeaf7Ecx;
}

}  // namespace claw
