#include "link/frame.h"

namespace claw {
namespace {

Drop checkLength(const FrameHeader& header, const FrameExpectation& expected) {
  if (header.bytes > expected.frameBytesMax) return Drop::length;
  if (header.bytes == 0 && header.rest != 0) return Drop::length;  // frames without end that bring nothing
  const uint64_t left = uint64_t{header.bytes} + header.rest;
  if (left > expected.capacity - expected.received) return Drop::length;
  return expected.within && left != expected.rest ? Drop::length : Drop::none;
}

}  // namespace

const char* dropReason(Drop drop) {
  constexpr const char* reasons[kDrops] = {
      "the link works",
      "the link was closed",
      "the peer ended or the connection was lost",
      "what came is not a frame",
      "a frame of another version came",
      "a frame of a kind that has no place here came",
      "a frame of another epoch came",
      "a frame came out of order",
      "a frame's length is beyond what was agreed",
      "a frame was not sealed with the link's key",
      "the shared ring contradicts itself",
      "time passed in the middle of a message",
      "the handshake failed",
  };
  const auto index = static_cast<size_t>(drop);
  return index < kDrops ? reasons[index] : "for a reason unknown here";
}

Drop checkFrame(const FrameHeader& header, const FrameExpectation& expected) {
  if (header.magic != kFrameMagic) return Drop::magic;
  if (header.version != kFrameVersion) return Drop::version;
  const auto kind = static_cast<FrameKind>(header.kind);
  if (header.sequence != expected.sequence) return Drop::sequence;
  if (kind == FrameKind::goodbye) return header.bytes == 0 ? Drop::none : Drop::length;
  if (kind != (expected.open ? FrameKind::data : FrameKind::hello)) return Drop::kind;
  if (header.epoch != expected.epoch) return Drop::epoch;
  return checkLength(header, expected);
}

}  // namespace claw
