#include "train/workspace.h"

#include <algorithm>
#include <cstdlib>

namespace claw::train {
namespace {

// Hands out parts of an allocation; without memory it only counts.
class Carver {
 public:
  explicit Carver(float* base) : base_(base) {}
  float* take(size_t count) {
    float* part = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count + kRounding - 1) / kRounding * kRounding;
    return part;
  }
  float* rows(int32_t rows, int32_t width) { return take(static_cast<size_t>(rows) * static_cast<size_t>(width)); }
  size_t used() const { return used_; }

 private:
  static constexpr size_t kRounding = kAlignment / sizeof(float);
  float* base_;
  size_t used_ = 0;
};

Activations carveActivations(const Model& m, Carver* carver) {
  Activations a{};
  const int32_t rows = m.context;
  a.attentionInput = carver->rows(rows, m.width);
  a.q = carver->rows(rows, m.queryWidth());
  a.k = carver->rows(rows, m.kvWidth());
  a.v = carver->rows(rows, m.kvWidth());
  a.probabilities = carver->take(static_cast<size_t>(m.heads) * static_cast<size_t>(rows) * static_cast<size_t>(rows));
  a.attended = carver->rows(rows, m.queryWidth());
  a.middle = carver->rows(rows, m.width);
  a.ffnInput = carver->rows(rows, m.width);
  a.gate = carver->rows(rows, m.ffnWidth);
  a.up = carver->rows(rows, m.ffnWidth);
  a.hidden = carver->rows(rows, m.ffnWidth);
  for (float*& low : a.low) low = carver->rows(rows, m.rank);
  return a;
}

void carve(const Model& m, bool forGradients, bool perExample, Carver* carver, Workspace* w) {
  const int32_t rows = m.context;
  const bool narrow = forGradients && m.keepsNarrow(), own = forGradients && m.keep == Keep::f32;
  w->layers.clear();
  w->narrow.clear();
  for (size_t layer = 0; layer < m.layers.size(); layer++) {
    const size_t before = carver->used();
    Activations a = own || layer == 0 ? carveActivations(m, carver) : w->layers[0];
    if (layer == 0) {
      w->wide = a.attentionInput;
      w->wideCount = carver->used() - before;
    }
    a.input = carver->rows(rows, m.width);
    a.attentionInverses = carver->rows(rows, 1);
    a.ffnInverses = carver->rows(rows, 1);
    w->layers.push_back(a);
    if (narrow) w->narrow.push_back(reinterpret_cast<uint16_t*>(carver->take(w->wideCount / 2)));
  }
  const int32_t widest = std::max({m.width, m.queryWidth(), m.kvWidth(), m.ffnWidth});
  for (float*& wide : w->scratch.wide) wide = carver->rows(rows, widest);
  w->scratch.panels = carver->take(kPanelFloats);
  w->scratch.transposed = carver->rows(rows, m.headDim);
  w->scratch.scores = carver->rows(rows, kQueryBlock);
  w->scratch.low = carver->rows(rows, m.rank);
  w->last = carver->rows(rows, m.width);
  w->lastInverses = carver->rows(rows, 1);
  w->normed = carver->rows(rows, m.width);
  w->gradient = carver->rows(rows, m.width);
  w->dnormed = carver->rows(rows, m.width);
  w->logits = carver->rows(rows, m.vocabulary);
  w->soft = carver->rows(2, m.vocabulary);
  w->example = perExample ? carver->take(m.trainedCount()) : nullptr;
}

}  // namespace

Floats allocateFloats(size_t count) {
  const size_t bytes = (count * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, bytes);
  if (memory != nullptr) __builtin_memset(memory, 0, bytes);
  return Floats(static_cast<float*>(memory));
}

std::unique_ptr<Workspace> Workspace::make(const Model& model, bool forGradients, bool perExample) {
  auto workspace = std::make_unique<Workspace>();
  Carver counter(nullptr);
  carve(model, forGradients, perExample, &counter, workspace.get());
  workspace->memory = allocateFloats(counter.used());
  if (workspace->memory == nullptr) return nullptr;
  Carver carver(workspace->memory.get());
  carve(model, forGradients, perExample, &carver, workspace.get());
  return workspace;
}

}  // namespace claw::train
