#include "executor/matrix-read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "executor/checksum.h"

namespace claw {
namespace {

// Refused before memory is taken for it.
bool holds(const FilePlace& place, size_t bytes) {
  struct stat file {};
  return fstat(place.descriptor, &file) == 0 && place.offset >= 0 && file.st_size >= place.offset &&
         static_cast<uint64_t>(file.st_size - place.offset) >= bytes;
}

}  // namespace

bool readFully(const FilePlace& place, uint8_t* to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = pread(place.descriptor, to + done, bytes - done, place.offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

MatrixRead::~MatrixRead() {
  if (place_.descriptor >= 0) close(place_.descriptor);
}

Error MatrixRead::begin(std::shared_ptr<Device> device, const MatrixShape& shape, const FilePlace& place,
                        uint64_t checksum, std::unique_ptr<MatrixRead>* read) {
  auto made = std::make_unique<MatrixRead>();
  PackedBytes bytes{};
  if (Error error = layOut(shape, &made->matrix_, &bytes)) return error;
  if (!holds(place, bytes.total())) return makeError("E_FILE", "The packed weights end early.");
  if (Error error = device->allocateMatrix(shape, &made->matrix_, &made->region_)) return error;
  made->place_ = {fcntl(place.descriptor, F_DUPFD_CLOEXEC, 0), place.offset};
  if (made->place_.descriptor < 0) {
    return makeError("E_FILE", "Keeping the packed weights open failed (%s).", strerror(errno));
  }
  made->blocks_.resize((bytes.total() + kChecksumBlock - 1) / kChecksumBlock);
  made->checksum_ = checksum;
  made->device_ = std::move(device);
  *read = std::move(made);
  return {};
}

void MatrixRead::run(const Team&) {
  while (!unreadable_.load()) {
    const size_t block = nextBlock_.fetch_add(1);
    if (block >= blocks_.size()) return;
    const size_t first = block * kChecksumBlock;
    const size_t bytes = std::min(kChecksumBlock, region_.used() - first);
    const FilePlace from = {place_.descriptor, place_.offset + static_cast<int64_t>(first)};
    if (!readFully(from, region_.base() + first, bytes)) unreadable_.store(true);
    blocks_[block] = claw::checksum(region_.base() + first, bytes);
  }
}

Error MatrixRead::end(int32_t* id) {
  const auto* sums = reinterpret_cast<const uint8_t*>(blocks_.data());
  const bool intact = !unreadable_.load() && claw::checksum(sums, blocks_.size() * sizeof(uint64_t)) == checksum_;
  *id = intact ? device_->keepMatrix(matrix_, std::move(region_)) : -1;
  return {};
}

}  // namespace claw
