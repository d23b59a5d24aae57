#include "peaks/peaks.h"

#include <cmath>

#include "tests/check.h"

namespace {

using namespace claw;

bool sane(const Rate& rate) {
  return std::isfinite(rate.one) && std::isfinite(rate.all) && rate.one > 0 && rate.all > 0;
}

void testPeaks(int threads) {
  Peaks peaks;
  CHECK(!measurePeaks(threads, &peaks));
  CHECK(sane(peaks.multiplies) && sane(peaks.floatOperations) && sane(peaks.readBytes));
  CHECK(!peaks.multiplyKernel.empty() && !peaks.floatKernel.empty() && !peaks.readKernel.empty());
  CHECK(peaks.bufferBytes > 0);
  std::printf("%d threads: %.1f GMAC/s %s, %.1f GFLOP/s %s, %.1f GB/s %s\n", threads, peaks.multiplies.all / 1e9,
              peaks.multiplyKernel.c_str(), peaks.floatOperations.all / 1e9, peaks.floatKernel.c_str(),
              peaks.readBytes.all / 1e9, peaks.readKernel.c_str());
}

}  // namespace

int main() {
  testPeaks(1);
  testPeaks(2);
  return 0;
}
