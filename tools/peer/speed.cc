/**
 * Times llama.cpp in rounds, so that another program can take turns with it.
 *
 * Arguments are `name value` pairs: bins, model, release, threads, task, sequences, filled, steps. Task `decode` keeps
 * `filled` tokens in each of `sequences` sequences and evaluates `steps` more of each in a round, one of every sequence at
 * a time; task `prefill` evaluates `filled` tokens of one sequence in a round. Logits are computed for every decoded
 * token and for the last one of a prefill; nothing is sampled.
 *
 * stdout: a JSON object with `release` and `features` when ready; then, for each line of stdin, the seconds of one round
 * without and with flash attention as `off` and `on`. Ends with stdin.
 */
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ggml-cpu.h"
#include "model.h"

namespace {

// Contexts are counted in these; llama.cpp rounds up to them anyway.
constexpr int kContextUnit = 256;

using Clock = std::chrono::steady_clock;

struct Task {
  bool prefill;
  int threads, sequences, filled, steps;

  explicit Task(const Settings& settings)
      : prefill(settings.text("task") == "prefill"),
        threads(settings.number("threads")),
        sequences(settings.number("sequences")),
        filled(settings.number("filled")),
        steps(settings.number("steps")) {}
  // One long sequence is filled by copies of its beginning, which pass through a second one.
  bool copied() const { return !prefill && sequences == 1 && filled > kBatchTokens; }
  int context() const { return (filled + steps + kContextUnit - 1) / kContextUnit * kContextUnit; }
};

// The threads of all rounds, as llama.cpp's own measurements have them; without, every graph would start its own.
class Threads {
 public:
  explicit Threads(int count) {
    ggml_threadpool_params params = ggml_threadpool_params_default(count);
    pool_ = entry<decltype(ggml_threadpool_new)>("ggml_threadpool_new")(&params);
    if (pool_ == nullptr) throw std::runtime_error("Starting threads failed.");
  }
  ~Threads() { entry<decltype(ggml_threadpool_free)>("ggml_threadpool_free")(pool_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ggml_threadpool_t pool() const { return pool_; }

  // They look out for work for a while before they sleep, and would take processors from whoever's turn is next.
  static void await_sleep() {
    constexpr auto look = std::chrono::milliseconds(5);
    constexpr int looks_max = 400;
    for (int i = 0; i < looks_max; i++) {
      const std::clock_t before = std::clock();
      std::this_thread::sleep_for(look);
      if (std::clock() - before < CLOCKS_PER_SEC / 1000) return;
    }
  }

 private:
  // The processor's own library is loaded at run time, so its functions are asked for by name.
  template <typename Function>
  static Function* entry(const char* name) {
    const ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    void* address = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name);
    if (address == nullptr) throw std::runtime_error(std::string("llama.cpp lacks ") + name + ".");
    return reinterpret_cast<Function*>(address);
  }

  ggml_threadpool_t pool_;
};

class Runner {
 public:
  Runner(llama_model* model, const Task& task, const Threads& threads, llama_flash_attn_type flash)
      : task_(task),
        context_(make_context(model, task, flash)),
        vocab_(llama_vocab_n_tokens(llama_model_get_vocab(model))),
        batch_(llama_batch_init(std::max(kBatchTokens, task.sequences), 0, 1)) {
    llama_attach_threadpool(context_.get(), threads.pool(), threads.pool());
    if (!task_.prefill) fill();
  }
  ~Runner() { llama_batch_free(batch_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  double round() {
    if (task_.prefill) llama_memory_clear(memory(), true);
    const Clock::time_point start = Clock::now();
    if (task_.prefill) {
      feed(task_.filled);
    } else {
      for (int step = 0; step < task_.steps; step++) decode_step(task_.filled + step);
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!task_.prefill) {
      for (int s = 0; s < task_.sequences; s++) llama_memory_seq_rm(memory(), s, task_.filled, -1);
    }
    return seconds;
  }

 private:
  static Context make_context(llama_model* model, const Task& task, llama_flash_attn_type flash) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(task.context() * task.sequences + (task.copied() ? kBatchTokens : 0));
    params.n_batch = params.n_ubatch = static_cast<uint32_t>(std::max(kBatchTokens, task.sequences));
    params.n_seq_max = static_cast<uint32_t>(task.copied() ? 2 : task.sequences);
    params.n_threads = params.n_threads_batch = task.threads;
    params.flash_attn_type = flash;
    params.offload_kqv = params.op_offload = false;
    params.kv_unified = task.copied();
    Context context(llama_init_from_model(model, params), llama_free);
    if (!context) throw std::runtime_error("Making a context of " + std::to_string(params.n_ctx) + " tokens failed.");
    return context;
  }

  llama_memory_t memory() const { return llama_get_memory(context_.get()); }

  void fill() {
    const int read = task_.copied() ? kBatchTokens : task_.filled;
    feed(read);
    std::vector<uint8_t> state(llama_state_seq_get_size(context_.get(), 0));
    llama_state_seq_get_data(context_.get(), state.data(), state.size(), 0);
    for (int s = 1; s < task_.sequences; s++) restore(state, s);
    for (int done = read; done < task_.filled; done += read) {
      restore(state, 1);
      llama_memory_seq_rm(memory(), 1, std::min(read, task_.filled - done), -1);
      llama_memory_seq_add(memory(), 1, 0, -1, done);
      llama_memory_seq_cp(memory(), 1, 0, -1, -1);
      llama_memory_seq_rm(memory(), 1, -1, -1);
    }
    if (llama_memory_seq_pos_min(memory(), 0) != 0 || llama_memory_seq_pos_max(memory(), 0) != task_.filled - 1) {
      throw std::runtime_error("Filling the context failed.");
    }
  }

  void restore(const std::vector<uint8_t>& state, llama_seq_id sequence) {
    if (llama_state_seq_set_data(context_.get(), state.data(), state.size(), sequence) == 0) {
      throw std::runtime_error("Copying a sequence failed.");
    }
  }

  // The first `count` tokens of sequence 0.
  void feed(int count) {
    for (int first = 0; first < count; first += kBatchTokens) {
      batch_.n_tokens = 0;
      for (int position = first; position < std::min(count, first + kBatchTokens); position++) {
        add(0, position, position + 1 == count);
      }
      evaluate();
    }
  }

  void decode_step(int position) {
    batch_.n_tokens = 0;
    for (int s = 0; s < task_.sequences; s++) add(s, position, true);
    evaluate();
  }

  void add(llama_seq_id sequence, int position, bool logits) {
    const int i = batch_.n_tokens++;
    batch_.token[i] = (sequence * 31 + position * 7) % vocab_;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = logits;
  }

  void evaluate() {
    if (llama_decode(context_.get(), batch_) != 0) throw std::runtime_error("Evaluating a batch of tokens failed.");
    llama_synchronize(context_.get());
  }

  Task task_;
  Context context_;
  int vocab_;
  llama_batch batch_;
};

void run(const Settings& settings) {
  const Task task(settings);
  const Model model = load_model(settings);
  const Threads threads(task.threads);
  Runner off(model.get(), task, threads, LLAMA_FLASH_ATTN_TYPE_DISABLED);
  Runner on(model.get(), task, threads, LLAMA_FLASH_ATTN_TYPE_ENABLED);
  printf("{\"release\":\"%s\",\"features\":\"%s\"}\n", settings.text("release").c_str(), llama_print_system_info());
  fflush(stdout);
  while (true) {
    int next = getchar();
    if (next == EOF) return;
    if (next != '\n') continue;
    const double without = off.round();
    const double with = on.round();
    Threads::await_sleep();
    printf("{\"off\":%.9g,\"on\":%.9g}\n", without, with);
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
