#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstring>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace claw {

#if defined(__x86_64__)

std::string cpuModel() {
  constexpr unsigned first = 0x80000002u;  // three leaves of 16 characters
  char text[49] = {};
  for (unsigned i = 0; i < 3; i++) {
    unsigned words[4] = {};
    if (__get_cpuid(first + i, &words[0], &words[1], &words[2], &words[3]) == 0) return "unknown x86-64";
    std::memcpy(text + 16 * i, words, sizeof words);
  }
  const std::string name(text);
  const size_t end = name.find_last_not_of(' ');
  return end == std::string::npos ? "unknown x86-64" : name.substr(0, end + 1);
}

std::vector<std::string> cpuFeatures() {
  __builtin_cpu_init();
  std::vector<std::string> found;
#define CLAW_FEATURE(name) \
  if (__builtin_cpu_supports(name)) found.emplace_back(name)
  CLAW_FEATURE("sse4.2");
  CLAW_FEATURE("avx");
  CLAW_FEATURE("avx2");
  CLAW_FEATURE("fma");
  CLAW_FEATURE("avx512f");
  CLAW_FEATURE("avx512bw");
  CLAW_FEATURE("avx512vl");
  CLAW_FEATURE("avx512dq");
  CLAW_FEATURE("avx512vnni");
  CLAW_FEATURE("avx512bf16");
#undef CLAW_FEATURE
  return found;
}

#elif defined(__aarch64__) && defined(__linux__)

std::string cpuModel() { return "64-bit ARM"; }

std::vector<std::string> cpuFeatures() {
  const unsigned long first = getauxval(AT_HWCAP);
  const unsigned long second = getauxval(AT_HWCAP2);
  std::vector<std::string> found;
  if ((first & HWCAP_ASIMD) != 0) found.emplace_back("asimd");
  if ((first & HWCAP_ASIMDDP) != 0) found.emplace_back("asimddp");
  if ((first & HWCAP_SVE) != 0) found.emplace_back("sve");
  if ((second & HWCAP2_I8MM) != 0) found.emplace_back("i8mm");
  if ((second & HWCAP2_BF16) != 0) found.emplace_back("bf16");
  return found;
}

#else

std::string cpuModel() { return "unknown"; }

std::vector<std::string> cpuFeatures() { return {}; }

#endif

}  // namespace claw
