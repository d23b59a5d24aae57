#include "link/endpoint.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "link/shared-link.h"
#include "link/tcp-link.h"

namespace claw {

Error acceptLink(const Descriptor& listening, LinkDriver driver, Milliseconds time, std::unique_ptr<Link>* link) {
  Descriptor peer;
  if (Error error = acceptPeer(listening, driver, time, &peer)) return error;
  if (driver == LinkDriver::shared) return acceptShared(std::move(peer), time, link);
  *link = makeTcpLink(std::move(peer));
  return {};
}

Error connectLink(const LinkAddress& address, Milliseconds time, std::unique_ptr<Link>* link) {
  Descriptor peer;
  if (Error error = connectTo(address, time, &peer)) return error;
  if (address.driver == LinkDriver::shared) return connectShared(std::move(peer), time, link);
  *link = makeTcpLink(std::move(peer));
  return {};
}

Error makePair(std::unique_ptr<Link>* one, std::unique_ptr<Link>* other) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return makeError("E_LINK", "Making a pair of sockets failed: %s.", std::strerror(errno));
  }
  Descriptor first(ends[0]);
  Descriptor second(ends[1]);
  constexpr Milliseconds kAtOnce{1000};
  if (Error error = acceptShared(std::move(first), kAtOnce, one)) return error;
  return connectShared(std::move(second), kAtOnce, other);
}

}  // namespace claw
