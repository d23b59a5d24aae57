// SHA-256 (FIPS 180-4) with the processor's instructions for it, of one message or of two at once: the steps of one wait for
// each other, those of two fill the gaps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace claw {

using Sha256State = std::array<uint32_t, 8>;

// A message that is taken in whole blocks of 64 bytes.
struct Sha256Lane {
  Sha256State state;
  const uint8_t* bytes;
};

// Takes `blocks` blocks of each message, whose `bytes` move on.
struct Sha256Kernel {
  const char* name;
  void (*one)(Sha256Lane* lane, size_t blocks);
  void (*two)(Sha256Lane* first, Sha256Lane* second, size_t blocks);
};

// Those that can run here, `scalar` first, the fastest last.
std::vector<Sha256Kernel> sha256Kernels();

constexpr size_t kSha256Bytes = 32;
constexpr size_t kSha256Block = 64;

// A message that begins at `bytes`.
Sha256Lane sha256Begin(const uint8_t* bytes);
// Takes the `rest` bytes that the lane is at, the last of a message of `total` bytes, and writes its hash of 32 bytes.
void sha256Finish(const Sha256Kernel& kernel, Sha256Lane* lane, size_t rest, uint64_t total, uint8_t* hash);

namespace sha256 {

alignas(16) extern const uint32_t kRounds[64];

// Null functions where the processor has no instructions for SHA-256.
Sha256Kernel x86Kernel();
Sha256Kernel armKernel();

}  // namespace sha256
}  // namespace claw
