// Runs the tests of instruction sets: once for each that this build has and this machine runs, besides the portable one.
#pragma once

#include <cstdio>
#include <cstring>

#include "executor/device.h"
#include "tests/bits.h"

namespace claw::test {

inline int forEachTunedSet(const char* what, void (*run)(const Kernels& kernels)) {
  int sets = 0;
  for (const Kernels* kernels : availableKernels()) {
    if (std::strcmp(kernels->name, scalarKernels().name) == 0) continue;
    randomSource = Random(1);
    run(*kernels);
    std::printf("%s of %s: all bits as the scalar kernels give them\n", what, kernels->name);
    ++sets;
  }
  if (sets == 0) std::printf("SKIPPED: %s: this build has no tuned instruction set that this machine runs.\n", what);
  return 0;
}

}  // namespace claw::test
