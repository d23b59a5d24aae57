// An example from its tokens to its loss and back. Only for sources that use fused multiply-adds.
#pragma once

#include <cmath>

#include "train/kernels.h"
#include "train/storage.h"

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
    if (w->narrow.empty() || narrowKept<Lanes>(m.keep, w->wide, w->narrow[layer], w->wideCount)) continue;
    out[0] = __builtin_nanf("");  // which reaches the loss, and the step is refused
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

// Two rows' distributions at a temperature.
struct Softened {
  float teacherSum = 1, ownSum = 1;  // of the exponentials in `rows`
  double divergence = 0;             // of the own distribution from the teacher's, nats
};

// `rows` is two rows: becomes the exponentials of the teacher's logits and of the own ones (Hinton and others, 2015).
template <class Lanes>
Softened soften(const float* teacher, const float* logits, int32_t count, float temperature, float* rows) {
  float* own = rows + count;
  const float sharpness = 1 / temperature;
  __builtin_memcpy(rows, teacher, sizeof(float) * static_cast<size_t>(count));
  __builtin_memcpy(own, logits, sizeof(float) * static_cast<size_t>(count));
  scaleRow<Lanes>(rows, count, sharpness);
  scaleRow<Lanes>(own, count, sharpness);
  const Normalizer theirs = exponentials<Lanes>(rows, count);
  const Normalizer ours = exponentials<Lanes>(own, count);
  double dot = 0;
  for (int32_t i = 0; i < count; i++) dot += static_cast<double>(rows[i]) * (teacher[i] - logits[i]);
  const auto logSum = [](const Normalizer& n) { return std::log(static_cast<double>(n.sum)) + n.largest; };
  return {theirs.sum, ours.sum, dot * sharpness / theirs.sum - logSum(theirs) + logSum(ours)};
}

// The loss at one position, whose logits become its gradient; `scratch` is two rows.
template <class Lanes>
void positionLoss(const Example& example, int32_t position, int32_t vocabulary, float* logits, float* scratch,
                  ExampleResult* result) {
  const int32_t target = example.targets[position];
  if (target == kNoTarget) {
    __builtin_memset(logits, 0, sizeof(float) * static_cast<size_t>(vocabulary));
    return;
  }
  const bool taught = example.teacher != nullptr;
  const float* teacher = taught ? example.teacher + static_cast<size_t>(position) * static_cast<size_t>(vocabulary) : nullptr;
  const auto [share, temperature, greedy] = example.lesson;
  const float text = 1 - share - greedy, weight = example.weight;
  const int32_t best = likeliest(logits, vocabulary);
  const int32_t wanted = taught ? likeliest(teacher, vocabulary) : target;
  const float aim = logits[target], favourite = logits[wanted];
  const Softened soft = taught ? soften<Lanes>(teacher, logits, vocabulary, temperature, scratch) : Softened{};
  const Normalizer own = exponentials<Lanes>(logits, vocabulary);
  const double logSum = std::log(static_cast<double>(own.sum)) + own.largest;
  result->targets++;
  result->crossEntropy += logSum - aim;
  result->loss += text * (logSum - aim) + greedy * (logSum - favourite) + share * temperature * temperature * soft.divergence;
  result->agreed += best == wanted ? 1 : 0;
  scaleRow<Lanes>(logits, vocabulary, weight * (1 - share) / own.sum);
  logits[target] -= weight * text;
  if (!taught) return;
  logits[wanted] -= weight * greedy;
  const float pull = weight * share * temperature;
  addScaled<Lanes>(scratch + vocabulary, logits, vocabulary, pull / soft.ownSum);
  addScaled<Lanes>(scratch, logits, vocabulary, -pull / soft.teacherSum);
}

template <class Lanes>
ExampleResult exampleLoss(const Tensors& tensors, const Example& example, Workspace* w) {
  ExampleResult result;
  const int32_t vocabulary = tensors.model->vocabulary;
  float* logits = w->logits;
  for (int32_t i = 0; i < example.count; i++, logits += vocabulary) {
    positionLoss<Lanes>(example, i, vocabulary, logits, w->soft, &result);
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
    if (m.keep == Keep::nothing) layerForward<Lanes>(task, nullptr);
    if (!w->narrow.empty()) widenKept<Lanes>(m.keep, w->narrow[layer], w->wide, w->wideCount);
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

struct PlainFloat {
  CLAW_INLINE static float narrow(float value) { return value; }
  CLAW_INLINE static float widen(float value) { return value; }
};

template <class Lanes, class Stored, class Moment>
void updateWith(const UpdateTask& t) {
  float* __restrict parameters = t.parameters + t.begin;
  Stored* __restrict first = static_cast<Stored*>(t.first) + t.begin;
  Stored* __restrict second = static_cast<Stored*>(t.second) + t.begin;
  const float* __restrict gradients = t.gradients + t.begin;
  for (size_t i = 0; i < t.count; i++) {
    const float g = gradients[i] * t.scale;
    const float m = t.beta1 * Moment::widen(first[i]) + (1.0f - t.beta1) * g;
    const float v = t.beta2 * Moment::widen(second[i]) + (1.0f - t.beta2) * (g * g);
    const float step = (m / t.correction1) / (__builtin_sqrtf(v / t.correction2) + t.epsilon);
    parameters[i] = parameters[i] - t.decay * parameters[i] - t.rate * step;
    first[i] = Moment::narrow(m);
    second[i] = Moment::narrow(v);
  }
}

template <class Lanes>
void update(const UpdateTask& t) {
  if (t.narrow) updateWith<Lanes, uint16_t, BrainFloat>(t);
  else updateWith<Lanes, float, PlainFloat>(t);
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
