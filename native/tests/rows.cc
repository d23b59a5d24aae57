// Rows and attention of every tuned instruction set against the scalar kernels, bit for bit, on random shapes and values.
// Every buffer ends at a page that may not be touched, because the sanitizers do not see masked loads.
#include <algorithm>
#include <limits>

#include "kernels/kernels.h"
#include "tests/attend.h"
#include "tests/tuned-sets.h"

namespace {

using namespace claw;
using namespace claw::test;

// How often the random rounds reached what they are there for; testSet() asserts a minimum of each.
struct {
  int notFinite;
  int kvRange;
  int foldedChunks;
  int manyQueries;  // more query heads than are computed together
  int rowTiles;     // several rows that share keys and values
} events;

const Kernels& expected = scalarKernels();
const Kernels* actual = nullptr;  // the instruction set under test

// Values that reach every branch: of ordinary size, or any bit pattern at all.
void fillRow(Guarded<float>& row, bool anyBits) {
  for (float& value : row) {
    value = randomValue(6) * 64.0f;
    const uint32_t bits = randomBits();
    if (anyBits) std::memcpy(&value, &bits, 4);
  }
}

void testRows(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const int width = oneIn(2) ? 16 * between(1, 40) : between(1, 300);
    const bool anyBits = oneIn(3);
    Guarded<float> a(width), b(width), out(width), other(width);
    fillRow(a, anyBits);
    fillRow(b, anyBits);
    expected.add(a.data(), b.data(), out.data(), width);
    actual->add(a.data(), b.data(), other.data(), width);
    checkSame(out, other);
    expected.siluMul(a.data(), b.data(), out.data(), width);
    actual->siluMul(a.data(), b.data(), other.data(), width);
    checkSame(out, other);
    if (oneIn(4)) a[width / 2] = std::numeric_limits<float>::infinity();
    const int32_t status = expected.rmsNormRow(a.data(), b.data(), 1e-5f, out.data(), width);
    CHECK(status == actual->rmsNormRow(a.data(), b.data(), 1e-5f, other.data(), width));
    checkSame(out, other);
    events.notFinite += status == kNotFinite;
  }
}

void testRope(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const int heads = between(1, 5);
    const int headDim = 2 * between(1, 70);
    Guarded<float> table(headDim), first(static_cast<size_t>(heads) * headDim), second(first.size());
    fillRow(table, false);
    fillRow(first, false);
    std::copy(first.begin(), first.end(), second.begin());
    expected.ropeRow(first.data(), table.data(), heads, headDim, round % 2 == 0);
    actual->ropeRow(second.data(), table.data(), heads, headDim, round % 2 == 0);
    checkSame(first, second);
  }
}

void testAdapters(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const int rank = oneIn(2) ? 16 * between(1, 3) : between(1, 70);
    const int length = between(1, 90);
    const int count = between(1, 90);
    const ptrdiff_t stride = count + between(0, 20);
    Guarded<float> x(length), a(static_cast<size_t>(length) * rank), leaves(rank), other(rank);
    Guarded<float> b(static_cast<size_t>(stride) * (rank - 1) + count), out(count), second(count);
    for (Guarded<float>* row : {&x, &a, &b, &out}) fillRow(*row, oneIn(8));
    std::copy(out.begin(), out.end(), second.begin());
    expected.adaptDown(x.data(), a.data(), length, rank, leaves.data());
    actual->adaptDown(x.data(), a.data(), length, rank, other.data());
    checkSame(leaves, other);
    expected.adaptUp(leaves.data(), b.data(), stride, rank, out.data(), count);
    actual->adaptUp(leaves.data(), b.data(), stride, rank, second.data(), count);
    checkSame(out, second);
  }
}

// ---- Attention ----

struct Cache {
  KvCache kv;
  Guarded<uint16_t> halves;  // of any format

  Cache(int pages, int layers, int heads, int headDim, KvFormat format = KvFormat::f16)
      : kv{nullptr, pages, layers, heads, headDim, format},
        halves(static_cast<size_t>(pages) * layers * heads * kv.headBytes() / 2) {
    kv.data = reinterpret_cast<uint8_t*>(halves.data());
  }
};

void storePosition(Cache& cache, Cache& other, int page, int layer, int head, int slot) {
  const int headDim = cache.kv.headDim;
  Guarded<float> k(headDim), v(headDim);
  for (float& value : k) value = randomValue(5) * 4.0f;
  for (float& value : v) value = randomValue(20);
  if (oneIn(60)) k[headDim / 2] = 65520.0f;
  if (oneIn(60)) v[headDim - 1] = std::numeric_limits<float>::quiet_NaN();
  const auto store = [&](const Kernels& kernels, KvCache& kv) {
    return kernels.storeKv(kv, {page, layer, head, slot}, k.data(), v.data());
  };
  const int32_t status = store(*actual, cache.kv);
  CHECK(status == store(expected, other.kv));
  events.kvRange += status == kKvRange;
}

void testAttention(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const int headDim = oneIn(2) ? 16 * between(1, 9) : oneIn(8) ? kHeadDimMax : between(1, 140);
    const int queries = oneIn(6) ? between(9, 17) : between(1, 8);
    const int layer = between(0, 1);
    const int head = between(0, 1);
    const int position = oneIn(3) ? between(0, 800) : between(0, 300);
    // Consecutive rows, up to the end of the chunk.
    const int rows = oneIn(2) ? 1 : std::min(between(2, 9), kAttentionChunk - position % kAttentionChunk);
    const int last = position + rows - 1;
    const int pageCount = last / kPageTokens + 1;
    events.foldedChunks += position / kAttentionChunk;
    events.manyQueries += queries > 4;
    events.rowTiles += rows > 1;
    const auto format = static_cast<KvFormat>(between(0, 2));
    Cache cache(pageCount, 2, 2, headDim, format);
    Cache other(pageCount, 2, 2, headDim, format);
    std::fill(cache.halves.begin(), cache.halves.end(), uint16_t{0x7fc0});  // NaN wherever nothing is stored
    std::fill(other.halves.begin(), other.halves.end(), uint16_t{0x7fc0});
    Guarded<int32_t> pages(pageCount);
    for (int i = 0; i < pageCount; ++i) pages[i] = pageCount - 1 - i;
    for (int j = 0; j <= last; ++j) storePosition(cache, other, pages[j / kPageTokens], layer, head, j % kPageTokens);
    checkSame(cache.halves, other.halves);
    const ptrdiff_t stride = static_cast<ptrdiff_t>(queries) * headDim + between(0, 3) * headDim;
    Guarded<float> q(static_cast<size_t>(stride) * (rows - 1) + static_cast<size_t>(queries) * headDim);
    Guarded<float> first(q.size()), second(q.size());
    for (float& value : q) value = randomValue(4) * 4.0f;
    if (oneIn(10)) q[0] = std::numeric_limits<float>::infinity();
    AttentionTask task{&cache.kv,  layer,    head,   queries, rows, position, pages.data(), q.data(), stride, first.data(),
                       stride, 1 / std::sqrt(static_cast<float>(headDim)), nullptr};
    attendAll(expected, task);
    task.out = second.data();
    attendAll(*actual, task);
    checkSame(first, second);
  }
}

// The upper limit of exp, a step of its last bit at a time, through SILU_MUL: exp(-g) of large negative g.
void testExpOverflow() {
  Guarded<float> gate(401), up(401), out(401), other(401);
  float g = -88.72283f + 200 * 0x1p-17f;
  for (size_t i = 0; i < gate.size(); ++i, g -= 0x1p-17f) gate[i] = g;
  for (float& value : up) value = 1.0f;
  expected.siluMul(gate.data(), up.data(), out.data(), 401);
  actual->siluMul(gate.data(), up.data(), other.data(), 401);
  checkSame(out, other);
  CHECK(out[0] < 0.0f && out[400] == 0.0f);
}

// The lower limit and the subnormal results of exp, through attention to two positions: one of weight 1 whose value is
// zero, and one of weight exp(-x) whose value is large.
void testExpUnderflow() {
  const int headDim = 16;
  Cache cache(1, 1, 1, headDim);
  std::fill(cache.halves.begin(), cache.halves.end(), uint16_t{0});
  for (int d = 0; d < headDim; ++d) cache.kv.values<uint16_t>(0, 0, 0)[headDim + d] = 0x7b53;  // 60000
  Guarded<int32_t> pages(1);
  Guarded<float> q(headDim), first(headDim), second(headDim);
  std::fill(q.begin(), q.end(), 0.0f);
  pages[0] = 0;
  cache.kv.keys<uint16_t>(0, 0, 0)[1] = 0xbc00;  // -1 in the first dimension
  int zeros = 0;
  for (float x = 86.0f; x < 105.0f; x += 0x1p-8f) {
    q[0] = x;
    AttentionTask task{&cache.kv, 0, 0, 1, 1, 1, pages.data(), q.data(), 0, first.data(), 0, 1.0f, nullptr};
    attendAll(expected, task);
    task.out = second.data();
    attendAll(*actual, task);
    checkSame(first, second);
    zeros += first[0] == 0.0f;
  }
  CHECK(zeros > 100 && zeros < 400);
}

void testSet(const Kernels& kernels) {
  actual = &kernels;
  events = {};
  testRows(400);
  testRope(200);
  testAdapters(300);
  testAttention(120);
  testExpOverflow();
  testExpUnderflow();
  CHECK(events.notFinite > 50 && events.kvRange > 100 && events.foldedChunks > 30 && events.manyQueries > 30 && events.rowTiles > 30);
}

}  // namespace

int main() { return forEachTunedSet("rows and attention", testSet); }
