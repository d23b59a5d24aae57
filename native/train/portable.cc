// uses-fma: the C library's or, where every processor of the architecture has it, the instruction; training's arithmetic.
// Training where the processor has no vectors that we know: the lanes one after the other, the same bits.
#include "kernels/half.h"
#include "train/example.h"

namespace claw::train {
namespace {

struct Lanes {
  struct Floats {
    float each[kLaneCount];
  };
  struct Mask {
    bool each[kLaneCount];
  };
  using Ints = int32_t;  // only ever all the same here

  static constexpr int kTileRows = 1;
  static constexpr int kColumnVectors = 1;

  template <class Body>
  CLAW_INLINE static Floats map(const Body& body) {
    Floats out;
    for (int i = 0; i < kLaneCount; i++) out.each[i] = body(i);
    return out;
  }

  static Floats load(const float* from) { return map([&](int i) { return from[i]; }); }
  static Floats load(const float* from, int count) { return map([&](int i) { return i < count ? from[i] : 0.0f; }); }
  static void store(float* to, const Floats& a, int count = kLaneCount) {
    for (int i = 0; i < count && i < kLaneCount; i++) to[i] = a.each[i];
  }
  static Floats load(const uint16_t* from) { return map([&](int i) { return halfToFloat(from[i]); }); }
  static bool storeHalves(uint16_t* to, const Floats& a) {
    bool finite = true;
    for (int i = 0; i < kLaneCount; i++) {
      const uint16_t half = floatToHalf(a.each[i]);
      finite = finite && isFiniteHalf(half);
      to[i] = isFiniteHalf(half) ? half : uint16_t{0};
    }
    return finite;
  }
  static Floats set(float a) { return map([&](int) { return a; }); }
  static Ints set(int32_t a) { return a; }
  static Floats add(const Floats& a, const Floats& b) { return map([&](int i) { return a.each[i] + b.each[i]; }); }
  static Floats sub(const Floats& a, const Floats& b) { return map([&](int i) { return a.each[i] - b.each[i]; }); }
  static Floats mul(const Floats& a, const Floats& b) { return map([&](int i) { return a.each[i] * b.each[i]; }); }
  static Floats div(const Floats& a, const Floats& b) { return map([&](int i) { return a.each[i] / b.each[i]; }); }
  static Floats fma(const Floats& a, const Floats& b, const Floats& c) {
    return map([&](int i) { return __builtin_fmaf(a.each[i], b.each[i], c.each[i]); });
  }
  static Floats max(const Floats& a, const Floats& b) {
    return map([&](int i) { return a.each[i] > b.each[i] ? a.each[i] : b.each[i]; });
  }
  static Floats flip(const Floats& a, Ints) { return map([&](int i) { return -a.each[i]; }); }
  static Floats round(const Floats& a) { return map([&](int i) { return __builtin_rintf(a.each[i]); }); }
  static Floats scale(const Floats& a, const Floats& n) {
    return map([&](int i) { return __builtin_ldexpf(a.each[i], static_cast<int>(n.each[i])); });
  }
  static Mask greater(const Floats& a, const Floats& b) {
    Mask mask;
    for (int i = 0; i < kLaneCount; i++) mask.each[i] = a.each[i] > b.each[i];
    return mask;
  }
  static Floats where(const Mask& mask, const Floats& a, const Floats& b) {
    return map([&](int i) { return mask.each[i] ? a.each[i] : b.each[i]; });
  }
  static Floats swapPairs(const Floats& a) { return map([&](int i) { return a.each[i ^ 1]; }); }
  static Floats evenTwice(const Floats& a) { return map([&](int i) { return a.each[i & ~1]; }); }
  static Floats oddTwice(const Floats& a) { return map([&](int i) { return a.each[i | 1]; }); }
  static Floats even(const Floats& low, const Floats& high) {
    return map([&](int i) { return i < kLaneCount / 2 ? low.each[2 * i] : high.each[2 * i - kLaneCount]; });
  }
  static Floats odd(const Floats& low, const Floats& high) {
    return map([&](int i) { return i < kLaneCount / 2 ? low.each[2 * i + 1] : high.each[2 * i + 1 - kLaneCount]; });
  }
  static Floats subAdd(const Floats& a, const Floats& b) {
    return map([&](int i) { return i % 2 == 0 ? a.each[i] - b.each[i] : a.each[i] + b.each[i]; });
  }
  static float sum(Floats a) {
    for (int width = kLaneCount / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; i++) a.each[i] += a.each[i + width];
    }
    return a.each[0];
  }
  static float largest(const Floats& a) {
    float most = a.each[0];
    for (const float value : a.each) most = value > most ? value : most;
    return most;
  }
};

}  // namespace

const Kernels& portableTrainKernels() {
  static constexpr Kernels kernels = makeKernels<Lanes>("portable");
  return kernels;
}

}  // namespace claw::train
