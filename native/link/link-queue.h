// Messages of a link for those who must not wait, such as event loops: queued, and moved by a thread of the link's own.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "link/link.h"

namespace claw {

class LinkQueue {
 public:
  // Memory of a message that is sent or received; it stays until `done` is called, once, on any thread.
  class Transfer {
   public:
    virtual ~Transfer() = default;
    virtual void done(const Error& error, size_t bytes) = 0;

    std::span<uint8_t> memory;
  };

  // Null when the system refuses a thread. The link is the queue's alone from now on.
  static std::unique_ptr<LinkQueue> start(std::shared_ptr<Link> link);
  // As close(), and waits for the thread.
  ~LinkQueue();
  LinkQueue(const LinkQueue&) = delete;
  LinkQueue& operator=(const LinkQueue&) = delete;

  void send(Transfer* transfer) { add(transfer, &outgoing_); }
  void receive(Transfer* transfer) { add(transfer, &incoming_); }
  // Ends the link; what is still queued fails.
  void close(Drop reason);

 private:
  // Transfers of one direction, in order; the first of them is posted where `posted`.
  struct Direction {
    std::deque<Transfer*> queue;
    bool posted = false;
  };

  explicit LinkQueue(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  void add(Transfer* transfer, Direction* direction);
  void run();
  bool watchBriefly();
  bool post();
  bool settle();
  bool settle(Direction* direction, bool moving, size_t bytes);
  void fail(const Error& error);

  const std::shared_ptr<Link> link_;
  std::thread thread_;
  std::mutex mutex_;  // all below
  Direction outgoing_;
  Direction incoming_;
  Drop closing_ = Drop::none;
  Error error_;  // what the link failed with
};

}  // namespace claw
