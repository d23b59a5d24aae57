// What a link over UCX holds of its peer's frames until they are taken. It knows nothing of UCX; whatever comes from the network
// is checked here before it is kept.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "link/frame.h"

namespace claw {

constexpr size_t kUcxFrameBytes = size_t{64} << 10;
// Frames on their way that the peer has not taken: memory of UCX's that a peer can make this process hold.
constexpr size_t kUcxFrames = 16;

// What a receiver said to its peer over the link that the handshake sealed: whoever sends without it is somebody else.
using UcxToken = std::array<uint8_t, 16>;

// Goes before each frame's payload.
struct UcxHead {
  FrameHeader frame;
  UcxToken token;
};
static_assert(sizeof(UcxHead) == 48);

// How many frames the sender of this took.
struct UcxCredit {
  uint64_t taken;
  UcxToken token;
};
static_assert(sizeof(UcxCredit) == 24);

class UcxInbox {
 public:
  enum class Arrival { kept, ignored, broken };

  struct Frame {
    FrameHeader header;
    void* data = nullptr;  // null where the payload is empty
    bool held = false;
  };

  explicit UcxInbox(const UcxToken& token) : token_(token) {}

  // Keeps a frame whose data stays where it is until it is taken. A stranger's is ignored; a peer's that cannot be is noted.
  Arrival keep(std::span<const uint8_t> head, void* data, size_t bytes) {
    UcxHead read;
    if (head.size() != sizeof read) return Arrival::ignored;
    std::memcpy(&read, head.data(), sizeof read);
    if (read.token != token_) return Arrival::ignored;
    if (read.frame.bytes != bytes || bytes > kUcxFrameBytes) return note(Drop::length);
    if (read.frame.sequence - taken_ >= kUcxFrames) return note(Drop::sequence);
    Frame& frame = frames_[read.frame.sequence % kUcxFrames];
    if (frame.held) return note(Drop::sequence);
    frame = {read.frame, bytes == 0 ? nullptr : data, true};
    return Arrival::kept;
  }

  // The next frame in order, or null.
  Frame* next() {
    Frame& frame = frames_[taken_ % kUcxFrames];
    return frame.held ? &frame : nullptr;
  }
  // The next frame was taken and its data given back.
  void drop() {
    frames_[taken_ % kUcxFrames] = {};
    taken_++;
  }

  std::span<Frame> frames() { return frames_; }
  uint64_t taken() const { return taken_; }
  // What a frame that cannot be was.
  Drop broken() const { return broken_; }
  const UcxToken& token() const { return token_; }

 private:
  Arrival note(Drop reason) {
    if (broken_ == Drop::none) broken_ = reason;
    return Arrival::broken;
  }

  const UcxToken token_;
  std::array<Frame, kUcxFrames> frames_{};
  uint64_t taken_ = 0;
  Drop broken_ = Drop::none;
};

// What the sender knows of room at its peer.
class UcxRoom {
 public:
  explicit UcxRoom(const UcxToken& token) : token_(token) {}

  bool any() const { return sent_ - taken_ < kUcxFrames; }
  uint64_t sent() const { return sent_; }
  void send() { sent_++; }

  // What the peer says it took; a stranger's words are ignored.
  UcxInbox::Arrival hear(std::span<const uint8_t> words) {
    UcxCredit read;
    if (words.size() != sizeof read) return UcxInbox::Arrival::ignored;
    std::memcpy(&read, words.data(), sizeof read);
    if (read.token != token_) return UcxInbox::Arrival::ignored;
    heard_ = true;
    if (read.taken < taken_ || read.taken > sent_) {
      broken_ = true;
      return UcxInbox::Arrival::broken;
    }
    taken_ = read.taken;
    return UcxInbox::Arrival::kept;
  }
  bool heard() const { return heard_; }
  bool broken() const { return broken_; }

 private:
  const UcxToken token_;
  uint64_t sent_ = 0;
  uint64_t taken_ = 0;
  bool heard_ = false;
  bool broken_ = false;
};

}  // namespace claw
