// Jobs that JavaScript waits for: a promise each, settled on the thread of its environment.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "addon-link.h"
#include "addon-values.h"
#include "executor/device.h"
#include "executor/executable.h"
#include "executor/matrix-work.h"

namespace claw::addon {

class Pending;

// A device as one environment (the main thread or a worker) holds it. Closed by JavaScript, by the collector, or when
// the environment ends, whichever comes first.
class DeviceHandle : public std::enable_shared_from_this<DeviceHandle> {
 public:
  static std::shared_ptr<DeviceHandle> open(napi_env env, std::shared_ptr<Device> device);
  ~DeviceHandle();

  const std::shared_ptr<Device>& device() const { return device_; }
  bool closed() const { return closed_; }
  bool idle() const { return pending_.empty(); }
  // Queues the job and returns its promise. While one is pending, the process stays alive.
  napi_value submit(napi_env env, std::unique_ptr<Pending> job);
  void close(napi_env env);
  // From a thread of the pool.
  void post(Pending* job);
  // A promise was settled.
  void settled(napi_env env, Pending* job);

 private:
  // Ends the threads; the jobs that had not begun are rejected when `env` is given.
  void shutDown(napi_env env);
  static void onEnvironmentEnd(void* handle);

  napi_env env_ = nullptr;
  std::shared_ptr<Device> device_;
  napi_threadsafe_function completions_ = nullptr;
  std::set<Pending*> pending_;
  bool closed_ = false;
};

class Pending : public Job {
 public:
  explicit Pending(std::shared_ptr<DeviceHandle> handle) : handle_(std::move(handle)) {}
  napi_value promise(napi_env env);
  void finished() final { handle_->post(this); }
  // On the thread of the environment: settles the promise.
  void settle(napi_env env);
  // Rejects the promise of a job that never ran.
  void cancel(napi_env env);
  // Has a job that waits for others give up.
  virtual void interrupt() {}
  const std::shared_ptr<DeviceHandle>& handle() const { return handle_; }

 protected:
  // Lets go of what the job held; the value to resolve with (null: undefined) or an error.
  virtual Error conclude(napi_env env, napi_value* value) = 0;

 private:
  void reject(napi_env env, const Error& error);

  std::shared_ptr<DeviceHandle> handle_;
  napi_deferred deferred_ = nullptr;
};

using DeviceReference = std::shared_ptr<DeviceHandle>;  // what the external of a device holds

// The device of a call, open; null after throwing.
DeviceReference openDevice(napi_env env, Arguments* arguments);

// A promise that is rejected already.
napi_value rejected(napi_env env, const Error& error);

// An executable as JavaScript holds it.
struct ExecutableHandle {
  std::shared_ptr<DeviceHandle> device;
  std::shared_ptr<Executable> executable;
  std::vector<LinkReference> links;
  bool busy = false;
};

// A step, which has the executable's links to itself.
class StepJob final : public Pending {
 public:
  StepJob(ExecutableHandle* owner, napi_ref keepAlive);
  void run(const Team& team) override { executable_->run(team); }
  void interrupt() override;

 private:
  Error conclude(napi_env env, napi_value* value) override;

  std::shared_ptr<Executable> executable_;
  std::vector<LinkReference> links_;
  ExecutableHandle* owner_;  // valid while keepAlive_ holds the external around it
  napi_ref keepAlive_;
};

// Resolves to the id of the matrix.
class LoadJob final : public Pending {
 public:
  // `source` keeps the bytes in memory alive; null for a file.
  LoadJob(std::shared_ptr<DeviceHandle> handle, std::unique_ptr<MatrixWork> load, napi_ref source)
      : Pending(std::move(handle)), load_(std::move(load)), source_(source) {}
  void run(const Team& team) override { load_->run(team); }

 private:
  Error conclude(napi_env env, napi_value* value) override;

  std::unique_ptr<MatrixWork> load_;
  napi_ref source_;
};

}  // namespace claw::addon
