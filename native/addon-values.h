// Between Node-API values and C++ ones. The callers are our own TypeScript (src/kernels/native.ts), so a wrong type
// is answered with one exception and no detail.
#pragma once

#define NAPI_VERSION 8
#include <node_api.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "executor/error.h"

namespace claw::addon {

// The arguments of a call, read one after the other. After a wrong one, `intact` is false and an exception is thrown.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    count_ = kMax;
    if (napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok) count_ = 0;
  }

  bool intact() const { return intact_; }
  napi_value next();
  int32_t integer();
  double number();
  std::string string();
  std::span<const int32_t> integers() { return typedArray<const int32_t>(napi_int32_array); }
  std::span<const float> floats() { return typedArray<const float>(napi_float32_array); }
  std::span<const uint64_t> words() { return typedArray<const uint64_t>(napi_biguint64_array); }
  std::span<const uint8_t> bytes(napi_value value);
  // What an external made by `external` holds.
  template <typename T>
  T* held() {
    void* data = nullptr;
    check(napi_get_value_external(env_, next(), &data));
    return static_cast<T*>(data);
  }

 private:
  static constexpr size_t kMax = 8;
  void check(napi_status status);
  void* arrayData(napi_value value, napi_typedarray_type type, size_t* length);
  template <typename T>
  std::span<T> typedArray(napi_typedarray_type type) {
    size_t length = 0;
    auto* data = static_cast<T*>(arrayData(next(), type, &length));
    return {data, length};
  }

  napi_env env_;
  napi_value values_[kMax] = {};
  size_t count_ = 0;
  size_t index_ = 0;
  bool intact_ = true;
};

// An object that JavaScript holds; deleted when it lets go.
template <typename T>
napi_value external(napi_env env, T* object) {
  napi_value value = nullptr;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_create_external(env, object, finalize, nullptr, &value) != napi_ok) delete object;
  return value;
}

napi_value makeString(napi_env env, const std::string& text);
napi_value makeNumber(napi_env env, double number);
void setProperty(napi_env env, napi_value object, const char* name, napi_value value);
// A JavaScript Error with `code`, `message` and, where known, `row`.
napi_value makeErrorValue(napi_env env, const Error& error);
// Throws it; returns null, for callbacks to return.
napi_value throwError(napi_env env, const Error& error);

}  // namespace claw::addon
