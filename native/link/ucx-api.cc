#include "link/ucx-api.h"

#include <dlfcn.h>
#include <signal.h>

#include <cstdlib>
#include <iterator>
#include <mutex>

#include "link/ucx-inbox.h"

namespace claw {
namespace {

[[maybe_unused]] constexpr const char* kRemedy = "Install UCX (Debian, Ubuntu: apt-get install libucx0)";

}  // namespace

#ifdef CLAW_UCX

namespace {

// A frame and what UCX puts before it fit into one piece on its way.
constexpr const char* kSegmentBytes = "72k";
static_assert(kUcxFrameBytes <= size_t{64} << 10);

template <typename Function>
bool find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool findAll(void* ucp, UcxApi* api) {
  return find(ucp, "ucp_config_read", &api->configRead) && find(ucp, "ucp_config_modify", &api->configModify) &&
         find(ucp, "ucp_config_release", &api->configRelease) && find(ucp, "ucp_init_version", &api->init) &&
         find(ucp, "ucp_worker_create", &api->workerCreate) && find(ucp, "ucp_worker_destroy", &api->workerDestroy) &&
         find(ucp, "ucp_worker_get_address", &api->workerAddress) &&
         find(ucp, "ucp_worker_release_address", &api->releaseAddress) &&
         find(ucp, "ucp_worker_get_efd", &api->workerFile) && find(ucp, "ucp_worker_arm", &api->workerArm) &&
         find(ucp, "ucp_worker_progress", &api->workerProgress) &&
         find(ucp, "ucp_worker_set_am_recv_handler", &api->setReceiver) &&
         find(ucp, "ucp_ep_create", &api->endpointCreate) && find(ucp, "ucp_ep_close_nbx", &api->endpointClose) &&
         find(ucp, "ucp_am_send_nbx", &api->send) &&
         find(ucp, "ucp_am_data_release", &api->releaseData) &&
         find(ucp, "ucp_request_check_status", &api->requestStatus) &&
         find(ucp, "ucp_request_free", &api->requestFree) && find(ucp, "ucs_status_string", &api->statusWords);
}

// UCX takes the signals of a fault for itself as it is loaded; whose process this is keeps them.
class KeptSignals {
 public:
  KeptSignals() {
    for (size_t i = 0; i < std::size(kFaults); i++) sigaction(kFaults[i], nullptr, &before_[i]);
  }
  ~KeptSignals() {
    for (size_t i = 0; i < std::size(kFaults); i++) sigaction(kFaults[i], &before_[i], nullptr);
  }

 private:
  static constexpr int kFaults[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
  struct sigaction before_[std::size(kFaults)] = {};
};

Error load(UcxApi* api) {
  const KeptSignals kept;
  void* ucp = dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);  // and libucs with it; both stay
  if (ucp == nullptr) return makeError("E_LINK", "There is no UCX here (%s). %s.", dlerror(), kRemedy);
  if (!findAll(ucp, api)) return makeError("E_LINK", "UCX here is older than 1.13. %s.", kRemedy);
  return {};
}

Error makeContext(const UcxApi& api, bool local, ucp_context_h* context) {
  ucp_config_t* config = nullptr;
  ucs_status_t status = api.configRead(nullptr, nullptr, &config);
  if (status == UCS_OK) status = api.configModify(config, "TX_SEG_SIZE", kSegmentBytes);
  if (status == UCS_OK) status = api.configModify(config, "RX_SEG_SIZE", kSegmentBytes);
  if (status == UCS_OK && local && std::getenv("UCX_NET_DEVICES") == nullptr) {
    status = api.configModify(config, "NET_DEVICES", "lo");
  }
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  if (status == UCS_OK) status = api.init(UCP_API_MAJOR, UCP_API_MINOR, &params, config, context);
  if (config != nullptr) api.configRelease(config);
  return status == UCS_OK ? Error{} : makeError("E_LINK", "UCX cannot begin: %s.", api.statusWords(status));
}

struct Loaded {
  std::mutex lock;
  bool tried = false;
  Error error;
  UcxApi api;
  ucp_context_h contexts[2] = {nullptr, nullptr};
};

Loaded& loaded() {
  static auto* const kept = new Loaded;  // links may outlive whatever ends before the process does
  return *kept;
}

Error findLocked(Loaded* state) {
  if (!state->tried) state->error = load(&state->api);
  state->tried = true;
  return state->error;
}

}  // namespace

Error findUcx(const UcxApi** api) {
  Loaded& state = loaded();
  const std::lock_guard guard(state.lock);
  *api = &state.api;
  return findLocked(&state);
}

Error ucxContext(bool local, const UcxApi** api, ucp_context_h* context) {
  Loaded& state = loaded();
  const std::lock_guard guard(state.lock);
  if (Error error = findLocked(&state)) return error;
  ucp_context_h& made = state.contexts[local ? 1 : 0];
  if (made == nullptr) {
    if (Error error = makeContext(state.api, local, &made)) return error;
  }
  *api = &state.api;
  *context = made;
  return {};
}

Error checkUcx() {
  const UcxApi* api = nullptr;
  return findUcx(&api);
}

#else

Error checkUcx() {
  return makeError("E_LINK", "The native core was built without UCX. %s, then run `npm run build:native`.",
                   "Install its headers (Debian, Ubuntu: apt-get install libucx-dev)");
}

#endif

}  // namespace claw
