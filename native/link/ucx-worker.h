// A worker of UCX with one endpoint: active messages that carry frames one way, and how many were taken the other way.
#pragma once

#include "link/ucx-api.h"

#ifdef CLAW_UCX

#include <memory>
#include <span>
#include <vector>

#include "link/ucx-inbox.h"

namespace claw {

class UcxWorker {
 public:
  UcxWorker() = default;
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  // What the peer has to know. E_LINK.
  Error begin(bool local, std::vector<uint8_t>* address, UcxToken* token);
  // With what the peer's begin() said. E_LINK.
  Error connect(std::span<const uint8_t> address, const UcxToken& token);
  // Frees what UCX holds. Nothing moves any more.
  void end();

  // Moves what can be moved without waiting.
  void progress();
  // Copies the frame and sends it; false while the peer has no room for it, or the network none.
  bool send(const FrameHeader& header, std::span<const uint8_t> payload);
  // Whether the network has all that was sent.
  bool flush();
  // Says how many frames were taken, where nothing was said lately or `always`.
  void sayTaken(bool always);
  // Copies the payload of the next frame and gives its memory back.
  void take(std::span<uint8_t> into);
  // Whether a sleep on file() ends with what happens next; otherwise something has happened.
  bool arm() const { return api_->workerArm(worker_) == UCS_OK; }
  int file() const { return file_; }

  UcxInbox* inbox() { return inbox_.get(); }
  const UcxRoom& room() const { return *room_; }
  bool failed() const { return failed_; }

 private:
  struct Slot {
    UcxHead head;
    std::vector<uint8_t> payload;
    void* request = nullptr;
  };

  static ucs_status_t onFrame(void* self, const void* head, size_t headBytes, void* data, size_t bytes,
                              const ucp_am_recv_param_t* how);
  static ucs_status_t onCredit(void* self, const void* head, size_t headBytes, void* data, size_t bytes,
                               const ucp_am_recv_param_t* how);
  static void onError(void* self, ucp_ep_h endpoint, ucs_status_t status);
  Error setReceiver(unsigned id, ucp_am_recv_callback_t receiver);
  bool post(unsigned id, std::span<const uint8_t> head, std::span<const uint8_t> payload, void** request);
  // Whether a request is done; frees it then.
  bool done(void** request);

  const UcxApi* api_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  int file_ = -1;
  std::unique_ptr<UcxInbox> inbox_;
  std::unique_ptr<UcxRoom> room_;
  std::vector<Slot> slots_;
  UcxToken theirs_{};
  UcxCredit credit_{};
  void* creditRequest_ = nullptr;
  uint64_t said_ = 0;  // of the frames taken
  bool failed_ = false;
};

}  // namespace claw

#endif
