// The driver between hosts: frames over a TCP connection, sealed from the end of the handshake on.
#pragma once

#include <memory>

#include "link/link.h"
#include "link/socket.h"

namespace claw {

// The largest payload of a frame that is taken.
constexpr size_t kTcpFrameBytes = size_t{64} << 10;
// The same of one that is sent. With its header and tag it fits into one segment of a loopback connection, over IPv4 and IPv6; a
// little more, and each frame would bring a second segment with hardly anything in it, which costs nearly as much as a full one.
constexpr size_t kTcpSentBytes = 65'024;

// Takes a connected stream socket that does not block.
std::unique_ptr<Link> makeTcpLink(Descriptor socket);

}  // namespace claw
