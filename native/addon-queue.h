// Links whose messages are queued, for JavaScript; src/kernels/link.ts documents the calls.
#pragma once

#include <memory>

#include "addon-link.h"
#include "link/link-queue.h"

namespace claw::addon {

// The queue of a link as one environment holds it. Closed by JavaScript, by the collector, or when the environment ends.
class QueueHandle : public std::enable_shared_from_this<QueueHandle> {
 public:
  // Null when the system refuses a thread.
  static std::shared_ptr<QueueHandle> open(napi_env env, std::shared_ptr<Link> link);
  QueueHandle() = default;
  ~QueueHandle();
  QueueHandle(const QueueHandle&) = delete;
  QueueHandle& operator=(const QueueHandle&) = delete;

  // A promise of the message's bytes; `memory`, of the Uint8Array `owner`, is lent until then.
  napi_value submit(napi_env env, std::span<const uint8_t> memory, napi_value owner, bool sends);
  void close(Drop reason) { queue_->close(reason); }

 private:
  class Promised;
  // On the thread of the environment, or without one when it is gone.
  static void onDone(napi_env env, napi_value, void*, void* data);
  static void onEnvironmentEnd(void* handle);
  void shutDown();

  napi_env env_ = nullptr;
  napi_threadsafe_function completions_ = nullptr;
  std::unique_ptr<LinkQueue> queue_;
  int pending_ = 0;
};

// link, Uint8Array -> promise of the bytes sent
napi_value queueSend(napi_env env, napi_callback_info call);
// link, Uint8Array to fill -> promise of the bytes received
napi_value queueReceive(napi_env env, napi_callback_info call);

}  // namespace claw::addon
