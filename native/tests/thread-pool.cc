// Jobs run on all threads together and in order, also with more threads than processors.
#include "executor/thread-pool.h"

#include <atomic>
#include <cfenv>
#include <vector>

#include "tests/check.h"

namespace {

using namespace claw;

constexpr int kRounds = 200;

// Every thread adds to its own cell and, after each meeting, checks that all others have done as much.
class Lockstep final : public Job {
 public:
  explicit Lockstep(int threads) : cells_(static_cast<size_t>(threads)) {}
  void run(const Team& team) override {
    CHECK(std::fegetround() == FE_TONEAREST);
    for (uint32_t round = 1; round <= kRounds; round++) {
      cells_[static_cast<size_t>(team.thread)].store(round, std::memory_order_relaxed);
      team.barrier.wait();
      for (const auto& cell : cells_) CHECK(cell.load(std::memory_order_relaxed) == round);
      team.barrier.wait();
    }
  }
  void finished() override { done.fetch_add(1); }

  std::atomic<int> done{0};

 private:
  std::vector<std::atomic<uint32_t>> cells_;
};

class Counter final : public Job {
 public:
  void run(const Team& team) override { sum.fetch_add(team.thread + 1); }
  void finished() override {
    done.fetch_add(1);
    done.notify_all();
  }

  std::atomic<int> sum{0};
  std::atomic<int> done{0};
};

void testLockstep(int threads) {
  const auto pool = ThreadPool::start(threads, Pinning::automatic);
  CHECK(pool != nullptr && pool->threads() == threads);
  Lockstep job(threads);
  for (int i = 1; i <= 3; i++) {
    pool->submit(&job);
    while (job.done.load() < i) sched_yield();
  }
  CHECK(pool->idle());
}

void testManyJobs(int threads) {
  const auto pool = ThreadPool::start(threads, Pinning::automatic);
  Counter job;
  constexpr int jobs = 500;
  for (int i = 0; i < jobs; i++) pool->submit(&job);
  for (int seen = job.done.load(); seen < jobs; seen = job.done.load()) job.done.wait(seen);
  CHECK(job.sum.load() == jobs * threads * (threads + 1) / 2);
}

void testStopReturnsWhatIsLeft() {
  const auto pool = ThreadPool::start(2, Pinning::automatic);
  std::vector<Counter> jobs(50);
  for (Counter& job : jobs) pool->submit(&job);
  const std::deque<Job*> left = pool->stop();
  int ran = 0;
  for (const Counter& job : jobs) ran += job.done.load();
  CHECK(ran + static_cast<int>(left.size()) == 50);
  CHECK(pool->idle());
}

void testParts() {
  Barrier barrier(3);
  for (int32_t count = 0; count < 20; count++) {
    int32_t next = 0;
    for (int t = 0; t < 3; t++) {
      const Team team{t, 3, barrier};
      CHECK(team.first(count) == next);
      next = team.end(count);
      CHECK(next - team.first(count) <= count / 3 + 1);
    }
    CHECK(next == count);
  }
}

}  // namespace

int main() {
  for (const int threads : {1, 2, 3, 9}) {
    testLockstep(threads);
    testManyJobs(threads);
  }
  for (int i = 0; i < 20; i++) testStopReturnsWhatIsLeft();
  testParts();
  return 0;
}
