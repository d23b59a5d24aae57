// How long messages take, measured where they are sent: for `claw bench link`.
#pragma once

#include <vector>

#include "link/link.h"

namespace claw {

struct RoundPlan {
  size_t bytes;
  int32_t rounds;
  Patience patience;
};

// Microseconds of each round.
struct RoundTimes {
  std::vector<double> oneWay;  // half of what a message and the same message back take
  std::vector<double> copy;    // of one memcpy of as many bytes, after each round
};

// One side asks, the other echoes; both with the same plan. E_LINK, E_LINK_PEER, E_DEADLINE.
Error askRounds(Link* link, const RoundPlan& plan, RoundTimes* times);
Error echoRounds(Link* link, const RoundPlan& plan);

// The same bytes between two threads over a loopback connection without frames: what TCP itself takes. E_LINK.
Error timeWire(const RoundPlan& plan, std::vector<double>* oneWay);

}  // namespace claw
