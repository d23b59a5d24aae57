#include "executor/tape.h"

#include <bit>
#include <cstddef>

#include "executor/phases.h"
#include "kernels/tree.h"

namespace claw {
namespace {

class TapeCompiler {
 public:
  explicit TapeCompiler(const TapeContext& context) : context_(context) {}
  Error compile(std::vector<Operation>* operations);

 private:
  // Each fills op_ and returns whether the operands make sense together.
  bool embed(bool partial);
  bool rmsNorm();
  bool quantize();
  bool linear(bool partial);
  bool combine();
  bool rope();
  bool kvWrite();
  bool attention();
  bool siluMul();
  bool add();
  bool gather();
  bool exchange(bool sends);
  bool adaptDown();
  bool adaptUp();
  bool decode();

  int32_t take();
  const Buffer* buffer(bool quantized);
  const Buffer* floats() { return buffer(false); }
  const Matrix* matrix();
  const Vector* vector();
  bool present(int32_t count);
  bool factors(int32_t count, int32_t width, bool scaled);

  const TapeContext& context_;
  size_t cursor_ = 0;
  bool intact_ = true;  // every operand so far existed and named something that exists
  Operation op_;
};

bool sameDomain(const Buffer* a, const Buffer* b) { return a->shape.domain == b->shape.domain; }

bool sameShape(const Buffer* a, const Buffer* b) { return sameDomain(a, b) && a->shape.width == b->shape.width; }

bool onTokens(const Buffer* buffer) { return buffer->shape.domain == Domain::tokens; }

bool equalProduct(int32_t product, int32_t a, int32_t b) { return static_cast<int64_t>(a) * b == product; }

int32_t TapeCompiler::take() {
  if (cursor_ < context_.tape.size()) return context_.tape[cursor_++];
  intact_ = false;
  return 0;
}

const Buffer* TapeCompiler::buffer(bool quantized) {
  const auto index = static_cast<size_t>(take());
  if (index < context_.buffers.size() && context_.buffers[index].shape.quantized == quantized) {
    return &context_.buffers[index];
  }
  intact_ = false;
  return nullptr;
}

const Matrix* TapeCompiler::matrix() {
  const auto index = static_cast<size_t>(take());
  if (index < context_.matrices.size()) return context_.matrices[index];
  intact_ = false;
  return nullptr;
}

const Vector* TapeCompiler::vector() {
  const auto index = static_cast<size_t>(take());
  if (index < context_.vectors.size()) return &context_.vectors[index];
  intact_ = false;
  return nullptr;
}

bool TapeCompiler::embed(bool partial) {
  op_.dst = floats();
  op_.matrix = matrix();
  op_.firstToken = partial ? take() : 0;
  op_.vocabulary = partial ? take() : op_.matrix == nullptr ? 0 : op_.matrix->rows;
  return intact_ && onTokens(op_.dst) && op_.matrix->held() == op_.matrix->segments &&
         op_.matrix->columns == op_.dst->shape.width && op_.firstToken >= 0 &&
         static_cast<int64_t>(op_.firstToken) + op_.matrix->rows <= op_.vocabulary;
}

bool TapeCompiler::rmsNorm() {
  op_.dst = floats();
  op_.a = floats();
  const Vector* gain = vector();
  op_.number = std::bit_cast<float>(take());
  if (!intact_) return false;
  op_.vector = gain->values;
  return sameShape(op_.dst, op_.a) && gain->length == op_.dst->shape.width;
}

bool TapeCompiler::quantize() {
  op_.dst = buffer(true);
  op_.a = floats();
  return intact_ && sameShape(op_.dst, op_.a);
}

bool TapeCompiler::linear(bool partial) {
  op_.dst = floats();
  const bool quantized = cursor_ < context_.tape.size() &&
                         static_cast<size_t>(context_.tape[cursor_]) < context_.buffers.size() &&
                         context_.buffers[static_cast<size_t>(context_.tape[cursor_])].shape.quantized;
  op_.a = buffer(quantized);
  op_.matrix = matrix();
  if (!intact_ || !sameDomain(op_.dst, op_.a) || op_.dst == op_.a) return false;
  const Matrix& m = *op_.matrix;
  const BufferShape& in = op_.a->shape;
  if (in.quantized != (m.format != Format::f16) || !equalProduct(in.width, m.held(), m.segmentLength)) return false;
  if (quantized && (in.segments != m.held() || in.format != m.format)) return false;
  op_.subtrees = maximalSubtrees(m.segments, m.segmentFirst, m.segmentEnd);
  if (partial) return equalProduct(op_.dst->shape.width, m.segments, m.rows);
  return m.held() == m.segments && op_.dst->shape.width == m.rows;
}

// Whether walking the tree over [first, end) meets one of `present` on every path.
bool covered(const std::vector<Subtree>& present, int32_t first, int32_t end) {
  for (const Subtree& tree : present) {
    if (tree.first == first && tree.end == end) return true;
  }
  if (end - first == 1) return false;
  const int32_t middle = treeMiddle(first, end);
  return covered(present, first, middle) && covered(present, middle, end);
}

bool TapeCompiler::combine() {
  op_.dst = floats();
  op_.a = floats();
  const int32_t count = take();
  if (!intact_ || count < 1 || count > kSegmentsMax) return false;
  for (int32_t i = 0; i < count; i++) {
    const int32_t first = take();
    op_.subtrees.push_back({first, take()});
  }
  if (!intact_ || !sameDomain(op_.dst, op_.a) || op_.dst == op_.a) return false;
  const int32_t segments = op_.a->shape.width / op_.dst->shape.width;
  return op_.a->shape.width % op_.dst->shape.width == 0 && segments >= 1 && segments <= kSegmentsMax &&
         covered(op_.subtrees, 0, segments);
}

bool TapeCompiler::rope() {
  op_.dst = floats();
  const Vector* table = vector();
  op_.heads = take();
  op_.headDim = take();
  const int32_t style = take();
  op_.halves = style == 1;
  if (!intact_ || op_.heads < 1 || op_.headDim < 2 || op_.headDim % 2 != 0) return false;
  op_.vector = table->values;
  op_.positions = table->length / op_.headDim;
  return onTokens(op_.dst) && (style == 0 || style == 1) && table->length % op_.headDim == 0 &&
         equalProduct(op_.dst->shape.width, op_.heads, op_.headDim);
}

bool TapeCompiler::kvWrite() {
  op_.a = floats();
  op_.b = floats();
  op_.layer = take();
  op_.firstHead = take();
  op_.heads = take();
  if (!intact_ || op_.layer < 0 || op_.firstHead < 0 || op_.heads < 1) return false;
  op_.headDim = op_.a->shape.width / op_.heads;
  return onTokens(op_.a) && sameShape(op_.a, op_.b) && op_.headDim >= 1 && op_.headDim <= kHeadDimMax &&
         op_.a->shape.width % op_.heads == 0;
}

bool TapeCompiler::attention() {
  op_.dst = floats();
  op_.a = floats();
  op_.layer = take();
  op_.firstHead = take();
  op_.heads = take();
  op_.queryHeads = take();
  op_.number = std::bit_cast<float>(take());
  if (!intact_ || op_.layer < 0 || op_.firstHead < 0 || op_.heads < 1 || op_.queryHeads < op_.heads) return false;
  op_.headDim = op_.a->shape.width / op_.queryHeads;
  return onTokens(op_.dst) && sameShape(op_.dst, op_.a) && op_.dst != op_.a && op_.headDim >= 1 &&
         op_.headDim <= kHeadDimMax && op_.a->shape.width % op_.queryHeads == 0;
}

bool TapeCompiler::siluMul() { return add(); }

bool TapeCompiler::add() {
  op_.dst = floats();
  op_.a = floats();
  op_.b = floats();
  return intact_ && sameShape(op_.dst, op_.a) && sameShape(op_.dst, op_.b);
}

bool TapeCompiler::gather() {
  op_.dst = floats();
  op_.a = floats();
  return intact_ && !onTokens(op_.dst) && onTokens(op_.a) && op_.dst->shape.width == op_.a->shape.width;
}

// Whether there is such a link is for the exchange itself to know.
bool TapeCompiler::exchange(bool sends) {
  const Buffer* const buffer = floats();
  op_.link = take();
  op_.firstToken = take();
  op_.endToken = take();
  const int32_t count = take();
  if (!intact_ || count < 1 || count > kSegmentsMax) return false;
  for (int32_t i = 0; i < count; i++) {
    const ColumnRange range = {take(), take()};
    if (range.first < 0 || range.count < 1 || range.first > buffer->shape.width - range.count) return false;
    op_.columns.push_back(range);
  }
  (sends ? op_.a : op_.dst) = buffer;
  return intact_ && onTokens(buffer);
}

// A list of adapters' matrices, each of `width` times its rank values.
bool TapeCompiler::factors(int32_t count, int32_t width, bool scaled) {
  if (count < 1 || count > kAdaptersMax) return false;
  for (int32_t i = 0; i < count && intact_; i++) {
    const int32_t id = take();
    const int32_t rank = take();
    const float scale = scaled ? std::bit_cast<float>(take()) : 1.0f;
    if (id == -1) {
      op_.adapters.push_back({nullptr, 0, 0.0f});
      continue;
    }
    const auto index = static_cast<size_t>(id);
    if (!intact_ || index >= context_.vectors.size() || rank < 1 || rank > op_.stride) return false;
    if (!equalProduct(context_.vectors[index].length, width, rank)) return false;
    op_.adapters.push_back({context_.vectors[index].values, rank, scale});
  }
  return intact_;
}

bool TapeCompiler::adaptDown() {
  op_.dst = floats();
  op_.a = floats();
  op_.firstLeaf = take();
  op_.segments = take();
  op_.stride = take();
  const int32_t count = take();
  if (!intact_ || !onTokens(op_.dst) || !onTokens(op_.a) || op_.dst == op_.a) return false;
  if (op_.stride < 1 || op_.stride > kAdapterRankMax || op_.dst->shape.width % op_.stride != 0) return false;
  const int32_t leaves = op_.dst->shape.width / op_.stride;
  if (leaves > kSegmentsMax || op_.segments < 1 || op_.firstLeaf < 0 || op_.segments > leaves) return false;
  if (op_.firstLeaf > leaves - op_.segments || op_.a->shape.width % op_.segments != 0) return false;
  return factors(count, op_.a->shape.width, false);
}

bool TapeCompiler::adaptUp() {
  op_.dst = floats();
  op_.a = floats();
  op_.stride = take();
  const int32_t count = take();
  if (!intact_ || !onTokens(op_.dst) || !onTokens(op_.a) || op_.dst == op_.a) return false;
  if (op_.stride < 1 || op_.stride > kAdapterRankMax || op_.a->shape.width % op_.stride != 0) return false;
  op_.segments = op_.a->shape.width / op_.stride;
  return op_.segments <= kSegmentsMax && factors(count, op_.dst->shape.width, true);
}

bool TapeCompiler::decode() {
  switch (op_.op) {
    case Op::end:
      return true;
    case Op::embed:
      return embed(false);
    case Op::embedPartial:
      return embed(true);
    case Op::rmsNorm:
      return rmsNorm();
    case Op::quantize:
      return quantize();
    case Op::linear:
      return linear(false);
    case Op::linearPartial:
      return linear(true);
    case Op::combine:
      return combine();
    case Op::rope:
      return rope();
    case Op::kvWrite:
      return kvWrite();
    case Op::attention:
      return attention();
    case Op::siluMul:
      return siluMul();
    case Op::add:
      return add();
    case Op::gather:
      return gather();
    case Op::send:
      return exchange(true);
    case Op::receive:
      return exchange(false);
    case Op::adaptDown:
      return adaptDown();
    case Op::adaptUp:
      return adaptUp();
  }
  return false;
}

Error TapeCompiler::compile(std::vector<Operation>* operations) {
  for (;;) {
    const size_t start = cursor_;
    op_ = Operation{};
    const int32_t code = take();
    op_.op = static_cast<Op>(code);
    if (!intact_ || !decode()) {
      return makeError("E_INTERNAL", "The program's tape is wrong at word %zu (operation %d).", start, code);
    }
    if (op_.op == Op::end) return {};
    op_.domain = (op_.dst != nullptr ? op_.dst : op_.a)->shape.domain;
    operations->push_back(op_);
  }
}

void walkSubtrees(Subtree node, Subtree held, std::vector<Subtree>* found) {
  if (node.end <= held.first || node.first >= held.end) return;
  if (node.first >= held.first && node.end <= held.end) {
    found->push_back(node);
    return;
  }
  const int32_t middle = treeMiddle(node.first, node.end);
  walkSubtrees({node.first, middle}, held, found);
  walkSubtrees({middle, node.end}, held, found);
}

}  // namespace

std::vector<Subtree> maximalSubtrees(int32_t count, int32_t first, int32_t end) {
  std::vector<Subtree> found;
  walkSubtrees({0, count}, {first, end}, &found);
  return found;
}

bool sumsFit(Format format, int32_t segmentLength) {
  const int64_t weightMax = format == Format::i4 ? 8 * 127 : 127;
  return static_cast<int64_t>(segmentLength) * 127 * weightMax < int64_t{1} << 31;
}

Error compileTape(const TapeContext& context, std::vector<Operation>* operations) {
  const Error error = TapeCompiler(context).compile(operations);
  if (!error) shareOut(operations);
  return error;
}

}  // namespace claw
