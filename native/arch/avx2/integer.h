// The integer products, over the instructions that multiply and add bytes. A set's Dot says
//   kTokens                       tokens of a tile of one row block
// and, for i8 and i4 each, as Dot::I8 and Dot::I4,
//   weights(stored)               eight rows' four columns, made ready
//   start(value)                  a sum that starts at what takes the weights' offset off
//   add(sum, weights, four)       sum += products with the four activations in every lane
// and for i4 multipliers(bytes), of eight rows, and addScaled(sum, dot, multipliers).
#pragma once

#include "arch/avx2/simd.h"
#include "lanes/linear.h"

namespace claw::avx2 {
namespace {

// Vectors of rows in a row block.
constexpr int kHalves = kRowBlock / kLanes;

CLAW_INLINE __m256i broadcast4(const int8_t* values) {
  int32_t word;
  __builtin_memcpy(&word, values, sizeof word);
  return _mm256_set1_epi32(word);
}

CLAW_INLINE __m256i loadBytes(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// sums += the products of four columns: `weights` of each vector of rows, and those at `q` of each token.
template <class Bytes, class Weights, int Vectors, int Tokens>
CLAW_INLINE void addColumns(const Weights (&weights)[Vectors], const int8_t* q, ptrdiff_t stride,
                            __m256i (&sums)[Vectors][Tokens]) {
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m256i four = broadcast4(q + j * stride);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) Bytes::add(sums[i][j], weights[i], four);
  }
}

// leaves += the sums of a group of i8 times the scales of the input and of the rows.
template <int Vectors, int Tokens>
CLAW_INLINE void addToLeaves(const IntegerSegment& at, int group, const float* scales,
                             const __m256i (&sums)[Vectors][Tokens], float* leaves) {
  const float* rowScales = at.rowScales + group * kRowBlock;
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m256 ofInput = _mm256_set1_ps(scales[j * at.scaleStride]);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
      const __m256 ofRows = _mm256_loadu_ps(rowScales + i / kHalves * at.blockScales + i % kHalves * kLanes);
      float* leaf = leaves + (j * Vectors + i) * kLanes;
      const __m256 before = group == 0 ? _mm256_setzero_ps() : _mm256_load_ps(leaf);
      _mm256_store_ps(leaf, _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), ofInput), ofRows, before));
    }
  }
}

template <int Vectors, int Tokens>
CLAW_INLINE void toLeaves(const IntegerSegment& at, int token, const __m256i (&sums)[Vectors][Tokens], float* leaves) {
  const float* scales = at.scales + token * at.scaleStride;
#pragma GCC unroll 8
  for (int j = 0; j < Tokens; ++j) {
    const __m256 ofInput = _mm256_set1_ps(scales[j * at.scaleStride]);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) {
      const __m256 ofRows = _mm256_loadu_ps(at.rowScales + i / kHalves * at.blockScales + i % kHalves * kLanes);
      const __m256 leaf = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), ofInput), ofRows);
      _mm256_store_ps(leaves + (j * Vectors + i) * kLanes, leaf);
    }
  }
}

template <class Dot>
struct I8 {
  using Segment = IntegerSegment;
  using Bytes = typename Dot::I8;

  static constexpr int kTokens = Dot::kTokens;
  static constexpr int kSums = Dot::kTokens;
  static constexpr int kLineColumns = 4;

  static TileShape tileFor(int) { return {1, kTokens}; }

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    constexpr int kVectors = Blocks * kHalves;
    const uint8_t* weights = at.weights;
    const uint8_t* line = weights + request.ahead;
    const int8_t* q = at.q + token * at.qStride;
    const int8_t* end = q + at.padded;
    for (int group = 0; q < end; ++group) {
      __m256i sums[kVectors][Tokens];
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) {
        const __m256i start = Bytes::start(at.starts[(token + j) * at.startStride + group]);
#pragma GCC unroll 8
        for (int i = 0; i < kVectors; ++i) sums[i][j] = start;
      }
      const int8_t* groupEnd = end - q < kScaleGroup ? end : q + kScaleGroup;
      for (; q < groupEnd; q += kLineColumns, weights += kLineBytes, line += request.pace) {
        prefetch<Blocks>(line, at.blockBytes);
        decltype(Bytes::weights(__m256i{})) w[kVectors];
#pragma GCC unroll 8
        for (int i = 0; i < kVectors; ++i) {
          w[i] = Bytes::weights(loadBytes(weights + i / kHalves * at.blockBytes + i % kHalves * 32));
        }
        addColumns<Bytes>(w, q, at.qStride, sums);
      }
      addToLeaves(at, group, at.scales + token * at.scaleStride + group, sums, leaves);
    }
  }
};

template <class Dot>
struct I4 {
  using Segment = IntegerSegment;
  using Bytes = typename Dot::I4;

  static constexpr int kTokens = Dot::kTokens;
  static constexpr int kSums = Dot::kTokens;
  static constexpr int kLineColumns = 8;

  static TileShape tileFor(int) { return {1, kTokens}; }

  // Where a group lies: the first row block's weights and multipliers, the first token's activations and start.
  struct Group {
    const uint8_t* weights;
    const uint8_t* line;  // to request
    const int8_t* multipliers;
    const int8_t* q;
    const int32_t* starts;
  };

  template <int Blocks, int Tokens>
  static void leaf(const Segment& at, int token, Request request, float* leaves) {
    Group group{at.weights, at.weights + request.ahead, at.multipliers, at.q + token * at.qStride,
                at.starts + token * at.startStride};
    __m256i sums[Blocks * kHalves][Tokens];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks * kHalves; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) sums[i][j] = _mm256_setzero_si256();
    }
    for (int k = at.padded; k > 0; k -= kGroup) addGroup<Blocks>(at, group, smallerOf(k, kGroup), request.pace, sums);
    toLeaves(at, token, sums, leaves);
  }

 private:
  template <int Blocks, int Tokens>
  CLAW_INLINE static void addGroup(const Segment& at, Group& group, int columns, ptrdiff_t pace,
                                   __m256i (&sums)[Blocks * kHalves][Tokens]) {
    __m256i dots[Blocks * kHalves][Tokens];
#pragma GCC unroll 8
    for (int j = 0; j < Tokens; ++j) {
      const __m256i start = Bytes::start(group.starts[j * at.startStride]);
#pragma GCC unroll 8
      for (int i = 0; i < Blocks * kHalves; ++i) dots[i][j] = start;
    }
    ++group.starts;
    prefetch<Blocks>(group.multipliers + kMultipliersAhead, at.blockMultipliers);
    for (; columns > 0; columns -= kLineColumns) {
      prefetch<Blocks>(group.line, at.blockBytes);
      group.line += pace;
      addStep<Blocks>(at, group, dots);
      group.weights += kLineBytes;
      group.q += kLineColumns;
    }
    addScaled<Blocks>(at, group.multipliers, dots, sums);
    group.multipliers += kRowBlock;
  }

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addStep(const Segment& at, const Group& group, __m256i (&dots)[Blocks * kHalves][Tokens]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low[Blocks * kHalves];
    __m256i high[Blocks * kHalves];
#pragma GCC unroll 8
    for (int i = 0; i < Blocks * kHalves; ++i) {
      const __m256i packed = loadBytes(group.weights + i / kHalves * at.blockBytes + i % kHalves * 32);
      low[i] = _mm256_and_si256(packed, nibble);
      high[i] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), nibble);
    }
    addColumns<Bytes>(low, group.q, at.qStride, dots);
    addColumns<Bytes>(high, group.q + 4, at.qStride, dots);
  }

  template <int Blocks, int Tokens>
  CLAW_INLINE static void addScaled(const Segment& at, const int8_t* multipliers,
                                    const __m256i (&dots)[Blocks * kHalves][Tokens],
                                    __m256i (&sums)[Blocks * kHalves][Tokens]) {
#pragma GCC unroll 8
    for (int i = 0; i < Blocks * kHalves; ++i) {
      const int8_t* from = multipliers + i / kHalves * at.blockMultipliers + i % kHalves * kLanes;
      const __m256i factor = Bytes::multipliers(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#pragma GCC unroll 8
      for (int j = 0; j < Tokens; ++j) Bytes::addScaled(sums[i][j], dots[i][j], factor);
    }
  }
};

}  // namespace
}  // namespace claw::avx2
