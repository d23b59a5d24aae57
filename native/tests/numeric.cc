// Half floats against a bit-by-bit definition, exp and silu against the libraries' within their stated error.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/half.h"
#include "kernels/numeric.h"
#include "kernels/tree.h"
#include "tests/check.h"

namespace {

using namespace claw;

double valueOfHalf(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

void testEveryHalf() {
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    const auto half = static_cast<uint16_t>(bits);
    if (!isFiniteHalf(half)) {
      const float value = halfToFloat(half);
      CHECK((half & 0x3ff) != 0 ? std::isnan(value) : std::isinf(value));
      continue;
    }
    CHECK(halfToFloat(half) == valueOfHalf(half));
    CHECK(std::signbit(halfToFloat(half)) == ((half & 0x8000) != 0));
    CHECK(floatToHalf(halfToFloat(half)) == half);
  }
}

// Between neighbours: below, at and above the middle.
void testRounding() {
  for (uint16_t half = 0; half < 0x7bff; half++) {
    const double middle = (valueOfHalf(half) + valueOfHalf(static_cast<uint16_t>(half + 1))) / 2;
    const auto at = static_cast<float>(middle);
    CHECK(at == middle);
    const uint16_t even = half % 2 == 0 ? half : static_cast<uint16_t>(half + 1);
    CHECK(floatToHalf(at) == even && floatToHalf(-at) == (even | 0x8000));
    CHECK(floatToHalf(std::nextafterf(at, 0.0f)) == half);
    CHECK(floatToHalf(std::nextafterf(at, 1e9f)) == half + 1);
  }
  CHECK(isFiniteHalf(floatToHalf(65519.996f)) && !isFiniteHalf(floatToHalf(65520.0f)));
  CHECK(!isFiniteHalf(floatToHalf(std::numeric_limits<float>::quiet_NaN())));
}

void testExp() {
  for (float x = -87.0f; x < 88.7f; x += 0.0137f) {
    const double exact = std::exp(static_cast<double>(x));
    CHECK(std::abs(exactExp(x) - exact) <= exact * 0x1p-22);
  }
  CHECK(exactExp(0.0f) == 1.0f && exactExp(-0.0f) == 1.0f);
  CHECK(std::isinf(exactExp(89.0f)) && exactExp(-105.0f) == 0.0f && exactExp(-103.0f) > 0.0f);
  CHECK(std::isnan(exactExp(std::numeric_limits<float>::quiet_NaN())));
  CHECK(silu(0.0f) == 0.0f && silu(-200.0f) == 0.0f && std::isnan(silu(-std::numeric_limits<float>::infinity())));
}

void testRoundEven() {
  CHECK(roundEven(0.5f) == 0.0f && roundEven(1.5f) == 2.0f && roundEven(-2.5f) == -2.0f && roundEven(126.5f) == 126.0f);
}

// Every count of leaves: the same pairs as the recursive definition.
float treeOf(const float* leaves, int32_t first, int32_t end) {
  if (end - first == 1) return leaves[first];
  const int32_t middle = first + (end - first + 1) / 2;
  return treeOf(leaves, first, middle) + treeOf(leaves, middle, end);
}

void testTree() {
  test::Random random(1);
  for (int32_t count = 1; count <= kSegmentsMax; count++) {
    float leaves[kSegmentsMax][kRowBlock];
    float column[kSegmentsMax];
    for (int32_t s = 0; s < count; s++) {
      for (float& leaf : leaves[s]) leaf = random.unit();
      column[s] = leaves[s][5];
    }
    const float expected = treeOf(column, 0, count);
    reduceTree(leaves, 0, count);
    CHECK(leaves[0][5] == expected);
  }
}

}  // namespace

int main() {
  testEveryHalf();
  testRounding();
  testExp();
  testRoundEven();
  testTree();
  return 0;
}
