#include "executor/executable.h"

#include <algorithm>
#include <utility>

#include "executor/attention.h"
#include "executor/device.h"
#include "executor/tape.h"

namespace claw {
namespace {

// Far beyond any model; the values of one buffer are countable in 32 bits.
constexpr int32_t kWidthMax = 1 << 26;
constexpr int32_t kRowsMax = 1 << 20;
constexpr int32_t kPageEntriesMax = 1 << 26;

bool sensible(const BufferShape& shape, const Limits& limits) {
  if (shape.width < 1 || shape.width > kWidthMax) return false;
  if (shape.domain != Domain::tokens && shape.domain != Domain::outputs) return false;
  if (static_cast<int64_t>(shape.width) * limits.of(shape.domain) > INT32_MAX) return false;
  if (!shape.quantized) return true;
  return shape.segments >= 1 && shape.segments <= kSegmentsMax && shape.width % shape.segments == 0 &&
         (shape.format == Format::i8 || shape.format == Format::i4) &&
         sumsFit(shape.format, shape.width / shape.segments);
}

bool sensible(const Limits& limits) {
  return limits.rows >= 1 && limits.rows <= kRowsMax && limits.outputs >= 1 && limits.outputs <= kRowsMax &&
         limits.pageEntries >= 0 && limits.pageEntries <= kPageEntriesMax;
}

QuantizedRows shapeOf(const BufferShape& shape) {
  QuantizedRows rows{};
  rows.width = shape.width;
  rows.segments = shape.segments;
  rows.segmentLength = shape.width / shape.segments;
  rows.paddedSegment = (rows.segmentLength + kSegmentPad - 1) / kSegmentPad * kSegmentPad;
  rows.format = shape.format;
  rows.groups = groupCount(shape.format, rows.segmentLength);
  return rows;
}

size_t bufferBytes(const Buffer& buffer, size_t rows) {
  if (!buffer.shape.quantized) return alignUp(rows * static_cast<size_t>(buffer.shape.width) * sizeof(float));
  const QuantizedRows& q = buffer.quantized;
  const size_t segments = rows * static_cast<size_t>(q.segments);
  return alignUp(segments * static_cast<size_t>(q.paddedSegment)) +
         alignUp(segments * static_cast<size_t>(q.scalesPerSegment()) * sizeof(float)) +
         alignUp(segments * static_cast<size_t>(q.groups) * sizeof(int32_t));
}

void place(Buffer* buffer, Region* region, size_t rows) {
  if (!buffer->shape.quantized) {
    buffer->values = region->take<float>(rows * static_cast<size_t>(buffer->shape.width));
    return;
  }
  QuantizedRows& q = buffer->quantized;
  const size_t segments = rows * static_cast<size_t>(q.segments);
  q.q = region->take<int8_t>(segments * static_cast<size_t>(q.paddedSegment));
  q.scales = region->take<float>(segments * static_cast<size_t>(q.scalesPerSegment()));
  q.starts = region->take<int32_t>(segments * static_cast<size_t>(q.groups));
}

}  // namespace

Error Executable::prepare(std::shared_ptr<Device> device, const ProgramSource& source,
                          std::shared_ptr<Executable>* executable) {
  const auto made = std::make_shared<Executable>();
  made->device_ = std::move(device);
  made->limits_ = source.limits;
  if (!sensible(source.limits)) return makeError("E_INTERNAL", "The limits of a program are out of range.");
  for (const BufferShape& shape : source.buffers) {
    if (!sensible(shape, source.limits)) {
      return makeError("E_INTERNAL", "The shape of buffer %zu is wrong.", made->buffers_.size());
    }
    made->buffers_.push_back({shape, nullptr, shape.quantized ? shapeOf(shape) : QuantizedRows{}});
  }
  Error error = made->allocateStep(source);
  if (!error) error = made->allocateBuffers();
  if (error) return error;
  const TapeContext context = {source.tape, made->buffers_, made->device_->matrices(), made->device_->vectors()};
  error = compileTape(context, &made->operations_);
  if (error) return error;
  error = Exchanges::plan(made->operations_, source.links, source.limits, made->device_->arena(), &made->exchanges_);
  if (error) return error;
  made->runs_ = runsOf(made->operations_);
  made->findNeeds();
  made->planAttention();
  made->shareProducts();
  error = made->allocateScratch();
  if (!error) *executable = made;
  return error;
}

Error Executable::allocateStep(const ProgramSource& source) {
  const auto index = static_cast<size_t>(source.logits);
  const bool hasLogits = source.logits >= 0;
  if (hasLogits && (index >= buffers_.size() || buffers_[index].shape.quantized ||
                    buffers_[index].shape.domain != Domain::outputs)) {
    return makeError("E_INTERNAL", "Buffer %d cannot hold logits.", source.logits);
  }
  const size_t logits = hasLogits ? bufferBytes(buffers_[index], static_cast<size_t>(limits_.outputs)) : 0;
  const auto rows = static_cast<size_t>(limits_.rows);
  const auto outputs = static_cast<size_t>(limits_.outputs);
  const auto pages = static_cast<size_t>(limits_.pageEntries);
  const size_t bytes = 5 * alignUp(rows * 4) + alignUp(outputs * 4) + alignUp(pages * 4) + logits;
  stepRegion_ = std::make_shared<Region>(device_->arena().map(Purpose::buffers, bytes));
  if (!*stepRegion_) return refusal(device_->arena(), "a program's buffers", bytes);
  step_.tokens = stepRegion_->take<int32_t>(rows);
  step_.positions = stepRegion_->take<int32_t>(rows);
  step_.pageStart = stepRegion_->take<int32_t>(rows);
  step_.status = stepRegion_->take<int32_t>(rows);
  step_.adapters = stepRegion_->take<int32_t>(rows);
  step_.pages = stepRegion_->take<int32_t>(pages);
  step_.outputs = stepRegion_->take<int32_t>(outputs);
  if (hasLogits) place(&buffers_[index], stepRegion_.get(), outputs);
  step_.logits = hasLogits ? buffers_[index].values : reinterpret_cast<float*>(stepRegion_->base());
  return {};
}

Error Executable::allocateBuffers() {
  size_t bytes = 0;
  const auto rowsOf = [this](const Buffer& buffer) { return static_cast<size_t>(limits_.of(buffer.shape.domain)); };
  for (const Buffer& buffer : buffers_) {
    if (buffer.values == nullptr) bytes += bufferBytes(buffer, rowsOf(buffer));
  }
  if (bytes == 0) return {};
  region_ = device_->arena().map(Purpose::buffers, bytes);
  if (!region_) return refusal(device_->arena(), "a program's buffers", bytes);
  for (Buffer& buffer : buffers_) {
    if (buffer.values == nullptr) place(&buffer, &region_, rowsOf(buffer));
  }
  return {};
}

void Executable::findNeeds() {
  bool adapts = false;
  for (const Operation& op : operations_) {
    if (op.op == Op::adaptDown || op.op == Op::adaptUp) {
      const auto count = static_cast<int32_t>(op.adapters.size());
      adapterCount_ = adapts ? std::min(adapterCount_, count) : count;
      adapts = true;
    }
    if (op.op == Op::embed || op.op == Op::embedPartial) tokenCount_ = std::min(tokenCount_, op.vocabulary);
    if (op.op == Op::rope) positionCount_ = std::min(positionCount_, op.positions);
    if (op.op == Op::kvWrite || op.op == Op::attention) usesKv_ = true;
    if (op.op != Op::quantize) continue;
    quantizeFloats_ = std::max(quantizeFloats_, static_cast<size_t>(op.dst->quantized.segmentLength));
  }
}

void Executable::planAttention() {
  for (Operation& op : operations_) {
    if (op.op != Op::attention) continue;
    const AttentionShape shape = {op.heads, op.queryHeads, op.headDim};
    const auto same = [&](const AttentionPlan& plan) { return plan.shape() == shape; };
    const auto found = std::find_if(plans_.begin(), plans_.end(), same);
    op.plan = static_cast<int32_t>(found - plans_.begin());
    if (found == plans_.end()) plans_.emplace_back(shape, device_->pool().threads(), storedChunks(shape, sequencePages()));
  }
}

void Executable::shareProducts() {
  size_t products = 0;
  for (Operation& op : operations_) {
    if (op.share == Share::blocks) op.product = products++;
  }
  blockShares_ = std::make_unique<BlockShares>(device_->pool().threads(), products);
}

void Executable::dealProducts() {
  for (const Operation& op : operations_) {
    if (op.share == Share::blocks) blockShares_->deal(op.product, op.matrix->rowBlocks());
  }
}

// Entries of the page table of one sequence, at most.
int32_t Executable::sequencePages() const {
  return positionCount_ == INT32_MAX ? limits_.pageEntries
                                     : std::min(limits_.pageEntries, (positionCount_ + kPageTokens - 1) / kPageTokens);
}

Error Executable::allocateScratch() {
  size_t floats = 0;
  for (const AttentionPlan& plan : plans_) floats = std::max(floats, scratchFloats(plan));
  // Apart from attention's: another thread may read what this one keeps there while it quantizes.
  quantizeOffset_ = alignUp(floats * sizeof(float)) / sizeof(float);
  const size_t bytes = (quantizeOffset_ + quantizeFloats_) * sizeof(float);
  for (int t = 0; t < device_->pool().threads() && bytes > 0; t++) {
    scratch_.push_back(device_->arena().map(Purpose::buffers, bytes));
    if (!scratch_.back()) return refusal(device_->arena(), "a program's buffers", bytes);
  }
  return {};
}

float* Executable::quantizeScratch(int thread) const {
  if (scratch_.empty()) return nullptr;
  return reinterpret_cast<float*>(scratch_[static_cast<size_t>(thread)].base()) + quantizeOffset_;
}

Error Executable::checkKv() const {
  const KvCache& kv = device_->kv();
  if (kv.data == nullptr) return makeError("E_INTERNAL", "A step needs a KV cache and none is allocated.");
  for (const Operation& op : operations_) {
    if (op.op != Op::kvWrite && op.op != Op::attention) continue;
    if (op.headDim != kv.headDim || op.layer >= kv.layers ||
        static_cast<int64_t>(op.firstHead) + op.heads > kv.heads) {
      return makeError("E_INTERNAL", "The program does not fit the KV cache of %d layers, %d heads of %d.", kv.layers,
                       kv.heads, kv.headDim);
    }
  }
  return {};
}

Error Executable::checkPages(int32_t rows) const {
  int32_t knownStart = -1;  // the table checked last, and how many of its entries: rows of a sequence share one
  int32_t known = 0;
  for (int32_t row = 0; row < rows; row++) {
    const int32_t start = step_.pageStart[row];
    const int32_t count = step_.positions[row] / kPageTokens + 1;
    if (start < 0 || start > limits_.pageEntries - count) {
      return makeError("E_INTERNAL", "The page table of row %d, %d entries from %d, ends beyond the step's %d.", row,
                       count, start, limits_.pageEntries);
    }
    for (int32_t i = start == knownStart ? known : 0; i < count; i++) {
      const int32_t page = step_.pages[start + i];
      if (page < 0 || page >= device_->kv().pages) {
        return makeError("E_INTERNAL", "Row %d uses KV page %d; there are %d.", row, page, device_->kv().pages);
      }
    }
    known = start == knownStart ? std::max(known, count) : count;
    knownStart = start;
  }
  return {};
}

Error Executable::checkRow(int32_t row) const {
  const int32_t token = step_.tokens[row];
  if (tokenCount_ != INT32_MAX && (token < 0 || token >= tokenCount_)) {
    return makeError("E_INTERNAL", "Row %d feeds token %d; the vocabulary has %d.", row, token, tokenCount_);
  }
  const int32_t adapter = step_.adapters[row];
  if (adapter < 0 || adapter > adapterCount_) {
    return makeError("E_INTERNAL", "Row %d asks for adapter %d; there are %d.", row, adapter, adapterCount_);
  }
  const int32_t position = step_.positions[row];
  if (position < 0 || position >= positionCount_) {
    return makeError("E_INTERNAL", "Row %d is at position %d, outside [0, %d).", row, position, positionCount_);
  }
  return {};
}

Error Executable::beginStep(int32_t rows, int32_t outputs) {
  if (rows < 0 || rows > limits_.rows || outputs < 0 || outputs > limits_.outputs) {
    return makeError("E_INTERNAL", "A step of %d rows and %d outputs is beyond its limits of %d and %d.", rows, outputs,
                     limits_.rows, limits_.outputs);
  }
  for (int32_t row = 0; row < rows; row++) {
    if (Error error = checkRow(row)) return error;
  }
  for (int32_t i = 0; i < outputs; i++) {
    if (step_.outputs[i] < 0 || step_.outputs[i] >= rows) {
      return makeError("E_INTERNAL", "Output %d asks for row %d of %d.", i, step_.outputs[i], rows);
    }
  }
  Error error = usesKv_ ? checkKv() : Error{};
  if (!error && usesKv_) error = checkPages(rows);
  if (error) return error;
  rows_ = rows;
  outputs_ = outputs;
  stepError_ = {};
  exchanged_.store(0, std::memory_order_relaxed);
  std::fill_n(step_.status, rows, 0);
  const auto count = static_cast<size_t>(rows);
  dealProducts();
  for (AttentionPlan& plan : plans_) plan.build({step_.positions, count}, {step_.pageStart, count});
  return {};
}

}  // namespace claw
