#include "arena/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>

namespace claw {
namespace {

constexpr int kNodesMax = 1024;  // what the kernel can be built for
constexpr int kInterleave = 3;   // MPOL_INTERLEAVE

const std::vector<int>& onlineNodes() {
  static const std::vector<int> nodes = [] {
    std::array<char, 4096> list{};
    FILE* file = fopen("/sys/devices/system/node/online", "re");
    if (file == nullptr) return std::vector<int>{};
    const bool read = fgets(list.data(), static_cast<int>(list.size()), file) != nullptr;
    fclose(file);
    return read ? parseNodes(list.data()) : std::vector<int>{};
  }();
  return nodes;
}

}  // namespace

std::vector<int> parseNodes(const char* list) {
  std::vector<int> nodes;
  const char* at = list;
  while (*at >= '0' && *at <= '9') {
    char* end = nullptr;
    const long first = strtol(at, &end, 10);
    long last = first;
    if (*end == '-') {
      const char* after = end + 1;
      last = *after >= '0' && *after <= '9' ? strtol(after, &end, 10) : -1;
    }
    if (first < 0 || last < first || last >= kNodesMax) return {};
    for (long node = first; node <= last; node++) nodes.push_back(static_cast<int>(node));
    at = *end == ',' ? end + 1 : end;
  }
  return *at == '\0' || *at == '\n' ? nodes : std::vector<int>{};
}

void spreadOverNodes(void* base, size_t size) {
  const std::vector<int>& nodes = onlineNodes();
  if (nodes.size() < 2) return;
#ifdef SYS_mbind
  constexpr size_t bits = 8 * sizeof(unsigned long);
  std::array<unsigned long, kNodesMax / bits> mask{};
  for (const int node : nodes) mask[static_cast<size_t>(node) / bits] |= 1UL << static_cast<size_t>(node) % bits;
  // Refused, as in some containers, it leaves pages where they are touched first.
  syscall(SYS_mbind, base, size, kInterleave, mask.data(), kNodesMax + 1, 0);
#endif
}

}  // namespace claw
