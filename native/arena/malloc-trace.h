// The same requests for memory that a page pool serves, served by malloc: for `claw bench alloc`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace claw {

struct MallocTrace {
  double seconds;        // of allocating and freeing, nothing else
  double liveBytes;      // at the moment most were live
  double residentBytes;  // that the process's memory had grown by then, every page of a buffer written
};

// Each request asks for `bytes` in `slot`, after freeing what was there; zero bytes only frees. Frees everything in the end.
struct MallocRequest {
  int32_t slot;
  int32_t bytes;
};

// `slots` is more than any slot asked for. Runs once to time, and once more to measure memory.
MallocTrace traceMalloc(std::span<const MallocRequest> requests, size_t slots);

}  // namespace claw
