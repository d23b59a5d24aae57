// A llama as training sees it: plain f32 tensors at offsets of one array, their gradients at the same offsets of another.
// src/kernels/training.ts makes the offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace claw::train {

// A row-major matrix [out][in] with y = W x, and an adapter beside it: y = W x + scale * B (A x), A [rank][in], B [out][rank].
struct LinearPlace {
  int32_t weight;
  int32_t down;  // A; -1: no adapter
  int32_t up;    // B
  int32_t out;
  int32_t in;
};

struct LayerPlaces {
  int32_t attentionNorm;
  int32_t ffnNorm;
  LinearPlace q, k, v, output, gate, up, down;
};

// What becomes of a layer's activations until its backward pass: kept as they are, computed again, or kept in 16 bits.
enum class Keep : int32_t { f32 = 0, nothing = 1, f16 = 2, bf16 = 3 };

struct Model {
  int32_t width, heads, kvHeads, headDim, ffnWidth, vocabulary;
  int32_t context;  // tokens of an example at most
  float epsilon;
  int32_t embedding;  // [vocabulary][width], and the output matrix
  int32_t outputNorm;
  std::vector<LayerPlaces> layers;
  int32_t rank;  // of the adapters; 0: none
  float adapterScale;
  bool trainDown;  // whether A is trained
  Keep keep;
  size_t parameterCount, adapterCount;

  CLAW_INLINE int32_t queryWidth() const { return heads * headDim; }
  CLAW_INLINE int32_t kvWidth() const { return kvHeads * headDim; }
  CLAW_INLINE bool keepsNarrow() const { return keep == Keep::f16 || keep == Keep::bf16; }
  CLAW_INLINE size_t trainedCount() const { return rank > 0 ? adapterCount : parameterCount; }
};

// [position][headDim / 2][cosine, sine], and the same with the sines negated.
struct RopeTables {
  const float* forward;
  const float* backward;
};

// The arrays an example reads, and what its gradient is added to.
struct Tensors {
  const Model* model;
  const float* parameters;
  const float* adapters;
  float* gradient;  // of the parameters or, where there are adapters, of those; null: only the loss is wanted
  RopeTables rope;

  CLAW_INLINE const float* at(int32_t place) const { return parameters + place; }
  // Where the gradient of a parameter goes; null where it is frozen.
  CLAW_INLINE float* gradientAt(int32_t place) const { return model->rank > 0 || gradient == nullptr ? nullptr : gradient + place; }
};

}  // namespace claw::train
