// An example from its tokens to its loss and back. Only for sources that use fused multiply-adds.
#pragma once

#include <cmath>

#include "train/kernels.h"

namespace claw::train {

CLAW_INLINE LayerTask layerTask(const Tensors& tensors, size_t layer, int32_t rows, const Workspace& w) {
  return {&tensors, &tensors.model->layers[layer], rows, w.layers[layer], w.scratch};
}

CLAW_INLINE LinearPlace head(const Model& m) { return {m.embedding, -1, -1, m.vocabulary, m.width}; }

template <class Lanes>
void exampleForward(const Tensors& tensors, const Example& example, Workspace* w) {
  const Model& m = *tensors.model;
  const auto width = static_cast<size_t>(m.width);
  const float* embedding = tensors.at(m.embedding);
  float* input = w->layers.empty() ? w->last : w->layers[0].input;
  for (int32_t i = 0; i < example.count; i++) {
    const float* row = embedding + static_cast<size_t>(example.tokens[i]) * width;
    __builtin_memcpy(input + static_cast<size_t>(i) * width, row, sizeof(float) * width);
  }
  for (size_t layer = 0; layer < m.layers.size(); layer++) {
    float* out = layer + 1 < m.layers.size() ? w->layers[layer + 1].input : w->last;
    layerForward<Lanes>(layerTask(tensors, layer, example.count, *w), out);
  }
  normForward<Lanes>(w->last, tensors.at(m.outputNorm), w->normed, w->lastInverses, example.count, m.width, m.epsilon);
  const LinearPlace place = head(m);
  linearForward<Lanes>({&tensors, &place, example.count, w->normed, nullptr, w->scratch.panels}, w->logits, false);
}

CLAW_INLINE int32_t likeliest(const float* logits, int32_t count) {
  int32_t best = 0;
  for (int32_t i = 1; i < count; i++) best = logits[i] > logits[best] ? i : best;
  return best;
}

// The loss at one position, whose logits become its gradient; `scratch` is a row, for the teacher's distribution.
template <class Lanes>
void positionLoss(const Example& example, int32_t position, int32_t vocabulary, float* logits, float* scratch,
                  ExampleResult* result) {
  const int32_t target = example.targets[position];
  const auto bytes = sizeof(float) * static_cast<size_t>(vocabulary);
  if (target == kNoTarget) {
    __builtin_memset(logits, 0, bytes);
    return;
  }
  const int32_t best = likeliest(logits, vocabulary);
  const float aim = logits[target];
  const bool taught = example.teacher != nullptr;
  const float* teacher = taught ? example.teacher + static_cast<size_t>(position) * static_cast<size_t>(vocabulary) : nullptr;
  double dot = 0;  // of the teacher's distribution and the logits; then its divergence
  Normalizer soft{};
  if (taught) {
    __builtin_memcpy(scratch, teacher, bytes);
    soft = exponentials<Lanes>(scratch, vocabulary);
    for (int32_t i = 0; i < vocabulary; i++) dot += static_cast<double>(scratch[i]) * (teacher[i] - logits[i]);
  }
  const Normalizer own = exponentials<Lanes>(logits, vocabulary);
  const double logSum = std::log(static_cast<double>(own.sum)) + own.largest;
  const double crossEntropy = logSum - aim;
  const double share = taught ? example.teacherShare : 0.0;
  const double divergence = taught ? dot / soft.sum - (std::log(static_cast<double>(soft.sum)) + soft.largest) + logSum : 0.0;
  result->targets++;
  result->crossEntropy += crossEntropy;
  result->loss += (1 - share) * crossEntropy + share * divergence;
  result->agreed += best == (taught ? likeliest(teacher, vocabulary) : target) ? 1 : 0;
  scaleRow<Lanes>(logits, vocabulary, example.weight / own.sum);
  logits[target] -= example.weight * static_cast<float>(1 - share);
  if (taught) addScaled<Lanes>(scratch, logits, vocabulary, -example.weight * example.teacherShare / soft.sum);
}

template <class Lanes>
ExampleResult exampleLoss(const Tensors& tensors, const Example& example, Workspace* w) {
  ExampleResult result;
  const int32_t vocabulary = tensors.model->vocabulary;
  float* logits = w->logits;
  for (int32_t i = 0; i < example.count; i++, logits += vocabulary) {
    positionLoss<Lanes>(example, i, vocabulary, logits, w->row, &result);
  }
  return result;
}

template <class Lanes>
void exampleBackward(const Tensors& tensors, const Example& example, Workspace* w) {
  const Model& m = *tensors.model;
  const auto width = static_cast<size_t>(m.width);
  float* dx = w->gradient;
  __builtin_memset(dx, 0, sizeof(float) * static_cast<size_t>(example.count) * width);
  const LinearPlace place = head(m);
  const LinearArrays linear = {&tensors, &place, example.count, w->normed, nullptr, w->scratch.panels};
  linearBackward<Lanes>(linear, w->logits, w->dnormed, false, nullptr);
  normBackward<Lanes>(w->last, tensors.at(m.outputNorm), w->lastInverses, w->dnormed, dx, tensors.gradientAt(m.outputNorm),
                      example.count, m.width);
  for (size_t layer = m.layers.size(); layer-- > 0;) {
    const LayerTask task = layerTask(tensors, layer, example.count, *w);
    if (m.recompute) layerForward<Lanes>(task, nullptr);
    ffnBackward<Lanes>(task, dx);
    attentionLayerBackward<Lanes>(task, dx);
  }
  float* embedding = tensors.gradientAt(m.embedding);
  if (embedding == nullptr) return;
  for (int32_t i = 0; i < example.count; i++) {
    const float* row = dx + static_cast<size_t>(i) * width;
    addScaled<Lanes>(row, embedding + static_cast<size_t>(example.tokens[i]) * width, m.width, 1.0f);
  }
}

template <class Lanes>
double squares(const float* values, size_t count) {
  double sums[kLaneCount] = {};
  size_t i = 0;
  for (; i + kLaneCount <= count; i += kLaneCount) {
    for (int lane = 0; lane < kLaneCount; lane++) {
      const double value = values[i + static_cast<size_t>(lane)];
      sums[lane] += value * value;
    }
  }
  double sum = 0;
  for (const double each : sums) sum += each;
  for (; i < count; i++) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

template <class Lanes>
void update(const UpdateTask& t) {
  float* __restrict parameters = t.parameters;
  float* __restrict first = t.first;
  float* __restrict second = t.second;
  const float* __restrict gradients = t.gradients;
  for (size_t i = 0; i < t.count; i++) {
    const float g = gradients[i] * t.scale;
    first[i] = t.beta1 * first[i] + (1.0f - t.beta1) * g;
    second[i] = t.beta2 * second[i] + (1.0f - t.beta2) * (g * g);
    const float step = (first[i] / t.correction1) / (__builtin_sqrtf(second[i] / t.correction2) + t.epsilon);
    parameters[i] = parameters[i] - t.decay * parameters[i] - t.rate * step;
  }
}

template <class Lanes>
void addScaledAll(const float* from, float* to, size_t count, float factor) {
  for (size_t i = 0; i < count; i += kBlock) {
    addScaled<Lanes>(from + i, to + i, static_cast<int>(count - i < kBlock ? count - i : kBlock), factor);
  }
}

template <class Lanes>
constexpr Kernels makeKernels(const char* name) {
  return {name, exampleForward<Lanes>, exampleLoss<Lanes>, exampleBackward<Lanes>, addScaledAll<Lanes>, squares<Lanes>,
          update<Lanes>};
}

}  // namespace claw::train
