// Training on the threads of a device. Each example is one thread's work from its tokens to its gradient, and each of a fixed
// number of lanes adds up the gradients of its examples in order; the lanes' sums are added in order too. So neither the number
// of threads nor which of them is late is part of the result.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "executor/error.h"
#include "executor/thread-pool.h"
#include "train/kernels.h"

namespace claw::train {

struct TrainerArrays {
  std::span<float> parameters;
  std::span<float> adapters;
  std::span<float> gradients;  // of what is trained; empty for a model that is only evaluated
  std::span<const float> ropeForward, ropeBackward;
};

class Trainer;

struct Batch {
  std::vector<int32_t> examples;  // [count][2][length]: tokens, targets
  int32_t count;
  int32_t length;
  bool withGradient;
  float weight;       // of a target in the gradient
  float exampleNorm;  // what an example's gradient is scaled down to; 0: not
  Lesson lesson;
  Trainer* teacher;
  std::vector<ExampleResult> results;  // [count]
  std::vector<double> squares;         // of each block of the gradient
};

class Trainer {
 public:
  // E_INTERNAL where sizes contradict each other; E_MEMORY.
  static Error create(const Kernels& kernels, Model model, const TrainerArrays& arrays, int32_t lanes, bool clipsExamples,
                      int32_t threads, std::unique_ptr<Trainer>* trainer);

  const Model& model() const { return model_; }
  size_t trainedCount() const { return model_.trainedCount(); }
  bool evaluatesOnly() const { return arrays_.gradients.empty(); }
  // Whether every token and target is one of the vocabulary's, and the lengths fit.
  Error check(const Batch& batch) const;

  // On every thread of the pool. Fills the gradients, if wanted, and the batch's results.
  void evaluate(const Team& team, Batch* batch);
  // Every block of the gradient's update; `task` with the moments and without parameters, gradients and range.
  void update(const Team& team, UpdateTask task, size_t decayed);
  // The logits after the last of the tokens, [vocabulary]; on one thread. Valid until the next job.
  const float* logits(std::span<const int32_t> tokens);

 private:
  Tensors tensors(float* gradient) const;
  void evaluateExample(int32_t thread, int32_t index, float* gradient, Batch* batch);
  void addClipped(int32_t thread, float* gradient, float norm) const;
  void joinLanes(const Team& team, int32_t lanes, Batch* batch);

  const Kernels* kernels_ = nullptr;
  Model model_;
  TrainerArrays arrays_;
  std::vector<Floats> lanes_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // [threads]
};

}  // namespace claw::train
