// Sockets that links begin with: TCP between hosts, and on one host Unix sockets, over which shared memory is handed.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "executor/error.h"

namespace claw {

// A link over UCX begins over TCP.
enum class LinkDriver : int { shared = 0, tcp = 1, ucx = 2 };

struct LinkAddress {
  LinkDriver driver = LinkDriver::shared;
  std::string host;  // an address in numbers; shared: the path of the socket
  uint16_t port = 0;  // but of shared; 0: any that is free
};

// An open file, closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { reset(); }

  explicit operator bool() const { return number_ >= 0; }
  int number() const { return number_; }
  void reset();

 private:
  int number_ = -1;
};

using Milliseconds = std::chrono::milliseconds;

// A network that answers nothing for so long is taken to be cut, and a link over it to be lost. A peer that only reads nothing
// answers all the same: its kernel does.
constexpr Milliseconds kSilenceMost{5'000};

// Whether the socket is ready for `events` of poll() within the time.
bool awaitSocket(const Descriptor& socket, short events, Milliseconds time);

// Sockets do not block. E_LINK with the system's words.
Error listenAt(const LinkAddress& address, Descriptor* listening);
// Where a listening socket is reached, for one that was given port 0.
uint16_t portOf(const Descriptor& listening);
// The next peer; on one host only processes of the same user, or root's. E_DEADLINE when none came in time.
Error acceptPeer(const Descriptor& listening, LinkDriver driver, Milliseconds time, Descriptor* peer);
Error connectTo(const LinkAddress& address, Milliseconds time, Descriptor* peer);

// Hands an open file over a Unix socket, and takes one.
Error handOver(const Descriptor& socket, const Descriptor& file, Milliseconds time);
Error takeOver(const Descriptor& socket, Milliseconds time, Descriptor* file);

}  // namespace claw
