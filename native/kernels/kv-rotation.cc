#include "kernels/kv-rotation.h"

#include <algorithm>
#include <bit>

namespace claw {
namespace {

// The Hadamard transform of 2^power values, times 2^-shift.
void transform(float* values, int32_t power, int32_t shift) {
  const int32_t count = 1 << power;
  for (int32_t distance = 1; distance < count; distance *= 2) {
    for (int32_t first = 0; first < count; first += 2 * distance) {
      for (int32_t i = first; i < first + distance; i++) {
        const float a = values[i];
        const float b = values[i + distance];
        values[i] = a + b;
        values[i + distance] = a - b;
      }
    }
  }
  const float factor = 1.0f / static_cast<float>(1 << shift);
  for (int32_t i = 0; i < count; i++) values[i] *= factor;
}

// Blocks of powers of two, the largest first. `up`: 1 to round half of the power up.
void rotate(const float* from, float* to, int32_t headDim, int32_t up) {
  std::copy_n(from, headDim, to);
  for (int32_t first = 0; first < headDim;) {
    const int32_t power = std::bit_width(static_cast<uint32_t>(headDim - first)) - 1;
    transform(to + first, power, (power + up) / 2);
    first += 1 << power;
  }
}

}  // namespace

void rotateKey(const float* from, float* to, int32_t headDim) { rotate(from, to, headDim, 0); }

void rotateQuery(const float* from, float* to, int32_t headDim) { rotate(from, to, headDim, 1); }

}  // namespace claw
