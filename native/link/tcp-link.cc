#include "link/tcp-link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

namespace claw {
namespace {

constexpr size_t kFrameMost = sizeof(FrameHeader) + kTcpFrameBytes + kAeadTagBytes;
// While one frame is opened, the next may come in with the same call of the system.
constexpr size_t kIncomingBytes = 2 * kFrameMost;
constexpr size_t kSentMost = sizeof(FrameHeader) + kTcpSentBytes + kAeadTagBytes;
// Two frames go with one call: more would have the peer wait for longer than the calls cost.
constexpr size_t kOutgoingBytes = 2 * kSentMost;

// Bytes between a socket and frames.
struct Buffer {
  explicit Buffer(size_t size) : bytes(size) {}
  size_t held() const { return end - begin; }
  const uint8_t* data() const { return bytes.data() + begin; }
  void drop(size_t count) {
    begin += count;
    if (begin == end) begin = end = 0;
  }
  // Makes all the room there is follow what is held.
  void compact() {
    std::memmove(bytes.data(), data(), held());
    end = held();
    begin = 0;
  }

  std::vector<uint8_t> bytes;
  size_t begin = 0;
  size_t end = 0;
};

std::span<const uint8_t> bytesOf(const FrameHeader& header) {
  return {reinterpret_cast<const uint8_t*>(&header), sizeof header};
}

// How long the peer's kernel has answered nothing of what it was sent.
class Silence {
 public:
  bool tooLong(const Descriptor& socket) {
    const auto now = Clock::now();
    if (now - looked_ < kLookEvery) return false;
    const bool away = now - looked_ > kAwayMost;
    looked_ = now;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket.number(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    const bool unanswered = info.tcpi_unacked > 0 || info.tcpi_probes > 0;
    if (away || !unanswered || now - Milliseconds(info.tcpi_last_ack_recv) > since_) since_ = now;
    return now - since_ >= kSilenceMost;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kLookEvery = kSilenceMost / 50;
  // Nobody waited meanwhile: what is unanswered now may have been sent just now.
  static constexpr auto kAwayMost = kSilenceMost / 5;
  Clock::time_point looked_{};
  Clock::time_point since_{};  // when there was nothing unanswered, or an answer, at the latest
};

class TcpLink final : public Link {
 public:
  explicit TcpLink(Descriptor socket)
      : socket_(std::move(socket)),
        bell_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        outgoing_(kOutgoingBytes),
        incoming_(kIncomingBytes) {}
  ~TcpLink() override { close(); }

  bool needsKeys() const override { return true; }

  void park(std::chrono::milliseconds time) override {
    const int events = (receiving() ? POLLIN : 0) | (sending() ? POLLOUT : 0);
    // A socket that nothing is awaited of is left out: that its peer is gone would end each sleep at once.
    pollfd entries[] = {{events == 0 ? -1 : socket_.number(), static_cast<short>(events), 0}, {bell_.number(), POLLIN, 0}};
    poll(entries, std::size(entries), static_cast<int>(time.count()));
    eventfd_t rings = 0;
    if (entries[1].revents != 0) eventfd_read(bell_.number(), &rings);
  }

  void wake() override { eventfd_write(bell_.number(), 1); }

 protected:
  size_t frameBytesMax() const override { return kTcpFrameBytes; }
  size_t frameBytesOf(std::span<const uint8_t>) const override { return kTcpSentBytes; }

  bool push(const FrameHeader& header, std::span<const uint8_t> payload) override {
    if (due_ && !flush()) return false;
    uint8_t* out = outgoing_.bytes.data() + outgoing_.end;
    std::memcpy(out, &header, sizeof header);
    out += sizeof header;
    if (sealing() != nullptr) {
      if (!sealing()->seal(header.sequence, bytesOf(header), payload, out)) return fail(Drop::seal);
    } else if (!payload.empty()) {
      std::memcpy(out, payload.data(), payload.size());
    }
    outgoing_.end += sizeof header + payload.size() + (sealing() != nullptr ? kAeadTagBytes : 0);
    const bool followed = static_cast<FrameKind>(header.kind) == FrameKind::data && header.rest > 0;
    due_ = !followed || outgoing_.bytes.size() - outgoing_.end < kSentMost;
    if (due_) flush();
    return true;
  }

  bool flush() override {
    while (outgoing_.held() > 0) {
      const ssize_t bytes = ::send(socket_.number(), outgoing_.data(), outgoing_.held(), MSG_NOSIGNAL);
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0) return errno != EAGAIN && fail(Drop::lost);
      outgoing_.drop(static_cast<size_t>(bytes));
    }
    due_ = false;
    return true;
  }

  bool peek(FrameHeader* header) override {
    if (!have(sizeof *header)) return false;
    std::memcpy(header, incoming_.data(), sizeof *header);
    return true;
  }

  // A header promises no more than a frame may have, so that the whole frame finds room.
  bool take(const FrameHeader& header, std::span<uint8_t> into) override {
    const size_t payload = into.size() + (opening() != nullptr ? kAeadTagBytes : 0);
    if (!have(sizeof header + payload)) return false;
    const std::span<const uint8_t> bytes(incoming_.data() + sizeof header, payload);
    if (opening() != nullptr) {
      if (!opening()->open(header.sequence, bytesOf(header), bytes, into.data())) return fail(Drop::seal);
    } else if (!into.empty()) {
      std::memcpy(into.data(), bytes.data(), bytes.size());
    }
    incoming_.drop(sizeof header + payload);
    return true;
  }

  // Reading and writing tell of a peer that ended; of one behind a network that is cut they do not for minutes.
  bool peerGone() override { return silence_.tooLong(socket_); }

  void disconnect() override { socket_.reset(); }

 private:
  // Whether so many bytes are here, after reading what has come.
  bool have(size_t bytes) {
    if (incoming_.held() >= bytes) return true;
    if (incoming_.bytes.size() - incoming_.begin < kFrameMost) incoming_.compact();
    const size_t room = incoming_.bytes.size() - incoming_.end;
    const ssize_t got = recv(socket_.number(), incoming_.bytes.data() + incoming_.end, room, 0);
    if (got == 0) return fail(Drop::lost);
    if (got < 0) return errno != EAGAIN && errno != EINTR && fail(Drop::lost);
    incoming_.end += static_cast<size_t>(got);
    return incoming_.held() >= bytes;
  }

  Descriptor socket_;
  Descriptor bell_;
  Buffer outgoing_;
  bool due_ = false;  // what is outgoing waits for no more frames
  Buffer incoming_;
  Silence silence_;
};

}  // namespace

std::unique_ptr<Link> makeTcpLink(Descriptor socket) { return std::make_unique<TcpLink>(std::move(socket)); }

}  // namespace claw
