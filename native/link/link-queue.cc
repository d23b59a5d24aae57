#include "link/link-queue.h"

#include <signal.h>

#include <system_error>
#include <utility>
#include <vector>

#include "executor/waiting.h"

namespace claw {
namespace {

constexpr int kLooks = 100;  // some microseconds
constexpr auto kNap = std::chrono::milliseconds(20);  // a killed peer rings no bell

}  // namespace

std::unique_ptr<LinkQueue> LinkQueue::start(std::shared_ptr<Link> link) {
  std::unique_ptr<LinkQueue> made(new LinkQueue(std::move(link)));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals stay with the threads of the host
  try {
    made->thread_ = std::thread([raw = made.get()] { raw->run(); });
  } catch (const std::system_error&) {
    made.reset();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made;
}

LinkQueue::~LinkQueue() {
  close(Drop::closed);
  if (thread_.joinable()) thread_.join();
}

void LinkQueue::add(Transfer* transfer, Direction* direction) {
  Error error;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    error = error_;
    if (!error) direction->queue.push_back(transfer);
  }
  if (error) return transfer->done(error, 0);
  link_->wake();
}

void LinkQueue::close(Drop reason) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closing_ == Drop::none) closing_ = reason;
  }
  link_->wake();
}

void LinkQueue::run() {
  while (post()) {
    const bool moved = watchBriefly();
    if (settle()) continue;
    if (moved) continue;
    link_->park(kNap);
    // Unless something is awaited: a peer that is gone may have left messages that nobody has asked for yet.
    if (link_->sending() || link_->receiving()) link_->watch();
  }
}

// Whether something moved, or the link ended. Short, and without giving way, since what follows is sleep: where compute threads fill
// the machine, every moment here is taken from one of them, and all others wait for that one.
bool LinkQueue::watchBriefly() {
  for (int look = 0; look < kLooks; look++) {
    if (link_->progress() || link_->drop() != Drop::none) return true;
    pauseBriefly();
  }
  return false;
}

// Gives the link what is queued; false once it has ended.
bool LinkQueue::post() {
  Error error = link_->drop() == Drop::none ? Error{} : link_->error();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error && closing_ != Drop::none) {
      link_->close(closing_);
      error = link_->error();
    }
    if (!error && !outgoing_.posted && !outgoing_.queue.empty()) {
      error = link_->postSend(outgoing_.queue.front()->memory);
      outgoing_.posted = true;
    }
    if (!error && !incoming_.posted && !incoming_.queue.empty()) {
      error = link_->postReceive(incoming_.queue.front()->memory);
      incoming_.posted = true;
    }
  }
  if (!error) return true;
  fail(error);
  return false;
}

bool LinkQueue::settle() {
  const bool alive = link_->drop() == Drop::none;
  const bool sent = settle(&outgoing_, !alive || link_->sending(), 0);
  const bool received = settle(&incoming_, !alive || link_->receiving(), link_->receivedBytes());
  return sent || received;
}

bool LinkQueue::settle(Direction* direction, bool moving, size_t bytes) {
  Transfer* done = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!direction->posted || moving) return false;
    done = direction->queue.front();
    direction->queue.pop_front();
    direction->posted = false;
  }
  done->done({}, bytes);
  return true;
}

void LinkQueue::fail(const Error& error) {
  link_->close();
  std::vector<Transfer*> failed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    error_ = error;
    for (Direction* direction : {&outgoing_, &incoming_}) {
      failed.insert(failed.end(), direction->queue.begin(), direction->queue.end());
      direction->queue.clear();
    }
  }
  for (Transfer* transfer : failed) transfer->done(error, 0);
}

}  // namespace claw
