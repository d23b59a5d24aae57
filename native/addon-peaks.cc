#include "addon-peaks.h"

#include <vector>

#include "arena/malloc-trace.h"
#include "peaks/peaks.h"

namespace claw::addon {
namespace {

napi_value makeRate(napi_env env, const Rate& rate) {
  napi_value pair = nullptr;
  napi_create_array_with_length(env, 2, &pair);
  napi_set_element(env, pair, 0, makeNumber(env, rate.one));
  napi_set_element(env, pair, 1, makeNumber(env, rate.all));
  return pair;
}

}  // namespace

napi_value measurePeaks(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const int32_t threads = arguments.integer();
  if (!arguments.intact()) return nullptr;
  if (threads < 1) return throwError(env, makeError("E_INTERNAL", "Ceilings of %d threads were asked for.", threads));
  Peaks peaks;
  if (const Error error = claw::measurePeaks(threads, &peaks)) return throwError(env, error);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  setProperty(env, result, "multiplies", makeRate(env, peaks.multiplies));
  setProperty(env, result, "multiplyKernel", makeString(env, peaks.multiplyKernel));
  setProperty(env, result, "floatOperations", makeRate(env, peaks.floatOperations));
  setProperty(env, result, "floatKernel", makeString(env, peaks.floatKernel));
  setProperty(env, result, "readBytes", makeRate(env, peaks.readBytes));
  setProperty(env, result, "readKernel", makeString(env, peaks.readKernel));
  setProperty(env, result, "cacheBytes", makeNumber(env, static_cast<double>(peaks.cacheBytes)));
  setProperty(env, result, "bufferBytes", makeNumber(env, static_cast<double>(peaks.bufferBytes)));
  return result;
}

napi_value traceMalloc(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const std::span<const int32_t> numbers = arguments.integers();
  const int32_t slots = arguments.integer();
  if (!arguments.intact()) return nullptr;
  std::vector<MallocRequest> requests;
  for (size_t i = 0; i + 1 < numbers.size(); i += 2) {
    requests.push_back({numbers[i], numbers[i + 1]});
    if (numbers[i] >= 0 && numbers[i] < slots && numbers[i + 1] >= 0) continue;
    return throwError(env, makeError("E_INTERNAL", "A request for memory is wrong."));
  }
  const MallocTrace trace = claw::traceMalloc(requests, static_cast<size_t>(slots));
  napi_value result = nullptr;
  napi_create_array_with_length(env, 3, &result);
  napi_set_element(env, result, 0, makeNumber(env, trace.seconds));
  napi_set_element(env, result, 1, makeNumber(env, trace.liveBytes));
  napi_set_element(env, result, 2, makeNumber(env, trace.residentBytes));
  return result;
}

}  // namespace claw::addon
