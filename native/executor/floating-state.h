// The floating-point state the arithmetic asks for: round to nearest, subnormals kept, no traps. Set on every thread
// at every job, because a library that was loaded meanwhile may have changed it.
#pragma once

#include <cstdint>

namespace claw {

inline void setFloatingState() {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(0x1f80);
#elif defined(__aarch64__)
  const uint64_t state = 0;
  asm volatile("msr fpcr, %0" : : "r"(state));
#endif
}

}  // namespace claw
