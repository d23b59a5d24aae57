// Sealing and packing of weights: from source rows to the layouts of kernels/kernels.h.
#include "arch/avx512/simd.h"
#include "arch/avx512/table.h"
#include "kernels/i4-multiplier.h"

namespace claw::avx512 {
namespace {

constexpr int kBlockValues = 32;  // values in a Q8_0 or Q4_0 block
constexpr int kQ8Bytes = 34;
constexpr int kQ4Bytes = 18;

__m512 blockScale(const uint8_t* block) {
  uint16_t half;
  __builtin_memcpy(&half, block, sizeof half);
  return _mm512_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))));
}

const __m128i* vectorAt(const uint8_t* bytes) { return reinterpret_cast<const __m128i*>(bytes); }

// Sixteen values of one of the plain types.
__m512 plainValues(SourceType type, const uint8_t* source, int k, __mmask16 lanes) {
  if (type == SourceType::f32) return _mm512_maskz_loadu_ps(lanes, source + static_cast<size_t>(k) * 4);
  const __m256i halves = _mm256_maskz_loadu_epi16(lanes, source + static_cast<size_t>(k) * 2);
  if (type == SourceType::f16) return _mm512_cvtph_ps(halves);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// Both halves of a block of 32 values of one of the block types.
void blockValues(SourceType type, const uint8_t* source, int block, __m512 (&values)[2]) {
  __m512i q[2];
  const bool q8 = type == SourceType::q8_0;
  const uint8_t* from = source + static_cast<size_t>(block) * (q8 ? kQ8Bytes : kQ4Bytes);
  if (q8) {
    q[0] = _mm512_cvtepi8_epi32(_mm_loadu_si128(vectorAt(from + 2)));
    q[1] = _mm512_cvtepi8_epi32(_mm_loadu_si128(vectorAt(from + 18)));
  } else {
    const __m512i pairs = _mm512_cvtepu8_epi32(_mm_loadu_si128(vectorAt(from + 2)));
    q[0] = _mm512_sub_epi32(_mm512_and_si512(pairs, _mm512_set1_epi32(15)), _mm512_set1_epi32(8));
    q[1] = _mm512_sub_epi32(_mm512_srli_epi32(pairs, 4), _mm512_set1_epi32(8));
  }
  for (int i = 0; i < 2; ++i) values[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(q[i]), blockScale(from));
}

// A whole source row to f32; returns the bits of its largest magnitude.
int32_t dequantizeRow(SourceType type, const uint8_t* source, int columns, float* out) {
  __m512i largest = _mm512_setzero_si512();
  const auto put = [&](int k, __mmask16 lanes, __m512 values) {
    largest = _mm512_max_epi32(largest, magnitudesOf(values));
    _mm512_mask_storeu_ps(out + k, lanes, values);
  };
  if (type == SourceType::q8_0 || type == SourceType::q4_0) {
    for (int k = 0; k < columns; k += kBlockValues) {
      __m512 values[2];
      blockValues(type, source, k / kBlockValues, values);
      put(k, 0xffff, values[0]);
      put(k + kLanes, 0xffff, values[1]);
    }
  } else {
    for (int k = 0; k < columns; k += kLanes) {
      const __mmask16 lanes = lanesLeft(columns - k);
      put(k, lanes, plainValues(type, source, k, lanes));
    }
  }
  return _mm512_reduce_max_epi32(largest);
}

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

// False when a value has no finite half.
bool packF16(const Row& row) {
  uint16_t* column = reinterpret_cast<uint16_t*>(row.weights()) + row.lane;
  const int width = row.matrix.held() * row.matrix.segmentLength;
  bool finite = true;
  for (int k = 0; k < width; k += kLanes) {
    const __mmask16 lanes = lanesLeft(width - k);
    __m256i halves = _mm256_setzero_si256();
    if (row.values != nullptr) halves = toHalves(_mm512_maskz_loadu_ps(lanes, row.segment(0) + k));
    if (notFiniteHalves(halves) != 0) finite = false;
    alignas(32) uint16_t each[kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(each), halves);
    for (int i = 0; i < smaller(kLanes, width - k); ++i) column[static_cast<size_t>(k + i) * kRowBlock] = each[i];
  }
  row.scale() = row.values == nullptr ? 0.0f : 1.0f;
  return finite;
}

// rne(values * factor) for up to 16 values; lanes beyond `rest` are zero.
__m512i quantized(const float* values, int rest, float factor) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(lanesLeft(rest), values), _mm512_set1_ps(factor)));
}

// Stores up to `words` 4-byte words of a row, one in each of the block's 64-byte steps.
void scatterWords(__m128i bytes, int words, uint8_t* to) {
  alignas(16) uint32_t each[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(each), bytes);
  for (int i = 0; i < smaller(4, words); ++i) __builtin_memcpy(to + i * kRowBlock * 4, &each[i], 4);
}

void packI8(const Row& row) {
  const Matrix& matrix = row.matrix;
  const bool zero = row.values == nullptr || fromBits(row.largest) < kTiny;
  const float scale = zero ? 0.0f : fromBits(row.largest) / 127.0f;
  const float reciprocal = zero ? 0.0f : 1.0f / scale;
  row.scale() = scale;
  uint8_t* to = row.weights() + row.lane * 4;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    for (int k = 0; k < matrix.paddedSegment; k += kLanes, to += kLanes * kRowBlock) {
      __m512i q = _mm512_setzero_si512();
      const int rest = matrix.segmentLength - k;
      if (!zero && rest > 0) q = quantized(row.segment(segment) + k, rest, reciprocal);
      const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(q, _mm512_set1_epi32(128)));
      scatterWords(bytes, (matrix.paddedSegment - k) / 4, to);
    }
    to -= static_cast<ptrdiff_t>((kLanes - matrix.paddedSegment % kLanes) % kLanes) * kRowBlock;
  }
}

// The value of largest magnitude among up to 32, the first of equals.
float extreme(const float* values, int count) {
  __m512i magnitudes[2];
  for (int i = 0; i < 2; ++i) {
    const int rest = count - i * kLanes;
    magnitudes[i] = _mm512_setzero_si512();
    if (rest > 0) magnitudes[i] = magnitudesOf(_mm512_maskz_loadu_ps(lanesLeft(rest), values + i * kLanes));
  }
  const int32_t largest = _mm512_reduce_max_epi32(_mm512_max_epi32(magnitudes[0], magnitudes[1]));
  if (largest == 0) return 0.0f;
  const __m512i wanted = _mm512_set1_epi32(largest);
  const uint32_t low = _mm512_cmpeq_epi32_mask(magnitudes[0], wanted);
  const uint32_t high = _mm512_cmpeq_epi32_mask(magnitudes[1], wanted);
  return values[__builtin_ctz(low | high << kLanes)];
}

int groupLength(const Matrix& matrix, int group) { return smaller(kGroup, matrix.segmentLength - group * kGroup); }

// D of the arithmetic: the largest step, a group's extreme divided by -8, over the groups of the whole row.
float largestStep(const Row& row) {
  float largest = 0.0f;
  for (int segment = 0; segment < row.matrix.segments; ++segment) {
    const float* values = row.values + static_cast<ptrdiff_t>(segment) * row.matrix.segmentLength;
    for (int g = 0; g < row.matrix.groups; ++g) {
      const float step = __builtin_fabsf(extreme(values + g * kGroup, groupLength(row.matrix, g)) / -8.0f);
      if (step > largest) largest = step;
    }
  }
  return largest;
}

int roundToInt(float value) { return _mm_cvtss_si32(_mm_set_ss(value)); }

// A group's 32 values (0 beyond the segment's end) quantized with one multiplier, and their error.
struct GroupI4 {
  int multiplier;
  float error;
  __m512i q[2];
};

GroupI4 quantizeGroupI4(const __m512 (&values)[2], int multiplier, float scale) {
  const float step = static_cast<float>(multiplier) * scale;
  const __m512 inverse = _mm512_set1_ps(step == 0.0f ? 0.0f : 1.0f / step);
  GroupI4 group;
  group.multiplier = multiplier;
  __m512 lanes = _mm512_setzero_ps();
  for (int i = 0; i < 2; ++i) {
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(values[i], inverse));
    group.q[i] = _mm512_max_epi32(_mm512_min_epi32(rounded, _mm512_set1_epi32(7)), _mm512_set1_epi32(-8));
    const __m512 denoted = _mm512_mul_ps(_mm512_cvtepi32_ps(group.q[i]), _mm512_set1_ps(step));
    const __m512 error = _mm512_sub_ps(values[i], denoted);
    lanes = _mm512_add_ps(lanes, _mm512_mul_ps(error, error));  // missing values are 0 and their errors +0
  }
  group.error = sumLanes(lanes);
  return group;
}

// The multiplier of least error among those tried, the first of equals.
GroupI4 sealGroupI4(const float* values, int count, float scale) {
  const float reciprocal = 1.0f / scale;
  const float step = extreme(values, count) / -8.0f;
  const __m512 loaded[2] = {
      _mm512_maskz_loadu_ps(lanesLeft(count), values),
      count > kLanes ? _mm512_maskz_loadu_ps(lanesLeft(count - kLanes), values + kLanes) : _mm512_setzero_ps()};
  GroupI4 best{};
  int tried = 0;
  for (const float factor : kI4Factors) {
    const int wanted = roundToInt((step * factor) * reciprocal);
    const int multiplier = wanted > 127 ? 127 : wanted < -127 ? -127 : wanted;
    const GroupI4 group = quantizeGroupI4(loaded, multiplier, scale);
    if (tried++ == 0 || group.error < best.error) best = group;
  }
  return best;
}

// Packs the 32 columns of a group in words of 8 columns.
void packGroupI4(const GroupI4& group, int words, uint8_t* to) {
  alignas(16) uint8_t nibbles[kGroup];
  for (int i = 0; i < 2; ++i) {
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(group.q[i], _mm512_set1_epi32(8)));
    _mm_store_si128(reinterpret_cast<__m128i*>(nibbles + i * kLanes), bytes);
  }
  for (int i = 0; i < words; ++i) {
    uint32_t low;
    uint32_t high;
    __builtin_memcpy(&low, nibbles + i * 8, 4);
    __builtin_memcpy(&high, nibbles + i * 8 + 4, 4);
    const uint32_t word = low | high << 4;
    __builtin_memcpy(to + i * kRowBlock * 4, &word, 4);
  }
}

void packI4(const Row& row) {
  const Matrix& matrix = row.matrix;
  const float largest = row.values == nullptr ? 0.0f : largestStep(row);
  const bool zero = largest < kTiny;
  const float scale = zero ? 0.0f : largest / 127.0f;
  row.scale() = scale;
  uint8_t* to = row.weights() + row.lane * 4;
  int8_t* multipliers = matrix.multipliers + row.lane;
  multipliers += static_cast<size_t>(row.block) * matrix.held() * matrix.groups * kRowBlock;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    for (int g = 0; g < matrix.groups; ++g, multipliers += kRowBlock) {
      const int count = groupLength(matrix, g);
      const float* values = row.values == nullptr ? nullptr : row.segment(segment) + g * kGroup;
      const GroupI4 group = zero ? GroupI4{0, 0.0f, {_mm512_setzero_si512(), _mm512_setzero_si512()}}
                                 : sealGroupI4(values, count, scale);
      const int words = smaller(kGroup, matrix.paddedSegment - g * kGroup) / 8;
      *multipliers = static_cast<int8_t>(group.multiplier);
      packGroupI4(group, words, to);
      to += words * kRowBlock * 4;
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
      const uint8_t* source = task.source + static_cast<size_t>(index) * task.sourceStride;
      row.largest = dequantizeRow(task.type, source, matrix.columns, task.scratch);
      row.values = task.scratch;
    }
    if (!packRow(row)) return index + 1;
  }
  return 0;
}

}  // namespace claw::avx512
