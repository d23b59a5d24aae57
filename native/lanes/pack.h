// Sealing and packing of weights: from source rows to the layouts of kernels/kernels.h.
#pragma once

#include "kernels/dequantize.h"
#include "kernels/i4-multiplier.h"
#include "lanes/rotate.h"

namespace claw::lanes {

constexpr int kWordBytes = 4;                        // of a row in one step of the integer layouts
constexpr int kWordStride = kRowBlock * kWordBytes;  // from a row's word to its next one

// Sixteen values of one of the plain types, from element k on.
template <class Lanes, class Extent>
CLAW_INLINE typename Lanes::Floats plainValues(SourceType type, const uint8_t* source, int k, Extent extent) {
  if (type == SourceType::f32) return load<Lanes>(reinterpret_cast<const float*>(source) + k, extent);
  const uint16_t* from = reinterpret_cast<const uint16_t*>(source) + k;
  if (type == SourceType::f16) return load<Lanes>(from, extent);
  return Lanes::fromBits(Lanes::template left<16>(halfBits<Lanes>(from, extent)));
}

// A half (0, 1) of a block of 32 values of one of the block types.
template <class Lanes>
CLAW_INLINE typename Lanes::Floats blockValues(SourceType type, const uint8_t* block, int half) {
  uint16_t bits;
  __builtin_memcpy(&bits, block, sizeof bits);
  const uint16_t scale[kLaneCount] = {bits, bits, bits, bits, bits, bits, bits, bits,
                                      bits, bits, bits, bits, bits, bits, bits, bits};
  const uint8_t* from = block + sizeof bits;
  typename Lanes::Ints q;
  if (type == SourceType::q8_0) {
    q = Lanes::load(reinterpret_cast<const int8_t*>(from) + half * kLaneCount);
  } else {
    const auto pairs = Lanes::load(from);
    q = Lanes::sub(half == 0 ? Lanes::both(pairs, Lanes::set(15)) : Lanes::template right<4>(pairs), Lanes::set(8));
  }
  return Lanes::mul(Lanes::toFloats(q), Lanes::load(scale));
}

// A whole source row to f32; whether all of it is finite.
template <class Lanes>
CLAW_INLINE bool readRow(SourceType type, const uint8_t* source, int columns, float* out) {
  auto largest = Lanes::set(0);
  const auto put = [&](int k, const auto& values, auto extent) {
    largest = Lanes::max(largest, magnitudes<Lanes>(values));
    store<Lanes>(out + k, values, extent);
  };
  if (type == SourceType::q8_0 || type == SourceType::q4_0) {
    const size_t blockBytes = type == SourceType::q8_0 ? kQ8Bytes : kQ4Bytes;
    for (int k = 0; k < columns; k += kSourceBlock, source += blockBytes) {
      put(k, blockValues<Lanes>(type, source, 0), Whole{});
      put(k + kLaneCount, blockValues<Lanes>(type, source, 1), Whole{});
    }
  } else {
    eachVector(columns, [&](int k, auto extent) { put(k, plainValues<Lanes>(type, source, k, extent), extent); });
  }
  return Lanes::largest(largest) < kFirstNotFinite;
}

// One segment of a row on its way into its block.
struct PackedSegment {
  const Matrix& matrix;
  float* values;
  size_t place;  // among the (row block, segment) pairs held
  int lane;      // of the row within its block

  CLAW_INLINE uint8_t* bytes() const { return matrix.weights + place * (matrix.blockBytes() / matrix.held()); }
  CLAW_INLINE uint8_t* words() const { return bytes() + lane * kWordBytes; }
  CLAW_INLINE void setScale(int group, float scale) const {
    matrix.scales[(place * matrix.scalesPerSegment() + group) * kRowBlock + lane] = scale;
  }
};

// False when a value has no finite half.
template <class Lanes>
CLAW_INLINE bool packF16(const PackedSegment& segment) {
  uint16_t* column = reinterpret_cast<uint16_t*>(segment.bytes()) + segment.lane;
  const int length = segment.matrix.segmentLength;
  bool finite = true;
  eachVector(length, [&](int k, auto extent) {
    alignas(32) uint16_t each[kLaneCount];
    if (!Lanes::storeHalves(each, load<Lanes>(segment.values + k, extent))) finite = false;
    for (int i = 0; i < smaller(kLaneCount, length - k); ++i) column[static_cast<size_t>(k + i) * kRowBlock] = each[i];
  });
  return finite;
}

template <class Lanes>
CLAW_INLINE void packI8(const PackedSegment& segment) {
  const Matrix& matrix = segment.matrix;
  uint8_t* to = segment.words();
  for (int g = 0; g < matrix.groups; ++g) {
    const int first = g * kScaleGroup;
    const float* values = segment.values + first;
    const int count = smaller(kScaleGroup, matrix.segmentLength - first);
    const float scale = scaleOf(largestOf<Lanes>(values, count));
    const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
    segment.setScale(g, scale);
    eachVector(count, [&](int k, auto extent) {
      const auto scaled = Lanes::mul(load<Lanes>(values + k, extent), Lanes::set(reciprocal));
      alignas(16) uint32_t each[kLaneCount / kWordBytes];
      Lanes::storeBytes(each, Lanes::add(Lanes::toInts(scaled), Lanes::set(128)));
      const int words = smaller(kLaneCount, matrix.paddedSegment - first - k) / kWordBytes;
      for (int i = 0; i < words; ++i, to += kWordStride) __builtin_memcpy(to, &each[i], kWordBytes);
    });
  }
}

// The values of a group, zero beyond its end.
template <class Lanes>
struct Group {
  typename Lanes::Floats low;
  typename Lanes::Floats high;

  CLAW_INLINE Group(const float* values, int count)
      : low(Lanes::load(values, count)), high(Lanes::load(values + kLaneCount, count - kLaneCount)) {}

  // The value of largest magnitude divided by -8, the first of equals.
  CLAW_INLINE float step(const float* values) const {
    const auto lowBits = magnitudes<Lanes>(low);
    const auto highBits = magnitudes<Lanes>(high);
    const int32_t largest = Lanes::largest(Lanes::max(lowBits, highBits));
    if (largest == 0) return 0.0f / -8.0f;
    const auto wanted = Lanes::set(largest);
    const uint32_t found = Lanes::equal(lowBits, wanted) | Lanes::equal(highBits, wanted) << kLaneCount;
    return values[__builtin_ctz(found)] / -8.0f;
  }
};

// A group quantized with one multiplier, and its error.
template <class Lanes>
struct SealedGroup {
  float multiplier;
  float error;
  typename Lanes::Ints low;
  typename Lanes::Ints high;

  CLAW_INLINE SealedGroup(const Group<Lanes>& group, float chosen, float scale) : multiplier(chosen) {
    const float step = multiplier * scale;
    const float inverse = inverseStepI4(multiplier, scale);
    low = rounded(group.low, inverse);
    high = rounded(group.high, inverse);
    // Values beyond the group's end are zero and their errors +0.
    const auto squares = Lanes::add(squaredError(group.low, low, step), squaredError(group.high, high, step));
    error = Lanes::sum(squares);
  }

  CLAW_INLINE static typename Lanes::Ints rounded(typename Lanes::Floats values, float inverse) {
    const auto q = Lanes::toInts(Lanes::mul(values, Lanes::set(inverse)));
    return Lanes::max(Lanes::min(q, Lanes::set(7)), Lanes::set(-8));
  }
  CLAW_INLINE static typename Lanes::Floats squaredError(typename Lanes::Floats values, typename Lanes::Ints q, float step) {
    const auto error = Lanes::sub(values, Lanes::mul(Lanes::toFloats(q), Lanes::set(step)));
    return Lanes::mul(error, error);
  }
};

// The multiplier of least error among those tried, the first of equals.
template <class Lanes>
CLAW_INLINE SealedGroup<Lanes> sealGroup(const float* values, int count, float scale) {
  const Group<Lanes> group(values, count);
  const float reciprocal = scale == 0.0f ? 0.0f : 1.0f / scale;
  const float step = group.step(values);
  const auto seal = [&](float factor) {
    const float wanted = roundEven((step * factor) * reciprocal);
    return SealedGroup<Lanes>(group, wanted > 127.0f ? 127.0f : wanted < -127.0f ? -127.0f : wanted, scale);
  };
  SealedGroup<Lanes> best = seal(kI4Factors[0]);
  for (size_t i = 1; i < sizeof kI4Factors / sizeof *kI4Factors; ++i) {
    const SealedGroup<Lanes> next = seal(kI4Factors[i]);
    if (next.error < best.error) best = next;
  }
  return best;
}

// Packs the 32 columns of a group in words of 8 columns: bytes b0 to b7 below 16 become b0 | b4 << 4 and so on.
template <class Lanes>
CLAW_INLINE void storeGroup(const SealedGroup<Lanes>& group, int words, uint8_t* to) {
  alignas(32) uint64_t eights[kGroup / 8];
  Lanes::storeBytes(eights, Lanes::add(group.low, Lanes::set(8)));
  Lanes::storeBytes(eights + 2, Lanes::add(group.high, Lanes::set(8)));
  for (int i = 0; i < words; ++i, to += kWordStride) {
    const uint32_t word = static_cast<uint32_t>(eights[i] | eights[i] >> 28);
    __builtin_memcpy(to, &word, kWordBytes);
  }
}

template <class Lanes>
CLAW_INLINE void packI4(const PackedSegment& segment, float largest) {
  const Matrix& matrix = segment.matrix;
  // The largest step of a group is that of the largest magnitude, since division is monotonic.
  const float scale = largest / 8.0f < kTiny ? 0.0f : largest / 8.0f * kI4Headroom / 127.0f;
  segment.setScale(0, scale);
  uint8_t* to = segment.words();
  int8_t* multipliers = matrix.multipliers + segment.place * matrix.groups * kRowBlock + segment.lane;
  for (int first = 0; first < matrix.segmentLength; first += kGroup, multipliers += kRowBlock) {
    const int count = smaller(kGroup, matrix.segmentLength - first);
    const SealedGroup<Lanes> group = sealGroup<Lanes>(segment.values + first, count, scale);
    *multipliers = static_cast<int8_t>(group.multiplier);
    const int words = smaller(kGroup, matrix.paddedSegment - first) / 8;
    storeGroup<Lanes>(group, words, to);
    to += words * kWordStride;
  }
}

// False when a value is or becomes infinite or NaN.
template <class Lanes>
CLAW_INLINE bool packSegment(const PackedSegment& segment) {
  if (segment.matrix.format == Format::f16) return packF16<Lanes>(segment);
  float* values = segment.values;
  const int32_t largest = rotateSegment<Lanes>(values, values, segment.matrix.segmentLength, weightFactor);
  if (largest >= kFirstNotFinite) return false;
  const float magnitude = __builtin_bit_cast(float, largest);
  if (segment.matrix.format == Format::i8) packI8<Lanes>(segment);
  else packI4<Lanes>(segment, magnitude);
  return true;
}

template <class Lanes>
CLAW_INLINE int32_t packBlock(const PackTask& task) {
  const Matrix& matrix = *task.matrix;
  float* values = task.scratch;
  for (int lane = 0; lane < kRowBlock; ++lane) {
    const int row = task.block * kRowBlock + lane;
    if (row >= matrix.rows) {
      __builtin_memset(values, 0, static_cast<size_t>(matrix.columns) * sizeof *values);
    } else {
      const uint8_t* source = task.source + static_cast<size_t>(row) * task.sourceStride;
      if (!readRow<Lanes>(task.type, source, matrix.columns, values)) return row + 1;
    }
    for (int held = 0; held < matrix.held(); ++held) {
      float* segment = values + static_cast<ptrdiff_t>(matrix.segmentFirst + held) * matrix.segmentLength;
      const size_t place = static_cast<size_t>(task.block) * matrix.held() + held;
      if (!packSegment<Lanes>({matrix, segment, place, lane})) return row + 1;
    }
  }
  return 0;
}

}  // namespace claw::lanes
