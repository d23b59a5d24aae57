// Files hashed for seals.
#pragma once

#include "addon-values.h"

namespace claw::addon {

// device, file descriptor, [offset, bytes, ...], Uint8Array to fill (empty: none) -> promise of a Uint8Array: 32 bytes for each chunk
napi_value hashFile(napi_env env, napi_callback_info call);

// device, Uint8Array -> promise of a Uint8Array: the same of memory
napi_value hashMemory(napi_env env, napi_callback_info call);

}  // namespace claw::addon
