// Authenticated encryption of frames. A key is used in one direction alone, and a frame's sequence number is its nonce.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "executor/error.h"

namespace claw {

constexpr size_t kAeadKeyBytes = 32;
constexpr size_t kAeadTagBytes = 16;

class Aead {
 public:
  Aead() = default;
  virtual ~Aead() = default;
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  // Writes the ciphertext and the tag; `sequence` only grows. `header` is authenticated with them.
  virtual bool seal(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> plain, uint8_t* sealed) = 0;
  // Writes the plaintext of a ciphertext and its tag; false when they are not what was sealed, and then what is written
  // means nothing.
  virtual bool open(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> sealed, uint8_t* plain) = 0;
};

enum class AeadUse { sealing, opening };

// AES-256-GCM of the OpenSSL that Node brings, or the system's. The key is replaced by its successor every 2^20 frames.
// E_NATIVE where there is none.
Error makeAesGcm(std::span<const uint8_t> key, AeadUse use, std::unique_ptr<Aead>* aead);

}  // namespace claw
