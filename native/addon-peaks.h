// The machine's ceilings for JavaScript.
#pragma once

#include "addon-values.h"

namespace claw::addon {

// threads -> { multiplies: [one thread, all], multiplyKernel, floatOperations, floatKernel, readBytes, readKernel,
// cacheBytes, bufferBytes }; blocks for a second or so
napi_value measurePeaks(napi_env env, napi_callback_info call);

}  // namespace claw::addon
