// The rotation of segments (arithmetic.md, "Rotation"). Internal linkage, as in half.h.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/kernels.h"

namespace claw {

// The longest segment whose i8 sums stay in int32 (those of i4 end earlier): sums can reach length * 127 * 127.
constexpr int32_t kSegmentLengthMax = INT32_MAX / (127 * 127);

// Values in the block that begins where `remaining` values of a segment are left.
static inline int32_t rotationBlock(int32_t remaining) {
  return remaining >= kRotationMax ? kRotationMax : static_cast<int32_t>(std::bit_floor(static_cast<uint32_t>(remaining)));
}

// For each position of a segment, kSegmentLengthMax of them and a vector more: 0, or the sign bit of a float where the
// value is negated. Aligned to a cache line; made at first use.
const uint32_t* rotationSigns();

// What a block of `size` values is multiplied by: 2^-ceil(k/2) and 2^-floor(k/2) for size = 2^k.
static inline float activationFactor(int32_t size) {
  const int32_t k = std::countr_zero(static_cast<uint32_t>(size));
  return std::bit_cast<float>((127 - (k + 1) / 2) << 23);
}
static inline float weightFactor(int32_t size) {
  const int32_t k = std::countr_zero(static_cast<uint32_t>(size));
  return std::bit_cast<float>((127 - k / 2) << 23);
}

// Step 2 on one block: sums and differences of pairs at distance size/2, size/4, ..., 1.
static inline void transformBlock(float* values, int32_t size) {
  for (int32_t half = size / 2; half >= 1; half /= 2) {
    for (int32_t run = 0; run < size; run += 2 * half) {
      for (int32_t i = run; i < run + half; i++) {
        const float a = values[i];
        const float b = values[i + half];
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
  }
}

// Step 1 on a segment.
static inline void applySigns(const float* x, int32_t length, float* out) {
  const uint32_t* signs = rotationSigns();
  for (int32_t k = 0; k < length; k++) out[k] = std::bit_cast<float>(std::bit_cast<uint32_t>(x[k]) ^ signs[k]);
}

// Steps 2 and 3 on a segment.
static inline void transformSegment(float* values, int32_t length, float (*factorOf)(int32_t size)) {
  for (int32_t first = 0; first < length;) {
    const int32_t size = rotationBlock(length - first);
    transformBlock(values + first, size);
    const float factor = factorOf(size);
    for (int32_t k = first; k < first + size; k++) values[k] *= factor;
    first += size;
  }
}

}  // namespace claw
