// What goes over a link. A message is cut into frames; before each frame's payload goes this header, little-endian on every
// machine there is. docs/reference/links.md has the format.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace claw {

static_assert(std::endian::native == std::endian::little, "Frame headers are sent as they lie in memory.");

constexpr uint32_t kFrameMagic = 0x4b4e4c43;  // "CLNK"
constexpr uint16_t kFrameVersion = 1;

// Of a message, whatever two nodes agree on: activations of 512 positions of the widest models are a quarter of it.
constexpr size_t kMessageBytesMax = size_t{64} << 20;
// Of a message of the handshake, from a peer that is not trusted yet.
constexpr size_t kHelloBytesMax = 1024;

enum class FrameKind : uint16_t {
  data = 1,
  hello = 2,    // the handshake, before a link is opened
  goodbye = 3,  // nothing comes after it; `rest` says why
};

struct FrameHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t kind;
  uint64_t epoch;     // of the cluster's plan that the sender works for
  uint64_t sequence;  // of the frame in its direction, from 0
  uint32_t bytes;     // of the payload that follows
  uint32_t rest;      // of the message that later frames bring
};
static_assert(sizeof(FrameHeader) == 32);

// Why a link moves nothing any more. The numbers go over the wire in a goodbye.
enum class Drop : uint32_t {
  none = 0,
  closed = 1,     // the peer, or this side, said goodbye
  lost = 2,       // the peer ended, or the connection did
  magic = 3,      // not a frame
  version = 4,    // of a frame
  kind = 5,       // a kind of frame that has no place here
  epoch = 6,      // of another plan
  sequence = 7,   // lost, repeated or out of order
  length = 8,     // more than the frame, the message or the memory for it may have, or not what was announced
  seal = 9,       // not sealed with the link's key
  ring = 10,      // the bookkeeping of shared memory contradicts itself
  timeout = 11,   // time passed in the middle of a message
  handshake = 12  // the peers did not agree
};
constexpr size_t kDrops = 13;

const char* dropReason(Drop drop);

// What the receiving side of a link expects of the next frame.
struct FrameExpectation {
  bool open = false;  // whether the handshake is over
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  size_t frameBytesMax = 0;
  size_t capacity = 0;  // of the memory for the message, or what the peers agreed on where that is less
  size_t received = 0;  // of the message so far
  size_t rest = 0;      // of the message, as the last frame said; only counts where `within`
  bool within = false;  // whether the message has begun
};

// What is wrong with a header, which the peer can no longer change; `none` for the frame that is expected.
Drop checkFrame(const FrameHeader& header, const FrameExpectation& expected);

}  // namespace claw
