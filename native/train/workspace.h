// The memory one thread evaluates an example in.
#pragma once

#include <memory>

#include "train/layer.h"

namespace claw::train {

constexpr size_t kAlignment = 64;

struct FreeFloats {
  void operator()(float* memory) const { __builtin_free(memory); }
};
using Floats = std::unique_ptr<float, FreeFloats>;

// Aligned and zero; null where the system has no such memory.
Floats allocateFloats(size_t count);

struct Workspace {
  std::vector<Activations> layers;
  // Where activations are kept in 16 bits, all layers share what the passes work on, and each has a copy of it.
  float* wide = nullptr;
  size_t wideCount = 0;  // a multiple of 16
  std::vector<uint16_t*> narrow;
  Scratch scratch;
  float* last;           // [context][width], the residual stream after the last layer
  float* lastInverses;   // of the output norm
  float* normed;         // [context][width]
  float* gradient;       // [context][width], of the residual stream
  float* dnormed;        // [context][width]
  float* logits;         // [context][vocabulary]
  float* soft;           // [2][vocabulary]
  float* example;        // one example's gradient, where examples are clipped
  Floats memory;

  // Null where memory is short. `forGradients`: else only evaluated. `perExample`: whether `example` is needed.
  static std::unique_ptr<Workspace> make(const Model& model, bool forGradients, bool perExample);
};

}  // namespace claw::train
