// What the processor is and can do, for people to read.
#pragma once

#include <string>
#include <vector>

namespace claw {

std::string cpuModel();
std::vector<std::string> cpuFeatures();

}  // namespace claw
