#include "addon-packed.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "addon-jobs.h"
#include "executor/checksum.h"
#include "executor/matrix-read.h"

namespace claw::addon {
namespace {

napi_value throwShape(napi_env env) {
  return throwError(env, makeError("E_INTERNAL", "The description of a matrix is wrong."));
}

}  // namespace

bool readShape(std::span<const int32_t> numbers, MatrixShape* shape) {
  if (numbers.size() != 6 || numbers[0] < 0 || numbers[0] > static_cast<int32_t>(Format::i4)) return false;
  *shape = {static_cast<Format>(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
  return true;
}

napi_value packedVersion(napi_env env) {
  return makeString(env, "layout " + std::to_string(kLayoutVersion) + ", arithmetic " +
                             std::to_string(kArithmeticVersion) + ", little endian");
}

napi_value readMatrix(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  MatrixShape shape{};
  const bool shaped = readShape(arguments.integers(), &shape);
  const int32_t descriptor = arguments.integer();
  const auto offset = static_cast<int64_t>(arguments.number());
  const std::span<const uint64_t> checksum = arguments.words();
  if (!arguments.intact()) return nullptr;
  if (!shaped || checksum.size() != 1) return throwShape(env);
  std::unique_ptr<MatrixRead> read;
  const FilePlace place = {descriptor, offset};
  if (const Error error = MatrixRead::begin(handle->device(), shape, place, checksum[0], &read)) {
    return rejected(env, error);
  }
  return handle->submit(env, std::make_unique<LoadJob>(handle, std::move(read), nullptr));
}

napi_value packedBytes(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  MatrixShape shape{};
  const bool shaped = readShape(arguments.integers(), &shape);
  if (!arguments.intact()) return nullptr;
  if (!shaped) return throwShape(env);
  Matrix matrix{};
  PackedBytes bytes{};
  if (const Error error = layOut(shape, &matrix, &bytes)) return throwError(env, error);
  return makeNumber(env, static_cast<double>(bytes.total()));
}

napi_value matrixBytes(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const int32_t id = arguments.integer();
  if (!arguments.intact()) return nullptr;
  using Share = std::shared_ptr<const Region>;
  auto share = std::make_unique<Share>(handle->device()->matrixBytes(id));
  if (*share == nullptr) return throwError(env, makeError("E_INTERNAL", "There is no matrix %d.", id));
  const auto finalize = [](napi_env, void*, void* hint) { delete static_cast<Share*>(hint); };
  napi_value memory = nullptr;
  const Region& region = **share;
  if (napi_create_external_arraybuffer(env, region.base(), region.used(), finalize, share.get(), &memory) == napi_ok) {
    share.release();
  }
  return memory;
}

napi_value checksumOf(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const std::span<const uint8_t> bytes = arguments.bytes(arguments.next());
  const std::span<const uint64_t> result = arguments.words();
  if (!arguments.intact()) return nullptr;
  if (result.size() != 1) return throwShape(env);
  std::vector<uint64_t> blocks;
  for (size_t first = 0; first < bytes.size(); first += kChecksumBlock) {
    blocks.push_back(checksum(bytes.data() + first, std::min(kChecksumBlock, bytes.size() - first)));
  }
  const auto* sums = reinterpret_cast<const uint8_t*>(blocks.data());
  *const_cast<uint64_t*>(result.data()) = checksum(sums, blocks.size() * sizeof(uint64_t));
  return nullptr;
}

}  // namespace claw::addon
