// EMBED: one row out of a packed matrix that holds every segment, and its rotation undone.
#pragma once

#include "lanes/rotate.h"

namespace claw::lanes {

// A segment of a row in its block; consecutive elements or words of the row lie kRowBlock apart.
struct EmbeddedSegment {
  const Matrix& matrix;
  size_t place;  // among the (row block, segment) pairs
  int lane;      // of the row within its block

  CLAW_INLINE const uint8_t* bytes() const { return matrix.weights + place * (matrix.blockBytes() / matrix.segments); }
  // Of the value at column k.
  CLAW_INLINE float scale(int k) const {
    const int group = matrix.format == Format::i8 ? k / kScaleGroup : 0;
    return matrix.scales[(place * matrix.scalesPerSegment() + group) * kRowBlock + lane];
  }
  CLAW_INLINE int multiplier(int group) const {
    return matrix.multipliers[(place * matrix.groups + group) * kRowBlock + lane];
  }
  // The row's packed word of 4 bytes, or 0 where the segment ends before it.
  CLAW_INLINE uint32_t word(int index, int words) const {
    uint32_t found = 0;
    if (index < words) __builtin_memcpy(&found, bytes() + (static_cast<size_t>(index) * kRowBlock + lane) * 4, 4);
    return found;
  }
};

template <class Lanes>
CLAW_INLINE void embedF16(const EmbeddedSegment& segment, float* out) {
  const uint16_t* column = reinterpret_cast<const uint16_t*>(segment.bytes()) + segment.lane;
  const int length = segment.matrix.segmentLength;
  eachVector(length, [&](int k, auto extent) {
    alignas(32) uint16_t halves[kLaneCount] = {};
    for (int i = 0; i < smaller(kLaneCount, length - k); ++i) halves[i] = column[static_cast<size_t>(k + i) * kRowBlock];
    store<Lanes>(out + k, Lanes::load(halves), extent);
  });
}

// The 16 integers from column k on.
template <class Lanes>
CLAW_INLINE typename Lanes::Ints integersI8(const EmbeddedSegment& segment, int k) {
  const int words = segment.matrix.paddedSegment / 4;
  uint32_t four[4];
  for (int i = 0; i < 4; ++i) four[i] = segment.word(k / 4 + i, words);
  return Lanes::sub(Lanes::load(reinterpret_cast<const uint8_t*>(four)), Lanes::set(128));
}

// Two words hold 16 columns: the low halves of a word's bytes are four columns, the high halves the next four.
template <class Lanes>
CLAW_INLINE typename Lanes::Ints integersI4(const EmbeddedSegment& segment, int k) {
  const int words = segment.matrix.paddedSegment / 8;
  const uint32_t first = segment.word(k / 8, words);
  const uint32_t second = segment.word(k / 8 + 1, words);
  const uint32_t nibbles[4] = {first, first >> 4, second, second >> 4};
  const auto bytes = Lanes::load(reinterpret_cast<const uint8_t*>(nibbles));
  const auto q = Lanes::sub(Lanes::both(bytes, Lanes::set(15)), Lanes::set(8));
  return Lanes::mul(q, Lanes::set(segment.multiplier(k / kGroup)));
}

template <class Lanes, class Integers>
CLAW_INLINE void embedInteger(const EmbeddedSegment& segment, float* out, const Integers& integersAt) {
  const uint32_t* signs = rotationSigns();
  const int length = segment.matrix.segmentLength;
  eachVector(length, [&](int k, auto extent) {
    store<Lanes>(out + k, Lanes::mul(Lanes::toFloats(integersAt(k)), Lanes::set(segment.scale(k))), extent);
  });
  const auto read = [&](int k, auto extent) { return load<Lanes>(out + k, extent); };
  const auto write = [&](int k, const auto& values, auto extent) {
    store<Lanes>(out + k, Lanes::flip(values, Lanes::load(signs + k)), extent);
  };
  // The factor of the activations is the inverse of the weights' one.
  transformSegment<Lanes>(out, length, activationFactor, read, write);
}

template <class Lanes>
CLAW_INLINE void embedRow(const Matrix& matrix, int32_t token, float* out) {
  for (int s = 0; s < matrix.segments; ++s, out += matrix.segmentLength) {
    const size_t place = static_cast<size_t>(token / kRowBlock) * matrix.segments + s;
    const EmbeddedSegment segment{matrix, place, token % kRowBlock};
    if (matrix.format == Format::f16) embedF16<Lanes>(segment, out);
    else if (matrix.format == Format::i8) embedInteger<Lanes>(segment, out, [&](int k) { return integersI8<Lanes>(segment, k); });
    else embedInteger<Lanes>(segment, out, [&](int k) { return integersI4<Lanes>(segment, k); });
  }
}

}  // namespace claw::lanes
