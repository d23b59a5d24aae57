// The parts of a plan cover every chunk of every row and head exactly once, cost about the same, and begin inside a unit
// only where there is room for its chunks.
#include "executor/attention-plan.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "tests/check.h"

namespace {

using namespace claw;

struct Rows {
  std::vector<int32_t> positions;
  std::vector<int32_t> pageStarts;

  void add(int32_t sequence, int32_t position, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
      positions.push_back(position + i);
      pageStarts.push_back(sequence);
    }
  }
};

int64_t chunksOf(const AttentionPlan& plan, int32_t thread, std::map<std::tuple<int, int, int>, int>* seen) {
  AttentionCut at = plan.cut(thread);
  const AttentionCut& end = plan.cut(thread + 1);
  int64_t cost = 0;
  while (at.tile != end.tile || at.head != end.head || at.chunk != end.chunk) {
    CHECK(at.tile < plan.tiles());
    const AttentionTile& tile = plan.tile(at.tile);
    const int32_t last = tile.position + tile.rows;
    cost += static_cast<int64_t>(tile.rows) * std::min(kAttentionChunk, last - at.chunk * kAttentionChunk);
    (*seen)[{at.tile, at.head, at.chunk}]++;
    if (++at.chunk < tile.chunks()) continue;
    at.chunk = 0;
    if (++at.head < plan.shape().heads) continue;
    at = {at.tile + 1, 0, 0};
  }
  return cost;
}

// Whether every cut inside a unit knows who begins and who ends it.
void checkSharers(const AttentionPlan& plan, int32_t threads) {
  for (int32_t t = 0; t < threads; t++) {
    if (plan.cut(t).chunk == 0) continue;
    CHECK(plan.split());
    const int32_t starter = plan.starter(t);
    const int32_t ender = plan.ender(t);
    CHECK(starter >= 0 && starter < t && ender >= t && ender < threads);
    CHECK(!plan.cut(starter).sameUnit(plan.cut(t)) || plan.cut(starter).chunk == 0);
    CHECK(!plan.cut(ender + 1).sameUnit(plan.cut(t)));
    for (int32_t u = starter + 1; u <= ender; u++) CHECK(plan.cut(u).sameUnit(plan.cut(t)) && plan.cut(u).chunk > 0);
  }
}

void testRandomSteps() {
  test::Random random(5);
  int splits = 0;
  int tiles = 0;
  for (int round = 0; round < 2000; round++) {
    const AttentionShape shape = {random.between(1, 8), 8 * random.between(1, 4), 64};
    const int32_t threads = random.between(1, 20);
    const int64_t room = random.between(0, 3) == 0 ? 3 : 4000;
    AttentionPlan plan(shape, threads, room);
    Rows rows;
    for (int32_t s = random.between(0, 4); s > 0; s--) {
      rows.add(s, random.between(0, 9) < 8 ? random.between(0, 3000) : random.between(0, 30000),
               random.between(0, 1) == 0 ? 1 : random.between(1, 70));
    }
    plan.build(rows.positions, rows.pageStarts);
    std::map<std::tuple<int, int, int>, int> seen;
    int64_t total = 0;
    int64_t largest = 0;
    for (int32_t t = 0; t < threads; t++) {
      const int64_t cost = chunksOf(plan, t, &seen);
      total += cost;
      largest = std::max(largest, cost);
    }
    size_t chunks = 0;
    int32_t row = 0;
    for (int32_t i = 0; i < plan.tiles(); i++) {
      const AttentionTile& tile = plan.tile(i);
      CHECK(tile.row == row && tile.rows <= shape.tileRows());
      CHECK(tile.position / kAttentionChunk == (tile.position + tile.rows - 1) / kAttentionChunk);
      row += tile.rows;
      tiles += tile.rows > 1;
      chunks += static_cast<size_t>(tile.chunks()) * static_cast<size_t>(shape.heads);
      for (int32_t t = 0; t < threads; t++) {
        const AttentionCut& cut = plan.cut(t);
        if (cut.tile == i && cut.chunk > 0) CHECK(static_cast<int64_t>(tile.chunks()) * tile.rows <= room);
      }
    }
    CHECK(row == static_cast<int32_t>(rows.positions.size()));
    CHECK(seen.size() == chunks);
    for (const auto& [place, count] : seen) CHECK(count == 1);
    checkSharers(plan, threads);
    splits += plan.split();
    // With room for all, no thread has more than its share and one chunk of a whole tile.
    if (room == 4000) CHECK(largest <= total / threads + shape.tileRows() * kAttentionChunk);
  }
  CHECK(splits > 500 && tiles > 1000);
}

// One long sequence with a single KV head on many threads: what splitting is for.
void testOneSequence() {
  AttentionPlan plan({1, 4, 64}, 16, 1000);
  plan.build(std::vector<int32_t>{32767}, std::vector<int32_t>{0});
  CHECK(plan.split());
  for (int32_t t = 0; t < 16; t++) CHECK(plan.cut(t).chunk == 8 * t);
  CHECK(plan.starter(9) == 0 && plan.ender(1) == 15);
}

// As many heads as threads: every thread takes whole ones, and nobody waits.
void testWholeHeads() {
  AttentionPlan plan({8, 32, 64}, 2, 1000);
  plan.build(std::vector<int32_t>{8191}, std::vector<int32_t>{0});
  CHECK(!plan.split() && plan.cut(1).head == 4);
}

}  // namespace

int main() {
  testRandomSteps();
  testOneSequence();
  testWholeHeads();
  return 0;
}
