#include "addon-hash.h"

#include <cstring>
#include <memory>
#include <utility>

#include "addon-jobs.h"
#include "executor/file-hash.h"

namespace claw::addon {
namespace {

class HashJob final : public Pending {
 public:
  // `into` keeps the memory that is filled or read alive.
  HashJob(std::shared_ptr<DeviceHandle> handle, std::unique_ptr<FileHash> hash, napi_ref into)
      : Pending(std::move(handle)), hash_(std::move(hash)), into_(into) {}
  void run(const Team& team) override { hash_->run(team); }

 private:
  Error conclude(napi_env env, napi_value* value) override {
    napi_delete_reference(env, into_);
    if (Error error = hash_->end()) return error;
    const auto hashes = hash_->hashes();
    void* memory = nullptr;
    napi_value buffer = nullptr;
    napi_create_arraybuffer(env, hashes.size(), &memory, &buffer);
    if (!hashes.empty()) std::memcpy(memory, hashes.data(), hashes.size());
    napi_create_typedarray(env, napi_uint8_array, hashes.size(), buffer, 0, value);
    return {};
  }

  std::unique_ptr<FileHash> hash_;
  napi_ref into_;
};

napi_value submitHash(napi_env env, const DeviceReference& handle, std::unique_ptr<FileHash> hash, napi_value memory) {
  napi_ref keepAlive = nullptr;
  napi_create_reference(env, memory, 1, &keepAlive);
  return handle->submit(env, std::make_unique<HashJob>(handle, std::move(hash), keepAlive));
}

}  // namespace

napi_value hashMemory(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const napi_value from = arguments.next();
  const std::span<const uint8_t> bytes = arguments.bytes(from);
  if (!arguments.intact()) return nullptr;
  return submitHash(env, handle, FileHash::ofMemory(bytes), from);
}

napi_value hashFile(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const int32_t descriptor = arguments.integer();
  const std::span<const uint64_t> ranges = arguments.words();
  const napi_value into = arguments.next();
  const std::span<const uint8_t> memory = arguments.bytes(into);
  if (!arguments.intact()) return nullptr;
  const std::span<uint8_t> filled(const_cast<uint8_t*>(memory.data()), memory.size());
  std::unique_ptr<FileHash> hash;
  if (const Error error = FileHash::begin(descriptor, ranges, filled, &hash)) return rejected(env, error);
  return submitHash(env, handle, std::move(hash), into);
}

}  // namespace claw::addon
