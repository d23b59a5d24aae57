// Packed matrices as JavaScript keeps them in files.
#pragma once

#include "addon-values.h"
#include "executor/device.h"

namespace claw::addon {

// [format, rows, columns, segments, first segment, end segment]; false for no format.
bool readShape(std::span<const int32_t> numbers, MatrixShape* shape);

// What packed bytes have to agree in to be used by this build.
napi_value packedVersion(napi_env env);

// device, shape, file descriptor, offset, [checksum] -> promise of an id; -1 when the bytes have another checksum
napi_value readMatrix(napi_env env, napi_callback_info call);

// shape -> bytes
napi_value packedBytes(napi_env env, napi_callback_info call);

// device, id -> ArrayBuffer over the matrix's own memory, to be read only
napi_value matrixBytes(napi_env env, napi_callback_info call);

// Uint8Array, [checksum] to fill: of the bytes as a mapped matrix is checked
napi_value checksumOf(napi_env env, napi_callback_info call);

}  // namespace claw::addon
