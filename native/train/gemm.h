// The product of f32 matrices. Every element is a chain of fused multiply-adds over blocks of kDepth terms, the blocks' sums
// added in order: tiles and threads are not part of the result. Only for sources that use fused multiply-adds.
//
// B is copied, kDepth rows of a few columns at a time, so that a tile reads it in one sweep from the first-level cache; A is
// read in place, a broadcast for each element of a column of the tile (Goto and van de Geijn, 2008).
#pragma once

#include "lanes/lanes.h"

namespace claw::train {

// Element (i, j) at data[i * row + j * column].
struct View {
  const float* data;
  ptrdiff_t row;
  ptrdiff_t column;
};

// C [m][n] = scale * A [m][k] * B [k][n], or C += that. C's rows are `stride` apart.
struct Product {
  int32_t m, n, k;
  View a, b;
  float* c;
  ptrdiff_t stride;
  bool add = false;
  float scale = 1.0f;
};

constexpr int kDepth = 256;     // arithmetic, not tuning: see above
constexpr size_t kPanelFloats = static_cast<size_t>(kDepth) * 64;  // a panel of B, at most

// One tile of C: `Rows` rows, and columns [0, columns) of Lanes::kColumns vectors.
template <class Lanes, int Rows>
CLAW_INLINE void multiplyTile(const View& a, const float* panel, int depth, float* c, ptrdiff_t stride, int columns, bool add,
                              float scale) {
  constexpr int kVectors = Lanes::kColumnVectors;
  typename Lanes::Floats sums[Rows][kVectors];
  lanes::unrolled<Rows>([&](auto r) { lanes::unrolled<kVectors>([&](auto v) { sums[r][v] = Lanes::set(0.0f); }); });
  const float* column = a.data;
  for (int k = 0; k < depth; k++, column += a.column, panel += kVectors * kLaneCount) {
    typename Lanes::Floats b[kVectors];
    lanes::unrolled<kVectors>([&](auto v) { b[v] = Lanes::load(panel + v * kLaneCount); });
    lanes::unrolled<Rows>([&](auto r) {
      const auto value = Lanes::set(column[r * a.row]);
      lanes::unrolled<kVectors>([&](auto v) { sums[r][v] = Lanes::fma(value, b[v], sums[r][v]); });
    });
  }
  const auto factor = Lanes::set(scale);
  lanes::unrolled<Rows>([&](auto r) {
    lanes::unrolled<kVectors>([&](auto v) {
      const int count = columns - v * kLaneCount;
      if (count <= 0) return;
      float* to = c + r * stride + v * kLaneCount;
      auto sum = Lanes::mul(sums[r][v], factor);
      if (count >= kLaneCount) {
        if (add) sum = Lanes::add(Lanes::load(to), sum);
        Lanes::store(to, sum);
      } else {
        if (add) sum = Lanes::add(Lanes::load(to, count), sum);
        Lanes::store(to, sum, count);
      }
    });
  });
}

// Copies B's rows [0, depth) of columns [0, columns) to panel[k][width], zeros beyond.
template <class Lanes>
CLAW_INLINE void copyPanel(const View& b, int depth, int columns, float* panel) {
  constexpr int kWidth = Lanes::kColumnVectors * kLaneCount;
  if (b.column == 1 && columns == kWidth) {
    for (int k = 0; k < depth; k++) {
      lanes::unrolled<Lanes::kColumnVectors>([&](auto v) {
        Lanes::store(panel + k * kWidth + v * kLaneCount, Lanes::load(b.data + k * b.row + v * kLaneCount));
      });
    }
    return;
  }
  if (columns < kWidth) __builtin_memset(panel, 0, sizeof(float) * static_cast<size_t>(depth) * kWidth);
  if (b.column == 1) {
    for (int k = 0; k < depth; k++) {
      for (int j = 0; j < columns; j++) panel[k * kWidth + j] = b.data[k * b.row + j];
    }
    return;
  }
  // Transposed: blocks of rows, so that neither side's lines are evicted half used.
  constexpr int kBlock = 16;
  for (int first = 0; first < depth; first += kBlock) {
    const int end = lanes::smaller(depth, first + kBlock);
    for (int j = 0; j < columns; j++) {
      const float* from = b.data + j * b.column;
      for (int k = first; k < end; k++) panel[k * kWidth + j] = from[k * b.row];
    }
  }
}

template <class Lanes>
CLAW_INLINE void multiplyPanel(const Product& p, const View& a, const float* panel, int depth, float* c, int columns, bool add) {
  constexpr int kRows = Lanes::kTileRows;
  int i = 0;
  for (; i + kRows <= p.m; i += kRows) {
    const View rows = {a.data + i * a.row, a.row, a.column};
    multiplyTile<Lanes, kRows>(rows, panel, depth, c + i * p.stride, p.stride, columns, add, p.scale);
  }
  for (; i < p.m; i++) {
    const View row = {a.data + i * a.row, a.row, a.column};
    multiplyTile<Lanes, 1>(row, panel, depth, c + i * p.stride, p.stride, columns, add, p.scale);
  }
}

// `panels` has kPanelFloats.
template <class Lanes>
void multiply(const Product& p, float* panels) {
  constexpr int kWidth = Lanes::kColumnVectors * kLaneCount;
  for (int k = 0; k < p.k; k += kDepth) {
    const int depth = lanes::smaller(kDepth, p.k - k);
    const bool add = p.add || k > 0;
    const View a = {p.a.data + k * p.a.column, p.a.row, p.a.column};
    for (int j = 0; j < p.n; j += kWidth) {
      const int columns = lanes::smaller(kWidth, p.n - j);
      const View b = {p.b.data + k * p.b.row + j * p.b.column, p.b.row, p.b.column};
      copyPanel<Lanes>(b, depth, columns, panels);
      multiplyPanel<Lanes>(p, a, panels, depth, p.c + j, columns, add);
    }
  }
}

}  // namespace claw::train
