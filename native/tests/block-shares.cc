// Every block of every product is computed once, by whoever has time for it.
#include "executor/block-shares.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "executor/thread-pool.h"
#include "tests/check.h"

namespace {

using namespace claw;

// Takes all blocks of some products while one thread, another in each product, does not begin before the others ended.
class Taking final : public Job {
 public:
  Taking(int threads, std::vector<int32_t> blocks) : shares_(threads, blocks.size()), blocks_(std::move(blocks)) {
    for (size_t p = 0; p < blocks_.size(); p++) {
      shares_.deal(p, blocks_[p]);
      times_.emplace_back(static_cast<size_t>(blocks_[p]));
    }
  }

  void run(const Team& team) override {
    for (size_t p = 0; p < blocks_.size(); p++) {
      const bool late = static_cast<int>(p) % team.threads == team.thread;
      if (!late) takeAll(p, team);
      team.barrier.wait();
      if (late) takeAll(p, team);
      team.barrier.wait();
    }
  }
  void finished() override { done.store(true); }

  void check(int threads) const {
    for (const auto& product : times_) {
      for (const auto& times : product) CHECK(times.load() == 1);
    }
    CHECK(threads == 1 || stolen_.load() > 0);
  }

  std::atomic<bool> done{false};

 private:
  void takeAll(size_t p, const Team& team) {
    const int32_t first = team.first(blocks_[p]);
    const int32_t end = team.end(blocks_[p]);
    for (BlockRange range; shares_.take(p, team.thread, &range);) {
      CHECK(range.first < range.end);
      if (range.first < first || range.end > end) stolen_.fetch_add(1);
      for (int32_t b = range.first; b < range.end; b++) times_[p][static_cast<size_t>(b)].fetch_add(1);
    }
  }

  BlockShares shares_;
  std::vector<int32_t> blocks_;
  std::vector<std::vector<std::atomic<int>>> times_;
  std::atomic<int> stolen_{0};
};

void testTaking(int threads, claw::test::Random* random) {
  const auto pool = ThreadPool::start(threads, Pinning::automatic);
  CHECK(pool != nullptr);
  std::vector<int32_t> blocks = {1, 3, 64, 500};
  for (int i = 0; i < 40; i++) blocks.push_back(random->between(1, 200));
  Taking job(threads, blocks);
  pool->submit(&job);
  while (!job.done.load()) sched_yield();
  while (!pool->idle()) sched_yield();
  job.check(threads);
}

}  // namespace

int main() {
  claw::test::Random random(5);
  for (const int threads : {1, 2, 3, 8}) testTaking(threads, &random);
  return 0;
}
