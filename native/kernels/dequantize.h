// Decoding of the source types, as src/tensor/source-codec.ts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace claw {

constexpr int32_t kSourceBlock = 32;  // elements of a Q8_0 or Q4_0 block
constexpr size_t kQ8Bytes = 34;
constexpr size_t kQ4Bytes = 18;

bool isSourceType(int32_t id);
// Elements that `columns` must be a multiple of.
int32_t sourceBlock(SourceType type);
size_t sourceRowBytes(SourceType type, int32_t columns);
void dequantizeRow(SourceType type, const uint8_t* source, float* out, int32_t columns);

}  // namespace claw
