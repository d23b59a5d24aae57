#include "link/link.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "executor/waiting.h"

namespace claw {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMovesPerClock = 64;                         // spins between two looks at the clock
constexpr auto kWatchEvery = std::chrono::milliseconds(1);  // while spinning
constexpr auto kParkMost = std::chrono::milliseconds(20);   // a killed peer rings no bell
constexpr auto kParkAmongMost = std::chrono::milliseconds(1);  // while other links wait as well

// A peer that breaks the rules is another matter than one that is gone.
const char* codeOf(Drop reason) {
  return reason == Drop::closed || reason == Drop::lost || reason == Drop::timeout ? "E_LINK" : "E_LINK_PEER";
}

}  // namespace

Error Link::open(LinkTerms terms) {
  const bool keyed = terms.sealing != nullptr && terms.opening != nullptr;
  if (open_ || sending_ || receiving_) return makeError("E_INTERNAL", "A link is opened once, after its handshake.");
  if (needsKeys() && !keyed) return makeError("E_INTERNAL", "A link that leaves the host needs keys.");
  if (terms.messageBytesMax > kMessageBytesMax) {
    return makeError("E_INTERNAL", "Messages of %zu bytes are more than links take.", terms.messageBytesMax);
  }
  open_ = true;
  epoch_ = terms.epoch;
  messageBytesMax_ = terms.messageBytesMax;
  sealing_ = std::move(terms.sealing);
  opening_ = std::move(terms.opening);
  return {};
}

Error Link::postSend(std::span<const uint8_t> message) {
  if (closed()) return error_;
  if (sending_) return makeError("E_INTERNAL", "A message is still being sent.");
  if (message.size() > messageBytesMax()) {
    return makeError("E_INTERNAL", "A message of %zu bytes is more than the agreed %zu.", message.size(), messageBytesMax());
  }
  outgoing_ = message;
  sent_ = 0;
  framed_ = false;
  sending_ = true;
  return {};
}

Error Link::postReceive(std::span<uint8_t> into) {
  if (closed()) return error_;
  if (receiving_) return makeError("E_INTERNAL", "A message is still awaited.");
  incoming_ = into;
  received_ = 0;
  within_ = false;
  receiving_ = true;
  return {};
}

bool Link::progress() {
  bool any = false;
  for (bool moved = true; moved && !closed(); any = any || moved) {
    const bool pushed = pushNext();
    const bool pulled = pullNext();
    moved = pushed || pulled;
  }
  return any;
}

bool Link::pushNext() {
  if (!sending_ || closed()) return false;
  if (framed_) {
    if (!flush()) return false;
    sending_ = false;
    return true;
  }
  const size_t left = outgoing_.size() - sent_;
  const size_t bytes = std::min(left, frameBytesOf(outgoing_.subspan(sent_)));
  const FrameKind kind = open_ ? FrameKind::data : FrameKind::hello;
  if (!push(header(kind, bytes, left - bytes), outgoing_.subspan(sent_, bytes))) return false;
  sendSequence_++;
  sent_ += bytes;
  framed_ = sent_ == outgoing_.size();
  return true;
}

bool Link::pullNext() {
  if (!receiving_ || closed()) return false;
  FrameHeader next;
  if (!peek(&next)) return false;
  if (const Drop wrong = checkFrame(next, expectation()); wrong != Drop::none) return fail(wrong);
  if (static_cast<FrameKind>(next.kind) == FrameKind::goodbye) return leave(next);
  if (!take(next, incoming_.subspan(received_, next.bytes))) return false;
  receiveSequence_++;
  received_ += next.bytes;
  rest_ = next.rest;
  within_ = rest_ > 0;
  receiving_ = within_;
  return true;
}

// A goodbye is sealed like every frame.
bool Link::leave(const FrameHeader& goodbye) {
  if (!take(goodbye, {})) return false;
  const Drop theirs = static_cast<Drop>(goodbye.rest);
  peerDrop_ = theirs;
  fail(within_ ? Drop::lost : Drop::closed);
  if (theirs != Drop::closed) error_ = makeError("E_LINK_PEER", "The peer ended the link: %s.", dropReason(theirs));
  return false;
}

FrameExpectation Link::expectation() const {
  return {open_,     epoch_, receiveSequence_, frameBytesMax(), std::min(incoming_.size(), messageBytesMax()),
          received_, rest_,  within_};
}

FrameHeader Link::header(FrameKind kind, size_t bytes, size_t rest) const {
  return {kFrameMagic,   kFrameVersion,
          static_cast<uint16_t>(kind), epoch_,
          sendSequence_, static_cast<uint32_t>(bytes),
          static_cast<uint32_t>(rest)};
}

void Link::watch() {
  if (!closed() && peerGone() && !progress() && !closed()) fail(Drop::lost);
}

void Link::withdraw() {
  const bool amid = (sending_ && sent_ > 0) || (sending_ && framed_) || (receiving_ && within_);
  sending_ = false;
  receiving_ = false;
  if (amid) close(Drop::timeout);
}

bool Link::fail(Drop reason) {
  if (closed()) return false;
  // A peer that broke the rules is told which.
  const bool ours = reason != Drop::lost && reason != Drop::closed;
  drop_ = reason;
  if (ours) push(header(FrameKind::goodbye, 0, static_cast<size_t>(reason)), {});
  error_ = makeError(codeOf(reason), "The link to the peer ended: %s.", dropReason(reason));
  sending_ = false;
  receiving_ = false;
  disconnect();
  return false;
}

void Link::close(Drop reason) {
  if (closed()) return;
  const bool whole = !sending_ || sent_ == 0;  // a peer in the middle of a message sees that it was broken off
  if (whole && reason == Drop::closed) push(header(FrameKind::goodbye, 0, static_cast<size_t>(reason)), {});
  fail(reason);
}

namespace {

// A wait for links, in which both directions of all of them move.
class Wait {
 public:
  Wait(std::span<Link* const> links, const Patience& patience) : links_(links), patience_(patience) {}

  Error run() {
    for (uint32_t spins = 1; std::ranges::any_of(links_, pends); spins++) {
      if (progress()) {
        spins = 0;
        continue;
      }
      if (Error error = failure()) return withdraw(std::move(error));
      pauseBriefly();
      if (spins % kMovesPerClock != 0) continue;
      if (spins == kMovesPerClock) moved_ = Clock::now();
      if (Error error = idle()) return withdraw(std::move(error));
    }
    return failure();
  }

 private:
  static bool pends(const Link* link) { return link->sending() || link->receiving(); }

  bool progress() const {
    bool moved = false;
    for (Link* link : links_) moved = link->progress() || moved;
    return moved;
  }

  Error failure() const {
    for (Link* link : links_) {
      if (link->drop() != Drop::none) return link->error();
    }
    return {};
  }

  Error withdraw(Error error) const {
    for (Link* link : links_) link->withdraw();
    return error;
  }

  // Between two rounds of spinning: looks at the clock, gives way or sleeps, and looks after the peers.
  Error idle() {
    const auto now = Clock::now();
    for (Link* link : links_) {
      if (link->interrupted()) return makeError("E_LINK", "The wait for the peer of a link was ended.");
    }
    if (now - begin_ >= patience_.limit) {
      return makeError("E_DEADLINE", "The peer of a link did not answer within %lld ms.",
                       static_cast<long long>(patience_.limit.count()));
    }
    const bool sleepy = now - moved_ >= patience_.spin;
    if (!sleepy) sched_yield();
    if (sleepy) park(std::chrono::ceil<std::chrono::milliseconds>(patience_.limit - (now - begin_)));
    if (!sleepy && now - watched_ < kWatchEvery) return {};
    for (Link* link : links_) link->watch();
    watched_ = now;
    return {};
  }

  // One sleeps on a single link: others that wait, too, are looked at before long.
  void park(std::chrono::milliseconds left) const {
    const bool alone = std::ranges::count_if(links_, pends) == 1;
    (*std::ranges::find_if(links_, pends))->park(std::min(left, alone ? kParkMost : kParkAmongMost));
  }

  const std::span<Link* const> links_;
  const Patience& patience_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point moved_ = begin_;
  Clock::time_point watched_ = begin_;
};

}  // namespace

Error complete(std::span<Link* const> links, const Patience& patience) { return Wait(links, patience).run(); }

Error complete(Link* link, const Patience& patience) { return complete({&link, 1}, patience); }

Error send(Link* link, std::span<const uint8_t> message, const Patience& patience) {
  if (Error error = link->postSend(message)) return error;
  return complete(link, patience);
}

Error receive(Link* link, std::span<uint8_t> into, size_t* bytes, const Patience& patience) {
  if (Error error = link->postReceive(into)) return error;
  Error error = complete(link, patience);
  *bytes = error ? 0 : link->receivedBytes();
  return error;
}

}  // namespace claw
