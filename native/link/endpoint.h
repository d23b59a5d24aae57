// Where links begin: the one place that knows all drivers.
#pragma once

#include <memory>

#include "link/link.h"
#include "link/socket.h"

namespace claw {

Error acceptLink(const Descriptor& listening, LinkDriver driver, Milliseconds time, std::unique_ptr<Link>* link);
Error connectLink(const LinkAddress& address, Milliseconds time, std::unique_ptr<Link>* link);
// Both ends in this process, over shared memory.
Error makePair(std::unique_ptr<Link>* one, std::unique_ptr<Link>* other);

}  // namespace claw
