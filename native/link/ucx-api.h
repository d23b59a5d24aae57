// UCX's functions, found when they are first wanted: the addon is built where only its headers are, and runs where neither is.
#pragma once

#include "executor/error.h"

#if __has_include(<ucp/api/ucp.h>)
#define CLAW_UCX 1

#include <ucp/api/ucp.h>

namespace claw {

// As ucp.h documents them.
struct UcxApi {
  decltype(&ucp_config_read) configRead = nullptr;
  decltype(&ucp_config_modify) configModify = nullptr;
  decltype(&ucp_config_release) configRelease = nullptr;
  decltype(&ucp_init_version) init = nullptr;
  decltype(&ucp_worker_create) workerCreate = nullptr;
  decltype(&ucp_worker_destroy) workerDestroy = nullptr;
  decltype(&ucp_worker_get_address) workerAddress = nullptr;
  decltype(&ucp_worker_release_address) releaseAddress = nullptr;
  decltype(&ucp_worker_get_efd) workerFile = nullptr;
  decltype(&ucp_worker_arm) workerArm = nullptr;
  decltype(&ucp_worker_progress) workerProgress = nullptr;
  decltype(&ucp_worker_set_am_recv_handler) setReceiver = nullptr;
  decltype(&ucp_ep_create) endpointCreate = nullptr;
  decltype(&ucp_ep_close_nbx) endpointClose = nullptr;
  decltype(&ucp_am_send_nbx) send = nullptr;
  decltype(&ucp_am_data_release) releaseData = nullptr;
  decltype(&ucp_request_check_status) requestStatus = nullptr;
  decltype(&ucp_request_free) requestFree = nullptr;
  decltype(&ucs_status_string) statusWords = nullptr;
};

// E_LINK where the library is missing or too old.
Error findUcx(const UcxApi** api);

// UCX as this process uses it, made once and kept. `local`: with peers of this host alone, so that nothing listens elsewhere.
// E_LINK.
Error ucxContext(bool local, const UcxApi** api, ucp_context_h* context);

}  // namespace claw

#endif

namespace claw {

// Whether links over UCX can be had here; E_LINK with what to install.
Error checkUcx();

}  // namespace claw
