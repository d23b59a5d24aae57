// The portable kernels, one file per noun; scalar.cc gathers them in a table.
#pragma once

#include "kernels/kernels.h"

namespace claw::scalar {

void linear(const LinearTask& task);
int32_t quantizeSegment(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch);
int32_t rmsNormRow(const float* x, const float* gain, float epsilon, float* out, int32_t width);
void embedRow(const Matrix& matrix, int32_t token, float* out);
void ropeRow(float* row, const float* table, int32_t heads, int32_t headDim, bool halves);
void siluMul(const float* gate, const float* up, float* out, int32_t count);
void add(const float* a, const float* b, float* out, int32_t count);
int32_t storeKv(const KvCache& kv, const KvPlace& place, const float* k, const float* v);
void attendChunk(const AttentionTask& task, int32_t chunk, const AttentionSums& sums);
void foldChunk(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range);
void finishAttention(const AttentionTask& task, const AttentionSums& folded, QueryRange range);
void adaptDown(const float* x, const float* a, int32_t length, int32_t rank, float* leaves);
void adaptUp(const float* roots, const float* b, ptrdiff_t stride, int32_t rank, float* out, int32_t count);
int32_t packBlock(const PackTask& task);

}  // namespace claw::scalar
