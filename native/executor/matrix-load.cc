#include "executor/matrix-load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "executor/matrix-read.h"
#include "kernels/dequantize.h"

namespace claw {
namespace {

constexpr size_t kScratchRows = 17;  // f32 rows the pack kernels ask for

size_t scratchBytes(int32_t columns) { return alignUp(kScratchRows * static_cast<size_t>(columns) * sizeof(float)); }

}  // namespace

MatrixLoad::~MatrixLoad() {
  if (descriptor_ >= 0) close(descriptor_);
}

Error MatrixLoad::begin(std::shared_ptr<Device> device, const MatrixShape& shape, MatrixBytes source,
                        std::unique_ptr<MatrixLoad>* load) {
  auto made = std::make_unique<MatrixLoad>();
  if (shape.columns % sourceBlock(source.type) != 0) {
    return makeError("E_MODEL_SHAPE", "Rows of %d values are not whole blocks of their type.", shape.columns);
  }
  if (Error error = device->allocateMatrix(shape, &made->matrix_, &made->region_)) return error;
  made->rowBytes_ = sourceRowBytes(source.type, shape.columns);
  const size_t blockBytes = source.memory == nullptr ? made->rowBytes_ * kRowBlock : 0;
  for (int t = 0; t < device->pool().threads(); t++) {
    made->scratch_.push_back(device->arena().map(Purpose::buffers, scratchBytes(shape.columns) + blockBytes));
    if (!made->scratch_.back()) return makeError("E_MEMORY", "Allocating memory for reading a matrix failed.");
  }
  if (source.memory == nullptr) {
    made->descriptor_ = open(source.file.c_str(), O_RDONLY | O_CLOEXEC);
    if (made->descriptor_ < 0) {
      return makeError("E_FILE", "Opening %s failed (%s).", source.file.c_str(), strerror(errno));
    }
  }
  made->source_ = std::move(source);
  made->device_ = std::move(device);
  *load = std::move(made);
  return {};
}

const uint8_t* MatrixLoad::rows(int32_t block, uint8_t* buffer) {
  const size_t first = static_cast<size_t>(block) * kRowBlock * rowBytes_;
  if (source_.memory != nullptr) return source_.memory + first;
  const size_t count = static_cast<size_t>(std::min(kRowBlock, matrix_.rows - block * kRowBlock));
  const bool read = readFully({descriptor_, source_.offset + static_cast<int64_t>(first)}, buffer, count * rowBytes_);
  return read ? buffer : nullptr;
}

// The kernel packs whole slices; it is shown a slice that is this block.
int32_t MatrixLoad::packBlock(int32_t block, const uint8_t* source, float* scratch) {
  Matrix part = matrix_;
  const auto index = static_cast<size_t>(block);
  const size_t segmentRows = index * static_cast<size_t>(part.held()) * kRowBlock;
  part.rows = std::min(kRowBlock, matrix_.rows - block * kRowBlock);
  part.weights += index * matrix_.blockBytes();
  if (part.format != Format::f16) part.scales += segmentRows * static_cast<size_t>(part.scalesPerSegment());
  if (part.format == Format::i4) part.multipliers += segmentRows * static_cast<size_t>(part.groups);
  return device_->kernels().packBlock(PackTask{&part, source_.type, source, rowBytes_, 0, scratch});
}

// The lowest is reported: blocks are begun in order, so all before it are done or in work.
void MatrixLoad::noteBadRow(int64_t row) {
  int64_t known = badRow_.load();
  while (row < known && !badRow_.compare_exchange_weak(known, row)) {
  }
}

void MatrixLoad::run(const Team& team) {
  uint8_t* memory = scratch_[static_cast<size_t>(team.thread)].base();
  auto* scratch = reinterpret_cast<float*>(memory);
  uint8_t* buffer = memory + scratchBytes(matrix_.columns);
  while (badRow_.load() == INT64_MAX && !unreadable_.load()) {
    const int32_t block = nextBlock_.fetch_add(1);
    if (block >= matrix_.rowBlocks()) return;
    const uint8_t* source = rows(block, buffer);
    if (source == nullptr) {
      unreadable_.store(true);
      return;
    }
    const int32_t bad = packBlock(block, source, scratch);
    if (bad != 0) noteBadRow(static_cast<int64_t>(block) * kRowBlock + bad - 1);
  }
}

Error MatrixLoad::end(int32_t* id) {
  if (unreadable_.load()) return makeError("E_FILE", "Reading rows of %s ended early.", source_.file.c_str());
  if (badRow_.load() != INT64_MAX) {
    Error error = makeError("E_WEIGHTS", "A row holds NaN, infinity or a value beyond the format.");
    error.row = badRow_.load();
    return error;
  }
  *id = device_->keepMatrix(matrix_, std::move(region_));
  return {};
}

}  // namespace claw
