// Sealing and packing of weights: from source rows to the layouts of kernels/kernels.h.
#include "arch/neon/simd.h"
#include "arch/neon/table.h"
#include "kernels/dequantize.h"
#include "kernels/i4-multiplier.h"

namespace claw::neon {
namespace {

constexpr int kWordBytes = 4;                        // of a row in one step of the integer layouts
constexpr int kWordStride = kRowBlock * kWordBytes;  // from a row's word to its next one

// One matrix row on its way into its block.
struct Row {
  const Matrix& matrix;
  const float* values;  // [columns], or null: a row beyond the matrix, packed as zeros
  int32_t largest;      // bits of the largest magnitude of all columns
  int block;
  int lane;

  uint8_t* weights() const { return matrix.weights + static_cast<size_t>(block) * matrix.blockBytes(); }
  float& scale() const { return matrix.scales[block * kRowBlock + lane]; }
  const float* segment(int held) const {
    return values + static_cast<ptrdiff_t>(matrix.segmentFirst + held) * matrix.segmentLength;
  }
};

// A whole source row to f32.
void readRow(const PackTask& task, int index, float* out) {
  const uint8_t* source = task.source + static_cast<size_t>(index) * task.sourceStride;
  const int columns = task.matrix->columns;
  if (task.type != SourceType::f16) return dequantizeRow(task.type, source, out, columns);
  const uint16_t* halves = reinterpret_cast<const uint16_t*>(source);
  for (int k = 0; k < columns; k += kLanes) store(out + k, columns - k, loadHalves(halves + k, columns - k));
}

// False when a value has no finite half.
bool packF16(const Row& row) {
  uint16_t* column = reinterpret_cast<uint16_t*>(row.weights()) + row.lane;
  const int width = row.matrix.held() * row.matrix.segmentLength;
  bool finite = true;
  for (int k = 0; k < width; k += kLanes) {
    uint16x4_t halves = vdup_n_u16(0);
    if (row.values != nullptr) halves = toHalves(load(row.segment(0) + k, width - k));
    if (anyOf(notFiniteHalves(halves))) finite = false;
    uint16_t each[kLanes];
    vst1_u16(each, halves);
    for (int i = 0; i < smaller(kLanes, width - k); ++i) column[static_cast<size_t>(k + i) * kRowBlock] = each[i];
  }
  row.scale() = row.values == nullptr ? 0.0f : 1.0f;
  return finite;
}

// Packs eight columns in two words.
void storeI8(int8x8_t q, uint8_t* to) {
  uint8_t bytes[2 * kWordBytes];
  vst1_u8(bytes, veor_u8(vreinterpret_u8_s8(q), vdup_n_u8(128)));
  __builtin_memcpy(to, bytes, kWordBytes);
  __builtin_memcpy(to + kWordStride, bytes + kWordBytes, kWordBytes);
}

void packI8(const Row& row) {
  const Matrix& matrix = row.matrix;
  const bool zero = row.values == nullptr || fromBits(row.largest) < kTiny;
  const float scale = zero ? 0.0f : fromBits(row.largest) / 127.0f;
  const float reciprocal = zero ? 0.0f : 1.0f / scale;
  row.scale() = scale;
  uint8_t* to = row.weights() + row.lane * kWordBytes;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    for (int k = 0; k < matrix.paddedSegment; k += 8, to += 2 * kWordStride) {
      int8x8_t q = vdup_n_s8(0);
      if (!zero) q = roundToBytes(row.segment(segment) + k, matrix.segmentLength - k, reciprocal);
      storeI8(q, to);
    }
  }
}

// The value of largest magnitude of a group, the first of equals.
float extreme(const float* values, int count) {
  const int32_t largest = largestMagnitude(values, count);
  for (int k = 0; k < count; ++k) {
    if ((bitsOf(values[k]) & INT32_MAX) == largest) return largest == 0 ? 0.0f : values[k];
  }
  return 0.0f;
}

// Packs eight columns in one word: four in the low halves of its bytes, four in the high ones.
void storeI4(int8x8_t q, uint8_t* to) {
  const int8x8_t limited = vmax_s8(vmin_s8(q, vdup_n_s8(7)), vdup_n_s8(-8));
  const uint32x2_t nibbles = vreinterpret_u32_s8(vadd_s8(limited, vdup_n_s8(8)));
  const uint32_t word = vget_lane_u32(nibbles, 0) | vget_lane_u32(nibbles, 1) << 4;
  __builtin_memcpy(to, &word, kWordBytes);
}

void packI4(const Row& row) {
  const Matrix& matrix = row.matrix;
  // D of the arithmetic: the largest step of a group is that of the largest magnitude, since division is monotonic.
  const float largest = row.values == nullptr ? 0.0f : fromBits(row.largest) / 8.0f;
  const bool zero = largest < kTiny;
  const float scale = zero ? 0.0f : largest / 127.0f;
  row.scale() = scale;
  uint8_t* to = row.weights() + row.lane * kWordBytes;
  int8_t* multipliers = matrix.multipliers + row.lane;
  multipliers += static_cast<size_t>(row.block) * matrix.held() * matrix.groups * kRowBlock;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    for (int g = 0; g < matrix.groups; ++g, multipliers += kRowBlock) {
      const int first = g * kGroup;
      const float* values = zero ? nullptr : row.segment(segment) + first;
      const int count = smaller(kGroup, matrix.segmentLength - first);
      const float step = zero ? 0.0f : extreme(values, count) / -8.0f;
      const float multiplier = zero ? 0.0f : bestMultiplierI4(values, count, step, scale);
      const float inverse = inverseStepI4(multiplier, scale);
      *multipliers = static_cast<int8_t>(multiplier);
      for (int k = 0; k < smaller(kGroup, matrix.paddedSegment - first); k += 8, to += kWordStride) {
        storeI4(multiplier == 0.0f ? vdup_n_s8(0) : roundToBytes(values + k, count - k, inverse), to);
      }
    }
  }
}

bool packRow(const Row& row) {
  if (row.largest >= kNotFiniteBits) return false;
  if (row.matrix.format == Format::f16) return packF16(row);
  if (row.matrix.format == Format::i8) packI8(row);
  else packI4(row);
  return true;
}

}  // namespace

int32_t packBlock(const PackTask& task) {
  const Matrix& matrix = *task.matrix;
  for (int lane = 0; lane < kRowBlock; ++lane) {
    const int index = task.block * kRowBlock + lane;
    Row row{matrix, nullptr, 0, task.block, lane};
    if (index < matrix.rows) {
      readRow(task, index, task.scratch);
      row.values = task.scratch;
      row.largest = largestMagnitude(row.values, matrix.columns);
    }
    if (!packRow(row)) return index + 1;
  }
  return 0;
}

}  // namespace claw::neon
