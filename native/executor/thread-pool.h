// Threads that run one job at a time, all of them together. The thread that submits never computes.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "executor/waiting.h"

namespace claw {

// Where part `index` of `parts` begins when so many items are shared out in order.
inline int32_t partFirst(int32_t count, int index, int parts) {
  return static_cast<int32_t>(static_cast<int64_t>(count) * index / parts);
}

// A thread's place among those that run a job.
struct Team {
  int thread;
  int threads;
  Barrier& barrier;

  // The part [first, end) of `count` items that this thread takes when they are shared out in order.
  int32_t first(int32_t count) const { return partFirst(count, thread, threads); }
  int32_t end(int32_t count) const { return partFirst(count, thread + 1, threads); }
};

class Job {
 public:
  virtual ~Job() = default;
  // Called on every thread of the pool at once.
  virtual void run(const Team& team) = 0;
  // Called on one of them when all have returned; the pool does not touch the job afterwards.
  virtual void finished() = 0;
};

// Whether each thread stays on a processor of its own. `automatic`: where they fill at least half of those allowed and fit.
enum class Pinning { automatic, always, never };

class ThreadPool {
 public:
  // Null when the system refuses a thread. Pinned threads begin at the processor of number `first` of those allowed; -1: after those
  // of this process's other pools.
  static std::unique_ptr<ThreadPool> start(int threads, Pinning pinning, int first = -1);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return count_; }
  // Whether no job is queued or running.
  bool idle() const { return pending_.load(std::memory_order_acquire) == 0; }
  // Jobs run in the order they are submitted.
  void submit(Job* job);
  // Lets the job that runs end, ends the threads, and returns the jobs that had not begun.
  std::deque<Job*> stop();

 private:
  explicit ThreadPool(int threads) : count_(threads), barrier_(static_cast<uint32_t>(threads)) {}
  void lead();
  void follow(int thread);
  Job* next();
  void awaitFollowers();

  const int count_;
  Barrier barrier_;
  std::vector<std::thread> handles_;
  std::mutex mutex_;  // queue_, stopping_
  std::deque<Job*> queue_;
  bool stopping_ = false;
  std::atomic<int32_t> pending_{0};
  Job* current_ = nullptr;  // written by the leader before generation_ changes
  alignas(64) std::atomic<uint32_t> signals_{0};     // changes when a job is queued or the pool stops
  alignas(64) std::atomic<uint32_t> generation_{0};  // changes when a job begins; current_ null ends the threads
  alignas(64) std::atomic<uint32_t> running_{0};     // followers that have not ended the job yet
};

}  // namespace claw
