// The driver between hosts: frames over a TCP connection, sealed from the end of the handshake on.
#pragma once

#include <memory>

#include "link/link.h"
#include "link/socket.h"

namespace claw {

constexpr size_t kTcpFrameBytes = size_t{64} << 10;

// Takes a connected stream socket that does not block.
std::unique_ptr<Link> makeTcpLink(Descriptor socket);

}  // namespace claw
