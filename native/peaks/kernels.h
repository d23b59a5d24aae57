// The loops that reach a processor's ceilings, unrolled assembly where we have it; one file for each architecture.
#pragma once

#include <cstddef>
#include <cstdint>

namespace claw {

// A loop without memory access that keeps the arithmetic units full.
struct PeakKernel {
  const char* name;
  double perIteration;  // operations
  void (*run)(int64_t iterations);
};

// Reads `bytes` from `data`; both are multiples of kReadUnit.
using ReadKernel = void (*)(const uint8_t* data, size_t bytes);

struct PeakKernels {
  PeakKernel multiply;
  PeakKernel fused;
  // One after the other, with prefetching, and as four streams.
  ReadKernel sequential, prefetching, interleaved;
};

// The fastest that this processor has.
PeakKernels peakKernels();

constexpr size_t kLine = 64;
constexpr size_t kStreams = 4;
constexpr size_t kReadUnit = kStreams * kLine;
constexpr size_t kAhead = 1024;  // bytes: some hundred nanoseconds at a core's share of the bandwidth

// `Line::load` reads the kLine bytes at an address.
template <typename Line>
void readSequential(const uint8_t* data, size_t bytes) {
  for (const uint8_t* end = data + bytes; data != end; data += kReadUnit) {
    for (size_t i = 0; i < kReadUnit; i += kLine) Line::load(data + i);
  }
  Line::end();
}

// Reads up to kAhead beyond the end in advance, which is no access.
template <typename Line>
void readPrefetching(const uint8_t* data, size_t bytes) {
  for (const uint8_t* end = data + bytes; data != end; data += kReadUnit) {
    for (size_t i = 0; i < kReadUnit; i += kLine) {
      __builtin_prefetch(data + i + kAhead);
      Line::load(data + i);
    }
  }
  Line::end();
}

template <typename Line>
void readInterleaved(const uint8_t* data, size_t bytes) {
  const size_t part = bytes / kStreams;
  for (const uint8_t* end = data + part; data != end; data += kLine) {
    for (size_t stream = 0; stream < kStreams; stream++) Line::load(data + stream * part);
  }
  Line::end();
}

template <typename Line>
PeakKernels makePeakKernels(PeakKernel multiply, PeakKernel fused) {
  return {multiply, fused, readSequential<Line>, readPrefetching<Line>, readInterleaved<Line>};
}

}  // namespace claw
