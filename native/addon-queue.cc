#include "addon-queue.h"

#include <utility>

namespace claw::addon {

// A transfer that JavaScript waits for.
class QueueHandle::Promised final : public LinkQueue::Transfer {
 public:
  Promised(std::shared_ptr<QueueHandle> handle, napi_ref owner) : handle_(std::move(handle)), owner_(owner) {}

  napi_value promise(napi_env env) {
    napi_value promise = nullptr;
    napi_create_promise(env, &deferred_, &promise);
    return promise;
  }

  void done(const Error& error, size_t bytes) override {
    error_ = error;
    bytes_ = bytes;
    napi_call_threadsafe_function(handle_->completions_, this, napi_tsfn_nonblocking);
  }

  void settle(napi_env env) {
    napi_delete_reference(env, owner_);
    if (--handle_->pending_ == 0) napi_unref_threadsafe_function(env, handle_->completions_);
    if (error_) {
      napi_reject_deferred(env, deferred_, makeErrorValue(env, error_));
    } else {
      napi_resolve_deferred(env, deferred_, makeNumber(env, static_cast<double>(bytes_)));
    }
  }

 private:
  const std::shared_ptr<QueueHandle> handle_;
  const napi_ref owner_;  // of the memory
  napi_deferred deferred_ = nullptr;
  Error error_;
  size_t bytes_ = 0;
};

std::shared_ptr<QueueHandle> QueueHandle::open(napi_env env, std::shared_ptr<Link> link) {
  auto handle = std::make_shared<QueueHandle>();
  const napi_value name = makeString(env, "claw link queue");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, onDone,
                                      &handle->completions_) != napi_ok) {
    return nullptr;
  }
  napi_unref_threadsafe_function(env, handle->completions_);
  handle->env_ = env;
  // Hooks run last in, first out: the thread ends before the environment takes the completions away.
  napi_add_env_cleanup_hook(env, onEnvironmentEnd, handle.get());
  handle->queue_ = LinkQueue::start(std::move(link));
  return handle->queue_ == nullptr ? nullptr : handle;
}

QueueHandle::~QueueHandle() { shutDown(); }

void QueueHandle::onEnvironmentEnd(void* handle) { static_cast<QueueHandle*>(handle)->shutDown(); }

void QueueHandle::shutDown() {
  if (env_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
  env_ = nullptr;
  queue_.reset();
  napi_release_threadsafe_function(completions_, napi_tsfn_release);
}

void QueueHandle::onDone(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Promised> transfer(static_cast<Promised*>(data));
  if (env != nullptr) transfer->settle(env);
}

napi_value QueueHandle::submit(napi_env env, std::span<const uint8_t> memory, napi_value owner, bool sends) {
  napi_ref reference = nullptr;
  if (napi_create_reference(env, owner, 1, &reference) != napi_ok) return nullptr;
  auto* transfer = new Promised(shared_from_this(), reference);
  transfer->memory = {const_cast<uint8_t*>(memory.data()), memory.size()};
  const napi_value promise = transfer->promise(env);
  if (pending_++ == 0) napi_ref_threadsafe_function(env, completions_);
  if (sends) {
    queue_->send(transfer);
  } else {
    queue_->receive(transfer);
  }
  return promise;
}

namespace {

napi_value submit(napi_env env, napi_callback_info call, bool sends) {
  Arguments arguments(env, call);
  const auto* reference = arguments.held<LinkReference>();
  const napi_value owner = arguments.next();
  const std::span<const uint8_t> memory = arguments.bytes(owner);
  if (!arguments.intact()) return nullptr;
  LinkHandle& link = **reference;
  if (link.queue == nullptr) {
    Arguments again(env, call);
    if (freeLink(env, &again) == nullptr) return nullptr;
    link.queue = QueueHandle::open(env, link.link);
    if (link.queue == nullptr) return throwError(env, makeError("E_NATIVE", "Starting a thread for a link failed."));
  }
  return link.queue->submit(env, memory, owner, sends);
}

}  // namespace

napi_value queueSend(napi_env env, napi_callback_info call) { return submit(env, call, true); }

napi_value queueReceive(napi_env env, napi_callback_info call) { return submit(env, call, false); }

}  // namespace claw::addon
