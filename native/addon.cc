// The Node-API face of the native core; src/kernels/native.ts is its only caller and documents the calls.
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon-hash.h"
#include "addon-jobs.h"
#include "addon-link.h"
#include "addon-packed.h"
#include "addon-peaks.h"
#include "addon-queue.h"
#include "addon-train.h"
#include "addon-values.h"
#include "cpu.h"
#include "executor/matrix-load.h"
#include "kernels/dequantize.h"

namespace claw::addon {
namespace {

napi_value makeStrings(napi_env env, const std::vector<std::string>& texts) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (uint32_t i = 0; i < texts.size(); i++) napi_set_element(env, list, i, makeString(env, texts[i]));
  return list;
}

napi_value makeNumbers(napi_env env, const std::vector<double>& numbers) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (uint32_t i = 0; i < numbers.size(); i++) napi_set_element(env, list, i, makeNumber(env, numbers[i]));
  return list;
}

napi_value makeOpcodes(napi_env env) {
  constexpr const char* names[] = {"END",  "EMBED",    "RMS_NORM",  "QUANTIZE", "LINEAR", "LINEAR_PARTIAL", "COMBINE",
                                   "ROPE", "KV_WRITE", "ATTENTION", "SILU_MUL", "ADD",    "GATHER",
                                   "EMBED_PARTIAL", "SEND", "RECEIVE", "ADAPT_DOWN", "ADAPT_UP"};
  static_assert(std::size(names) == static_cast<size_t>(Op::adaptUp) + 1);
  napi_value opcodes = nullptr;
  napi_create_object(env, &opcodes);
  for (size_t i = 0; i < std::size(names); i++) {
    setProperty(env, opcodes, names[i], makeNumber(env, static_cast<double>(i)));
  }
  return opcodes;
}

napi_value info(napi_env env, napi_callback_info) {
  std::vector<std::string> isas;
  for (const Kernels* kernels : availableKernels()) isas.emplace_back(kernels->name);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  setProperty(env, result, "isas", makeStrings(env, isas));
  setProperty(env, result, "opcodes", makeOpcodes(env));
  setProperty(env, result, "packedVersion", packedVersion(env));
  setProperty(env, result, "cpu", makeString(env, cpuModel()));
  setProperty(env, result, "features", makeStrings(env, cpuFeatures()));
  return result;
}

napi_value createDevice(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const int32_t threads = arguments.integer();
  const std::string isa = arguments.string();
  const bool lockMemory = arguments.integer() != 0;
  const int32_t pinning = arguments.integer();
  const int32_t firstCore = arguments.integer();
  if (!arguments.intact()) return nullptr;
  auto device = Device::create(threads, isa, static_cast<Pinning>(pinning), firstCore);
  if (device != nullptr && lockMemory) device->lockMemory();
  auto handle = device == nullptr ? nullptr : DeviceHandle::open(env, std::move(device));
  if (handle == nullptr) {
    const Error error = makeError("E_NATIVE", "Starting %d threads with the %s kernels failed.", threads, isa.c_str());
    return throwError(env, error);
  }
  return external(env, new DeviceReference(std::move(handle)));
}

// The source of a matrix: a path and an offset, or bytes that must cover all rows.
Error readSource(const MatrixShape& shape, std::span<const uint8_t> bytes, MatrixBytes* source) {
  const size_t rowBytes = sourceRowBytes(source->type, shape.columns);
  size_t needed = 0;
  if (shape.rows < 1 || shape.columns < 1 || !multiply({static_cast<size_t>(shape.rows), rowBytes}, &needed) ||
      bytes.size() < needed) {
    return makeError("E_MODEL_SHAPE", "A matrix of %d rows has %zu bytes.", shape.rows, bytes.size());
  }
  source->memory = bytes.data();
  return {};
}

// device, [format, rows, columns, segments, first segment, end segment, source type], path or bytes, offset
napi_value loadMatrix(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const std::span<const int32_t> numbers = arguments.integers();
  const napi_value from = arguments.next();
  if (!arguments.intact()) return nullptr;
  MatrixShape shape{};
  if (numbers.size() != 7 || !readShape(numbers.first(6), &shape) || !isSourceType(numbers[6])) {
    return throwError(env, makeError("E_INTERNAL", "The description of a matrix is wrong."));
  }
  MatrixBytes source{};
  source.type = static_cast<SourceType>(numbers[6]);
  napi_valuetype kind = napi_undefined;
  napi_typeof(env, from, &kind);
  napi_ref keepAlive = nullptr;
  Error error;
  if (kind == napi_string) {
    Arguments path(env, call);
    path.next();
    path.next();
    source.file = path.string();
    source.offset = static_cast<int64_t>(path.number());
    if (!path.intact()) return nullptr;
  } else {
    const std::span<const uint8_t> bytes = arguments.bytes(from);
    if (!arguments.intact()) return nullptr;
    error = readSource(shape, bytes, &source);
  }
  std::unique_ptr<MatrixLoad> load;
  if (!error) error = MatrixLoad::begin(handle->device(), shape, std::move(source), &load);
  if (error) return rejected(env, error);
  if (kind != napi_string) napi_create_reference(env, from, 1, &keepAlive);
  return handle->submit(env, std::make_unique<LoadJob>(handle, std::move(load), keepAlive));
}

// Memory that jobs read may change only while none runs; false after throwing.
bool requireIdle(napi_env env, const DeviceHandle& handle) {
  if (handle.idle()) return true;
  throwError(env, makeError("E_INTERNAL", "The device is busy."));
  return false;
}

napi_value loadVector(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const std::span<const float> values = arguments.floats();
  if (!arguments.intact()) return nullptr;
  int32_t id = 0;
  if (const Error error = handle->device()->loadVector(values, &id)) return throwError(env, error);
  return makeNumber(env, id);
}

// device, pages, layers, heads, head dimension, format
napi_value allocateKv(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr || !requireIdle(env, *handle)) return nullptr;
  const int32_t pages = arguments.integer();
  const int32_t layers = arguments.integer();
  const int32_t heads = arguments.integer();
  const int32_t headDim = arguments.integer();
  const int32_t format = arguments.integer();
  if (!arguments.intact()) return nullptr;
  const KvCache shape = {nullptr, pages, layers, heads, headDim, static_cast<KvFormat>(format)};
  if (const Error error = handle->device()->allocateKv(shape)) return throwError(env, error);
  return nullptr;
}

// The bytes of a KV page of an idle device; empty after throwing.
std::span<uint8_t> openPage(napi_env env, const DeviceReference& handle, int32_t page) {
  if (!requireIdle(env, *handle)) return {};
  const std::span<uint8_t> bytes = handle->device()->kvPage(page);
  if (bytes.empty()) throwError(env, makeError("E_INTERNAL", "There is no KV page %d.", page));
  return bytes;
}

// device, from, to
napi_value copyPage(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const int32_t numbers[] = {arguments.integer(), arguments.integer()};
  if (!arguments.intact()) return nullptr;
  const std::span<uint8_t> from = openPage(env, handle, numbers[0]);
  if (from.empty()) return nullptr;
  const std::span<uint8_t> to = openPage(env, handle, numbers[1]);
  if (!to.empty()) std::memmove(to.data(), from.data(), from.size());
  return nullptr;
}

// device, page, Uint8Array of a page's size, whether the page is written rather than read
napi_value movePage(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const int32_t number = arguments.integer();
  const std::span<const uint8_t> bytes = arguments.bytes(arguments.next());
  const bool write = arguments.integer() != 0;
  if (!arguments.intact()) return nullptr;
  const std::span<uint8_t> page = openPage(env, handle, number);
  if (page.empty()) return nullptr;
  if (bytes.size() != page.size()) return throwError(env, makeError("E_INTERNAL", "A KV page has another size."));
  if (write) {
    std::memcpy(page.data(), bytes.data(), page.size());
  } else {
    std::memcpy(const_cast<uint8_t*>(bytes.data()), page.data(), page.size());
  }
  return nullptr;
}

// device, page
napi_value discardPage(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  const int32_t page = arguments.integer();
  if (arguments.intact() && !openPage(env, handle, page).empty()) handle->device()->discardKvPage(page);
  return nullptr;
}

// An ArrayBuffer over the step block; the memory lives as long as either it or the executable.
napi_value makeStepMemory(napi_env env, const Executable& executable) {
  using Share = std::shared_ptr<Region>;
  const auto finalize = [](napi_env, void*, void* hint) { delete static_cast<Share*>(hint); };
  auto* share = new Share(executable.stepRegion());
  napi_value memory = nullptr;
  if (napi_create_external_arraybuffer(env, (*share)->base(), (*share)->size(), finalize, share, &memory) != napi_ok) {
    delete share;
  }
  return memory;
}

napi_value makeOffsets(napi_env env, const Executable& executable) {
  const StepBlock& step = executable.step();
  const uint8_t* base = executable.stepRegion()->base();
  const void* parts[] = {step.tokens,  step.positions, step.pageStart, step.pages,
                         step.outputs, step.logits,    step.status,    step.adapters};
  std::vector<double> offsets;
  for (const void* part : parts) offsets.push_back(static_cast<double>(static_cast<const uint8_t*>(part) - base));
  return makeNumbers(env, offsets);
}

// The links of an array, which nothing else has taken; false after throwing.
bool readLinks(napi_env env, napi_value array, std::vector<LinkReference>* links) {
  uint32_t count = 0;
  napi_get_array_length(env, array, &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value element = nullptr;
    void* held = nullptr;
    napi_get_element(env, array, i, &element);
    if (napi_get_value_external(env, element, &held) != napi_ok) {
      throwError(env, makeError("E_INTERNAL", "A native device exchanges rows over native links alone."));
      return false;
    }
    links->push_back(*static_cast<LinkReference*>(held));
    if (links->back()->free()) continue;
    throwError(env, makeError("E_INTERNAL", "A message is still moving over a link that a program needs."));
    return false;
  }
  return true;
}

// device, buffers ([quantized, domain, width, segments, format] each), tape, logits buffer or -1,
// [rows, outputs, page entries], links -> { executable, memory, offsets }
napi_value prepare(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const DeviceReference handle = openDevice(env, &arguments);
  if (handle == nullptr) return nullptr;
  constexpr size_t perBuffer = 5;
  const std::span<const int32_t> numbers = arguments.integers();
  ProgramSource source{};
  source.tape = arguments.integers();
  source.logits = arguments.integer();
  const std::span<const int32_t> limits = arguments.integers();
  const napi_value array = arguments.next();
  std::vector<LinkReference> links;
  if (!arguments.intact() || !readLinks(env, array, &links)) return nullptr;
  if (numbers.size() % perBuffer != 0 || limits.size() != 3) {
    return throwError(env, makeError("E_INTERNAL", "The description of a program is wrong."));
  }
  source.limits = {limits[0], limits[1], limits[2]};
  std::vector<BufferShape> shapes;
  for (size_t i = 0; i < numbers.size(); i += perBuffer) {
    shapes.push_back({numbers[i] != 0, static_cast<Domain>(numbers[i + 1]), numbers[i + 2], numbers[i + 3],
                      static_cast<Format>(numbers[i + 4])});
  }
  source.buffers = shapes;
  for (const LinkReference& link : links) source.links.push_back(link->link);
  std::shared_ptr<Executable> executable;
  if (const Error error = Executable::prepare(handle->device(), source, &executable)) return throwError(env, error);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  setProperty(env, result, "memory", makeStepMemory(env, *executable));
  setProperty(env, result, "offsets", makeOffsets(env, *executable));
  auto* held = new ExecutableHandle{handle, std::move(executable), std::move(links)};
  setProperty(env, result, "executable", external(env, held));
  return result;
}

// executable, rows, outputs -> promise
napi_value execute(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  auto* held = arguments.held<ExecutableHandle>();
  const int32_t rows = arguments.integer();
  const int32_t outputs = arguments.integer();
  if (!arguments.intact()) return nullptr;
  if (held->device->closed()) return rejected(env, makeError("E_SHUTDOWN", "The device is closed."));
  if (held->busy) return rejected(env, makeError("E_INTERNAL", "A step of this program is still running."));
  for (const LinkReference& link : held->links) {
    if (!link->free()) return rejected(env, makeError("E_INTERNAL", "A message is still moving over a link of this program."));
  }
  if (const Error error = held->executable->beginStep(rows, outputs)) return rejected(env, error);
  Arguments again(env, call);
  napi_ref keepAlive = nullptr;
  if (napi_create_reference(env, again.next(), 1, &keepAlive) != napi_ok) return nullptr;
  return held->device->submit(env, std::make_unique<StepJob>(held, keepAlive));
}

// executable -> [exchanges, messages sent, their bytes, seconds waited]
napi_value exchangeCounts(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* held = arguments.held<ExecutableHandle>();
  if (!arguments.intact()) return nullptr;
  if (held->busy) return throwError(env, makeError("E_INTERNAL", "A step of this program is still running."));
  const ExchangeCounts& counts = held->executable->exchangeCounts();
  return makeNumbers(env, {static_cast<double>(counts.exchanges), static_cast<double>(counts.messages),
                           static_cast<double>(counts.bytes), static_cast<double>(counts.waited) / 1e9});
}

// The f32 buffer of a call and its size in values; null after throwing.
float* openBuffer(napi_env env, const ExecutableHandle& held, int32_t index, size_t* size) {
  const auto buffers = held.executable->buffers();
  const auto at = static_cast<size_t>(index);
  const bool busy = held.device->closed() || held.busy;
  if (busy || at >= buffers.size() || buffers[at].shape.quantized) {
    throwError(env, makeError("E_INTERNAL", "Buffer %d cannot be read or written now.", index));
    return nullptr;
  }
  const BufferShape& shape = buffers[at].shape;
  *size = static_cast<size_t>(shape.width) * static_cast<size_t>(held.executable->limits().of(shape.domain));
  return buffers[at].values;
}

// executable, buffer, values
napi_value writeBuffer(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* held = arguments.held<ExecutableHandle>();
  const int32_t index = arguments.integer();
  const std::span<const float> values = arguments.floats();
  if (!arguments.intact()) return nullptr;
  size_t size = 0;
  float* buffer = openBuffer(env, *held, index, &size);
  if (buffer == nullptr) return nullptr;
  if (values.size() > size) return throwError(env, makeError("E_INTERNAL", "Buffer %d is smaller.", index));
  if (!values.empty()) std::memcpy(buffer, values.data(), values.size_bytes());
  return nullptr;
}

// executable, buffer, Float32Array to fill
napi_value readBuffer(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* held = arguments.held<ExecutableHandle>();
  const int32_t index = arguments.integer();
  const std::span<const float> values = arguments.floats();
  if (!arguments.intact()) return nullptr;
  size_t size = 0;
  const float* buffer = openBuffer(env, *held, index, &size);
  if (buffer == nullptr) return nullptr;
  if (values.size() > size) return throwError(env, makeError("E_INTERNAL", "Buffer %d is smaller.", index));
  if (!values.empty()) std::memcpy(const_cast<float*>(values.data()), buffer, values.size_bytes());
  return nullptr;
}

napi_value memory(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* reference = arguments.held<DeviceReference>();
  if (!arguments.intact()) return nullptr;
  const Arena& arena = (*reference)->device()->arena();
  std::vector<double> bytes;
  for (const Purpose purpose : {Purpose::weights, Purpose::kv, Purpose::buffers}) {
    bytes.push_back(static_cast<double>(arena.bytes(purpose)));
  }
  return makeNumbers(env, bytes);
}

napi_value closeDevice(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* reference = arguments.held<DeviceReference>();
  if (arguments.intact()) (*reference)->close(env);
  return nullptr;
}

napi_value initialize(napi_env env, napi_value exports) {
  struct Function {
    const char* name;
    napi_callback call;
  };
  constexpr Function functions[] = {
      {"info", info},
      {"createDevice", createDevice},
      {"loadMatrix", loadMatrix},
      {"readMatrix", readMatrix},
      {"packedBytes", packedBytes},
      {"matrixBytes", matrixBytes},
      {"checksum", checksumOf},
      {"hashFile", hashFile},
      {"hashMemory", hashMemory},
      {"loadVector", loadVector},
      {"allocateKv", allocateKv},
      {"copyPage", copyPage},
      {"movePage", movePage},
      {"discardPage", discardPage},
      {"prepare", prepare},
      {"execute", execute},
      {"exchangeCounts", exchangeCounts},
      {"writeBuffer", writeBuffer},
      {"readBuffer", readBuffer},
      {"memory", memory},
      {"close", closeDevice},
      {"measurePeaks", measurePeaks},
      {"traceMalloc", traceMalloc},
      {"createTrainer", createTrainer},
      {"trainBatch", trainBatch},
      {"updateParameters", updateParameters},
      {"trainLogits", trainLogits},
      {"listenLink", listenLink},
      {"listenerPort", listenerPort},
      {"closeListener", closeListener},
      {"acceptLink", acceptLink},
      {"connectLink", connectLink},
      {"openLink", openLink},
      {"changeLink", changeLink},
      {"requireUcx", requireUcx},
      {"exchangeLink", exchangeLink},
      {"timeLink", timeLink},
      {"linkPair", linkPair},
      {"queueSend", queueSend},
      {"queueReceive", queueReceive},
      {"closeLink", closeLink},
  };
  for (const Function& function : functions) {
    napi_value value = nullptr;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.call, nullptr, &value);
    setProperty(env, exports, function.name, value);
  }
  return exports;
}

}  // namespace
}  // namespace claw::addon

NAPI_MODULE_INIT() { return claw::addon::initialize(env, exports); }
