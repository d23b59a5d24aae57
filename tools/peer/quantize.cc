/**
 * Lets llama.cpp quantize a GGUF file, and says which matrices it left in another type than the one asked for.
 *
 * Arguments are `name value` pairs: bins, model, out, type (q8_0 or q4_0), mixture (`usual`: llama.cpp chooses finer types
 * for some tensors; `pure`: one type for all). A matrix whose rows the type's blocks do not divide gets another type.
 *
 * stdout: one JSON object. `matrices` counts the matrices by type, `others` names those of another type.
 */
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ggml.h"
#include "gguf.h"
#include "model.h"

namespace {

struct Type {
  llama_ftype file;
  ggml_type tensor;
};

Type type_of(const std::string& name) {
  if (name == "q8_0") return {LLAMA_FTYPE_MOSTLY_Q8_0, GGML_TYPE_Q8_0};
  if (name == "q4_0") return {LLAMA_FTYPE_MOSTLY_Q4_0, GGML_TYPE_Q4_0};
  throw std::runtime_error("The type " + name + " is not q8_0 or q4_0.");
}

struct Matrices {
  std::map<std::string, int> counts;
  std::vector<std::pair<std::string, std::string>> others;
};

Matrices matrices_of(const std::string& path, ggml_type wanted) {
  ggml_context* raw = nullptr;
  const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
      gguf_init_from_file(path.c_str(), {/*no_alloc=*/true, &raw}), gguf_free);
  const std::unique_ptr<ggml_context, decltype(&ggml_free)> tensors(raw, ggml_free);
  if (!file) throw std::runtime_error("Reading " + path + " failed.");
  Matrices found;
  for (ggml_tensor* t = ggml_get_first_tensor(raw); t != nullptr; t = ggml_get_next_tensor(raw, t)) {
    if (ggml_n_dims(t) < 2) continue;
    const char* type = ggml_type_name(t->type);
    found.counts[type]++;
    if (t->type != wanted) found.others.emplace_back(t->name, type);
  }
  return found;
}

void print(const Matrices& matrices) {
  const char* separator = "";
  printf("{\"matrices\":{");
  for (const auto& [type, count] : matrices.counts) {
    printf("%s\"%s\":%d", separator, type.c_str(), count);
    separator = ",";
  }
  printf("},\"others\":[");
  separator = "";
  for (const auto& [name, type] : matrices.others) {
    printf("%s{\"name\":\"%s\",\"type\":\"%s\"}", separator, name.c_str(), type.c_str());
    separator = ",";
  }
  printf("]}\n");
}

void run(const Settings& settings) {
  const Type type = type_of(settings.text("type"));
  const std::string& out = settings.text("out");
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = settings.number("threads");
  params.ftype = type.file;
  params.pure = settings.text("mixture") == "pure";
  if (llama_model_quantize(settings.text("model").c_str(), out.c_str(), &params) != 0) {
    throw std::runtime_error("Quantizing " + settings.text("model") + " failed.");
  }
  print(matrices_of(out, type.tensor));
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
