// Two ends of a link in one process, over every driver, and a sealing that needs no library.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "link/shared-link.h"
#include "link/tcp-link.h"
#include "link/ucx-link.h"
#include "tests/check.h"

namespace claw::test {

using Bytes = std::vector<uint8_t>;
constexpr Milliseconds kSoon{60'000};
constexpr Patience kPatient{std::chrono::microseconds(50), kSoon};

// No cipher: enough to tell frames that were sealed so from others.
class ToyAead final : public Aead {
 public:
  bool seal(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> plain, uint8_t* sealed) override {
    for (size_t i = 0; i < plain.size(); i++) sealed[i] = plain[i] ^ static_cast<uint8_t>(sequence * 31 + i + 0x5a);
    tagOf(header, {sealed, plain.size()}, sealed + plain.size());
    return true;
  }
  bool open(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> sealed, uint8_t* plain) override {
    const std::span<const uint8_t> text = sealed.first(sealed.size() - kAeadTagBytes);
    uint8_t tag[kAeadTagBytes];
    tagOf(header, text, tag);
    if (std::memcmp(tag, text.data() + text.size(), sizeof tag) != 0) return false;
    for (size_t i = 0; i < text.size(); i++) plain[i] = text[i] ^ static_cast<uint8_t>(sequence * 31 + i + 0x5a);
    return true;
  }

 private:
  static void tagOf(std::span<const uint8_t> header, std::span<const uint8_t> text, uint8_t* tag) {
    uint64_t sum = 14695981039346656037ull;
    for (const std::span<const uint8_t> part : {header, text}) {
      for (const uint8_t byte : part) sum = (sum ^ byte) * 1099511628211ull;
    }
    std::memcpy(tag, &sum, sizeof sum);
    std::memcpy(tag + sizeof sum, &sum, sizeof sum);
  }
};

// A frame as a member of the cluster would seal it.
inline Bytes sealedFrame(const FrameHeader& header, std::span<const uint8_t> payload) {
  ToyAead aead;
  Bytes frame(sizeof header + payload.size() + kAeadTagBytes);
  std::memcpy(frame.data(), &header, sizeof header);
  const std::span<const uint8_t> authenticated(frame.data(), sizeof header);
  CHECK(aead.seal(header.sequence, authenticated, payload, frame.data() + sizeof header));
  return frame;
}

inline LinkTerms terms(const Link& link, uint64_t epoch = 1) {
  LinkTerms made;
  made.epoch = epoch;
  made.messageBytesMax = kMessageBytesMax;
  if (link.needsKeys()) {
    made.sealing = std::make_unique<ToyAead>();
    made.opening = std::make_unique<ToyAead>();
  }
  return made;
}

inline std::pair<Descriptor, Descriptor> sockets() {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

struct Pair {
  std::unique_ptr<Link> one;
  std::unique_ptr<Link> other;
};

// One end over a socket, of which the other end is made at the same time.
inline std::unique_ptr<Link> connectedEnd(LinkDriver driver, Descriptor socket, bool accepts) {
  std::unique_ptr<Link> link;
  if (driver != LinkDriver::shared) return makeTcpLink(std::move(socket));
  if (accepts) CHECK(!acceptShared(std::move(socket), kSoon, &link));
  if (!accepts) CHECK(!connectShared(std::move(socket), kSoon, &link));
  return link;
}

inline std::unique_ptr<Link> openedEnd(LinkDriver driver, std::unique_ptr<Link> link) {
  CHECK(!link->open(terms(*link)));
  if (driver != LinkDriver::ucx) return link;
  std::unique_ptr<Link> changed;
  const Error error = changeToUcx(std::move(link), {true, kPatient}, &changed);
  if (error) std::printf("%s: %s\n", error.code, error.message.c_str());
  CHECK(!error);
  return changed;
}

inline Pair connected(LinkDriver driver) {
  auto [first, second] = sockets();
  Pair pair;
  pair.one = connectedEnd(driver, std::move(first), true);
  pair.other = connectedEnd(driver, std::move(second), false);
  return pair;
}

inline Pair opened(LinkDriver driver) {
  Pair pair = connected(driver);
  std::thread other([&] { pair.other = openedEnd(driver, std::move(pair.other)); });
  pair.one = openedEnd(driver, std::move(pair.one));
  other.join();
  return pair;
}

inline Bytes randomBytes(Random* random, size_t size) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random->bits());
  return bytes;
}

// Both ends by turns, until neither moves any more.
inline void settle(Pair* pair) {
  for (bool moved = true; moved;) {
    const bool first = pair->one->progress();
    const bool second = pair->other->progress();
    moved = first || second;
  }
}

}  // namespace claw::test
