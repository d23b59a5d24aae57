// A layer, forward and backward. Only for sources that use fused multiply-adds.
#pragma once

#include "train/attention.h"

namespace claw::train {

// The places of what a layer's adapters compute between their two matrices.
enum Low { kLowQ, kLowK, kLowV, kLowOutput, kLowGate, kLowUp, kLowDown, kLowCount };

// What a layer's backward pass reads of its forward pass; each [rows][width of the thing].
struct Activations {
  float* input;  // the residual stream as it enters
  float* attentionInverses;
  float* attentionInput;
  float* q;
  float* k;
  float* v;
  float* probabilities;
  float* attended;
  float* middle;  // the residual stream between attention and feed-forward
  float* ffnInverses;
  float* ffnInput;
  float* gate;
  float* up;
  float* hidden;
  float* low[kLowCount];  // [rows][rank]
};

// Scratch of the passes, shared by all layers.
struct Scratch {
  float* panels;
  float* transposed;  // [headDim][rows]
  float* scores;      // [kQueryBlock][rows]
  float* wide[4];     // [rows][the widest of a layer]
  float* low;         // [rows][rank]
};

struct LinearArrays {
  const Tensors* tensors;
  const LinearPlace* place;
  int32_t rows;
  const float* x;
  float* low;
  float* panels;


  CLAW_INLINE const float* adapter(int32_t at) const { return tensors->adapters + at; }
};

// y = x W^T, or y += that.
template <class Lanes>
void linearForward(const LinearArrays& t, float* y, bool add) {
  const auto [weight, down, up, out, in] = *t.place;
  multiply<Lanes>({.m = t.rows, .n = out, .k = in, .a = {t.x, in, 1}, .b = {t.tensors->at(weight), 1, in}, .c = y,
                   .stride = out, .add = add}, t.panels);
  if (down < 0) return;
  const int rank = t.tensors->model->rank;
  multiply<Lanes>({.m = t.rows, .n = rank, .k = in, .a = {t.x, in, 1}, .b = {t.adapter(down), 1, in}, .c = t.low,
                   .stride = rank}, t.panels);
  multiply<Lanes>({.m = t.rows, .n = out, .k = rank, .a = {t.low, rank, 1}, .b = {t.adapter(up), 1, rank}, .c = y,
                   .stride = out, .add = true, .scale = t.tensors->model->adapterScale}, t.panels);
}

// dx = dy W, or dx += that, and the gradients of what is trained. `dlow` is scratch.
template <class Lanes>
void linearBackward(const LinearArrays& t, const float* dy, float* dx, bool add, float* dlow) {
  const auto [weight, down, up, out, in] = *t.place;
  multiply<Lanes>({.m = t.rows, .n = in, .k = out, .a = {dy, out, 1}, .b = {t.tensors->at(weight), in, 1}, .c = dx,
                   .stride = in, .add = add}, t.panels);
  if (float* dw = t.tensors->gradientAt(weight)) {
    multiply<Lanes>({.m = out, .n = in, .k = t.rows, .a = {dy, 1, out}, .b = {t.x, in, 1}, .c = dw, .stride = in, .add = true},
                    t.panels);
  }
  if (down < 0) return;
  const Model& model = *t.tensors->model;
  const int rank = model.rank;
  multiply<Lanes>({.m = t.rows, .n = rank, .k = out, .a = {dy, out, 1}, .b = {t.adapter(up), rank, 1}, .c = dlow,
                   .stride = rank, .scale = model.adapterScale}, t.panels);
  multiply<Lanes>({.m = out, .n = rank, .k = t.rows, .a = {dy, 1, out}, .b = {t.low, rank, 1},
                   .c = t.tensors->gradient + up, .stride = rank, .add = true, .scale = model.adapterScale}, t.panels);
  multiply<Lanes>({.m = t.rows, .n = in, .k = rank, .a = {dlow, rank, 1}, .b = {t.adapter(down), in, 1}, .c = dx,
                   .stride = in, .add = true}, t.panels);
  if (!model.trainDown) return;
  multiply<Lanes>({.m = rank, .n = in, .k = t.rows, .a = {dlow, 1, rank}, .b = {t.x, in, 1},
                   .c = t.tensors->gradient + down, .stride = in, .add = true}, t.panels);
}

struct LayerTask {
  const Tensors* tensors;
  const LayerPlaces* places;
  int32_t rows;
  Activations kept;
  Scratch scratch;

  CLAW_INLINE LinearArrays linear(const LinearPlace& place, const float* x, Low low) const {
    return {tensors, &place, rows, x, kept.low[low], scratch.panels};
  }
  CLAW_INLINE AttentionArrays attention() const {
    return {tensors->model, rows, kept.q, kept.k, kept.v, kept.probabilities, scratch.transposed, scratch.panels};
  }
  CLAW_INLINE size_t count(int32_t width) const { return static_cast<size_t>(rows) * static_cast<size_t>(width); }
};

// `out`: [rows][width], the residual stream as it leaves; null where it is known already.
template <class Lanes>
void layerForward(const LayerTask& t, float* out) {
  const Model& m = *t.tensors->model;
  const LayerPlaces& p = *t.places;
  const Activations& a = t.kept;
  normForward<Lanes>(a.input, t.tensors->at(p.attentionNorm), a.attentionInput, a.attentionInverses, t.rows, m.width, m.epsilon);
  linearForward<Lanes>(t.linear(p.q, a.attentionInput, kLowQ), a.q, false);
  linearForward<Lanes>(t.linear(p.k, a.attentionInput, kLowK), a.k, false);
  linearForward<Lanes>(t.linear(p.v, a.attentionInput, kLowV), a.v, false);
  rope<Lanes>(a.q, t.tensors->rope.forward, t.rows, m.heads, m.headDim);
  rope<Lanes>(a.k, t.tensors->rope.forward, t.rows, m.kvHeads, m.headDim);
  attentionForward<Lanes>(t.attention(), a.attended);
  __builtin_memcpy(a.middle, a.input, sizeof(float) * t.count(m.width));
  linearForward<Lanes>(t.linear(p.output, a.attended, kLowOutput), a.middle, true);
  normForward<Lanes>(a.middle, t.tensors->at(p.ffnNorm), a.ffnInput, a.ffnInverses, t.rows, m.width, m.epsilon);
  linearForward<Lanes>(t.linear(p.gate, a.ffnInput, kLowGate), a.gate, false);
  linearForward<Lanes>(t.linear(p.up, a.ffnInput, kLowUp), a.up, false);
  lanes::siluMul<Lanes>(a.gate, a.up, a.hidden, static_cast<int32_t>(t.count(m.ffnWidth)));
  if (out == nullptr) return;
  __builtin_memcpy(out, a.middle, sizeof(float) * t.count(m.width));
  linearForward<Lanes>(t.linear(p.down, a.hidden, kLowDown), out, true);
}

// dx: the gradient of the residual stream as it leaves; becomes that of what entered.
template <class Lanes>
void ffnBackward(const LayerTask& t, float* dx) {
  const Model& m = *t.tensors->model;
  const LayerPlaces& p = *t.places;
  const Activations& a = t.kept;
  auto [dhidden, dgate, dup, dinput] = t.scratch.wide;
  linearBackward<Lanes>(t.linear(p.down, a.hidden, kLowDown), dx, dhidden, false, t.scratch.low);
  siluMulBackward<Lanes>(a.gate, a.up, dhidden, dgate, dup, static_cast<int>(t.count(m.ffnWidth)));
  linearBackward<Lanes>(t.linear(p.gate, a.ffnInput, kLowGate), dgate, dinput, false, t.scratch.low);
  linearBackward<Lanes>(t.linear(p.up, a.ffnInput, kLowUp), dup, dinput, true, t.scratch.low);
  normBackward<Lanes>(a.middle, t.tensors->at(p.ffnNorm), a.ffnInverses, dinput, dx, t.tensors->gradientAt(p.ffnNorm), t.rows,
                      m.width);
}

template <class Lanes>
void attentionLayerBackward(const LayerTask& t, float* dx) {
  const Model& m = *t.tensors->model;
  const LayerPlaces& p = *t.places;
  const Activations& a = t.kept;
  auto [dq, dk, dv, dattended] = t.scratch.wide;
  float* low = t.scratch.low;
  linearBackward<Lanes>(t.linear(p.output, a.attended, kLowOutput), dx, dattended, false, low);
  attentionBackward<Lanes>(t.attention(), {dattended, dq, dk, dv, t.scratch.scores});
  rope<Lanes>(dq, t.tensors->rope.backward, t.rows, m.heads, m.headDim);
  rope<Lanes>(dk, t.tensors->rope.backward, t.rows, m.kvHeads, m.headDim);
  float* dinput = dattended;  // no longer read
  linearBackward<Lanes>(t.linear(p.q, a.attentionInput, kLowQ), dq, dinput, false, low);
  linearBackward<Lanes>(t.linear(p.k, a.attentionInput, kLowK), dk, dinput, true, low);
  linearBackward<Lanes>(t.linear(p.v, a.attentionInput, kLowV), dv, dinput, true, low);
  normBackward<Lanes>(a.input, t.tensors->at(p.attentionNorm), a.attentionInverses, dinput, dx,
                      t.tensors->gradientAt(p.attentionNorm), t.rows, m.width);
}

}  // namespace claw::train
