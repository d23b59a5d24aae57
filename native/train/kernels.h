// What training computes, for each instruction set.
#pragma once

#include <string>

#include "train/workspace.h"

namespace claw::train {

constexpr int32_t kNoTarget = -1;  // a position without a target

// How a teacher is followed: what is left of the loss is the cross-entropy with the text. All zero without a teacher.
struct Lesson {
  float share;        // of the loss: temperature^2 times the divergence from the teacher, both distributions at the temperature
  float temperature;
  float greedy;       // of the loss: the cross-entropy with the teacher's most likely token
};

struct Example {
  const int32_t* tokens;   // [count]
  const int32_t* targets;  // [count]; kNoTarget: none
  int32_t count;
  float weight;          // of a target in the gradient
  const float* teacher;  // [count][vocabulary], logits to learn from; null: none
  Lesson lesson;
};

struct ExampleResult {
  double loss = 0;         // summed over the targets, nats
  double crossEntropy = 0;  // the same without the teacher
  int64_t targets = 0;
  int64_t agreed = 0;  // targets where the most likely token is the teacher's, without one the target
};

// Values [begin, begin + count) of each array.
struct UpdateTask {
  float* parameters;
  const float* gradients;
  void* first;  // moments: f32, or bf16 where they are narrow
  void* second;
  bool narrow;
  size_t begin, count;
  float scale;  // of the gradients
  float rate;
  float decay;  // what a parameter loses, already times the rate
  float beta1, beta2;
  float correction1, correction2;  // 1 - beta^step
  float epsilon;
};

struct Kernels {
  const char* name;
  // The logits of every position, [count][vocabulary], in the workspace.
  void (*forward)(const Tensors& tensors, const Example& example, Workspace* workspace);
  // After forward: the loss, and the logits replaced by its gradient.
  ExampleResult (*loss)(const Tensors& tensors, const Example& example, Workspace* workspace);
  // After loss: adds to tensors.gradient.
  void (*backward)(const Tensors& tensors, const Example& example, Workspace* workspace);
  // to += factor * from
  void (*addScaled)(const float* from, float* to, size_t count, float factor);
  // The sum of squares of up to kBlock values.
  double (*squares)(const float* values, size_t count);
  // AdamW with decoupled decay (Loshchilov and Hutter, 2019).
  void (*update)(const UpdateTask& task);
};

constexpr size_t kBlock = 1 << 14;  // values of a gradient that are summed up together: arithmetic, not tuning

// The kernels of an instruction set as the device names it.
const Kernels& trainKernels(const std::string& isa);

const Kernels& portableTrainKernels();
const Kernels& avx2TrainKernels();
const Kernels& avx512TrainKernels();
const Kernels& neonTrainKernels();

}  // namespace claw::train
