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

// Spins until `value` differs from `seen`; false when patience ran out.
inline bool spinUntilChanged(const std::atomic<uint32_t>& value, uint32_t seen) {
  for (int spin = 1; spin <= kSpins; spin++) {
    if (value.load(std::memory_order_acquire) != seen) return true;
    pauseBriefly();
    if (spin % kSpinsPerYield == 0) sched_yield();
  }
  return false;
}

// Spins, then sleeps in the kernel, until `value` differs from `seen`; whoever changes it must notify.
inline void waitUntilChanged(const std::atomic<uint32_t>& value, uint32_t seen) {
  if (!spinUntilChanged(value, seen)) value.wait(seen, std::memory_order_acquire);
}

// Meets the same number of threads again and again.
class Barrier {
 public:
  explicit Barrier(uint32_t threads) : threads_(threads) {}

  void wait() {
    if (threads_ == 1) return;
    const uint32_t phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    while (!spinUntilChanged(phase_, phase)) sched_yield();
  }

 private:
  const uint32_t threads_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
};

}  // namespace claw
