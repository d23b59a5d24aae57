// The kernels that do not multiply matrices, written once for every instruction set over the arithmetic's own 16 lanes.
//
// Each set has a `struct Lanes` in native/arch/<set>/lanes.h, in an unnamed namespace: what a template of this folder
// becomes for it has internal linkage, so that no copy compiled for one processor can serve another.
//
//   Floats, Ints, Mask        16 f32, 16 int32, a choice of lanes; first(count) chooses the first `count`
//   load, store               16 elements, or `count` of them where one is given: none where it is not positive, and 16
//                             beyond that; missing lanes load as +0. Halves widen to f32, bytes to int32
//   halfBits                  16 uint16_t as they are, as int32
//   storeHalves               16 values rounded to half, ties to even, zero where that is not finite; whether all were
//   storeBytes                the low byte of each lane
//   set, add, ... fma         f32 or int32 operations; fma only from sources that say that they use it
//   max, largest (f32)        of values that are not NaN
//   flip                      xor of sign bits
//   round, toInts             to the nearest integer, ties to even
//   scale(a, n)               a * 2^n rounded once, for a from 1/2 to 2 and whole n from -151 to 128
//   where(mask, a, b)         a in the chosen lanes, b in the others
//   both, left, right         bitwise and; logical shifts
//   equal(a, b)               bit i: whether lanes i are equal
//   sum, largest              of all lanes; f32 sums in the arithmetic's order
//   butterfly<d>              pairs (a, b) of lanes at distance d become (a + b, a - b)
//   subAdd(a, b)              a - b in even lanes, a + b in odd ones
//   swapPairs, evenTwice, oddTwice    lanes 1 0 3 2 ..., 0 0 2 2 ..., 1 1 3 3 ...
//   even, odd                 the elements of one parity of 32 in two vectors
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernels.h"

namespace claw {

constexpr int kLaneCount = 16;

namespace lanes {

// How much of a vector a row still has: all of it, or the first `count` lanes. Masked accesses are slow on some
// processors, so that only the last vector of a row makes them.
struct Whole {};
struct Part {
  int count;
};

template <class Lanes, class T>
CLAW_INLINE auto load(const T* from, Whole) {
  return Lanes::load(from);
}
template <class Lanes, class T>
CLAW_INLINE auto load(const T* from, Part part) {
  return Lanes::load(from, part.count);
}
template <class Lanes>
CLAW_INLINE typename Lanes::Ints halfBits(const uint16_t* from, Whole) {
  return Lanes::halfBits(from);
}
template <class Lanes>
CLAW_INLINE typename Lanes::Ints halfBits(const uint16_t* from, Part part) {
  return Lanes::halfBits(from, part.count);
}
template <class Lanes>
CLAW_INLINE void store(float* to, typename Lanes::Floats values, Whole) {
  Lanes::store(to, values);
}
template <class Lanes>
CLAW_INLINE void store(float* to, typename Lanes::Floats values, Part part) {
  Lanes::store(to, values, part.count);
}

// body(k, Whole or Part) for each vector of a row of `count` elements.
template <class Body>
CLAW_INLINE void eachVector(int count, const Body& body) {
  int k = 0;
  for (; k + kLaneCount <= count; k += kLaneCount) body(k, Whole{});
  if (k < count) body(k, Part{count - k});
}

// body(0), body(1), ... as constants: an array that is indexed by a variable anywhere lives in memory everywhere.
template <int Count, class Body>
CLAW_INLINE void unrolled(const Body& body) {
  [&]<int... Index>(std::integer_sequence<int, Index...>) {
    (body(std::integral_constant<int, Index>{}), ...);
  }(std::make_integer_sequence<int, Count>{});
}

template <class Lanes>
CLAW_INLINE typename Lanes::Ints magnitudes(typename Lanes::Floats values) {
  return Lanes::both(Lanes::bits(values), Lanes::set(INT32_MAX));
}

constexpr float kTiny = 0x1p-100f;                   // magnitudes below it scale to zero
constexpr int32_t kFirstNotFinite = 0x7f800000;  // magnitude bits from here on are infinite or NaN

CLAW_INLINE int smaller(int a, int b) { return a < b ? a : b; }

}  // namespace lanes
}  // namespace claw
