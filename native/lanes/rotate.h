// The rotation of a segment (arithmetic.md, "Rotation"), as many vectors at a time as the registers hold.
#pragma once

#include "kernels/rotate.h"
#include "lanes/lanes.h"

namespace claw::lanes {

// Step 2 for distances from Half vectors down to one vector, on vectors in registers.
template <class Lanes, int Half, int Count>
CLAW_INLINE void addAndSubtract(typename Lanes::Floats (&v)[Count]) {
  if constexpr (Half >= 1) {
    unrolled<Count>([&](auto i) {
      if constexpr ((i & Half) == 0) {
        const auto a = v[i];
        const auto b = v[i + Half];
        v[i] = Lanes::add(a, b);
        v[i + Half] = Lanes::sub(a, b);
      }
    });
    addAndSubtract<Lanes, Half / 2>(v);
  }
}

// All distances within a vector; `size` is that of the block where it is shorter than one.
template <class Lanes>
CLAW_INLINE typename Lanes::Floats withinVector(typename Lanes::Floats v, int size) {
  if (size > 8) v = Lanes::template butterfly<8>(v);
  if (size > 4) v = Lanes::template butterfly<4>(v);
  if (size > 2) v = Lanes::template butterfly<2>(v);
  return size > 1 ? Lanes::template butterfly<1>(v) : v;
}

// The distances of `Lanes::kRadix` vectors that lie `stride` apart, for each of the block's runs of them.
template <class Lanes, class Read>
CLAW_INLINE void farPass(float* data, int size, int stride, const Read& read) {
  constexpr int kRadix = Lanes::kRadix;
  for (int run = 0; run < size; run += kRadix * stride) {
    for (int k = run; k < run + stride; k += kLaneCount) {
      typename Lanes::Floats v[kRadix];
      unrolled<kRadix>([&](auto i) { v[i] = read(k + i * stride); });
      addAndSubtract<Lanes, kRadix / 2>(v);
      unrolled<kRadix>([&](auto i) { Lanes::store(data + k + i * stride, v[i]); });
    }
  }
}

// The last distances, from `Count` neighbouring vectors down, and the factor.
template <class Lanes, int Count, class Read, class Write>
CLAW_INLINE void nearPass(int size, float factor, const Read& read, const Write& write) {
  for (int k = 0; k < size; k += Count * kLaneCount) {
    typename Lanes::Floats v[Count];
    unrolled<Count>([&](auto i) { v[i] = read(k + i * kLaneCount); });
    addAndSubtract<Lanes, Count / 2>(v);
    unrolled<Count>([&](auto i) {
      write(k + i * kLaneCount, Lanes::mul(withinVector<Lanes>(v[i], kLaneCount), Lanes::set(factor)));
    });
  }
}

template <class Lanes, class Read, class Write>
CLAW_INLINE void nearPasses(int size, int vectors, float factor, const Read& read, const Write& write) {
  static_assert(Lanes::kRadix == 4 || Lanes::kRadix == 8);
  if constexpr (Lanes::kRadix == 8) {
    if (vectors == 8) return nearPass<Lanes, 8>(size, factor, read, write);
  }
  if (vectors == 4) return nearPass<Lanes, 4>(size, factor, read, write);
  if (vectors == 2) return nearPass<Lanes, 2>(size, factor, read, write);
  nearPass<Lanes, 1>(size, factor, read, write);
}

// Rotates one block of `size` values, a power of two of at least 16. `data` is room for them between the passes.
template <class Lanes, class Read, class Write>
CLAW_INLINE void rotateBlock(float* data, int size, float factor, const Read& read, const Write& write) {
  int vectors = size / kLaneCount;  // in a run that the distances still to come stay within
  if (vectors <= Lanes::kRadix) return nearPasses<Lanes>(size, vectors, factor, read, write);
  const auto readData = [&](int k) { return Lanes::load(data + k); };
  vectors /= Lanes::kRadix;
  farPass<Lanes>(data, size, vectors * kLaneCount, read);
  while (vectors > Lanes::kRadix) {
    vectors /= Lanes::kRadix;
    farPass<Lanes>(data, size, vectors * kLaneCount, readData);
  }
  nearPasses<Lanes>(size, vectors, factor, readData, write);
}

// Steps 2 and 3 on a segment. read(k, Whole or Part) gives the 16 values at k, and each is asked for once before
// data[k] is overwritten; write(k, values, Whole or Part) takes the results, once each. `data` may be what is read and
// written.
template <class Lanes, class Read, class Write>
CLAW_INLINE void transformSegment(float* data, int length, float (*factorOf)(int32_t), const Read& read,
                                  const Write& write) {
  for (int first = 0, size = 0; first < length; first += size) {
    size = rotationBlock(length - first);
    const float factor = factorOf(size);
    if (size < kLaneCount) {
      const Part part{size};
      const auto values = withinVector<Lanes>(read(first, part), size);
      write(first, Lanes::mul(values, Lanes::set(factor)), part);
    } else {
      rotateBlock<Lanes>(
          data + first, size, factor, [&](int k) { return read(first + k, Whole{}); },
          [&](int k, const auto& values) { write(first + k, values, Whole{}); });
    }
  }
}

// The bits of the largest magnitude among so many values.
template <class Lanes>
CLAW_INLINE int32_t largestOf(const float* values, int count) {
  auto largest = Lanes::set(0);
  eachVector(count, [&](int k, auto extent) { largest = Lanes::max(largest, magnitudes<Lanes>(load<Lanes>(values + k, extent))); });
  return Lanes::largest(largest);
}

// The scale of int8 values whose largest magnitude has these bits.
CLAW_INLINE float scaleOf(int32_t largest) {
  const float magnitude = __builtin_bit_cast(float, largest);
  return magnitude < kTiny ? 0.0f : magnitude / 127.0f;
}

// The rotation of the segment at x into `out`, which may be the same; the bits of the largest magnitude of what results.
template <class Lanes>
CLAW_INLINE int32_t rotateSegment(const float* x, float* out, int length, float (*factorOf)(int32_t)) {
  const uint32_t* signs = rotationSigns();
  auto largest = Lanes::set(0);
  const auto read = [&](int k, auto extent) { return Lanes::flip(load<Lanes>(x + k, extent), Lanes::load(signs + k)); };
  const auto write = [&](int k, const auto& values, auto extent) {
    store<Lanes>(out + k, values, extent);
    largest = Lanes::max(largest, magnitudes<Lanes>(values));  // lanes beyond a part were loaded as zeros
  };
  transformSegment<Lanes>(out, length, factorOf, read, write);
  return Lanes::largest(largest);
}

}  // namespace claw::lanes
