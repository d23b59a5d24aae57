// What a layer does beside products and attention, forward and backward. Only for sources that use fused multiply-adds.
#pragma once

#include "lanes/elementwise.h"
#include "lanes/norm.h"
#include "train/model.h"

namespace claw::train {

// Sums of all lanes, in the arithmetic's order, of body(k, extent) over a row.
template <class Lanes, class Body>
CLAW_INLINE float sumOver(int count, const Body& body) {
  auto sums = Lanes::set(0.0f);
  lanes::eachVector(count, [&](int k, auto extent) { sums = body(k, extent, sums); });
  return Lanes::sum(sums);
}

template <class Lanes>
CLAW_INLINE float inverseRms(const float* x, int width, float epsilon) {
  const float squares = sumOver<Lanes>(width, [&](int k, auto extent, auto sums) {
    const auto values = lanes::load<Lanes>(x + k, extent);
    return Lanes::fma(values, values, sums);
  });
  return 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + epsilon);
}

// out = x * inverse * gain, row by row; keeps each row's inverse.
template <class Lanes>
void normForward(const float* x, const float* gain, float* out, float* inverses, int rows, int width, float epsilon) {
  for (int row = 0; row < rows; row++, x += width, out += width) {
    inverses[row] = inverseRms<Lanes>(x, width, epsilon);
    const auto inverse = Lanes::set(inverses[row]);
    lanes::eachVector(width, [&](int k, auto extent) {
      const auto scaled = Lanes::mul(lanes::load<Lanes>(x + k, extent), inverse);
      lanes::store<Lanes>(out + k, Lanes::mul(scaled, lanes::load<Lanes>(gain + k, extent)), extent);
    });
  }
}

// Adds to dx, and to the gain's gradient unless that is null. With y = x r g and r = (mean(x^2) + e)^(-1/2):
// dx = r (g dy) - x r^3 / width * sum(g dy x).
template <class Lanes>
void normBackward(const float* x, const float* gain, const float* inverses, const float* dy, float* dx, float* dgain, int rows,
                  int width) {
  for (int row = 0; row < rows; row++, x += width, dy += width, dx += width) {
    const float r = inverses[row];
    const float dot = sumOver<Lanes>(width, [&](int k, auto extent, auto sums) {
      const auto scaled = Lanes::mul(lanes::load<Lanes>(gain + k, extent), lanes::load<Lanes>(dy + k, extent));
      return Lanes::fma(scaled, lanes::load<Lanes>(x + k, extent), sums);
    });
    const auto inverse = Lanes::set(r);
    const auto back = Lanes::set(-(dot * r * r * r / static_cast<float>(width)));
    lanes::eachVector(width, [&](int k, auto extent) {
      const auto values = lanes::load<Lanes>(x + k, extent);
      const auto grad = Lanes::mul(lanes::load<Lanes>(dy + k, extent), inverse);
      auto sum = Lanes::fma(grad, lanes::load<Lanes>(gain + k, extent), lanes::load<Lanes>(dx + k, extent));
      sum = Lanes::fma(values, back, sum);
      lanes::store<Lanes>(dx + k, sum, extent);
      if (dgain == nullptr) return;
      lanes::store<Lanes>(dgain + k, Lanes::fma(grad, values, lanes::load<Lanes>(dgain + k, extent)), extent);
    });
  }
}

template <class Lanes>
void rope(float* x, const float* table, int rows, int heads, int headDim) {
  for (int row = 0; row < rows; row++) {
    lanes::ropeRow<Lanes>(x + static_cast<ptrdiff_t>(row) * heads * headDim, table + static_cast<ptrdiff_t>(row) * headDim,
                          heads, headDim, false);
  }
}

// With h = silu(g) u, s = sigmoid(g): dg = dh u s (1 + g (1 - s)), du = dh silu(g).
template <class Lanes>
void siluMulBackward(const float* gate, const float* up, const float* dh, float* dgate, float* dup, int count) {
  const auto one = Lanes::set(1.0f);
  lanes::eachVector(count, [&](int k, auto extent) {
    const auto g = lanes::load<Lanes>(gate + k, extent);
    const auto u = lanes::load<Lanes>(up + k, extent);
    const auto d = lanes::load<Lanes>(dh + k, extent);
    const auto s = Lanes::div(one, Lanes::add(one, lanes::exp<Lanes>(Lanes::flip(g, Lanes::set(INT32_MIN)))));
    const auto slope = Lanes::mul(s, Lanes::fma(g, Lanes::sub(one, s), one));
    lanes::store<Lanes>(dgate + k, Lanes::mul(Lanes::mul(d, u), slope), extent);
    lanes::store<Lanes>(dup + k, Lanes::mul(d, Lanes::mul(g, s)), extent);
  });
}

// Replaces a row by exp(x - max) and returns the largest value and the sum.
struct Normalizer {
  float largest;
  float sum;
};

template <class Lanes>
CLAW_INLINE Normalizer exponentials(float* row, int count) {
  float largest = row[0];
  int k = 0;
  if (count >= kLaneCount) {
    auto most = Lanes::load(row);
    for (k = kLaneCount; k + kLaneCount <= count; k += kLaneCount) most = Lanes::max(most, Lanes::load(row + k));
    largest = Lanes::largest(most);
  }
  for (; k < count; k++) largest = row[k] > largest ? row[k] : largest;
  const auto shift = Lanes::set(largest);
  const float sum = sumOver<Lanes>(count, [&](int i, auto extent, auto sums) {
    lanes::store<Lanes>(row + i, lanes::exp<Lanes>(Lanes::sub(lanes::load<Lanes>(row + i, extent), shift)), extent);
    return Lanes::add(sums, lanes::load<Lanes>(row + i, extent));  // lanes beyond the row load as zeros
  });
  return {largest, sum};
}

template <class Lanes>
CLAW_INLINE void scaleRow(float* row, int count, float factor) {
  const auto f = Lanes::set(factor);
  lanes::eachVector(count, [&](int k, auto extent) {
    lanes::store<Lanes>(row + k, Lanes::mul(lanes::load<Lanes>(row + k, extent), f), extent);
  });
}

// to += factor * from
template <class Lanes>
CLAW_INLINE void addScaled(const float* from, float* to, int count, float factor) {
  const auto f = Lanes::set(factor);
  lanes::eachVector(count, [&](int k, auto extent) {
    lanes::store<Lanes>(to + k, Lanes::fma(f, lanes::load<Lanes>(from + k, extent), lanes::load<Lanes>(to + k, extent)), extent);
  });
}

}  // namespace claw::train
