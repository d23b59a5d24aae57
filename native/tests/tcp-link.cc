// What a link over TCP makes of the stream: frames that fit into one segment, and messages that come in other frames and pieces.
#include "link/tcp-link.h"

#include "tests/link-pair.h"

namespace {

using namespace claw;
using namespace claw::test;

// Of a loopback connection over IPv6 with time stamps: 65,536 bytes less the headers. Over IPv4 there are 20 more.
constexpr size_t kSegmentBytes = 65'464;

struct End {
  Descriptor peer;
  std::unique_ptr<Link> link;

  End() {
    auto [mine, theirs] = sockets();
    peer = std::move(mine);
    link = makeTcpLink(std::move(theirs));
    CHECK(!link->open(terms(*link)));
  }
};

// All that a link sends of a message.
Bytes sentBy(const End& end, std::span<const uint8_t> message) {
  Bytes stream;
  Bytes piece(1 << 20);
  CHECK(!end.link->postSend(message));
  for (bool whole = false; !whole;) {
    end.link->progress();
    whole = !end.link->sending();
    for (ssize_t got = 0; (got = recv(end.peer.number(), piece.data(), piece.size(), 0)) > 0;) {
      stream.insert(stream.end(), piece.begin(), piece.begin() + got);
    }
  }
  return stream;
}

// Frames are as large as one segment takes, and no larger.
void testSegments() {
  for (const size_t size : {size_t{0}, size_t{1}, kTcpSentBytes, kTcpSentBytes + 1, size_t{1} << 20}) {
    const End end;
    const Bytes stream = sentBy(end, Bytes(size, 1));
    size_t frames = 0;
    size_t payload = 0;
    for (size_t at = 0; at < stream.size(); frames++) {
      FrameHeader header;
      CHECK(stream.size() - at >= sizeof header);
      std::memcpy(&header, stream.data() + at, sizeof header);
      const size_t frame = sizeof header + header.bytes + kAeadTagBytes;
      CHECK(frame <= kSegmentBytes && frame <= stream.size() - at);
      payload += header.bytes;
      CHECK(header.rest == size - payload);
      at += frame;
    }
    CHECK(payload == size && frames == (size == 0 ? 1 : (size + kTcpSentBytes - 1) / kTcpSentBytes));
  }
}

// Frames of any length that is allowed, in pieces of any length.
void testOtherFrames() {
  Random random(3);
  const Bytes message = randomBytes(&random, size_t{8} << 20);
  const End end;
  Bytes stream;
  int full = 0;
  for (uint64_t sequence = 0, at = 0; at < message.size(); sequence++) {
    const size_t any = random.bits() % 2 == 0 ? kTcpFrameBytes : 1 + random.bits() % kTcpFrameBytes;
    const size_t bytes = std::min(any, message.size() - at);
    full += bytes == kTcpFrameBytes ? 1 : 0;
    const FrameHeader header{kFrameMagic, kFrameVersion, static_cast<uint16_t>(FrameKind::data), 1, sequence,
                             static_cast<uint32_t>(bytes), static_cast<uint32_t>(message.size() - at - bytes)};
    const Bytes frame = sealedFrame(header, std::span(message).subspan(at, bytes));
    stream.insert(stream.end(), frame.begin(), frame.end());
    at += bytes;
  }
  CHECK(full >= 40);
  Bytes into(message.size());
  CHECK(!end.link->postReceive(into));
  int pieces = 0;
  for (size_t at = 0; at < stream.size();) {
    const size_t most = random.bits() % 4 == 0 ? 100 : 150'000;
    const size_t piece = std::min(1 + random.bits() % most, stream.size() - at);
    const ssize_t sent = ::send(end.peer.number(), stream.data() + at, piece, MSG_NOSIGNAL);
    if (sent > 0) at += static_cast<size_t>(sent), pieces++;
    end.link->progress();
    CHECK(end.link->drop() == Drop::none);
  }
  CHECK(!end.link->receiving() && end.link->receivedBytes() == message.size() && into == message);
  CHECK(pieces >= 100);
  std::printf("%d full frames, %d pieces\n", full, pieces);
}

}  // namespace

int main() {
  testSegments();
  testOtherFrames();
  return 0;
}
