#include "executor/matrix-map.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "executor/checksum.h"

namespace claw {
namespace {

// Touching a mapping beyond the end of its file would end the process.
bool holds(const FilePlace& place, size_t bytes) {
  struct stat file {};
  return fstat(place.descriptor, &file) == 0 && place.offset >= 0 && file.st_size >= place.offset &&
         static_cast<uint64_t>(file.st_size - place.offset) >= bytes;
}

}  // namespace

Error MatrixMap::begin(std::shared_ptr<Device> device, const MatrixShape& shape, const FilePlace& place,
                       uint64_t checksum, std::unique_ptr<MatrixMap>* map) {
  auto made = std::make_unique<MatrixMap>();
  PackedBytes bytes{};
  if (Error error = layOut(shape, &made->matrix_, &bytes)) return error;
  if (!holds(place, bytes.total())) return makeError("E_FILE", "The packed weights end early.");
  if (Error error = device->mapMatrix(shape, place, &made->matrix_, &made->region_)) return error;
  made->blocks_.resize((bytes.total() + kChecksumBlock - 1) / kChecksumBlock);
  made->checksum_ = checksum;
  made->device_ = std::move(device);
  *map = std::move(made);
  return {};
}

void MatrixMap::run(const Team&) {
  while (true) {
    const size_t block = nextBlock_.fetch_add(1);
    if (block >= blocks_.size()) return;
    const size_t first = block * kChecksumBlock;
    blocks_[block] = claw::checksum(region_.base() + first, std::min(kChecksumBlock, region_.used() - first));
  }
}

Error MatrixMap::end(int32_t* id) {
  const auto* sums = reinterpret_cast<const uint8_t*>(blocks_.data());
  const bool intact = claw::checksum(sums, blocks_.size() * sizeof(uint64_t)) == checksum_;
  *id = intact ? device_->keepMatrix(matrix_, std::move(region_)) : -1;
  return {};
}

}  // namespace claw
