// EMBED: one row out of a packed matrix.
#include "arch/avx512/simd.h"
#include "arch/avx512/table.h"

namespace claw::avx512 {
namespace {

// Where row `token` begins in its block; its consecutive columns lie kRowBlock elements apart.
struct Row {
  const uint8_t* block;
  int lane;
};

Row rowOf(const Matrix& matrix, int token) {
  return {matrix.weights + static_cast<size_t>(token / kRowBlock) * matrix.blockBytes(), token % kRowBlock};
}

void store(float* out, int count, __m512 values) { _mm512_mask_storeu_ps(out, lanesLeft(count), values); }

void embedF16(const Matrix& matrix, Row row, float* out) {
  const uint16_t* column = reinterpret_cast<const uint16_t*>(row.block) + row.lane;
  const int width = matrix.held() * matrix.segmentLength;
  for (int k = 0; k < width; k += kLanes) {
    alignas(32) uint16_t halves[kLanes] = {};
    for (int i = 0; i < smaller(kLanes, width - k); ++i) halves[i] = column[static_cast<size_t>(k + i) * kRowBlock];
    store(out + k, width - k, loadHalves(halves));
  }
}

// Up to `words` packed 4-byte words of a row from word `first` on; the rest are zero.
template <int Words>
void gatherWords(Row row, size_t first, int words, uint32_t (&into)[Words]) {
  for (int i = 0; i < Words; ++i) into[i] = 0;
  for (int i = 0; i < smaller(Words, words); ++i) {
    __builtin_memcpy(&into[i], row.block + ((first + i) * kRowBlock + row.lane) * 4, 4);
  }
}

void embedI8(const Matrix& matrix, Row row, float scale, float* out) {
  const int words = matrix.paddedSegment / 4;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    float* to = out + static_cast<ptrdiff_t>(segment) * matrix.segmentLength;
    for (int k = 0; k < matrix.segmentLength; k += kLanes) {
      uint32_t four[4];
      gatherWords(row, static_cast<size_t>(segment) * words + k / 4, words - k / 4, four);
      const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(four)));
      const __m512 q = _mm512_cvtepi32_ps(_mm512_sub_epi32(bytes, _mm512_set1_epi32(128)));
      store(to + k, matrix.segmentLength - k, _mm512_mul_ps(q, _mm512_set1_ps(scale)));
    }
  }
}

// Two words hold 16 columns: the low halves of a word's bytes are four columns, the high halves the next four.
__m512i columnsOfI4(const uint32_t (&words)[2]) {
  const uint32_t nibbles[4] = {words[0], words[0] >> 4, words[1], words[1] >> 4};
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m512i q = _mm512_cvtepu8_epi32(_mm_and_si128(bytes, _mm_set1_epi8(15)));
  return _mm512_sub_epi32(q, _mm512_set1_epi32(8));
}

void embedI4(const Matrix& matrix, Row row, const int8_t* multipliers, float scale, float* out) {
  const int words = matrix.paddedSegment / 8;
  for (int segment = 0; segment < matrix.held(); ++segment) {
    float* to = out + static_cast<ptrdiff_t>(segment) * matrix.segmentLength;
    for (int k = 0; k < matrix.segmentLength; k += kLanes) {
      uint32_t two[2];
      gatherWords(row, static_cast<size_t>(segment) * words + k / 8, words - k / 8, two);
      const size_t group = static_cast<size_t>(segment) * matrix.groups + k / kGroup;
      const __m512i multiplier = _mm512_set1_epi32(multipliers[group * kRowBlock + row.lane]);
      const __m512 value = _mm512_cvtepi32_ps(_mm512_mullo_epi32(columnsOfI4(two), multiplier));
      store(to + k, matrix.segmentLength - k, _mm512_mul_ps(value, _mm512_set1_ps(scale)));
    }
  }
}

}  // namespace

void embedRow(const Matrix& matrix, int32_t token, float* out) {
  const Row row = rowOf(matrix, token);
  if (matrix.format == Format::f16) return embedF16(matrix, row, out);
  const float scale = matrix.scales[token];
  if (matrix.format == Format::i8) return embedI8(matrix, row, scale, out);
  const size_t groupsHeld = static_cast<size_t>(matrix.held()) * matrix.groups;
  embedI4(matrix, row, matrix.multipliers + token / kRowBlock * groupsHeld * kRowBlock, scale, out);
}

}  // namespace claw::avx512
