#include "addon-train.h"

#include <cstring>
#include <memory>
#include <utility>

#include "addon-jobs.h"
#include "train/trainer.h"

namespace claw::addon {
namespace {

using train::Trainer;

// Holds JavaScript values until it goes, on the thread of their environment.
class Kept {
 public:
  explicit Kept(napi_env env) : env_(env) {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    for (napi_ref reference : references_) napi_delete_reference(env_, reference);
  }
  void keep(napi_value value) {
    napi_ref reference = nullptr;
    if (napi_create_reference(env_, value, 1, &reference) == napi_ok) references_.push_back(reference);
  }

 private:
  napi_env env_;
  std::vector<napi_ref> references_;
};

// A model that is trained or evaluated, as JavaScript holds it.
struct TrainerHandle {
  explicit TrainerHandle(napi_env env) : arrays(env) {}
  DeviceReference device;
  std::unique_ptr<Trainer> trainer;
  Kept arrays;
  bool busy = false;
};

constexpr int32_t kHeadIntegers = 17;
constexpr int32_t kLinears = 7;
constexpr int32_t kLayerIntegers = 2 + kLinears * 5;

train::LinearPlace readLinear(const int32_t* numbers) {
  return {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
}

// The order is that of `integers` in src/kernels/training.ts.
bool readModel(std::span<const int32_t> n, std::span<const float> scalars, train::Model* model) {
  if (n.size() < kHeadIntegers || scalars.size() != 2) return false;
  const auto layers = static_cast<size_t>(n[0]);
  if (n[0] < 0 || n.size() != kHeadIntegers + layers * kLayerIntegers) return false;
  *model = {.width = n[1], .heads = n[2], .kvHeads = n[3], .headDim = n[4], .ffnWidth = n[5], .vocabulary = n[6],
            .context = n[7], .epsilon = scalars[0], .embedding = n[8], .outputNorm = n[9], .layers = {}, .rank = n[10],
            .adapterScale = scalars[1], .trainDown = n[11] != 0, .keep = static_cast<train::Keep>(n[12]),
            .parameterCount = static_cast<size_t>(n[13]), .adapterCount = static_cast<size_t>(n[14])};
  for (size_t layer = 0; layer < layers; layer++) {
    const int32_t* at = n.data() + kHeadIntegers + layer * kLayerIntegers;
    train::LayerPlaces places = {at[0], at[1], {}, {}, {}, {}, {}, {}, {}};
    train::LinearPlace* linears[kLinears] = {&places.q, &places.k, &places.v, &places.output,
                                             &places.gate, &places.up, &places.down};
    for (int32_t i = 0; i < kLinears; i++) *linears[i] = readLinear(at + 2 + static_cast<ptrdiff_t>(i) * 5);
    model->layers.push_back(places);
  }
  return true;
}

// A job of a trainer; it keeps the trainer, and the values it was given, alive.
class TrainerJob : public Pending {
 public:
  TrainerJob(napi_env env, TrainerHandle* owner) : Pending(owner->device), owner_(owner), kept_(std::make_unique<Kept>(env)) {}
  void keep(napi_value value) { kept_->keep(value); }

 protected:
  TrainerHandle* owner() const { return owner_; }
  Error conclude(napi_env env, napi_value* value) override {
    owner_->busy = false;
    kept_.reset();
    *value = result(env);
    return {};
  }
  virtual napi_value result(napi_env) { return nullptr; }

 private:
  TrainerHandle* owner_;
  std::unique_ptr<Kept> kept_;
};

class BatchJob final : public TrainerJob {
 public:
  BatchJob(napi_env env, TrainerHandle* owner, train::Batch batch) : TrainerJob(env, owner), batch_(std::move(batch)) {}
  void run(const Team& team) override { owner()->trainer->evaluate(team, &batch_); }

 private:
  napi_value result(napi_env env) override {
    train::ExampleResult sum;
    for (const train::ExampleResult& each : batch_.results) {
      sum.loss += each.loss;
      sum.crossEntropy += each.crossEntropy;
      sum.targets += each.targets;
      sum.agreed += each.agreed;
    }
    double squares = 0;
    for (const double block : batch_.squares) squares += block;
    const double numbers[] = {sum.loss, sum.crossEntropy, static_cast<double>(sum.targets), static_cast<double>(sum.agreed),
                              squares};
    napi_value list = nullptr;
    napi_create_array(env, &list);
    for (uint32_t i = 0; i < std::size(numbers); i++) napi_set_element(env, list, i, makeNumber(env, numbers[i]));
    return list;
  }

  train::Batch batch_;
};

class UpdateJob final : public TrainerJob {
 public:
  UpdateJob(napi_env env, TrainerHandle* owner, const train::UpdateTask& task, size_t decayed)
      : TrainerJob(env, owner), task_(task), decayed_(decayed) {}
  void run(const Team& team) override { owner()->trainer->update(team, task_, decayed_); }

 private:
  train::UpdateTask task_;
  size_t decayed_;
};

class LogitsJob final : public TrainerJob {
 public:
  LogitsJob(napi_env env, TrainerHandle* owner, std::span<const int32_t> tokens, std::span<float> out)
      : TrainerJob(env, owner), tokens_(tokens.begin(), tokens.end()), out_(out) {}
  void run(const Team& team) override {
    if (team.thread != 0) return;
    std::memcpy(out_.data(), owner()->trainer->logits(tokens_), out_.size_bytes());
  }

 private:
  std::vector<int32_t> tokens_;
  std::span<float> out_;
};

std::span<float> writable(std::span<const float> values) { return {const_cast<float*>(values.data()), values.size()}; }

// Makes the job wait its turn; its promise.
napi_value submit(napi_env env, TrainerHandle* held, std::unique_ptr<TrainerJob> job) {
  held->busy = true;
  return held->device->submit(env, std::move(job));
}

// Whether the trainer can take a job; else why not.
Error refusal(const TrainerHandle& held) {
  if (held.device->closed()) return makeError("E_SHUTDOWN", "The device is closed.");
  if (held.busy) return makeError("E_INTERNAL", "A step of this model is still running.");
  return {};
}

napi_value argument(napi_env env, napi_callback_info call, size_t index) {
  constexpr size_t kMost = 8;
  napi_value values[kMost] = {};
  size_t count = kMost;
  napi_get_cb_info(env, call, &count, values, nullptr, nullptr);
  return values[index];
}

}  // namespace

napi_value createTrainer(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference device = openDevice(env, &arguments);
  if (device == nullptr) return nullptr;
  const std::span<const int32_t> integers = arguments.integers();
  const std::span<const float> scalars = arguments.floats();
  const std::span<float> parameters = writable(arguments.floats());
  const std::span<float> adapters = writable(arguments.floats());
  const std::span<float> gradients = writable(arguments.floats());
  const std::span<const float> forward = arguments.floats();
  const std::span<const float> backward = arguments.floats();
  if (!arguments.intact()) return nullptr;
  train::Model model;
  if (!readModel(integers, scalars, &model)) {
    return throwError(env, makeError("E_INTERNAL", "The description of a model to train is wrong."));
  }
  auto handle = std::make_unique<TrainerHandle>(env);
  handle->device = device;
  const train::Kernels& kernels = train::trainKernels(device->device()->kernels().name);
  const train::TrainerArrays arrays = {parameters, adapters, gradients, forward, backward};
  const int32_t threads = device->device()->pool().threads();
  const Error error =
      Trainer::create(kernels, std::move(model), arrays, integers[15], integers[16] != 0, threads, &handle->trainer);
  if (error) return throwError(env, error);
  for (size_t i = 3; i < 8; i++) handle->arrays.keep(argument(env, call, i));
  return external(env, handle.release());
}

napi_value trainBatch(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  auto* held = arguments.held<TrainerHandle>();
  const std::span<const int32_t> examples = arguments.integers();
  const std::span<const int32_t> integers = arguments.integers();
  const std::span<const float> numbers = arguments.floats();
  if (!arguments.intact()) return nullptr;
  const napi_value teacherValue = arguments.next();
  napi_valuetype kind = napi_undefined;
  napi_typeof(env, teacherValue, &kind);
  TrainerHandle* teacher = nullptr;
  if (kind == napi_external) napi_get_value_external(env, teacherValue, reinterpret_cast<void**>(&teacher));
  Error error = refusal(*held);
  if (!error && teacher != nullptr) error = refusal(*teacher);
  if (!error && (integers.size() != 3 || numbers.size() != 5)) {
    error = makeError("E_INTERNAL", "A batch is said by three integers and five numbers.");
  }
  if (error) return rejected(env, error);
  train::Batch batch = {.examples = {examples.begin(), examples.end()}, .count = integers[0], .length = integers[1],
                        .withGradient = integers[2] != 0, .weight = numbers[0], .exampleNorm = numbers[1],
                        .lesson = {numbers[2], numbers[3], numbers[4]},
                        .teacher = teacher == nullptr ? nullptr : teacher->trainer.get(), .results = {}, .squares = {}};
  error = held->trainer->check(batch);
  if (!error && teacher != nullptr) error = teacher->trainer->check({.examples = batch.examples, .count = batch.count,
      .length = batch.length, .withGradient = false, .weight = 0, .exampleNorm = 0, .lesson = {}, .teacher = nullptr,
      .results = {}, .squares = {}});
  if (error) return rejected(env, error);
  batch.results.resize(static_cast<size_t>(batch.count));
  if (batch.withGradient) batch.squares.resize((held->trainer->trainedCount() + train::kBlock - 1) / train::kBlock);
  auto job = std::make_unique<BatchJob>(env, held, std::move(batch));
  job->keep(argument(env, call, 0));
  if (teacher != nullptr) job->keep(teacherValue);
  return submit(env, held, std::move(job));
}

napi_value updateParameters(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  auto* held = arguments.held<TrainerHandle>();
  const std::span<float> first = writable(arguments.floats());
  const std::span<float> second = writable(arguments.floats());
  const int32_t decayed = arguments.integer();
  const std::span<const float> n = arguments.floats();
  if (!arguments.intact()) return nullptr;
  if (const Error error = refusal(*held)) return rejected(env, error);
  const size_t count = held->trainer->trainedCount();
  // As bf16, two moments lie where an f32 would.
  const bool narrow = n.size() == 9 && n[8] != 0;
  const size_t moments = narrow ? (count + 1) / 2 : count;
  if (held->trainer->evaluatesOnly() || first.size() != moments || second.size() != moments || n.size() != 9) {
    return rejected(env, makeError("E_INTERNAL", "The moments have another size than what is trained."));
  }
  train::UpdateTask task = {};
  task.scale = n[0];
  task.rate = n[1];
  task.decay = n[2];
  task.beta1 = n[3];
  task.beta2 = n[4];
  task.correction1 = n[5];
  task.correction2 = n[6];
  task.epsilon = n[7];
  task.narrow = narrow;
  task.first = first.data();
  task.second = second.data();
  auto job = std::make_unique<UpdateJob>(env, held, task, static_cast<size_t>(decayed));
  for (size_t i = 0; i < 3; i++) job->keep(argument(env, call, i));
  return submit(env, held, std::move(job));
}

napi_value trainLogits(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  auto* held = arguments.held<TrainerHandle>();
  const std::span<const int32_t> tokens = arguments.integers();
  const std::span<float> out = writable(arguments.floats());
  if (!arguments.intact()) return nullptr;
  if (const Error error = refusal(*held)) return rejected(env, error);
  const train::Model& model = held->trainer->model();
  bool fits = !tokens.empty() && tokens.size() <= static_cast<size_t>(model.context) &&
              out.size() == static_cast<size_t>(model.vocabulary);
  for (const int32_t token : tokens) fits = fits && token >= 0 && token < model.vocabulary;
  if (!fits) return rejected(env, makeError("E_INTERNAL", "%zu tokens do not fit the model.", tokens.size()));
  auto job = std::make_unique<LogitsJob>(env, held, tokens, out);
  job->keep(argument(env, call, 0));
  job->keep(argument(env, call, 2));
  return submit(env, held, std::move(job));
}

}  // namespace claw::addon
