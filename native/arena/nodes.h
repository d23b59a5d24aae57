// NUMA nodes, by the system's own calls: no library is needed.
#pragma once

#include <cstddef>
#include <vector>

namespace claw {

// The numbers in a list as the kernel writes them: `0-3,8`. Empty where it is none, or names nodes beyond 1023.
std::vector<int> parseNodes(const char* list);

// Has pages of this memory, which nothing has touched yet, placed on all nodes by turns. Does nothing on one node.
void spreadOverNodes(void* base, size_t size);

}  // namespace claw
