// What our programs around llama.cpp share: arguments, a model on the CPU, a log of warnings only.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "ggml-backend.h"
#include "llama.h"

// llama.cpp's own default, and enough for its matrix products to be matrix products.
constexpr int kBatchTokens = 512;

using Model = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using Context = std::unique_ptr<llama_context, decltype(&llama_free)>;

// Arguments as `name value` pairs.
struct Settings {
  std::map<std::string, std::string> values;

  Settings(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) values[argv[i]] = argv[i + 1];
  }
  const std::string& text(const char* name) const { return values.at(name); }
  int number(const char* name) const { return std::stoi(values.at(name)); }
};

inline void log_warning(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

inline Model load_model(const Settings& settings) {
  ggml_backend_dev_t no_devices[] = {nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = no_devices;
  params.n_gpu_layers = 0;
  Model model(llama_model_load_from_file(settings.text("model").c_str(), params), llama_model_free);
  if (!model) throw std::runtime_error("Loading the model " + settings.text("model") + " failed.");
  return model;
}

// Runs `work` with the arguments; the exit status.
template <typename Work>
int run_program(int argc, char** argv, Work work) {
  llama_log_set(log_warning, nullptr);
  try {
    const Settings settings(argc, argv);
    ggml_backend_load_all_from_path(settings.text("bins").c_str());
    work(settings);
  } catch (const std::exception& error) {
    fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
