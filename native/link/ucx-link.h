// The driver on networks that are declared trusted: frames by UCX, over whatever it finds between two processes: shared memory,
// TCP, InfiniBand. It does not encrypt. A link begins as one over TCP, whose handshake tells strangers apart; there the addresses
// of UCX are said, and that connection stays, for goodbyes and as the sign that the peer lives.
#pragma once

#include <memory>

#include "link/link.h"

namespace claw {

struct UcxTerms {
  // Both ends are on this host: UCX listens on the loopback device alone.
  bool local = false;
  Patience patience;
};

// Makes a link over UCX of an open one over TCP, while the peer does the same. What it makes is open, with the same epoch and
// limit of messages. Where it fails, `control` is closed. E_LINK, E_LINK_PEER, E_DEADLINE.
Error changeToUcx(std::shared_ptr<Link> control, const UcxTerms& terms, std::unique_ptr<Link>* link);

}  // namespace claw
