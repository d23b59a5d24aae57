// Causal attention over one example, forward and backward, query heads sharing KV heads in groups. Queries are taken in
// blocks, and of the keys only those a block can see. Only for sources that use fused multiply-adds.
#pragma once

#include "train/gemm.h"
#include "train/operations.h"

namespace claw::train {

constexpr int kQueryBlock = 64;

struct AttentionArrays {
  const Model* model;
  int32_t rows;
  const float* q;  // [rows][heads][headDim]
  const float* k;  // [rows][kvHeads][headDim]
  const float* v;
  float* probabilities;  // [heads][rows][rows], row i of use up to column i
  float* transposed;     // scratch, [headDim][rows]
  float* panels;

  CLAW_INLINE float* probabilitiesOf(int32_t head) const { return probabilities + static_cast<ptrdiff_t>(head) * rows * rows; }
  CLAW_INLINE int32_t group() const { return model->heads / model->kvHeads; }
  CLAW_INLINE float scale() const { return 1.0f / __builtin_sqrtf(static_cast<float>(model->headDim)); }
};

CLAW_INLINE void transposeHead(const float* from, ptrdiff_t stride, int rows, int headDim, float* to) {
  constexpr int kBlock = 16;
  for (int first = 0; first < rows; first += kBlock) {
    const int end = first + kBlock < rows ? first + kBlock : rows;
    for (int d = 0; d < headDim; d++) {
      for (int row = first; row < end; row++) to[static_cast<ptrdiff_t>(d) * rows + row] = from[row * stride + d];
    }
  }
}

// body(first, end) for each block of queries.
template <class Body>
CLAW_INLINE void eachQueryBlock(int rows, const Body& body) {
  for (int first = 0; first < rows; first += kQueryBlock) body(first, lanes::smaller(rows, first + kQueryBlock));
}

template <class Lanes>
void attentionForward(const AttentionArrays& t, float* out) {
  const int dim = t.model->headDim;
  const ptrdiff_t wide = t.model->queryWidth(), narrow = t.model->kvWidth(), rows = t.rows;
  for (int head = 0; head < t.model->heads; head++) {
    const ptrdiff_t query = static_cast<ptrdiff_t>(head) * dim, key = static_cast<ptrdiff_t>(head / t.group()) * dim;
    if (head % t.group() == 0) transposeHead(t.k + key, narrow, t.rows, dim, t.transposed);
    float* probabilities = t.probabilitiesOf(head);
    eachQueryBlock(t.rows, [&](int first, int end) {
      float* block = probabilities + first * rows;
      multiply<Lanes>({.m = end - first, .n = end, .k = dim, .a = {t.q + first * wide + query, wide, 1},
                       .b = {t.transposed, rows, 1}, .c = block, .stride = rows, .scale = t.scale()}, t.panels);
      for (int row = first; row < end; row++) {
        float* line = probabilities + row * rows;
        scaleRow<Lanes>(line, row + 1, 1.0f / exponentials<Lanes>(line, row + 1).sum);
        for (int k = row + 1; k < end; k++) line[k] = 0.0f;
      }
      multiply<Lanes>({.m = end - first, .n = dim, .k = end, .a = {block, rows, 1}, .b = {t.v + key, narrow, 1},
                       .c = out + first * wide + query, .stride = wide}, t.panels);
    });
  }
}

struct AttentionGradients {
  const float* out;  // [rows][heads][headDim]
  float* q;          // replaced; k and v too
  float* k;
  float* v;
  float* scores;  // scratch, [kQueryBlock][rows]
};

// scores holds dP; becomes dS = P (dP - sum(P dP)).
template <class Lanes>
CLAW_INLINE void softmaxBackward(const float* probabilities, float* scores, int count) {
  const float dot = sumOver<Lanes>(count, [&](int k, auto extent, auto sums) {
    return Lanes::fma(lanes::load<Lanes>(probabilities + k, extent), lanes::load<Lanes>(scores + k, extent), sums);
  });
  const auto mean = Lanes::set(dot);
  lanes::eachVector(count, [&](int k, auto extent) {
    const auto centred = Lanes::sub(lanes::load<Lanes>(scores + k, extent), mean);
    lanes::store<Lanes>(scores + k, Lanes::mul(lanes::load<Lanes>(probabilities + k, extent), centred), extent);
  });
}

template <class Lanes>
void attentionBackward(const AttentionArrays& t, const AttentionGradients& d) {
  const int dim = t.model->headDim;
  const ptrdiff_t wide = t.model->queryWidth(), narrow = t.model->kvWidth(), rows = t.rows;
  __builtin_memset(d.k, 0, sizeof(float) * static_cast<size_t>(rows * narrow));
  __builtin_memset(d.v, 0, sizeof(float) * static_cast<size_t>(rows * narrow));
  for (int head = 0; head < t.model->heads; head++) {
    const ptrdiff_t query = static_cast<ptrdiff_t>(head) * dim, key = static_cast<ptrdiff_t>(head / t.group()) * dim;
    if (head % t.group() == 0) transposeHead(t.v + key, narrow, t.rows, dim, t.transposed);
    const float* probabilities = t.probabilitiesOf(head);
    eachQueryBlock(t.rows, [&](int first, int end) {
      const int count = end - first;
      const float* block = probabilities + first * rows;
      const View dOut = {d.out + first * wide + query, wide, 1};
      multiply<Lanes>({.m = count, .n = end, .k = dim, .a = dOut, .b = {t.transposed, rows, 1}, .c = d.scores,
                       .stride = rows}, t.panels);
      for (int row = 0; row < count; row++) softmaxBackward<Lanes>(block + row * rows, d.scores + row * rows, end);
      multiply<Lanes>({.m = count, .n = dim, .k = end, .a = {d.scores, rows, 1}, .b = {t.k + key, narrow, 1},
                       .c = d.q + first * wide + query, .stride = wide, .scale = t.scale()}, t.panels);
      multiply<Lanes>({.m = end, .n = dim, .k = count, .a = {d.scores, 1, rows}, .b = {t.q + first * wide + query, wide, 1},
                       .c = d.k + key, .stride = narrow, .add = true, .scale = t.scale()}, t.panels);
      multiply<Lanes>({.m = end, .n = dim, .k = count, .a = {block, 1, rows}, .b = dOut, .c = d.v + key, .stride = narrow,
                       .add = true}, t.panels);
    });
  }
}

}  // namespace claw::train
