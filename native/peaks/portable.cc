// For processors without assembly of ours: what the compiler makes of plain loops.
#include "peaks/kernels.h"

#if !defined(__x86_64__) && !defined(__aarch64__)

namespace claw {
namespace {

constexpr int kLanes = 64;

template <typename In, typename Sum>
void multiplyAdd(int64_t iterations) {
  In a[kLanes] = {};
  In b[kLanes] = {};
  Sum sums[kLanes] = {};
  for (int64_t i = 0; i < iterations; i++) {
    for (int lane = 0; lane < kLanes; lane++) sums[lane] += static_cast<Sum>(a[lane]) * static_cast<Sum>(b[lane]);
    asm volatile("" : "+m"(a), "+m"(b), "+m"(sums));  // every iteration counts
  }
}

struct WordLine {
  static void load(const uint8_t* line) {
    for (size_t i = 0; i < kLine; i += sizeof(uint64_t)) {
      (void)*reinterpret_cast<const volatile uint64_t*>(line + i);
    }
  }
  static void end() {}
};

}  // namespace

PeakKernels peakKernels() {
  return makePeakKernels<WordLine>({"plain loop", kLanes, multiplyAdd<int8_t, int32_t>},
                                   {"plain loop", 2 * kLanes, multiplyAdd<float, float>});
}

}  // namespace claw

#endif
