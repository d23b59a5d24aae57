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

// Of the memory that a side lends for messages it sends: read there, so copied once. Holds 256 rows of 2,048 floats.
constexpr size_t kWindowBytes = size_t{2} << 20;

struct Slot {
  // The frame's number in its direction, from 1; written last.
  alignas(64) uint64_t stamp;
  std::array<uint64_t, sizeof(FrameHeader) / sizeof(uint64_t)> header;
  // Where in the sender's window the payload lies, from 1; 0: in this slot.
  uint64_t place;
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
  // Side 0 sends from the first.
  alignas(4096) uint8_t windows[2][kWindowBytes];
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

  // Whether a slot is free.
  bool room() {
    if (written_ - consumed_ < kRingSlots) return true;
    return look() && written_ - consumed_ < kRingSlots;
  }

  // Learns what the peer consumed; what it says counts as far as it can be true.
  bool look() {
    const uint64_t said = loadShared(ring_->consumed, std::memory_order_acquire);
    if (said < consumed_ || said > written_) {
      broken_ = true;
      return false;
    }
    consumed_ = said;
    return true;
  }

  // There is room.
  void write(const FrameHeader& header, std::span<const uint8_t> payload) {
    uint8_t* place = ring_->slots[written_ % kRingSlots].payload;
    if (!payload.empty()) std::memcpy(place, payload.data(), payload.size());
    describe(header, 0);
  }

  // There is room, and the payload is where `place` says.
  void describe(const FrameHeader& header, uint64_t place) {
    Slot& slot = ring_->slots[written_ % kRingSlots];
    const auto words = std::bit_cast<decltype(slot.header)>(header);
    for (size_t i = 0; i < words.size(); i++) storeShared(slot.header[i], words[i], std::memory_order_relaxed);
    storeShared(slot.place, place, std::memory_order_relaxed);
    storeShared(slot.stamp, ++written_, std::memory_order_release);
  }

  bool broken() const { return broken_; }
  // Frames so far, and those of them that the peer has read.
  uint64_t written() const { return written_; }
  uint64_t consumed() const { return consumed_; }

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

  // Copies the frame's payload and gives its slot back; false where it would lie outside of its slot or of the peer's window.
  bool read(std::span<uint8_t> into, const uint8_t* window) {
    Slot& slot = ring_->slots[read_ % kRingSlots];
    const uint64_t place = loadShared(slot.place, std::memory_order_relaxed);
    const size_t most = place == 0 ? kSlotBytes : kWindowBytes;
    if (into.size() > most || (place > 0 && place - 1 > most - into.size())) return false;
    const uint8_t* from = place == 0 ? slot.payload : window + (place - 1);
    if (!into.empty()) std::memcpy(into.data(), from, into.size());
    storeShared(ring_->consumed, ++read_, std::memory_order_release);
    return true;
  }

  bool broken() const { return broken_; }

 private:
  Ring* ring_;
  uint64_t read_ = 0;
  bool broken_ = false;
};

}  // namespace claw
