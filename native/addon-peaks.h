// The machine's ceilings, and its malloc, for JavaScript.
#pragma once

#include "addon-values.h"

namespace claw::addon {

// threads -> { multiplies: [one thread, all], multiplyKernel, floatOperations, floatKernel, readBytes, readKernel,
// cacheBytes, bufferBytes }; blocks for a second or so
napi_value measurePeaks(napi_env env, napi_callback_info call);

// pairs of [slot, bytes], slots -> [seconds, bytes live at their peak, bytes resident for them]
napi_value traceMalloc(napi_env env, napi_callback_info call);

}  // namespace claw::addon
