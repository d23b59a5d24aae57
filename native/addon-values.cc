#include "addon-values.h"

namespace claw::addon {

void Arguments::check(napi_status status) {
  if (status == napi_ok || !intact_) return;
  intact_ = false;
  throwError(env_, makeError("E_INTERNAL", "Argument %zu of a call of the native core has the wrong type.", index_));
}

napi_value Arguments::next() {
  if (index_ >= count_) check(napi_invalid_arg);
  return index_ < kMax ? values_[index_++] : nullptr;
}

int32_t Arguments::integer() {
  int32_t value = 0;
  check(napi_get_value_int32(env_, next(), &value));
  return value;
}

double Arguments::number() {
  double value = 0;
  check(napi_get_value_double(env_, next(), &value));
  return value;
}

std::string Arguments::string() {
  napi_value value = next();
  size_t length = 0;
  check(napi_get_value_string_utf8(env_, value, nullptr, 0, &length));
  if (!intact_) return {};
  std::string text(length, '\0');
  check(napi_get_value_string_utf8(env_, value, text.data(), length + 1, &length));
  return text;
}

void* Arguments::arrayData(napi_value value, napi_typedarray_type type, size_t* length) {
  napi_typedarray_type actual = napi_uint8_array;
  void* data = nullptr;
  check(napi_get_typedarray_info(env_, value, &actual, length, &data, nullptr, nullptr));
  if (intact_ && actual != type) check(napi_invalid_arg);
  if (!intact_) *length = 0;
  return data;
}

std::span<const uint8_t> Arguments::bytes(napi_value value) {
  size_t length = 0;
  const auto* data = static_cast<const uint8_t*>(arrayData(value, napi_uint8_array, &length));
  return {data, length};
}

napi_value makeString(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

napi_value makeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

void setProperty(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

napi_value makeErrorValue(napi_env env, const Error& error) {
  napi_value value = nullptr;
  napi_create_error(env, makeString(env, error.code), makeString(env, error.message), &value);
  if (error.row >= 0) setProperty(env, value, "row", makeNumber(env, static_cast<double>(error.row)));
  return value;
}

napi_value throwError(napi_env env, const Error& error) {
  napi_throw(env, makeErrorValue(env, error));
  return nullptr;
}

}  // namespace claw::addon
