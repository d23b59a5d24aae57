// What this machine can do at most: the ceilings that measurements are compared with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "executor/error.h"

namespace claw {

// A rate of one thread alone, and of all threads together.
struct Rate {
  double one = 0;
  double all = 0;
};

struct Peaks {
  Rate multiplies;  // int8 multiply-adds into int32, per second
  std::string multiplyKernel;
  Rate floatOperations;  // f32 operations of fused multiply-adds, two each, per second
  std::string floatKernel;
  Rate readBytes;  // of memory, per second
  std::string readKernel;
  size_t cacheBytes = 0;   // last-level caches of the processors this process may use
  size_t bufferBytes = 0;  // read in each pass
};

// Measures on `threads` pinned threads; the calling thread waits, for a second or so. E_MEMORY.
Error measurePeaks(int threads, Peaks* peaks);

// Bytes of the last-level caches that the allowed processors share; 0 where the system does not say.
size_t lastLevelCacheBytes();

}  // namespace claw
