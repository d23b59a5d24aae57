// A side's own account of the window it sends from: what is in use there until the peer has read it. First in, first out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "link/shared-ring.h"

namespace claw {

class WindowAccount {
 public:
  static constexpr size_t kNowhere = SIZE_MAX;

  // Where `bytes` are free in one piece, after the peer read `consumed` frames; aligned to cache lines.
  size_t find(size_t bytes, uint64_t consumed) {
    for (; count_ > 0 && uses_[first_].frame <= consumed; count_--) {
      tail_ = uses_[first_].end;
      first_ = (first_ + 1) % uses_.size();
    }
    if (count_ == 0) head_ = tail_ = 0;  // memory that is used again is likelier in a cache
    if (bytes == 0 || bytes > kWindowBytes) return kNowhere;
    const bool around = count_ > 0 && head_ <= tail_;
    if (around) return tail_ - head_ >= bytes ? head_ : kNowhere;
    if (kWindowBytes - head_ >= bytes) return head_;
    return tail_ >= bytes ? 0 : kNowhere;
  }

  // What was found last is in use by a frame, the `frame`th.
  void use(size_t place, size_t bytes, uint64_t frame) {
    head_ = place + (bytes + kLine - 1) / kLine * kLine;
    uses_[(first_ + count_++) % uses_.size()] = {frame, head_};
  }

 private:
  static constexpr size_t kLine = 64;
  static_assert(kWindowBytes % kLine == 0);
  struct Use {
    uint64_t frame;
    size_t end;
  };
  // One more than slots: the peer may read a frame between the look that found memory and the one that finds a slot.
  std::array<Use, kRingSlots + 1> uses_{};
  size_t first_ = 0;
  size_t count_ = 0;
  size_t head_ = 0;  // behind the last use
  size_t tail_ = 0;  // behind the last that ended
};

}  // namespace claw
