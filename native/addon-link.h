// Links between nodes; src/kernels/link.ts documents the calls.
#pragma once

#include <memory>

#include "addon-values.h"
#include "link/link.h"

namespace claw::addon {

class QueueHandle;

// A link as JavaScript holds it. Whoever moves messages over it takes it first: a call, a step, or for good a queue.
struct LinkHandle {
  std::shared_ptr<Link> link;
  bool busy = false;
  Drop closing = Drop::none;  // to be closed so by whoever has taken it
  std::shared_ptr<QueueHandle> queue;

  bool free() const { return !busy && queue == nullptr; }
  // On the thread of the environment, when what took it has ended.
  void giveBack();
};

using LinkReference = std::shared_ptr<LinkHandle>;  // what the external of a link holds

// The link of a call, which nothing has taken; null after throwing.
LinkReference freeLink(napi_env env, Arguments* arguments);

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
// link over TCP, whether both ends are on this host, microseconds of spinning, milliseconds -> promise, when it is one over UCX
napi_value changeLink(napi_env env, napi_callback_info call);
// throws where there is no UCX
napi_value requireUcx(napi_env env, napi_callback_info call);
// link, Uint8Array to send or undefined, Uint8Array to fill or undefined, microseconds of spinning, milliseconds
// -> promise of the bytes received
napi_value exchangeLink(napi_env env, napi_callback_info call);
// link, [bytes, rounds, microseconds of spinning, milliseconds, whether this side echoes] -> promise of { oneWay, copy, wire }
napi_value timeLink(napi_env env, napi_callback_info call);
// -> [link, link], the open ends of a link within this process
napi_value linkPair(napi_env env, napi_callback_info call);
// link, why; ends what moves over it
napi_value closeLink(napi_env env, napi_callback_info call);

}  // namespace claw::addon
