// The driver for two processes of one host: rings in memory that both map, and a Unix socket that hands the memory over and
// closes when a process ends.
#pragma once

#include <memory>

#include "link/link.h"
#include "link/socket.h"

namespace claw {

// The accepting side makes the memory; the other takes it over. E_LINK, E_LINK_PEER, E_LINK_MEMORY, E_DEADLINE.
Error acceptShared(Descriptor socket, Milliseconds time, std::unique_ptr<Link>* link);
Error connectShared(Descriptor socket, Milliseconds time, std::unique_ptr<Link>* link);

}  // namespace claw
