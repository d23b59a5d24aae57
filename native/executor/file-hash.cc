#include "executor/file-hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "executor/matrix-read.h"

namespace claw {
namespace {

constexpr uint8_t kLeaf = 0;  // before each chunk
constexpr size_t kPiece = size_t{128} << 10;  // read and hashed while it is in the second-level cache

}  // namespace

FileHash::~FileHash() {
  if (descriptor_ >= 0) close(descriptor_);
}

Error FileHash::begin(int descriptor, std::span<const uint64_t> ranges, std::span<uint8_t> into,
                      std::unique_ptr<FileHash>* hash) {
  auto made = std::make_unique<FileHash>();
  uint64_t total = 0;
  for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
    const uint64_t bytes = ranges[i + 1];
    if (ranges[i] > INT64_MAX || bytes > INT64_MAX - ranges[i]) return makeError("E_INTERNAL", "A range is too large.");
    made->cut(ranges[i], bytes, total);
    total += bytes;
  }
  if (!into.empty() && into.size() < total) return makeError("E_INTERNAL", "The memory for what is hashed is short.");
  made->descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (made->descriptor_ < 0) return makeError("E_FILE", "Keeping the file open failed (%s).", strerror(errno));
  made->into_ = into;
  *hash = std::move(made);
  return {};
}

std::unique_ptr<FileHash> FileHash::ofMemory(std::span<const uint8_t> bytes) {
  auto made = std::make_unique<FileHash>();
  made->from_ = bytes;
  made->cut(0, bytes.size(), 0);
  return made;
}

void FileHash::cut(uint64_t offset, uint64_t bytes, uint64_t place) {
  for (uint64_t done = 0; done < bytes; done += kChunk) {
    const uint64_t count = std::min(kChunk, bytes - done);
    chunks_.push_back({static_cast<int64_t>(offset + done), static_cast<size_t>(count), place + done});
  }
  hashes_.resize(chunks_.size() * kSha256Bytes);
}

// Reads the bytes of a chunk from `done` on, up to a piece, behind the first byte of `memory`: that is the one before them.
size_t FileHash::load(const Chunk& chunk, size_t done, uint8_t* memory) {
  const size_t count = std::min(kPiece, chunk.bytes - done);
  const int64_t offset = chunk.offset + static_cast<int64_t>(done);
  if (descriptor_ < 0) std::copy_n(from_.data() + offset, count, memory + 1);
  else if (!readFully({descriptor_, offset}, memory + 1, count)) unreadable_.store(true);
  if (!into_.empty()) std::copy_n(memory + 1, count, into_.data() + chunk.place + done);
  return count;
}

// A piece and the byte before it are whole blocks and a byte, which goes before the next piece.
void FileHash::hashPair(size_t first, size_t count, uint8_t* memory) {
  uint8_t* const pieces[] = {memory, memory + 1 + kPiece};
  Sha256Lane lanes[2];
  for (size_t l = 0; l < count; l++) {
    pieces[l][0] = kLeaf;
    lanes[l] = sha256Begin(pieces[l]);
  }
  for (size_t done = 0; !unreadable_.load(std::memory_order_relaxed); done += kPiece) {
    bool whole[2] = {};
    for (size_t l = 0; l < count; l++) {
      const Chunk& chunk = chunks_[first + l];
      if (done > chunk.bytes) continue;
      lanes[l].bytes = pieces[l];
      const size_t read = load(chunk, done, pieces[l]);
      whole[l] = read == kPiece;
      if (whole[l]) continue;
      sha256Finish(kernel_, &lanes[l], read + 1, chunk.bytes + 1, hashes_.data() + (first + l) * kSha256Bytes);
    }
    if (whole[0] && whole[1]) kernel_.two(&lanes[0], &lanes[1], kPiece / kSha256Block);
    else if (whole[0] || whole[1]) kernel_.one(&lanes[whole[0] ? 0 : 1], kPiece / kSha256Block);
    else return;
    for (size_t l = 0; l < count; l++) pieces[l][0] = pieces[l][kPiece];
  }
}

void FileHash::run(const Team&) {
  const auto memory = std::make_unique_for_overwrite<uint8_t[]>(2 * (kPiece + 1));
  while (!unreadable_.load(std::memory_order_relaxed)) {
    const size_t first = next_.fetch_add(2);
    if (first >= chunks_.size()) return;
    hashPair(first, std::min<size_t>(2, chunks_.size() - first), memory.get());
  }
}

Error FileHash::end() const {
  return unreadable_.load() ? makeError("E_FILE", "Reading the file ended early.") : Error{};
}

}  // namespace claw
