#include "link/ucx-worker.h"

#ifdef CLAW_UCX

#include <sys/random.h>

#include <chrono>

namespace claw {
namespace {

constexpr unsigned kFrameId = 0;
constexpr unsigned kCreditId = 1;
// A peer that reads a long message is not held up: four times in a round of slots it is said what was taken.
constexpr uint64_t kSayEvery = kUcxFrames / 4;
// UCX ends an endpoint of which nothing is waited for at once; one that hangs is left behind.
constexpr auto kEndMost = std::chrono::seconds(1);

template <typename T>
std::span<const uint8_t> bytesOf(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace

UcxWorker::~UcxWorker() { end(); }

Error UcxWorker::begin(bool local, std::vector<uint8_t>* address, UcxToken* token) {
  ucp_context_h context = nullptr;
  if (Error error = ucxContext(local, &api_, &context)) return error;
  if (getrandom(token->data(), token->size(), 0) != static_cast<ssize_t>(token->size())) {
    return makeError("E_LINK", "The system has no random bytes for a link.");
  }
  inbox_ = std::make_unique<UcxInbox>(*token);
  room_ = std::make_unique<UcxRoom>(*token);
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;  // links pass from thread to thread
  ucs_status_t status = api_->workerCreate(context, &params, &worker_);
  if (status == UCS_OK) status = api_->workerFile(worker_, &file_);
  if (status != UCS_OK) return makeError("E_LINK", "UCX has no worker for a link: %s.", api_->statusWords(status));
  if (Error error = setReceiver(kFrameId, onFrame)) return error;
  if (Error error = setReceiver(kCreditId, onCredit)) return error;
  ucp_address_t* place = nullptr;
  size_t bytes = 0;
  status = api_->workerAddress(worker_, &place, &bytes);
  if (status != UCS_OK) return makeError("E_LINK", "UCX has no address for a link: %s.", api_->statusWords(status));
  const auto* first = reinterpret_cast<const uint8_t*>(place);
  address->assign(first, first + bytes);
  api_->releaseAddress(worker_, place);
  return {};
}

Error UcxWorker::setReceiver(unsigned id, ucp_am_recv_callback_t receiver) {
  ucp_am_handler_param_t params{};
  params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG |
                      UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
  params.id = id;
  params.cb = receiver;
  params.arg = this;
  params.flags = UCP_AM_FLAG_WHOLE_MSG | UCP_AM_FLAG_PERSISTENT_DATA;
  const ucs_status_t status = api_->setReceiver(worker_, &params);
  return status == UCS_OK ? Error{} : makeError("E_LINK", "UCX takes no receiver: %s.", api_->statusWords(status));
}

Error UcxWorker::connect(std::span<const uint8_t> address, const UcxToken& token) {
  theirs_ = token;
  slots_.resize(kUcxFrames);
  for (Slot& slot : slots_) slot.payload.resize(kUcxFrameBytes);
  ucp_ep_params_t params{};
  params.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler = {onError, this};
  const ucs_status_t status = api_->endpointCreate(worker_, &params, &endpoint_);
  return status == UCS_OK ? Error{} : makeError("E_LINK", "UCX cannot reach a peer: %s.", api_->statusWords(status));
}

void UcxWorker::end() {
  if (worker_ == nullptr) return;
  for (UcxInbox::Frame& frame : inbox_->frames()) {
    if (frame.data != nullptr) api_->releaseData(worker_, frame.data);
    frame.data = nullptr;
  }
  const auto begin = std::chrono::steady_clock::now();
  bool ended = true;
  if (endpoint_ != nullptr) {
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    params.flags = UCP_EP_CLOSE_FLAG_FORCE;
    void* closing = api_->endpointClose(endpoint_, &params);
    const auto busy = [&] {
      bool any = !done(&closing) || !done(&creditRequest_);
      for (Slot& slot : slots_) any = !done(&slot.request) || any;
      return any;
    };
    while (busy() && ended) {
      api_->workerProgress(worker_);
      ended = std::chrono::steady_clock::now() - begin < kEndMost;
    }
  }
  if (ended) api_->workerDestroy(worker_);
  worker_ = nullptr;
  endpoint_ = nullptr;
}

bool UcxWorker::done(void** request) {
  if (*request == nullptr) return true;
  if (!UCS_PTR_IS_ERR(*request)) {
    const ucs_status_t status = api_->requestStatus(*request);
    if (status == UCS_INPROGRESS) return false;
    failed_ = failed_ || status != UCS_OK;
    api_->requestFree(*request);
  } else {
    failed_ = true;
  }
  *request = nullptr;
  return true;
}

void UcxWorker::progress() {
  if (worker_ == nullptr) return;
  while (api_->workerProgress(worker_) != 0) {
    if (inbox_->broken() != Drop::none || inbox_->next() != nullptr) break;
  }
  sayTaken(false);
}

bool UcxWorker::post(unsigned id, std::span<const uint8_t> head, std::span<const uint8_t> payload, void** request) {
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_MEMORY_TYPE;
  params.flags = UCP_AM_SEND_FLAG_EAGER;
  params.memory_type = UCS_MEMORY_TYPE_HOST;
  *request = api_->send(endpoint_, id, head.data(), head.size(), payload.data(), payload.size(), &params);
  done(request);
  return !failed_;
}

bool UcxWorker::send(const FrameHeader& header, std::span<const uint8_t> payload) {
  if (!room_->any()) return false;
  Slot& slot = slots_[room_->sent() % kUcxFrames];
  if (!done(&slot.request)) return false;
  slot.head = {header, theirs_};
  if (!payload.empty()) std::memcpy(slot.payload.data(), payload.data(), payload.size());
  room_->send();
  return post(kFrameId, bytesOf(slot.head), {slot.payload.data(), payload.size()}, &slot.request);
}

// An endpoint's own flush would wait for the peer to progress its worker, and peers go away to compute.
bool UcxWorker::flush() {
  bool all = true;
  for (Slot& slot : slots_) all = done(&slot.request) && all;
  return all && !failed_;
}

void UcxWorker::sayTaken(bool always) {
  if (endpoint_ == nullptr || failed_) return;
  if (!always && inbox_->taken() - said_ < kSayEvery) return;
  if (!done(&creditRequest_)) return;
  said_ = inbox_->taken();
  credit_ = {said_, theirs_};
  post(kCreditId, bytesOf(credit_), {}, &creditRequest_);
}

void UcxWorker::take(std::span<uint8_t> into) {
  UcxInbox::Frame* frame = inbox_->next();
  if (frame->data != nullptr) {
    std::memcpy(into.data(), frame->data, into.size());
    api_->releaseData(worker_, frame->data);
  }
  inbox_->drop();
  sayTaken(false);
}

ucs_status_t UcxWorker::onFrame(void* self, const void* head, size_t headBytes, void* data, size_t bytes,
                                const ucp_am_recv_param_t* how) {
  auto* worker = static_cast<UcxWorker*>(self);
  // Only eager messages are sent; another one would have its bytes elsewhere.
  if (bytes > 0 && (how->recv_attr & UCP_AM_RECV_ATTR_FLAG_DATA) == 0) return UCS_OK;
  const auto arrival = worker->inbox_->keep({static_cast<const uint8_t*>(head), headBytes}, data, bytes);
  return arrival == UcxInbox::Arrival::kept && bytes > 0 ? UCS_INPROGRESS : UCS_OK;
}

ucs_status_t UcxWorker::onCredit(void* self, const void* head, size_t headBytes, void*, size_t,
                                 const ucp_am_recv_param_t*) {
  static_cast<UcxWorker*>(self)->room_->hear({static_cast<const uint8_t*>(head), headBytes});
  return UCS_OK;
}

void UcxWorker::onError(void* self, ucp_ep_h, ucs_status_t) { static_cast<UcxWorker*>(self)->failed_ = true; }

}  // namespace claw

#endif
