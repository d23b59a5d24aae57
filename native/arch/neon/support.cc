// Whether this processor runs the NEON kernels, and those that need its dot product instructions.
#include "kernels/kernels.h"

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace claw {

#if defined(__linux__)

bool neonSupported() { return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0; }

#ifdef CLAW_HAVE_NEON_DOTPROD
bool neonDotprodSupported() { return neonSupported() && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

#else

// Elsewhere there is no common way to ask; every 64-bit ARM processor of a desktop has NEON.
bool neonSupported() { return true; }

#ifdef CLAW_HAVE_NEON_DOTPROD
bool neonDotprodSupported() { return false; }
#endif

#endif

}  // namespace claw
