// Training, for JavaScript; src/kernels/training.ts is the only caller.
#pragma once

#include "addon-values.h"

namespace claw::addon {

// device, integers, numbers, parameters, adapters, gradients, rope forward, rope backward -> trainer
napi_value createTrainer(napi_env env, napi_callback_info call);

// trainer, examples, [count, length, with gradient], [weight, example norm, teacher's share], teacher or undefined
// -> promise of [loss, cross-entropy, targets, agreed, sum of the gradient's squares]
napi_value trainBatch(napi_env env, napi_callback_info call);

// trainer, first moments, second moments, decayed, numbers of the update -> promise
napi_value updateParameters(napi_env env, napi_callback_info call);

// trainer, tokens, Float32Array for the logits -> promise
napi_value trainLogits(napi_env env, napi_callback_info call);

}  // namespace claw::addon
