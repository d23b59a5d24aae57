// How threads wait for each other: briefly by spinning, since a step's operations follow within microseconds, then
// giving way, so that more threads than processors still make progress.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

namespace claw {

inline void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr int kSpins = 2000;         // some tens of microseconds
constexpr int kSpinsPerYield = 128;  // while spinning, others may still need this processor

// Spins until `met` says so; false when patience ran out.
template <class Condition>
inline bool spinUntil(const Condition& met) {
  for (int spin = 1; spin <= kSpins; spin++) {
    if (met()) return true;
    pauseBriefly();
    if (spin % kSpinsPerYield == 0) sched_yield();
  }
  return false;
}

// Spins, then sleeps in the kernel, until `value` differs from `seen`; whoever changes it must notify.
inline void waitUntilChanged(const std::atomic<uint32_t>& value, uint32_t seen) {
  const auto changed = [&] { return value.load(std::memory_order_acquire) != seen; };
  if (!spinUntil(changed)) value.wait(seen, std::memory_order_acquire);
}

// Meets the same number of threads again and again. One counter, which the last to arrive need not write again to let
// the others go: every further cache line would have to travel between the processors once more.
class Barrier {
 public:
  explicit Barrier(uint32_t threads) : threads_(threads) {}

  void wait() {
    if (threads_ == 1) return;
    const uint64_t before = arrivals_.fetch_add(1, std::memory_order_acq_rel);
    const uint64_t all = before - before % threads_ + threads_;
    while (!spinUntil([&] { return arrivals_.load(std::memory_order_acquire) >= all; })) sched_yield();
  }

 private:
  const uint32_t threads_;
  alignas(64) std::atomic<uint64_t> arrivals_{0};  // of all meetings; does not wrap in centuries
};

}  // namespace claw
