// Sealing and packing of weights: from source rows to the layouts of kernels/kernels.h.
#include "arch/avx2/simd.h"
#include "arch/avx2/table.h"
#include "kernels/dequantize.h"
#include "kernels/i4-multiplier.h"

namespace claw::avx2 {
namespace {

const __m128i* eightAt(const uint8_t* bytes) { return reinterpret_cast<const __m128i*>(bytes); }

// Eight values of one of the plain types.
template <class Extent>
__m256 plainValues(SourceType type, const uint8_t* source, int k, Extent extent) {
  if (type == SourceType::f32) return load(reinterpret_cast<const float*>(source) + k, extent);
  const auto* halves = reinterpret_cast<const uint16_t*>(source) + k;
  if (type == SourceType::f16) return load(halves, extent);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(loadHalfBits(halves, extent)), 16));
}

// Vector i, of four, of a block of 32 values of one of the block types.
__m256 blockValues(SourceType type, const uint8_t* block, int i) {
  uint16_t half;
  __builtin_memcpy(&half, block, sizeof half);
  __m256i q;
  if (type == SourceType::q8_0) {
    q = _mm256_cvtepi8_epi32(_mm_loadl_epi64(eightAt(block + 2 + i * kLanes)));
  } else {
    const __m256i pairs = _mm256_cvtepu8_epi32(_mm_loadl_epi64(eightAt(block + 2 + i % 2 * kLanes)));
    const __m256i nibbles = i < 2 ? _mm256_and_si256(pairs, _mm256_set1_epi32(15)) : _mm256_srli_epi32(pairs, 4);
    q = _mm256_sub_epi32(nibbles, _mm256_set1_epi32(8));
  }
  return _mm256_mul_ps(_mm256_cvtepi32_ps(q), _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half))));
}

// A whole source row to f32; returns the bits of its largest magnitude.
int32_t toFloats(SourceType type, const uint8_t* source, int columns, float* out) {
  __m256i largest = _mm256_setzero_si256();
  const bool blocks = type == SourceType::q8_0 || type == SourceType::q4_0;
  const size_t blockBytes = type == SourceType::q8_0 ? kQ8Bytes : kQ4Bytes;
  eachVector(columns, [&](int k, auto extent) {
    const uint8_t* block = source + static_cast<size_t>(k / kSourceBlock) * blockBytes;
    const __m256 values =
        blocks ? blockValues(type, block, k % kSourceBlock / kLanes) : plainValues(type, source, k, extent);
    largest = _mm256_max_epi32(largest, magnitudesOf(values));
    store(out + k, values, extent);
  });
  return largestLane(largest);
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
  __m128i bad = _mm_setzero_si128();
  eachVector(width, [&](int k, auto extent) {
    __m128i halves = _mm_setzero_si128();
    if (row.values != nullptr) halves = toHalves(load(row.segment(0) + k, extent));
    bad = _mm_or_si128(bad, notFiniteHalves(halves));
    alignas(16) uint16_t each[kLanes];
    _mm_store_si128(reinterpret_cast<__m128i*>(each), halves);
    for (int i = 0; i < smaller(kLanes, width - k); ++i) column[static_cast<size_t>(k + i) * kRowBlock] = each[i];
  });
  row.scale() = row.values == nullptr ? 0.0f : 1.0f;
  return _mm_testz_si128(bad, bad) != 0;
}

// rne(values * factor) for up to 8 values; lanes beyond `rest` are zero.
__m256i quantized(const float* values, int rest, float factor) {
  const __m256 eight = rest >= kLanes ? load(values, Whole{}) : load(values, Part{rest});
  return _mm256_cvtps_epi32(_mm256_mul_ps(eight, _mm256_set1_ps(factor)));
}

// The low bytes of eight lanes.
uint64_t lowBytes(__m256i lanes) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
}

void putWord(uint8_t* to, uint64_t bytes) {
  const uint32_t word = static_cast<uint32_t>(bytes);
  __builtin_memcpy(to, &word, sizeof word);
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
      __m256i q = _mm256_setzero_si256();
      if (!zero) q = quantized(row.segment(segment) + k, matrix.segmentLength - k, reciprocal);
      const uint64_t bytes = lowBytes(_mm256_add_epi32(q, _mm256_set1_epi32(128)));
      putWord(to, bytes);
      putWord(to + kRowBlock * 4, bytes >> 32);
    }
  }
}

// The value of largest magnitude among up to 32, the first of equals.
float extreme(const float* values, int count) {
  constexpr int kVectors = kGroup / kLanes;
  __m256i magnitudes[kVectors];
  __m256i joint = _mm256_setzero_si256();
  for (int i = 0; i < kVectors; ++i) {
    const int rest = count - i * kLanes;
    magnitudes[i] = magnitudesOf(load(values + i * kLanes, Part{rest}));
    joint = _mm256_max_epi32(joint, magnitudes[i]);
  }
  const int32_t largest = largestLane(joint);
  if (largest == 0) return 0.0f;
  uint32_t equal = 0;
  for (int i = 0; i < kVectors; ++i) {
    const __m256i same = _mm256_cmpeq_epi32(magnitudes[i], _mm256_set1_epi32(largest));
    equal |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(same))) << (i * kLanes);
  }
  return values[__builtin_ctz(equal)];
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

// Packs the columns of a group, quantized with `inverse` (0: all zeros), in words of 8 columns: bytes b0 to b7 below 16
// become b0 | b4 << 4 and so on.
void packGroupI4(const float* values, int count, float inverse, int words, uint8_t* to) {
  for (int i = 0; i < words; ++i) {
    __m256i q = _mm256_setzero_si256();
    if (inverse != 0.0f) q = quantized(values + i * kLanes, count - i * kLanes, inverse);
    q = _mm256_max_epi32(_mm256_min_epi32(q, _mm256_set1_epi32(7)), _mm256_set1_epi32(-8));
    const uint64_t nibbles = lowBytes(_mm256_add_epi32(q, _mm256_set1_epi32(8)));
    putWord(to + i * kRowBlock * 4, nibbles | nibbles >> 28);
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
      const float step = zero ? 0.0f : extreme(values, count) / -8.0f;
      const float multiplier = zero ? 0.0f : bestMultiplierI4(values, count, step, scale);
      const float inverse = inverseStepI4(multiplier, scale);
      const int words = smaller(kGroup, matrix.paddedSegment - g * kGroup) / 8;
      *multipliers = static_cast<int8_t>(multiplier);
      packGroupI4(values, count, inverse, words, to);
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
      row.largest = toFloats(task.type, source, matrix.columns, task.scratch);
      row.values = task.scratch;
    }
    if (!packRow(row)) return index + 1;
  }
  return 0;
}

}  // namespace claw::avx2
