#include "peaks/peaks.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "arena/arena.h"
#include "executor/floating-state.h"
#include "peaks/kernels.h"

namespace claw {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTrials = 5;              // the best one counts: what disturbs only slows down
constexpr double kTrialSeconds = 0.02;  // far above what starting threads together costs
constexpr size_t kCacheTimes = 4;                        // of a buffer this large, little is found in a cache
constexpr size_t kCacheBytesUnknown = size_t{32} << 20;  // where the system does not say
constexpr size_t kBufferMin = size_t{64} << 20;          // a pass takes milliseconds
constexpr size_t kBufferMax = size_t{4} << 30;           // more than four times any cache of today
constexpr int kPasses = 4;                               // over the buffer in each trial
constexpr int64_t kIterationsFirst = 1 << 10;
constexpr int64_t kIterationsMax = int64_t{1} << 40;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

void pin(int thread) {
#ifdef __linux__
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int skip = thread % std::max(1, CPU_COUNT(&allowed));
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);  // refused in some containers
    return;
  }
#else
  (void)thread;
#endif
}

// When each thread of a trial began and ended.
struct Times {
  explicit Times(int threads) : begins(static_cast<size_t>(threads)), ends(static_cast<size_t>(threads)) {}
  std::vector<Clock::time_point> begins, ends;
};

// Seconds from the first thread's beginning to the last one's end; each is pinned and runs `work` with its number.
// Infinite where the system refuses a thread, so that every rate is 0.
double together(int threads, const std::function<void(int)>& work) {
  Times times(threads);
  std::barrier start(threads);
  std::vector<std::jthread> running;
  try {
    for (int t = 0; t < threads; t++) {
      running.emplace_back([&, t] {
        pin(t);
        setFloatingState();
        start.arrive_and_wait();
        times.begins[static_cast<size_t>(t)] = Clock::now();
        work(t);
        times.ends[static_cast<size_t>(t)] = Clock::now();
      });
    }
  } catch (const std::system_error&) {
    for (size_t missing = static_cast<size_t>(threads) - running.size(); missing > 0; missing--) start.arrive_and_drop();
    return std::numeric_limits<double>::infinity();
  }
  for (std::jthread& thread : running) thread.join();
  return seconds(*std::ranges::max_element(times.ends) - *std::ranges::min_element(times.begins));
}

// Work per second: the best of some trials, each of which does `amount` on every thread.
double bestRate(int threads, double amount, const std::function<void(int)>& work) {
  double best = 0;
  for (int trial = 0; trial < kTrials; trial++) best = std::max(best, amount * threads / together(threads, work));
  return best;
}

Rate measureKernel(int threads, const PeakKernel& kernel) {
  int64_t iterations = kIterationsFirst;
  const auto work = [&](int) { kernel.run(iterations); };
  while (together(1, work) < kTrialSeconds && iterations < kIterationsMax) iterations *= 2;
  const double amount = kernel.perIteration * static_cast<double>(iterations);
  Rate rate;
  rate.one = bestRate(1, amount, work);
  rate.all = threads == 1 ? rate.one : bestRate(threads, amount, work);
  return rate;
}

// The best read kernel of all threads, and what it reaches on one.
class Reading {
 public:
  Reading(const Region& buffer, size_t bytes) : base_(buffer.base()), bytes_(bytes) {}

  Rate measure(int threads, const PeakKernels& kernels, std::string* name) const {
    const std::pair<const char*, ReadKernel> three[] = {{"sequential", kernels.sequential},
                                                        {"prefetching", kernels.prefetching},
                                                        {"interleaved", kernels.interleaved}};
    // Each thread writes its part first, so that it has memory, and near that thread.
    together(threads, [&](int t) { std::memset(base_ + part(threads) * static_cast<size_t>(t), 1, part(threads)); });
    Rate best;
    for (const auto& [label, kernel] : three) {
      const double all = rateOf(threads, kernel);
      if (all <= best.all) continue;
      best = {threads == 1 ? all : rateOf(1, kernel), all};
      *name = label;
    }
    return best;
  }

 private:
  size_t part(int threads) const { return bytes_ / static_cast<size_t>(threads) / kReadUnit * kReadUnit; }

  double rateOf(int threads, ReadKernel kernel) const {
    const size_t own = part(threads);
    return bestRate(threads, static_cast<double>(own) * kPasses, [&](int t) {
      for (int pass = 0; pass < kPasses; pass++) kernel(base_ + own * static_cast<size_t>(t), own);
    });
  }

  uint8_t* base_;
  size_t bytes_;
};

}  // namespace

Error measurePeaks(int threads, Peaks* peaks) {
  const PeakKernels kernels = peakKernels();
  peaks->cacheBytes = lastLevelCacheBytes();
  const size_t cache = peaks->cacheBytes == 0 ? kCacheBytesUnknown : peaks->cacheBytes;
  peaks->bufferBytes = std::clamp(kCacheTimes * cache, kBufferMin, kBufferMax);
  const Arena arena;
  const Region buffer = arena.map(Purpose::buffers, peaks->bufferBytes);
  if (!buffer) return makeError("E_MEMORY", "Allocating %zu MB to read failed.", peaks->bufferBytes >> 20);
  peaks->readBytes = Reading(buffer, peaks->bufferBytes).measure(threads, kernels, &peaks->readKernel);
  peaks->multiplies = measureKernel(threads, kernels.multiply);
  peaks->multiplyKernel = kernels.multiply.name;
  peaks->floatOperations = measureKernel(threads, kernels.fused);
  peaks->floatKernel = kernels.fused.name;
  if (peaks->readBytes.all > 0 && peaks->multiplies.all > 0 && peaks->floatOperations.all > 0) return {};
  return makeError("E_NATIVE", "Starting %d threads failed.", threads);
}

}  // namespace claw
