#include "kernels/rotate.h"

#include <array>
#include <cstddef>

namespace claw {
namespace {

uint32_t signBit(uint32_t position) {
  uint32_t u = position * 2654435761u;
  u ^= u >> 15;
  u *= 2246822519u;
  u ^= u >> 13;
  return u << 31;
}

struct Signs {
  alignas(64) std::array<uint32_t, kSegmentLengthMax + 16> bits;
  Signs() {
    for (size_t p = 0; p < bits.size(); p++) bits[p] = signBit(static_cast<uint32_t>(p));
  }
};

}  // namespace

const uint32_t* rotationSigns() {
  static const Signs signs;
  return signs.bits.data();
}

}  // namespace claw
