#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>


namespace claw::train {
namespace {

size_t blocksOf(size_t count) { return (count + kBlock - 1) / kBlock; }

// body(block, first value, count) for this thread's blocks.
template <class Body>
void eachBlock(const Team& team, size_t count, const Body& body) {
  const auto blocks = static_cast<int32_t>(blocksOf(count));
  for (int32_t block = team.first(blocks); block < team.end(blocks); block++) {
    const size_t first = static_cast<size_t>(block) * kBlock;
    body(static_cast<size_t>(block), first, std::min(kBlock, count - first));
  }
}

}  // namespace

const Kernels& trainKernels(const std::string& isa) {
#ifdef CLAW_HAVE_AVX512
  if (isa == "avx512") return avx512TrainKernels();
#endif
#ifdef CLAW_HAVE_AVX2
  if (isa.starts_with("avx2")) return avx2TrainKernels();
#endif
#ifdef CLAW_HAVE_NEON
  if (isa.starts_with("neon")) return neonTrainKernels();
#endif
  return portableTrainKernels();
}

Error Trainer::create(const Kernels& kernels, Model model, const TrainerArrays& arrays, int32_t lanes, bool clipsExamples,
                      int32_t threads, std::unique_ptr<Trainer>* trainer) {
  const size_t table = static_cast<size_t>(model.context) * static_cast<size_t>(model.headDim);
  const bool trains = !arrays.gradients.empty();
  if (arrays.parameters.size() != model.parameterCount || arrays.adapters.size() != model.adapterCount || lanes < 1 ||
      (trains && arrays.gradients.size() != model.trainedCount()) || arrays.ropeForward.size() != table ||
      arrays.ropeBackward.size() != table) {
    return makeError("E_INTERNAL", "The arrays of a model to train have other sizes than its description.");
  }
  auto made = std::make_unique<Trainer>();
  made->kernels_ = &kernels;
  made->model_ = std::move(model);
  made->arrays_ = arrays;
  for (int32_t lane = 0; trains && lane < lanes; lane++) made->lanes_.push_back(allocateFloats(made->trainedCount()));
  for (int32_t i = 0; i < threads; i++) made->workspaces_.push_back(Workspace::make(made->model_, trains, clipsExamples));
  const bool complete = std::ranges::all_of(made->lanes_, [](const Floats& lane) { return lane != nullptr; }) &&
                        std::ranges::all_of(made->workspaces_, [](const auto& space) { return space != nullptr; });
  if (!complete) return makeError("E_MEMORY", "There is not enough memory to train on %d threads.", threads);
  *trainer = std::move(made);
  return {};
}

Error Trainer::check(const Batch& batch) const {
  const auto perExample = static_cast<size_t>(batch.length) * 2;
  if (batch.count < 1 || batch.length < 1 || batch.length > model_.context ||
      batch.examples.size() != perExample * static_cast<size_t>(batch.count) || (batch.withGradient && evaluatesOnly())) {
    return makeError("E_INTERNAL", "%d examples of %d tokens do not fit the model.", batch.count, batch.length);
  }
  for (size_t i = 0; i < batch.examples.size(); i++) {
    const bool isTarget = i % perExample >= perExample / 2;
    if (batch.examples[i] < (isTarget ? kNoTarget : 0) || batch.examples[i] >= model_.vocabulary) {
      return makeError("E_INTERNAL", "Token %d is not one of the vocabulary's.", batch.examples[i]);
    }
  }
  return {};
}

Tensors Trainer::tensors(float* gradient) const {
  return {&model_, arrays_.parameters.data(), arrays_.adapters.data(), gradient,
          {arrays_.ropeForward.data(), arrays_.ropeBackward.data()}};
}

void Trainer::evaluate(const Team& team, Batch* batch) {
  const int32_t lanes = std::min(batch->count, batch->withGradient ? static_cast<int32_t>(lanes_.size()) : batch->count);
  for (int32_t lane = team.thread; lane < lanes; lane += team.threads) {
    float* gradient = batch->withGradient ? lanes_[static_cast<size_t>(lane)].get() : nullptr;
    if (gradient != nullptr) std::memset(gradient, 0, trainedCount() * sizeof(float));
    for (int32_t index = lane; index < batch->count; index += lanes) evaluateExample(team.thread, index, gradient, batch);
  }
  if (!batch->withGradient) return;
  team.barrier.wait();
  joinLanes(team, lanes, batch);
}

void Trainer::evaluateExample(int32_t thread, int32_t index, float* gradient, Batch* batch) {
  Workspace* workspace = workspaces_[static_cast<size_t>(thread)].get();
  const int32_t* tokens = batch->examples.data() + static_cast<ptrdiff_t>(index) * 2 * batch->length;
  Example example = {tokens, tokens + batch->length, batch->length, batch->weight, nullptr, batch->lesson};
  if (Trainer* teacher = batch->teacher) {
    Workspace* own = teacher->workspaces_[static_cast<size_t>(thread)].get();
    kernels_->forward(teacher->tensors(nullptr), example, own);
    example.teacher = own->logits;
  }
  const bool clipped = gradient != nullptr && batch->exampleNorm > 0;
  const Tensors tensors = this->tensors(clipped ? workspace->example : gradient);
  kernels_->forward(tensors, example, workspace);
  batch->results[static_cast<size_t>(index)] = kernels_->loss(tensors, example, workspace);
  if (gradient == nullptr) return;
  if (clipped) std::memset(workspace->example, 0, trainedCount() * sizeof(float));
  kernels_->backward(tensors, example, workspace);
  if (clipped) addClipped(thread, gradient, batch->exampleNorm);
}

void Trainer::addClipped(int32_t thread, float* gradient, float norm) const {
  const float* own = workspaces_[static_cast<size_t>(thread)]->example;
  double squares = 0;
  for (size_t first = 0; first < trainedCount(); first += kBlock) {
    squares += kernels_->squares(own + first, std::min(kBlock, trainedCount() - first));
  }
  const double length = std::sqrt(squares);
  kernels_->addScaled(own, gradient, trainedCount(), length > norm ? static_cast<float>(norm / length) : 1.0f);
}

void Trainer::joinLanes(const Team& team, int32_t lanes, Batch* batch) {
  eachBlock(team, trainedCount(), [&](size_t block, size_t first, size_t count) {
    float* sum = arrays_.gradients.data() + first;
    std::memcpy(sum, lanes_[0].get() + first, count * sizeof(float));
    for (int32_t lane = 1; lane < lanes; lane++) {
      kernels_->addScaled(lanes_[static_cast<size_t>(lane)].get() + first, sum, count, 1.0f);
    }
    batch->squares[block] = kernels_->squares(sum, count);
  });
}

void Trainer::update(const Team& team, UpdateTask task, size_t decayed) {
  task.parameters = model_.rank > 0 ? arrays_.adapters.data() : arrays_.parameters.data();
  task.gradients = arrays_.gradients.data();
  const float decay = task.decay;
  eachBlock(team, trainedCount(), [&](size_t, size_t from, size_t count) {
    // A block may hold the last of the matrices, which decay, and the first of the vectors, which do not.
    const size_t split = std::clamp(decayed, from, from + count);
    for (const auto& [begin, end, loss] : {std::tuple{from, split, decay}, std::tuple{split, from + count, 0.0f}}) {
      task.begin = begin;
      task.count = end - begin;
      task.decay = loss;
      kernels_->update(task);
    }
  });
}

const float* Trainer::logits(std::span<const int32_t> tokens) {
  Workspace* workspace = workspaces_[0].get();
  const auto count = static_cast<int32_t>(tokens.size());
  kernels_->forward(tensors(nullptr), {tokens.data(), nullptr, count, 0, nullptr, {}}, workspace);
  return workspace->logits + static_cast<size_t>(count - 1) * static_cast<size_t>(model_.vocabulary);
}

}  // namespace claw::train
