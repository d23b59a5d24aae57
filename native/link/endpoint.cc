#include "link/endpoint.h"

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

}  // namespace claw
