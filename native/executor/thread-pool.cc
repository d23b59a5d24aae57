#include "executor/thread-pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <system_error>

#include "executor/floating-state.h"

namespace claw {
namespace {

// Pools of one process begin on different processors.
std::atomic<uint32_t> nextProcessor{0};

// The processors to pin `threads` threads to, or none. Those that fill less than half of the processors allowed, or do not
// fit, are by default placed better by the scheduler, which sees what else runs.
std::vector<int> processorsFor(int threads, Pinning pinning, int asked) {
  std::vector<int> allowed;
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {};
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
  }
#endif
  const int count = static_cast<int>(allowed.size());
  const bool filling = threads >= 2 && threads <= count && 2 * threads >= count;
  if (count == 0 || pinning == Pinning::never || (pinning == Pinning::automatic && !filling)) return {};
  const uint32_t first = asked >= 0 ? static_cast<uint32_t>(asked) : nextProcessor.fetch_add(static_cast<uint32_t>(threads));
  std::vector<int> chosen;
  for (int t = 0; t < threads; t++) chosen.push_back(allowed[(first + static_cast<uint32_t>(t)) % allowed.size()]);
  return chosen;
}

// Refused in some containers; the thread then runs wherever it is put.
void pin(std::thread& thread, int cpu) {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
#else
  (void)thread;
  (void)cpu;
#endif
}

}  // namespace

std::unique_ptr<ThreadPool> ThreadPool::start(int threads, Pinning pinning, int first) {
  std::unique_ptr<ThreadPool> pool(new ThreadPool(threads));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals stay with the threads of the host
  bool started = true;
  try {
    for (int t = 1; t < threads; t++) pool->handles_.emplace_back([raw = pool.get(), t] { raw->follow(t); });
    pool->handles_.emplace_back([raw = pool.get()] { raw->lead(); });
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started) {
    pool->generation_.fetch_add(1, std::memory_order_release);  // without a leader, tell the followers ourselves
    pool->generation_.notify_all();
    pool->stop();
    return nullptr;
  }
  const std::vector<int> processors = processorsFor(threads, pinning, first);
  for (size_t i = 0; i < processors.size(); i++) pin(pool->handles_[i], processors[i]);
  return pool;
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::submit(Job* job) {
  pending_.fetch_add(1, std::memory_order_acq_rel);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(job);
  }
  signals_.fetch_add(1, std::memory_order_release);
  signals_.notify_one();
}

std::deque<Job*> ThreadPool::stop() {
  std::deque<Job*> left;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    left.swap(queue_);
  }
  signals_.fetch_add(1, std::memory_order_release);
  signals_.notify_one();
  for (std::thread& handle : handles_) handle.join();
  handles_.clear();
  pending_.fetch_sub(static_cast<int32_t>(left.size()), std::memory_order_acq_rel);
  return left;
}

Job* ThreadPool::next() {
  for (;;) {
    const uint32_t seen = signals_.load(std::memory_order_acquire);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return nullptr;
      if (!queue_.empty()) {
        Job* job = queue_.front();
        queue_.pop_front();
        return job;
      }
    }
    waitUntilChanged(signals_, seen);
  }
}

void ThreadPool::lead() {
  for (;;) {
    Job* job = next();
    current_ = job;
    running_.store(static_cast<uint32_t>(count_ - 1), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    if (job == nullptr) return;
    setFloatingState();
    job->run(Team{0, count_, barrier_});
    awaitFollowers();
    pending_.fetch_sub(1, std::memory_order_acq_rel);
    job->finished();
  }
}

void ThreadPool::awaitFollowers() {
  for (;;) {
    const uint32_t left = running_.load(std::memory_order_acquire);
    if (left == 0) return;
    waitUntilChanged(running_, left);
  }
}

void ThreadPool::follow(int thread) {
  uint32_t seen = 0;
  for (;;) {
    waitUntilChanged(generation_, seen);
    const uint32_t now = generation_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    Job* job = current_;
    if (job == nullptr) return;
    setFloatingState();
    job->run(Team{thread, count_, barrier_});
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace claw
