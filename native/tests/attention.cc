// Attention over scattered pages against softmax in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "executor/device.h"
#include "kernels/half.h"
#include "kernels/kv-rotation.h"
#include "tests/attend.h"

namespace {

using namespace claw;

struct Sequence {
  std::vector<int32_t> pages;
  std::vector<float> keys;  // [position][headDim], as the cache keeps them
  std::vector<float> values;
};

// What the cache gives back of a value of a vector whose largest magnitude is `largest`.
float kept(const KvCache& kv, float value, float largest) {
  if (kv.format == KvFormat::f32) return value;
  if (kv.format == KvFormat::f16) return halfToFloat(floatToHalf(value));
  const float scale = largest / 127;
  return std::nearbyint(value * (1 / scale)) * scale;
}

float largestOf(const std::vector<float>& values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

Sequence fill(test::Random* random, const KvCache& kv, int32_t positions) {
  Sequence sequence;
  sequence.pages.resize(static_cast<size_t>(kv.pages));
  std::iota(sequence.pages.begin(), sequence.pages.end(), 0);
  for (size_t i = sequence.pages.size() - 1; i > 0; i--) {
    std::swap(sequence.pages[i], sequence.pages[static_cast<size_t>(random->between(0, static_cast<int32_t>(i)))]);
  }
  std::vector<float> k(static_cast<size_t>(kv.headDim));
  std::vector<float> v(k.size());
  for (int32_t p = 0; p < positions; p++) {
    for (float& value : k) value = random->unit();
    for (float& value : v) value = random->unit();
    std::vector<float> key = k;  // as it is kept; the test's queries count as rotated
    if (kv.format == KvFormat::i8) rotateKey(k.data(), key.data(), kv.headDim);
    for (const float value : key) sequence.keys.push_back(kept(kv, value, largestOf(key)));
    for (const float value : v) sequence.values.push_back(kept(kv, value, largestOf(v)));
    const int32_t page = sequence.pages[static_cast<size_t>(p / kPageTokens)];
    CHECK(scalarKernels().storeKv(kv, {page, 1, 1, p % kPageTokens}, k.data(), v.data()) == 0);
  }
  return sequence;
}

std::vector<double> softmaxAttention(const Sequence& sequence, const float* q, int32_t headDim, int32_t position) {
  const auto dim = static_cast<size_t>(headDim);
  std::vector<double> out(dim);
  double total = 0;
  for (size_t p = 0; p <= static_cast<size_t>(position); p++) {
    double score = 0;
    for (size_t d = 0; d < dim; d++) score += static_cast<double>(q[d]) * sequence.keys[p * dim + d];
    const double weight = std::exp(score * 0.25);
    total += weight;
    for (size_t d = 0; d < dim; d++) out[d] += weight * sequence.values[p * dim + d];
  }
  for (double& value : out) value /= total;
  return out;
}

void testAgainstSoftmax(int32_t headDim, int32_t positions, KvFormat format) {
  test::Random random(static_cast<uint64_t>(headDim));
  const auto device = Device::create(1, "scalar", Pinning::automatic);
  CHECK(!device->allocateKv({nullptr, positions / kPageTokens + 3, 2, 2, headDim, format}));
  const KvCache& kv = device->kv();
  const Sequence sequence = fill(&random, kv, positions);
  constexpr int32_t queries = 3;
  const auto width = static_cast<size_t>(queries * headDim);
  std::vector<float> q(width);
  for (float& value : q) value = 4 * random.unit();
  std::vector<float> out(width);
  for (const int32_t position : {0, positions / 2, positions - 1}) {
    test::attendAll(scalarKernels(), {&kv, 1, 1, queries, 1, position, sequence.pages.data(), q.data(), 0, out.data(), 0,
                                      0.25f, nullptr});
    for (size_t query = 0; query < queries; query++) {
      const size_t offset = query * static_cast<size_t>(headDim);
      const auto expected = softmaxAttention(sequence, q.data() + offset, headDim, position);
      for (size_t d = 0; d < expected.size(); d++) CHECK(std::abs(out[offset + d] - expected[d]) < 1e-5);
    }
  }
}

void testRange() {
  const auto device = Device::create(1, "scalar", Pinning::automatic);
  CHECK(!device->allocateKv({nullptr, 1, 1, 1, 2, KvFormat::f16}));
  const KvCache& kv = device->kv();
  const float k[] = {1.0f, 1e5f};
  const float v[] = {2.0f, NAN};
  CHECK(scalarKernels().storeKv(kv, {0, 0, 0, 17}, k, v) == kKvRange);
  const uint16_t* keys = kv.keys<uint16_t>(0, 0, 0) + 16 * 2;  // the second tile of 16 positions
  const uint16_t* values = kv.values<uint16_t>(0, 0, 0) + 17 * 2;
  CHECK(keys[1] == 0x3c00 && keys[16 + 1] == 0 && values[0] == 0x4000 && values[1] == 0);
}

// Bytes share a scale: one value that is not finite takes its vector along, and a tiny vector is all zeros.
void testBytes() {
  const auto device = Device::create(1, "scalar", Pinning::automatic);
  CHECK(!device->allocateKv({nullptr, 1, 1, 1, 3, KvFormat::i8}));
  const KvCache& kv = device->kv();
  const float k[] = {-1.5f, -0.5f, 0.0f};  // rotated: -2, -1, 0
  const float v[] = {2.0f, INFINITY, 1.0f};
  CHECK(scalarKernels().storeKv(kv, {0, 0, 0, 18}, k, v) == kKvRange);
  const int8_t* keys = kv.keys<int8_t>(0, 0, 0) + 16 * 3 + 2;
  const int8_t* values = kv.values<int8_t>(0, 0, 0) + 18 * 3;
  const float* scales = kv.scales(0, 0, 0) + 18;
  CHECK(keys[0] == -127 && keys[16] == -64 && keys[32] == 0 && scales[0] == 2.0f / 127);
  CHECK(values[0] == 0 && values[1] == 0 && values[2] == 0 && scales[kPageTokens] == 0.0f);
  const float tiny[] = {0x1p-101f, 0.0f, 0.0f};
  CHECK(scalarKernels().storeKv(kv, {0, 0, 0, 18}, tiny, k) == 0 && keys[0] == 0 && scales[0] == 0.0f);
}

// The product of a rotated query and a rotated key is that of the two, whatever the head dimension.
void testRotation() {
  test::Random random(9);
  for (const int32_t headDim : {1, 2, 3, 20, 64, 80, 128, 512}) {
    std::vector<float> q(static_cast<size_t>(headDim)), k(q.size()), rotatedQ(q.size()), rotatedK(q.size());
    for (float& value : q) value = random.unit();
    for (float& value : k) value = random.unit();
    rotateQuery(q.data(), rotatedQ.data(), headDim);
    rotateKey(k.data(), rotatedK.data(), headDim);
    double expected = 0;
    double actual = 0;
    for (size_t d = 0; d < q.size(); d++) {
      expected += static_cast<double>(q[d]) * k[d];
      actual += static_cast<double>(rotatedQ[d]) * rotatedK[d];
    }
    CHECK(std::abs(actual - expected) < 1e-5 * headDim);
  }
}

}  // namespace

int main() {
  for (const int32_t headDim : {1, 8, 33, 64}) {
    for (const int32_t positions : {1, 31, 256, 257, 600}) {
      testAgainstSoftmax(headDim, positions, KvFormat::f16);
      testAgainstSoftmax(headDim, positions, KvFormat::f32);
      testAgainstSoftmax(headDim, positions, KvFormat::i8);
    }
  }
  testRange();
  testBytes();
  testRotation();
  return 0;
}
