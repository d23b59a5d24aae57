// Packing, embedding, quantizing and products of every tuned instruction set against the scalar kernels, bit for bit, on
// random shapes and values. Every buffer ends at a page that may not be touched, because the sanitizers do not see the
// reads of inline assembly and of masked loads.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/kernels.h"
#include "tests/bits.h"
#include "tests/tuned-sets.h"

namespace {

using namespace claw;
using namespace claw::test;

// How often the random rounds reached what they are there for; testSet() asserts a minimum of each.
struct {
  int shortGroups;
  int scaleGroups;  // products of i8 whose segments have several scales
  int partialProducts;
  int tokenGroups;  // products of more tokens than the leaves of a group
  int tokenChunks;  // products of more activations than pass together
  int notFinite;
} events;

const Kernels& expected = scalarKernels();
const Kernels* actual = nullptr;  // the instruction set under test

struct Shape {
  Format format;
  int rows;
  int segments;
  int segmentLength;
  int first;  // segments held: [first, end)
  int end;

  int columns() const { return segments * segmentLength; }
  int held() const { return end - first; }
  int groups() const { return groupCount(format, segmentLength); }
  int padded() const {
    return format == Format::f16 ? segmentLength : (segmentLength + kSegmentPad - 1) / kSegmentPad * kSegmentPad;
  }
  int scalesPerSegment() const { return format == Format::i8 ? groups() : 1; }
};

struct Packed {
  Matrix matrix;
  Guarded<uint8_t> weights;
  Guarded<int8_t> multipliers;
  Guarded<float> scales;

  static Matrix describe(const Shape& s) {
    return {s.format, s.rows,     s.columns(), s.segments, s.first, s.end, s.segmentLength,
            s.padded(), s.groups(), nullptr,     nullptr,    nullptr};
  }

  explicit Packed(const Shape& s)
      : matrix(describe(s)),
        weights(matrix.blockBytes() * matrix.rowBlocks()),
        multipliers(s.format == Format::i4 ? static_cast<size_t>(matrix.rowBlocks()) * s.held() * s.groups() * 16 : 1),
        scales(s.format == Format::f16 ? 1 : static_cast<size_t>(matrix.rowBlocks()) * s.held() * s.scalesPerSegment() * 16) {
    matrix.weights = weights.data();
    matrix.multipliers = multipliers.data();
    matrix.scales = scales.data();
  }

  int pack(const Kernels& kernels, SourceType type, Guarded<uint8_t>& source) {
    Guarded<float> scratch(static_cast<size_t>(17) * matrix.columns);
    for (int block = 0; block < matrix.rowBlocks(); ++block) {
      const size_t stride = source.size() / matrix.rows;
      const int bad = kernels.packBlock({&matrix, type, source.data(), stride, block, scratch.data()});
      if (bad != 0) return bad;
    }
    return 0;
  }
};

size_t rowBytes(SourceType type, int columns) {
  switch (type) {
    case SourceType::f32:
      return static_cast<size_t>(columns) * 4;
    case SourceType::q8_0:
      return static_cast<size_t>(columns) / 32 * 34;
    case SourceType::q4_0:
      return static_cast<size_t>(columns) / 32 * 18;
    default:
      return static_cast<size_t>(columns) * 2;
  }
}

void put16(uint8_t* to, uint32_t bits) {
  to[0] = static_cast<uint8_t>(bits);
  to[1] = static_cast<uint8_t>(bits >> 8);
}

// Random half bits of magnitude below 2 (exponent at most 15); subnormal ones among them.
uint32_t randomHalf() { return (randomBits() & 0x83ff) | static_cast<uint32_t>(between(0, 15)) << 10; }

void fillSource(SourceType type, Guarded<uint8_t>& source, int columns) {
  const size_t bytes = rowBytes(type, columns);
  const size_t block = type == SourceType::q8_0 ? 34 : 18;
  for (size_t row = 0; row < source.size() / bytes; ++row) {
    const int octaves = oneIn(3) ? 30 : 3;
    const float factor = oneIn(10) ? 0.0f : oneIn(10) ? 0x1p-110f : 1.0f;
    uint8_t* to = source.data() + row * bytes;
    for (size_t at = 0; at < bytes;) {
      if (type == SourceType::f32 || type == SourceType::bf16) {
        const float value = randomValue(octaves) * factor;
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        if (type == SourceType::f32) std::memcpy(to + at, &value, 4);
        else put16(to + at, bits >> 16);
        at += type == SourceType::f32 ? 4 : 2;
      } else if (type == SourceType::f16 || at % block == 0) {
        put16(to + at, factor == 0.0f ? 0 : randomHalf());
        at += 2;
      } else {
        to[at++] = static_cast<uint8_t>(randomBits());
      }
    }
  }
}

SourceType randomType(int columns) {
  const SourceType types[] = {SourceType::f32, SourceType::f16, SourceType::bf16, SourceType::q8_0, SourceType::q4_0};
  return types[between(0, columns % 32 == 0 ? 4 : 2)];
}

Shape randomShape(Format format) {
  Shape s{format, between(1, 100), oneIn(4) ? between(1, kSegmentsMax) : between(1, 8), 0, 0, 0};
  s.segmentLength = oneIn(2) ? 32 * between(1, 4) : between(1, 150);
  if (s.segments > 8) s.segmentLength = between(1, 40);
  if (s.segments <= 2 && oneIn(2)) s.segmentLength = between(151, 2300);  // every size of a rotation's blocks
  s.first = oneIn(2) ? 0 : between(0, s.segments - 1);
  s.end = oneIn(2) ? s.segments : between(s.first + 1, s.segments);
  return s;
}

// ---- Quantized activations ----

struct Activations {
  QuantizedRows rows;
  Guarded<int8_t> q;
  Guarded<float> scales;
  Guarded<int32_t> starts;

  Activations(const Shape& s, int count)
      : q(static_cast<size_t>(count) * s.held() * s.padded()),
        scales(static_cast<size_t>(count) * s.held() * s.scalesPerSegment()),
        starts(static_cast<size_t>(count) * s.held() * s.groups()) {
    // Implementations may rely on padding that is already zero.
    std::fill(q.begin(), q.end(), int8_t{0});
    rows = {s.format, q.data(), scales.data(), starts.data(), s.held() * s.segmentLength, s.held(), s.segmentLength,
            s.padded(), s.groups()};
  }
};

void checkQuantized(const Shape& s, Guarded<float>& x, Activations& out, int count) {
  Activations other(s, count);
  Guarded<float> scratch((static_cast<size_t>(s.segmentLength) + 15) / 16 * 16);  // so that it begins aligned
  for (int i = 0; i < count * s.held(); ++i) {
    const float* segment = x.data() + static_cast<size_t>(i) * s.segmentLength;
    const int row = i / s.held();
    const int32_t status = actual->quantizeSegment(segment, out.rows, row, i % s.held(), scratch.data());
    CHECK(status == expected.quantizeSegment(segment, other.rows, row, i % s.held(), scratch.data()));
    events.notFinite += status == kNotFinite;
  }
  checkSame(out.q, other.q);
  checkSame(out.scales, other.scales);
  checkSame(out.starts, other.starts);
}

// ---- Products ----

void maximalSubtrees(const Shape& s, int low, int high, std::vector<Subtree>& found) {
  if (high <= s.first || low >= s.end) return;
  if (low >= s.first && high <= s.end) {
    found.push_back({low, high});
    return;
  }
  const int middle = low + (high - low + 1) / 2;
  maximalSubtrees(s, low, middle, found);
  maximalSubtrees(s, middle, high, found);
}

void checkProduct(const Shape& s, Packed& packed, const QuantizedRows* quantized, Guarded<float>& x, int tokens) {
  std::vector<Subtree> subtrees;
  maximalSubtrees(s, 0, s.segments, subtrees);
  const bool partial = s.held() < s.segments || oneIn(4);
  events.partialProducts += partial;
  events.shortGroups += s.format != Format::f16 && s.segmentLength % kGroup != 0;
  events.scaleGroups += s.format == Format::i8 && s.groups() > 1;
  events.tokenGroups += tokens > 24;
  events.tokenChunks += tokens > 24 && tokens * s.held() * s.segmentLength > 384 << (s.format == Format::f16 ? 8 : 10);
  const ptrdiff_t stride = static_cast<ptrdiff_t>(s.rows) * (partial ? s.segments : 1) + between(0, 5);
  Guarded<float> first(static_cast<size_t>(stride) * tokens);
  Guarded<float> second(first.size());
  const int blocks = packed.matrix.rowBlocks();
  const int cut = between(0, blocks);
  LinearTask task{&packed.matrix, quantized, x.data(), s.held() * s.segmentLength,      tokens, 0, blocks, first.data(),
                  stride,         partial,   subtrees.data(), static_cast<int32_t>(subtrees.size())};
  expected.linear(task);
  task.out = second.data();
  task.blockEnd = cut;
  actual->linear(task);
  task.blockFirst = cut;
  task.blockEnd = blocks;
  actual->linear(task);
  checkSame(first, second);
}

void checkEmbedding(Packed& packed) {
  Guarded<float> row(packed.matrix.columns);
  Guarded<float> other(packed.matrix.columns);
  const int token = between(0, packed.matrix.rows - 1);
  actual->embedRow(packed.matrix, token, row.data());
  expected.embedRow(packed.matrix, token, other.data());
  checkSame(row, other);
}

void checkMatrix(const Shape& s, SourceType type, Guarded<uint8_t>& source, Guarded<float>& x, int tokens) {
  Packed packed(s);
  Packed other(s);
  CHECK(packed.pack(*actual, type, source) == other.pack(expected, type, source));
  checkSame(packed.weights, other.weights);
  checkSame(packed.scales, other.scales);
  if (s.format == Format::i4) checkSame(packed.multipliers, other.multipliers);
  if (s.held() == s.segments) checkEmbedding(packed);
  Activations quantized(s, tokens);
  if (s.format != Format::f16) checkQuantized(s, x, quantized, tokens);
  checkProduct(s, packed, &quantized.rows, x, tokens);
}

void testMatrices(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const Shape s = randomShape(static_cast<Format>(round % 3));
    const SourceType type = randomType(s.columns());
    Guarded<uint8_t> source(rowBytes(type, s.columns()) * s.rows);
    fillSource(type, source, s.columns());
    const int tokens = oneIn(8) ? between(17, 110) : between(1, 16);
    Guarded<float> x(static_cast<size_t>(tokens) * s.held() * s.segmentLength);
    const int octaves = oneIn(2) ? 4 : 20;
    for (float& value : x) value = randomValue(octaves);
    if (s.format != Format::f16 && oneIn(3)) x[x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    if (oneIn(3)) std::fill_n(x.data(), s.segmentLength, 0x1p-105f);
    checkMatrix(s, type, source, x, tokens);
  }
}

void testTokenChunks() {
  for (const Format format : {Format::f16, Format::i8, Format::i4}) {
    const Shape s{format, 100, 8, 616, 0, 8};
    Guarded<uint8_t> source(rowBytes(SourceType::bf16, s.columns()) * s.rows);
    fillSource(SourceType::bf16, source, s.columns());
    Guarded<float> x(static_cast<size_t>(90) * s.columns());
    for (float& value : x) value = randomValue(4);
    checkMatrix(s, SourceType::bf16, source, x, 90);
  }
}

// Sums as large as they get: all weights and activations of the largest magnitude, in all combinations of signs.
void testLargestSums() {
  for (const Format format : {Format::i8, Format::i4}) {
    for (const int segmentLength : {8, 40, 512, 2080, format == Format::i8 ? 133120 : 16608}) {
      const Shape s{format, 17, 1, segmentLength, 0, 1};
      Guarded<uint8_t> source(rowBytes(SourceType::f32, s.columns()) * s.rows);
      for (size_t i = 0; i < source.size() / 4; ++i) {
        const float value = i / s.columns() % 2 == 0 ? -1.0f : 1.0f;
        std::memcpy(source.data() + i * 4, &value, 4);
      }
      Guarded<float> x(static_cast<size_t>(3) * s.columns());
      for (size_t i = 0; i < x.size(); ++i) x[i] = i < x.size() / 2 ? -3.0f : 3.0f;
      checkMatrix(s, SourceType::f32, source, x, 3);
    }
  }
}

void testRefusals() {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 65520.0f};
  for (int round = 0; round < 60; ++round) {
    const Shape s = randomShape(static_cast<Format>(round % 3));
    Guarded<uint8_t> source(rowBytes(SourceType::f32, s.columns()) * s.rows);
    fillSource(SourceType::f32, source, s.columns());
    const int column = between(s.first * s.segmentLength, s.end * s.segmentLength - 1);
    const int row = between(0, s.rows - 1);
    std::memcpy(source.data() + (static_cast<size_t>(row) * s.columns() + column) * 4, &bad[round / 3 % 3], 4);
    const bool refused = round / 3 % 3 != 2 || s.format == Format::f16;
    Packed packed(s);
    CHECK(packed.pack(*actual, SourceType::f32, source) == (refused ? row + 1 : 0));
  }
}

void testSet(const Kernels& kernels) {
  actual = &kernels;
  events = {};
  testMatrices(600);
  testTokenChunks();
  testLargestSums();
  testRefusals();
  CHECK(events.shortGroups > 100 && events.scaleGroups > 50 && events.partialProducts > 100 && events.notFinite > 50);
  CHECK(events.tokenGroups > 20 && events.tokenChunks >= 3);
}

}  // namespace

int main() { return forEachTunedSet("matrices", testSet); }
