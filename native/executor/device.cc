#include "executor/device.h"

#include <algorithm>
#include <utility>

#include "executor/tape.h"

namespace claw {
namespace {

constexpr int kThreadsMax = 1024;

bool sensible(const MatrixShape& shape) {
  return shape.rows >= 1 && shape.columns >= 1 && shape.segments >= 1 && shape.segments <= kSegmentsMax &&
         shape.columns % shape.segments == 0 && shape.segmentFirst >= 0 && shape.segmentFirst < shape.segmentEnd &&
         shape.segmentEnd <= shape.segments;
}

Matrix matrixOf(const MatrixShape& shape) {
  Matrix m{};
  m.format = shape.format;
  m.rows = shape.rows;
  m.columns = shape.columns;
  m.segments = shape.segments;
  m.segmentFirst = shape.segmentFirst;
  m.segmentEnd = shape.segmentEnd;
  m.segmentLength = shape.columns / shape.segments;
  const int32_t padded = (m.segmentLength + kSegmentPad - 1) / kSegmentPad * kSegmentPad;
  m.paddedSegment = shape.format == Format::f16 ? m.segmentLength : padded;
  m.groups = groupCount(m.format, m.segmentLength);
  return m;
}

void takeParts(const PackedBytes& bytes, Region* region, Matrix* matrix) {
  matrix->weights = region->take<uint8_t>(bytes.weights);
  matrix->multipliers = region->take<int8_t>(bytes.multipliers);
  matrix->scales = region->take<float>(bytes.scales / sizeof(float));
}

}  // namespace

Error refusal(const Arena& arena, const char* what, size_t bytes) {
  const size_t megabytes = (bytes >> 20) + 1;
  if (!arena.lockRefused()) return makeError("E_MEMORY", "Allocating %zu MB for %s failed.", megabytes, what);
  return makeError("E_MEMORY_LOCK", "Locking %zu MB for %s in memory failed.", megabytes, what);
}

std::vector<const Kernels*> availableKernels() {
  std::vector<const Kernels*> found = {&scalarKernels()};
#ifdef CLAW_HAVE_AVX2
  if (avx2Supported()) found.push_back(&avx2Kernels());
#endif
#ifdef CLAW_HAVE_AVX2_VNNI
  if (avx2VnniSupported()) found.push_back(&avx2VnniKernels());
#endif
#ifdef CLAW_HAVE_AVX512
  if (avx512Supported()) found.push_back(&avx512Kernels());
#endif
#ifdef CLAW_HAVE_NEON
  if (neonSupported()) found.push_back(&neonKernels());
#endif
#ifdef CLAW_HAVE_NEON_DOTPROD
  if (neonDotprodSupported()) found.push_back(&neonDotprodKernels());
#endif
  return found;
}

std::shared_ptr<Device> Device::create(int threads, const std::string& isa, Pinning pinning, int firstProcessor) {
  auto device = std::make_shared<Device>();
  for (const Kernels* kernels : availableKernels()) {
    if (isa == kernels->name) device->kernels_ = kernels;
  }
  if (device->kernels_ == nullptr || threads < 1 || threads > kThreadsMax) return nullptr;
  device->pool_ = ThreadPool::start(threads, pinning, firstProcessor);
  return device->pool_ == nullptr ? nullptr : device;
}

Error layOut(const MatrixShape& shape, Matrix* matrix, PackedBytes* bytes) {
  if (!sensible(shape)) return makeError("E_MODEL_SHAPE", "The shape of a matrix is wrong.");
  const Matrix m = matrixOf(shape);
  if (m.format != Format::f16 && !sumsFit(m.format, m.segmentLength)) {
    return makeError("E_MODEL_SHAPE", "A segment of %d values is too long for exact integer sums.", m.segmentLength);
  }
  const auto blocks = static_cast<size_t>(m.rowBlocks());
  *bytes = PackedBytes{};
  if (!multiply({blocks, m.blockBytes()}, &bytes->weights)) return makeError("E_MEMORY", "A matrix is too large.");
  const size_t scales = m.format == Format::f16 ? 0 : blocks * static_cast<size_t>(m.held()) * kRowBlock;
  if (m.format == Format::i4) bytes->multipliers = scales * static_cast<size_t>(m.groups);
  bytes->scales = scales * static_cast<size_t>(m.scalesPerSegment()) * sizeof(float);
  *matrix = m;
  return {};
}

Error Device::allocateMatrix(const MatrixShape& shape, Matrix* matrix, Region* region) const {
  PackedBytes bytes{};
  if (Error error = layOut(shape, matrix, &bytes)) return error;
  *region = arena_.map(Purpose::weights, bytes.total());
  if (!*region) return refusal(arena_, "a matrix", bytes.total());
  takeParts(bytes, region, matrix);
  return {};
}

int32_t Device::keepMatrix(const Matrix& matrix, Region region) {
  owned_.push_back(std::make_unique<Matrix>(matrix));
  matrixRegions_.push_back(std::make_shared<const Region>(std::move(region)));
  matrices_.push_back(owned_.back().get());
  return static_cast<int32_t>(matrices_.size()) - 1;
}

std::shared_ptr<const Region> Device::matrixBytes(int32_t id) const {
  const auto at = static_cast<size_t>(id);
  return at < matrixRegions_.size() ? matrixRegions_[at] : nullptr;
}

Error Device::loadVector(std::span<const float> values, int32_t* id) {
  Region region = arena_.map(Purpose::weights, values.size_bytes());
  if (!region || values.size() > INT32_MAX) return refusal(arena_, "a vector", values.size_bytes());
  auto* copy = region.take<float>(values.size());
  std::copy(values.begin(), values.end(), copy);
  vectors_.push_back({copy, static_cast<int32_t>(values.size())});
  vectorRegions_.push_back(std::move(region));
  *id = static_cast<int32_t>(vectors_.size()) - 1;
  return {};
}

void Device::release() {
  matrices_.clear();
  owned_.clear();
  vectors_.clear();
  matrixRegions_.clear();
  vectorRegions_.clear();
  kvRegion_ = Region();
  kv_ = KvCache{};
}

Error Device::allocateKv(const KvCache& shape) {
  const auto [_, pages, layers, heads, headDim, format] = shape;
  if (pages < 1 || layers < 1 || heads < 1 || headDim < 1 || headDim > kHeadDimMax ||
      format < KvFormat::f16 || format > KvFormat::i8) {
    return makeError("E_INTERNAL", "A KV cache of %d pages, %d layers, %d heads of %d cannot be.", pages, layers, heads,
                     headDim);
  }
  kvRegion_ = Region();  // the new one may need its memory
  kv_ = KvCache{nullptr, pages, layers, heads, headDim, format};
  size_t bytes = 0;
  const bool fits = multiply({static_cast<size_t>(pages), static_cast<size_t>(layers), static_cast<size_t>(heads),
                              kv_.headBytes()},
                             &bytes);
  if (fits) kvRegion_ = arena_.map(Purpose::kv, bytes);
  if (!kvRegion_) return refusal(arena_, "the KV cache", bytes);
  kv_.data = kvRegion_.take<uint8_t>(bytes);
  return {};
}

size_t Device::kvPageBytes() const {
  return static_cast<size_t>(kv_.layers) * static_cast<size_t>(kv_.heads) * kv_.headBytes();
}

std::span<uint8_t> Device::kvPage(int32_t page) const {
  if (kv_.data == nullptr || page < 0 || page >= kv_.pages) return {};
  const size_t bytes = kvPageBytes();
  return {static_cast<uint8_t*>(kv_.data) + static_cast<size_t>(page) * bytes, bytes};
}

void Device::discardKvPage(int32_t page) const {
  const size_t bytes = kvPageBytes();
  kvRegion_.discard(static_cast<size_t>(page) * bytes, bytes);
}

}  // namespace claw
