/**
 * Scores given token ids with llama.cpp and writes its raw logits; one process, one model, one run.
 *
 * Arguments are `name value` pairs (see `Settings`), the token ids come on stdin as native int32. Ids are cut into
 * windows that share nothing: each is evaluated in a cleared context, an incomplete last window is left out. Of each
 * window the positions [from, to) give one row each: the f32 logits of the token after that position.
 *
 * stdout: one JSON object. `nll` sums, in double precision, the negative natural-log probability of the token that
 * does follow, over the `count` rows whose next token lies in the same window.
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.h"

namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

struct Score {
  int64_t rows = 0;
  int64_t count = 0;
  double nll = 0;
};

std::vector<llama_token> read_tokens() {
  std::vector<llama_token> tokens;
  llama_token token;
  while (fread(&token, sizeof token, 1, stdin) == 1) tokens.push_back(token);
  return tokens;
}

Context make_context(llama_model* model, const Settings& settings, int window) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = window;
  params.n_batch = params.n_ubatch = kBatchTokens;
  params.n_threads = params.n_threads_batch = settings.number("threads");
  params.flash_attn_type = static_cast<llama_flash_attn_type>(settings.number("flash"));
  params.type_k = params.type_v = settings.text("kv") == "f32" ? GGML_TYPE_F32 : GGML_TYPE_F16;
  params.offload_kqv = params.op_offload = false;
  Context context(llama_init_from_model(model, params), llama_free);
  if (!context) throw std::runtime_error("Making a context of " + std::to_string(window) + " tokens failed.");
  return context;
}

// The adapter belongs to the model, which frees it.
void use_adapter(llama_model* model, llama_context* context, const std::string& path) {
  if (path.empty()) return;
  llama_adapter_lora* adapter = llama_adapter_lora_init(model, path.c_str());
  float scale = 1;
  if (adapter == nullptr || llama_set_adapters_lora(context, &adapter, 1, &scale) != 0) {
    throw std::runtime_error("Loading the adapter " + path + " failed.");
  }
}

double negative_log_probability(const float* row, int vocab, llama_token token) {
  float largest = row[0];
  for (int i = 1; i < vocab; i++) largest = std::fmax(largest, row[i]);
  double sum = 0;
  for (int i = 0; i < vocab; i++) sum += std::exp(static_cast<double>(row[i]) - largest);
  return std::log(sum) + largest - row[token];
}

class Scorer {
 public:
  Scorer(llama_context* context, const Settings& settings, FILE* out)
      : context_(context),
        out_(out),
        from_(settings.number("from")),
        to_(settings.number("to")),
        vocab_(llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)))),
        batch_(llama_batch_init(kBatchTokens, 0, 1)) {}
  ~Scorer() { llama_batch_free(batch_); }
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  void score(const std::vector<llama_token>& window) {
    llama_memory_clear(llama_get_memory(context_), true);
    const int length = static_cast<int>(window.size());
    for (int start = 0; start < length; start += kBatchTokens) {
      fill_batch(window, start);
      if (llama_decode(context_, batch_) != 0) throw std::runtime_error("Evaluating a batch of tokens failed.");
      for (int i = 0; i < batch_.n_tokens; i++) {
        if (batch_.logits[i]) take_row(llama_get_logits_ith(context_, i), window, start + i);
      }
    }
  }
  const Score& total() const { return total_; }
  int vocab() const { return vocab_; }

 private:
  void fill_batch(const std::vector<llama_token>& window, int start) {
    const int length = static_cast<int>(window.size());
    batch_.n_tokens = std::min(kBatchTokens, length - start);
    for (int i = 0; i < batch_.n_tokens; i++) {
      const int position = start + i;
      batch_.token[i] = window[position];
      batch_.pos[i] = position;
      batch_.n_seq_id[i] = 1;
      batch_.seq_id[i][0] = 0;
      batch_.logits[i] = position >= from_ && position < to_;
    }
  }

  void take_row(const float* row, const std::vector<llama_token>& window, int position) {
    if (row == nullptr) throw std::runtime_error("No logits came back for an evaluated token.");
    total_.rows++;
    if (out_ != nullptr && fwrite(row, sizeof *row, vocab_, out_) != static_cast<size_t>(vocab_)) {
      throw std::runtime_error("Writing the logits failed.");
    }
    if (position + 1 >= static_cast<int>(window.size())) return;
    total_.nll += negative_log_probability(row, vocab_, window[position + 1]);
    total_.count++;
  }

  llama_context* context_;
  FILE* out_;
  int from_, to_, vocab_;
  llama_batch batch_;
  Score total_;
};

void run(const Settings& settings) {
  const std::vector<llama_token> tokens = read_tokens();
  const int window = settings.number("window");
  const Model model = load_model(settings);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  const bool begin = settings.text("bos") == "model" && llama_vocab_get_add_bos(vocab);
  const Context context = make_context(model.get(), settings, window);
  use_adapter(model.get(), context.get(), settings.text("lora"));

  const std::string& path = settings.text("out");
  File out(path.empty() ? nullptr : fopen(path.c_str(), "wb"), fclose);
  if (!path.empty() && !out) throw std::runtime_error("Opening " + path + " for writing failed.");

  Scorer scorer(context.get(), settings, out.get());
  int windows = 0;
  for (auto first = tokens.begin(); tokens.end() - first >= window; first += window, windows++) {
    std::vector<llama_token> part(first, first + window);
    if (begin) part[0] = llama_vocab_bos(vocab);
    scorer.score(part);
  }
  if (out && fclose(out.release()) != 0) throw std::runtime_error("Writing the logits failed.");
  const Score& total = scorer.total();
  printf("{\"windows\":%d,\"rows\":%lld,\"vocab\":%d,\"count\":%lld,\"nll\":%.17g}\n", windows,
         static_cast<long long>(total.rows), scorer.vocab(), static_cast<long long>(total.count), total.nll);
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
