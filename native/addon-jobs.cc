#include "addon-jobs.h"

#include <utility>

namespace claw::addon {
namespace {

// Without an environment (it is ending) there is nobody to tell; the job is only deleted.
void onCompletion(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Pending> job(static_cast<Pending*>(data));
  if (env == nullptr) return;
  job->settle(env);
  job->handle()->settled(env, job.get());
}

}  // namespace

std::shared_ptr<DeviceHandle> DeviceHandle::open(napi_env env, std::shared_ptr<Device> device) {
  auto handle = std::make_shared<DeviceHandle>();
  handle->env_ = env;
  handle->device_ = std::move(device);
  const napi_value name = makeString(env, "claw completions");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, onCompletion,
                                      &handle->completions_) != napi_ok) {
    handle->completions_ = nullptr;
    return nullptr;
  }
  napi_unref_threadsafe_function(env, handle->completions_);
  // Hooks run last in, first out: the threads end before the environment takes the completions away.
  napi_add_env_cleanup_hook(env, onEnvironmentEnd, handle.get());
  return handle;
}

DeviceHandle::~DeviceHandle() {
  if (!closed_ && completions_ != nullptr) shutDown(nullptr);
}

void DeviceHandle::onEnvironmentEnd(void* handle) { static_cast<DeviceHandle*>(handle)->shutDown(nullptr); }

napi_value DeviceHandle::submit(napi_env env, std::unique_ptr<Pending> job) {
  const napi_value promise = job->promise(env);
  if (pending_.empty()) napi_ref_threadsafe_function(env, completions_);
  pending_.insert(job.get());
  device_->pool().submit(job.release());
  return promise;
}

void DeviceHandle::post(Pending* job) { napi_call_threadsafe_function(completions_, job, napi_tsfn_nonblocking); }

void DeviceHandle::settled(napi_env env, Pending* job) {
  pending_.erase(job);
  if (pending_.empty() && !closed_) napi_unref_threadsafe_function(env, completions_);
}

void DeviceHandle::close(napi_env env) {
  if (!closed_) shutDown(env);
}

void DeviceHandle::shutDown(napi_env env) {
  closed_ = true;
  napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
  for (Pending* job : pending_) job->interrupt();
  for (Job* left : device_->pool().stop()) {
    const std::unique_ptr<Pending> job(static_cast<Pending*>(left));
    pending_.erase(job.get());
    if (env != nullptr) job->cancel(env);
  }
  napi_release_threadsafe_function(completions_, napi_tsfn_release);
  device_->release();
}

napi_value Pending::promise(napi_env env) {
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred_, &promise);
  return promise;
}

void Pending::cancel(napi_env env) {
  napi_value ignored = nullptr;
  conclude(env, &ignored);
  reject(env, makeError("E_SHUTDOWN", "The device was closed before this began."));
}

void Pending::reject(napi_env env, const Error& error) {
  napi_reject_deferred(env, deferred_, makeErrorValue(env, error));
}

void Pending::settle(napi_env env) {
  napi_value value = nullptr;
  if (const Error error = conclude(env, &value)) return reject(env, error);
  if (value == nullptr) napi_get_undefined(env, &value);
  napi_resolve_deferred(env, deferred_, value);
}

DeviceReference openDevice(napi_env env, Arguments* arguments) {
  auto* reference = arguments->held<DeviceReference>();
  if (!arguments->intact()) return nullptr;
  if (!(*reference)->closed()) return *reference;
  throwError(env, makeError("E_INTERNAL", "The device is closed."));
  return nullptr;
}

napi_value rejected(napi_env env, const Error& error) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  napi_reject_deferred(env, deferred, makeErrorValue(env, error));
  return promise;
}

StepJob::StepJob(ExecutableHandle* owner, napi_ref keepAlive)
    : Pending(owner->device), executable_(owner->executable), links_(owner->links), owner_(owner), keepAlive_(keepAlive) {
  owner->busy = true;
  for (const LinkReference& link : links_) link->busy = true;
}

void StepJob::interrupt() {
  for (const LinkReference& link : links_) link->link->interrupt();
}

Error StepJob::conclude(napi_env env, napi_value*) {
  owner_->busy = false;
  for (const LinkReference& link : links_) link->giveBack();
  napi_delete_reference(env, keepAlive_);
  return executable_->stepError();
}

Error LoadJob::conclude(napi_env env, napi_value* value) {
  if (source_ != nullptr) napi_delete_reference(env, source_);
  if (handle()->closed()) return makeError("E_SHUTDOWN", "The device was closed while a matrix was loading.");
  int32_t id = 0;
  Error error = load_->end(&id);
  if (!error) *value = makeNumber(env, id);
  return error;
}

}  // namespace claw::addon
