// Frames through memory that two processes of one host map: a ring of slots in each direction. The peer may write anything
// anywhere in it at any time, so nothing in it is believed: each side counts by itself, reads every number once, and copies a
// header before it looks at it. Where a payload lies follows from the count, never from what is written.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "link/frame.h"

namespace claw {

// A ring is as large as a core's second cache, often. In one of half the size the lines that are written again still lie in the
// reader's cache, and fetching each of them from there took longer than both copies of a large message.
constexpr size_t kRingSlots = 32;
// A message of 8 KB takes one slot; of a longer one, one slot is read while the next is written.
constexpr size_t kSlotBytes = size_t{32} << 10;

struct Slot {
  // The frame's number in its direction, from 1; written last.
  alignas(64) uint64_t stamp;
  std::array<uint64_t, sizeof(FrameHeader) / sizeof(uint64_t)> header;
  alignas(64) uint8_t payload[kSlotBytes];
};

struct Ring {
  alignas(64) uint64_t consumed;  // frames, by the side that reads
  alignas(64) Slot slots[kRingSlots];
};

// What a side sleeps on.
struct Bell {
  alignas(64) uint32_t rings;
  uint32_t asleep;  // whether it must be rung
};

struct SharedMemory {
  Bell bells[2];
  Ring rings[2];
};

template <typename T>
T loadShared(T& place, std::memory_order order) {
  return std::atomic_ref<T>(place).load(order);
}

template <typename T>
void storeShared(T& place, T value, std::memory_order order) {
  std::atomic_ref<T>(place).store(value, order);
}

class RingWriter {
 public:
  explicit RingWriter(Ring* ring) : ring_(ring) {}

  // Whether a slot is free. What the peer says it consumed counts as far as it can be true.
  bool room() {
    if (written_ - consumed_ < kRingSlots) return true;
    const uint64_t said = loadShared(ring_->consumed, std::memory_order_acquire);
    if (said < consumed_ || said > written_) {
      broken_ = true;
      return false;
    }
    consumed_ = said;
    return written_ - consumed_ < kRingSlots;
  }

  // There is room.
  void write(const FrameHeader& header, std::span<const uint8_t> payload) {
    Slot& slot = ring_->slots[written_ % kRingSlots];
    const auto words = std::bit_cast<decltype(slot.header)>(header);
    for (size_t i = 0; i < words.size(); i++) storeShared(slot.header[i], words[i], std::memory_order_relaxed);
    if (!payload.empty()) std::memcpy(slot.payload, payload.data(), payload.size());
    storeShared(slot.stamp, ++written_, std::memory_order_release);
  }

  bool broken() const { return broken_; }

 private:
  Ring* ring_;
  uint64_t written_ = 0;
  uint64_t consumed_ = 0;
  bool broken_ = false;
};

class RingReader {
 public:
  explicit RingReader(Ring* ring) : ring_(ring) {}

  // Whether the next frame is there.
  bool ready() {
    const uint64_t stamp = loadShared(ring_->slots[read_ % kRingSlots].stamp, std::memory_order_acquire);
    if (stamp == read_ + 1) return true;
    // Until it is written, a slot has the stamp of the frame one round before, or none.
    broken_ = broken_ || stamp != (read_ < kRingSlots ? 0 : read_ + 1 - kRingSlots);
    return false;
  }

  // A frame is ready.
  FrameHeader header() const {
    Slot& slot = ring_->slots[read_ % kRingSlots];
    decltype(slot.header) words;
    for (size_t i = 0; i < words.size(); i++) words[i] = loadShared(slot.header[i], std::memory_order_relaxed);
    return std::bit_cast<FrameHeader>(words);
  }

  // Copies at most kSlotBytes of the frame and gives its slot back.
  void read(std::span<uint8_t> into) {
    if (!into.empty()) std::memcpy(into.data(), ring_->slots[read_ % kRingSlots].payload, into.size());
    storeShared(ring_->consumed, ++read_, std::memory_order_release);
  }

  bool broken() const { return broken_; }

 private:
  Ring* ring_;
  uint64_t read_ = 0;
  bool broken_ = false;
};

}  // namespace claw
