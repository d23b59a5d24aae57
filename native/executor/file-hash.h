// Hashes of chunks of an open file, by all threads of a device; what is read can be kept, so that what is used is what was hashed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "executor/error.h"
#include "executor/thread-pool.h"
#include "hash/sha256.h"

namespace claw {

class FileHash {
 public:
  static constexpr uint64_t kChunk = uint64_t{1} << 20;  // src/model/seal/limits.ts, CHUNK_BYTES

  ~FileHash();
  // `ranges`: offset and bytes of each, cut into chunks. `into` is empty, or as long as all of them together. The descriptor
  // may be closed afterwards.
  static Error begin(int descriptor, std::span<const uint64_t> ranges, std::span<uint8_t> into,
                     std::unique_ptr<FileHash>* hash);
  // The same of memory, as one range; it stays where it is until the end.
  static std::unique_ptr<FileHash> ofMemory(std::span<const uint8_t> bytes);
  // On every thread of a pool.
  void run(const Team& team);
  Error end() const;
  // SHA-256 of a byte 0 and a chunk (a leaf of RFC 6962), 32 bytes for each in order.
  std::span<const uint8_t> hashes() const { return hashes_; }

 private:
  struct Chunk {
    int64_t offset;
    size_t bytes;
    uint64_t place;  // in `into_`
  };
  void cut(uint64_t offset, uint64_t bytes, uint64_t place);
  size_t load(const Chunk& chunk, size_t done, uint8_t* memory);
  void hashPair(size_t first, size_t count, uint8_t* memory);

  int descriptor_ = -1;
  Sha256Kernel kernel_ = sha256Kernels().back();
  std::vector<Chunk> chunks_;
  std::span<const uint8_t> from_;  // where there is no file
  std::span<uint8_t> into_;
  std::vector<uint8_t> hashes_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> unreadable_{false};
};

}  // namespace claw
