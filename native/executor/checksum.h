// A checksum that finds damage at the speed of memory; it is no signature, and keeps nobody from forging.
#pragma once

#include <cstddef>
#include <cstdint>

namespace claw {

// The same for every instruction set. Any change of a single word of 8 bytes changes it.
uint64_t checksum(const uint8_t* bytes, size_t count);

// Long memory is summed up in blocks, which threads share out; its checksum is that of the blocks' checksums in order.
constexpr size_t kChecksumBlock = size_t{1} << 20;

}  // namespace claw
