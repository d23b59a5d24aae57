// Packing and products against plain loops over unpacked values. For integers the loops are in int64 and double, so
// they agree exactly only if nothing overflowed or was left out.
#include "tests/matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "executor/tape.h"

namespace {

using namespace claw;
using test::Packed;

// The integer (q, or q * m) or the half at a row and a column held, read from the layout kernels.h describes.
double unpacked(const Matrix& m, int32_t row, int32_t column) {
  const int32_t segment = column / m.segmentLength;
  const int32_t k = column % m.segmentLength;
  const size_t block = static_cast<size_t>(row) / kRowBlock;
  const size_t r = static_cast<size_t>(row) % kRowBlock;
  const size_t at = static_cast<size_t>(segment) * m.paddedSegment + k;
  const uint8_t* bytes = m.weights + block * m.blockBytes();
  if (m.format == Format::f16) {
    const uint16_t half = reinterpret_cast<const uint16_t*>(bytes)[at * kRowBlock + r];
    const int32_t exponent = (half >> 10) & 31;
    const double magnitude = exponent == 0 ? std::ldexp(half & 1023, -24) : std::ldexp(1024 + (half & 1023), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
  }
  if (m.format == Format::i8) return bytes[(at / 4 * kRowBlock + r) * 4 + at % 4] - 128;
  const uint8_t pair = bytes[(at / 8 * kRowBlock + r) * 4 + at % 4];
  const int32_t q = (at % 8 < 4 ? pair & 15 : pair >> 4) - 8;
  const size_t group = (block * m.held() + segment) * m.groups + k / kGroup;
  return q * m.multipliers[group * kRowBlock + r];
}

// The scale of a value of a row's segment held.
float scaleOf(const Matrix& m, int32_t row, int32_t segment, int32_t k = 0) {
  const size_t place = static_cast<size_t>(row / kRowBlock) * m.held() + segment;
  const size_t group = m.format == Format::i8 ? k / 64 : 0;
  return m.scales[(place * m.scalesPerSegment() + group) * kRowBlock + row % kRowBlock];
}

// One sign of the rotation, as the arithmetic defines it.
bool negates(uint32_t position) {
  uint32_t u = position * 2654435761u;
  u ^= u >> 15;
  u *= 2246822519u;
  u ^= u >> 13;
  return u & 1;
}

// A segment of weights rotated by the definition of the Hadamard matrix, whose entry (i, j) has the sign of the parity of
// i & j, in double.
std::vector<double> rotated(const float* values, int32_t length) {
  std::vector<double> out;
  for (int32_t first = 0, size; first < length; first += size) {
    size = std::min(1024, static_cast<int32_t>(std::bit_floor(static_cast<uint32_t>(length - first))));
    for (int32_t i = 0; i < size; i++) {
      double sum = 0;
      for (int32_t j = 0; j < size; j++) {
        const bool minus = (std::popcount(static_cast<uint32_t>(i & j)) % 2 == 1) != negates(static_cast<uint32_t>(first + j));
        sum += minus ? -values[first + j] : values[first + j];
      }
      out.push_back(std::ldexp(sum, -(std::countr_zero(static_cast<uint32_t>(size)) / 2)));
    }
  }
  return out;
}

MatrixShape randomShape(test::Random* random, Format format) {
  const int32_t segments = random->between(1, 8);
  const int32_t first = random->between(0, segments - 1);
  return {format,   random->between(1, 40), segments * random->between(1, 70), segments, first,
          random->between(first + 1, segments)};
}

int32_t improvedGroups = 0;  // i4 groups for which another multiplier than the plain one was found

// Squared error of a group with its plain multiplier: the extreme divided by -8, in whole steps of the segment's scale.
double plainErrorI4(const double* values, int32_t count, float scale) {
  float extreme = 0;
  for (int32_t k = 0; k < count; k++) {
    if (std::abs(static_cast<float>(values[k])) > std::abs(extreme)) extreme = static_cast<float>(values[k]);
  }
  // In f32 as the arithmetic says: near a tie, doubles would name its neighbour.
  const float multiplier = scale == 0 ? 0 : std::nearbyint((extreme / -8.0f) * (1.0f / scale));
  const double step = static_cast<double>(multiplier) * scale;
  double sum = 0;
  for (int32_t k = 0; k < count; k++) {
    const double q = step == 0 ? 0 : std::clamp(std::nearbyint(values[k] / step), -8.0, 7.0);
    sum += (values[k] - q * step) * (values[k] - q * step);
  }
  return sum;
}

// The multiplier chosen for an i4 group serves it no worse than the plain one; how many it serves better. `wanted` are the
// rotated values of a segment.
int32_t checkGroupsI4(const Matrix& m, int32_t row, int32_t segment, const std::vector<double>& wanted) {
  int32_t better = 0;
  const float scale = scaleOf(m, row, segment);
  for (int32_t first = 0; first < m.segmentLength; first += kGroup) {
    const int32_t count = std::min(kGroup, m.segmentLength - first);
    double error = 0;
    for (int32_t k = first; k < first + count; k++) {
      const double distance = wanted[static_cast<size_t>(k)] - unpacked(m, row, segment * m.segmentLength + k) * scale;
      error += distance * distance;
    }
    const double plain = plainErrorI4(wanted.data() + first, count, scale);
    CHECK(error <= plain * (1 + 1e-3) + 1e-10);
    better += error < plain * (1 - 1e-3);
  }
  return better;
}

// What a segment of a row denotes lies as near to its source, rotated for the integers, as the format allows.
void checkSegment(const Matrix& m, int32_t row, int32_t segment, const float* source) {
  const bool f16 = m.format == Format::f16;
  const std::vector<double> wanted =
      f16 ? std::vector<double>(source, source + m.segmentLength) : rotated(source, m.segmentLength);
  if (m.format == Format::i4) improvedGroups += checkGroupsI4(m, row, segment, wanted);
  double largest = 0;
  for (const double value : wanted) largest = std::max(largest, std::abs(value));
  // i4 may cut a group's edge at 7 steps of 7/8 where 8 were needed, for the sake of the other values.
  const double allowed = f16 ? 0x1p-12 : m.format == Format::i8 ? largest / 250 : largest / 4;
  for (int32_t k = 0; k < m.segmentLength; k++) {
    const double denoted = unpacked(m, row, segment * m.segmentLength + k) * (f16 ? 1 : scaleOf(m, row, segment, k));
    CHECK(std::abs(denoted - wanted[static_cast<size_t>(k)]) <= allowed);
  }
}

void testPack(const Device& device, Format format, uint64_t seed) {
  test::Random random(seed);
  const MatrixShape shape = randomShape(&random, format);
  const auto values = test::randomFloats(&random, static_cast<size_t>(shape.rows) * shape.columns);
  const Packed packed = test::pack(device, shape, values);
  const Matrix& m = packed.matrix;
  for (int32_t row = 0; row < m.rowBlocks() * kRowBlock; row++) {
    for (int32_t s = 0; s < m.held(); s++) {
      if (row < m.rows) {
        checkSegment(m, row, s, values.data() + row * m.columns + (m.segmentFirst + s) * m.segmentLength);
        continue;
      }
      CHECK(format == Format::f16 || scaleOf(m, row, s) == 0.0f);
      for (int32_t k = 0; k < m.segmentLength; k++) CHECK(unpacked(m, row, s * m.segmentLength + k) == 0.0);
    }
  }
}

// Quantized rows and the memory behind them.
struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> starts;
  QuantizedRows rows;

  Quantized(const Matrix& m, int32_t count) {
    const auto segments = static_cast<size_t>(count) * m.held();
    q.resize(segments * m.paddedSegment, 99);
    scales.resize(segments * m.scalesPerSegment());
    starts.resize(segments * m.groups);
    rows = {m.format,  q.data(),        scales.data(),   starts.data(), m.held() * m.segmentLength,
            m.held(), m.segmentLength, m.paddedSegment, m.groups};
  }
};

double naiveLeaf(const Matrix& m, const QuantizedRows& x, int32_t row, int32_t n, int32_t segment) {
  const size_t place = static_cast<size_t>(row) * x.segments + segment;
  const int32_t run = m.format == Format::i8 ? 64 : m.segmentLength;
  float leaf = 0;
  for (int32_t first = 0, g = 0; first < m.segmentLength; first += run, g++) {
    int64_t sum = 0;
    for (int32_t k = first; k < std::min(first + run, m.segmentLength); k++) {
      const auto weight = static_cast<int64_t>(unpacked(m, n, segment * m.segmentLength + k));
      sum += weight * x.q[place * x.paddedSegment + k];
    }
    CHECK(std::abs(sum) < int64_t{1} << 31);
    const float scaled = static_cast<float>(sum) * x.scales[place * m.scalesPerSegment() + g];
    leaf = m.format == Format::i8 ? std::fma(scaled, scaleOf(m, n, segment, first), leaf) : scaled * scaleOf(m, n, segment);
  }
  return leaf;
}

void testPartials(const Device& device, Format format, uint64_t seed) {
  test::Random random(seed);
  const MatrixShape shape = randomShape(&random, format);
  const auto values = test::randomFloats(&random, static_cast<size_t>(shape.rows) * shape.columns);
  const Packed packed = test::pack(device, shape, values);
  const Matrix& m = packed.matrix;
  const int32_t rows = random.between(1, 3);
  const auto x = test::randomFloats(&random, static_cast<size_t>(rows) * m.held() * m.segmentLength);
  Quantized quantized(m, rows);
  std::vector<float> scratch(static_cast<size_t>(m.segmentLength));
  for (int32_t i = 0; i < rows * m.held(); i++) {
    const float* segment = x.data() + static_cast<size_t>(i) * m.segmentLength;
    CHECK(scalarKernels().quantizeSegment(segment, quantized.rows, i / m.held(), i % m.held(), scratch.data()) == 0);
  }
  // Every leaf on its own, as subtrees of one leaf.
  std::vector<Subtree> leaves;
  for (int32_t s = m.segmentFirst; s < m.segmentEnd; s++) leaves.push_back({s, s + 1});
  const ptrdiff_t stride = static_cast<ptrdiff_t>(m.segments) * m.rows;
  std::vector<float> out(static_cast<size_t>(rows * stride), -7.0f);
  scalarKernels().linear({&m, &quantized.rows, x.data(), quantized.rows.width, rows, 0, m.rowBlocks(), out.data(), stride,
                          true, leaves.data(), static_cast<int32_t>(leaves.size())});
  for (int32_t row = 0; row < rows; row++) {
    for (int32_t n = 0; n < m.rows; n++) {
      for (int32_t s = 0; s < m.segments; s++) {
        const float found = out[static_cast<size_t>(row * stride + s * m.rows + n)];
        const int32_t held = s - m.segmentFirst;
        if (held < 0 || held >= m.held()) CHECK(found == -7.0f);
        else if (format != Format::f16) CHECK(found == naiveLeaf(m, quantized.rows, row, n, held));
        else {
          float chain = 0;
          for (int32_t k = held * m.segmentLength; k < (held + 1) * m.segmentLength; k++) {
            chain = std::fma(static_cast<float>(unpacked(m, n, k)), x[static_cast<size_t>(row) * quantized.rows.width + k], chain);
          }
          CHECK(found == chain);
        }
      }
    }
  }
}

void testBadWeights(const Device& device) {
  const MatrixShape shape = {Format::f16, 20, 8, 1, 0, 1};
  std::vector<float> values(160, 1.0f);
  values[18 * 8 + 3] = 70000.0f;
  Matrix matrix;
  Region region;
  CHECK(!device.allocateMatrix(shape, &matrix, &region));
  std::vector<float> scratch(17 * 8);
  const PackTask task = {&matrix, SourceType::f32, reinterpret_cast<const uint8_t*>(values.data()), 32, 1, scratch.data()};
  CHECK(scalarKernels().packBlock(task) == 19);
}

}  // namespace

int main() {
  const auto device = Device::create(1, "scalar", Pinning::automatic);
  CHECK(device != nullptr);
  CHECK(Device::create(1, "none", Pinning::automatic) == nullptr);
  CHECK(Device::create(0, "scalar", Pinning::automatic) == nullptr);
  for (const Format format : {Format::f16, Format::i8, Format::i4}) {
    for (uint64_t seed = 0; seed < 60; seed++) {
      testPack(*device, format, seed);
      testPartials(*device, format, seed);
    }
  }
  CHECK(improvedGroups > 1000);
  testBadWeights(*device);
  return 0;
}
