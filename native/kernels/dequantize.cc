#include "kernels/dequantize.h"

#include <bit>
#include <cstring>

#include "kernels/half.h"

namespace claw {
namespace {

uint16_t readHalf(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof half);
  return half;
}

void dequantizeQ8(const uint8_t* source, float* out, int32_t columns) {
  for (int32_t k = 0; k < columns; k += kSourceBlock, source += kQ8Bytes, out += kSourceBlock) {
    const float scale = halfToFloat(readHalf(source));
    for (int32_t i = 0; i < kSourceBlock; i++) {
      out[i] = static_cast<float>(static_cast<int8_t>(source[2 + i])) * scale;
    }
  }
}

void dequantizeQ4(const uint8_t* source, float* out, int32_t columns) {
  constexpr int32_t half = kSourceBlock / 2;
  for (int32_t k = 0; k < columns; k += kSourceBlock, source += kQ4Bytes, out += kSourceBlock) {
    const float scale = halfToFloat(readHalf(source));
    for (int32_t i = 0; i < half; i++) {
      out[i] = static_cast<float>((source[2 + i] & 15) - 8) * scale;
      out[i + half] = static_cast<float>((source[2 + i] >> 4) - 8) * scale;
    }
  }
}

}  // namespace

bool isSourceType(int32_t id) {
  switch (static_cast<SourceType>(id)) {
    case SourceType::f32:
    case SourceType::f16:
    case SourceType::bf16:
    case SourceType::q8_0:
    case SourceType::q4_0:
      return true;
  }
  return false;
}

int32_t sourceBlock(SourceType type) {
  return type == SourceType::q8_0 || type == SourceType::q4_0 ? kSourceBlock : 1;
}

size_t sourceRowBytes(SourceType type, int32_t columns) {
  const size_t count = static_cast<size_t>(columns);
  switch (type) {
    case SourceType::f32:
      return count * 4;
    case SourceType::q8_0:
      return count / kSourceBlock * kQ8Bytes;
    case SourceType::q4_0:
      return count / kSourceBlock * kQ4Bytes;
    default:
      return count * 2;
  }
}

void dequantizeRow(SourceType type, const uint8_t* source, float* out, int32_t columns) {
  switch (type) {
    case SourceType::f32:
      std::memcpy(out, source, static_cast<size_t>(columns) * 4);
      return;
    case SourceType::f16:
      for (int32_t k = 0; k < columns; k++) out[k] = halfToFloat(readHalf(source + 2 * static_cast<size_t>(k)));
      return;
    case SourceType::bf16:
      for (int32_t k = 0; k < columns; k++) {
        out[k] = std::bit_cast<float>(static_cast<uint32_t>(readHalf(source + 2 * static_cast<size_t>(k))) << 16);
      }
      return;
    case SourceType::q8_0:
      return dequantizeQ8(source, out, columns);
    case SourceType::q4_0:
      return dequantizeQ4(source, out, columns);
  }
}

}  // namespace claw
