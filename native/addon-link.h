// Links between nodes; src/kernels/link.ts documents the calls.
#pragma once

#include <atomic>
#include <memory>

#include "addon-values.h"
#include "link/link.h"

namespace claw::addon {

// A link as JavaScript holds it. Whoever moves messages over it takes it first.
struct LinkHandle {
  std::shared_ptr<Link> link;
  std::atomic<bool> busy{false};
};

// driver, host or path, port -> listener
napi_value listenLink(napi_env env, napi_callback_info call);
// listener -> port
napi_value listenerPort(napi_env env, napi_callback_info call);
// listener
napi_value closeListener(napi_env env, napi_callback_info call);
// listener -> a link, or undefined while no peer asks for one
napi_value acceptLink(napi_env env, napi_callback_info call);
// driver, host or path, port, milliseconds -> promise of a link
napi_value connectLink(napi_env env, napi_callback_info call);
// link, epoch, bytes of a message at most, the keys to seal and to open with, 32 bytes each, or none
napi_value openLink(napi_env env, napi_callback_info call);
// link, Uint8Array to send or undefined, Uint8Array to fill or undefined, microseconds of spinning, milliseconds
// -> promise of the bytes received
napi_value exchangeLink(napi_env env, napi_callback_info call);
// link, [bytes, rounds, microseconds of spinning, milliseconds, whether this side echoes] -> promise of { oneWay, copy, wire }
napi_value timeLink(napi_env env, napi_callback_info call);
// link, why
napi_value closeLink(napi_env env, napi_callback_info call);

}  // namespace claw::addon
