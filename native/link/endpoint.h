// Where links begin: the one place that knows all drivers.
#pragma once

#include <memory>

#include "link/link.h"
#include "link/socket.h"

namespace claw {

Error acceptLink(const Descriptor& listening, LinkDriver driver, Milliseconds time, std::unique_ptr<Link>* link);
Error connectLink(const LinkAddress& address, Milliseconds time, std::unique_ptr<Link>* link);

}  // namespace claw
