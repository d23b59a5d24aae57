#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "peaks/peaks.h"

namespace claw {
namespace {

std::string firstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "32768K" or "32M" in bytes.
size_t parseSize(const std::string& text) {
  char* unit = nullptr;
  const size_t number = std::strtoull(text.c_str(), &unit, 10);
  return *unit == 'M' ? number << 20 : *unit == 'K' ? number << 10 : number;
}

// The highest level of a processor: who shares it, and its bytes. Empty where the system does not say.
struct Cache {
  std::string sharers;
  size_t bytes = 0;
};

Cache lastLevel(int processor) {
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(processor) + "/cache/index";
  Cache last;
  int level = 0;
  for (int index = 0;; index++) {
    const std::string cache = folder + std::to_string(index);
    const std::string text = firstLine(cache + "/level");
    if (text.empty()) return last;
    const int found = std::atoi(text.c_str());
    if (found <= level) continue;
    level = found;
    last = {firstLine(cache + "/shared_cpu_list"), parseSize(firstLine(cache + "/size"))};
  }
}

}  // namespace

size_t lastLevelCacheBytes() {
  size_t bytes = 0;
#ifdef __linux__
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
  std::set<std::string> seen;
  for (int processor = 0; processor < CPU_SETSIZE; processor++) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    const Cache cache = lastLevel(processor);
    if (cache.bytes > 0 && seen.insert(cache.sharers).second) bytes += cache.bytes;
  }
#endif
  return bytes;
}

}  // namespace claw
