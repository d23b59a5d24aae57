// Messages between two nodes, out of native memory and into it. One contract over all drivers: shared memory on one host,
// TCP between hosts. Nothing here waits on an event loop: the thread that calls progress() moves the bytes, and this is a
// compute thread while a step runs. A link belongs to one thread at a time; wake() and interrupt() are for any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "executor/error.h"
#include "link/aead.h"
#include "link/frame.h"

namespace claw {

// How a thread waits: it spins, since within a step the peer answers in microseconds, then sleeps in the kernel.
struct Patience {
  std::chrono::microseconds spin;
  std::chrono::milliseconds limit;
};

// Of a wait that only the peer or interrupt() ends. Far enough; a larger one would not fit into nanoseconds.
constexpr std::chrono::milliseconds kWithoutLimit = std::chrono::hours(24 * 365);

// What both peers agreed on in the handshake.
struct LinkTerms {
  uint64_t epoch = 0;
  size_t messageBytesMax = 0;
  std::unique_ptr<Aead> sealing;  // of what is sent; null where the driver does not leave the host
  std::unique_ptr<Aead> opening;  // of what is received
};

class Link {
 public:
  Link() = default;
  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Whether what is sent leaves the host, so that a link is opened with keys alone.
  virtual bool needsKeys() const = 0;
  // Ends the handshake: from now on messages are data.
  Error open(LinkTerms terms);
  // The next messages belong to another plan. Both peers do so between the same two messages.
  void setEpoch(uint64_t epoch) { epoch_ = epoch; }

  // Memory for the next message, which is copied once less from there: from postSend() on it is the link's, whatever
  // sending() says, and the peer may see and change it at any time. Empty where there is none; then any other memory does.
  virtual std::span<uint8_t> lend(size_t) { return {}; }
  // Posts a message, which stays as it is until sending() is false. One at a time. E_LINK, E_LINK_PEER, E_INTERNAL.
  Error postSend(std::span<const uint8_t> message);
  // Posts memory for the next message, the peer's to fill until receiving() is false. One at a time.
  Error postReceive(std::span<uint8_t> into);
  bool sending() const { return sending_; }
  bool receiving() const { return receiving_; }
  // Of a message.
  size_t messageBytesMax() const { return open_ ? messageBytesMax_ : kHelloBytesMax; }
  // Of the last message.
  size_t receivedBytes() const { return received_; }

  // Moves in both directions what can be moved without waiting; whether anything moved.
  bool progress();
  // Notices a peer that is gone, also where nothing moves.
  void watch();
  // Sleeps until something may move, or for about as long as said.
  virtual void park(std::chrono::milliseconds time) = 0;
  // Ends a park(), or else the next one at once.
  virtual void wake() = 0;
  // Whoever waits for the peer gives up, now and later.
  void interrupt() {
    interrupted_.store(true, std::memory_order_release);
    wake();
  }
  bool interrupted() const { return interrupted_.load(std::memory_order_acquire); }
  // Takes back what was posted. In the middle of a message that ends the link.
  void withdraw();

  // Says goodbye, as far as the peer makes room for it. Posted memory is free again.
  void close(Drop reason = Drop::closed);
  // Why nothing moves any more.
  Drop drop() const { return drop_; }
  const Error& error() const { return error_; }
  // Why the peer said that it ended the link; `none` where it said nothing.
  Drop peerDrop() const { return peerDrop_; }
  uint64_t epoch() const { return epoch_; }

 protected:
  // The largest payload of a frame.
  virtual size_t frameBytesMax() const = 0;
  // The same of the next frame of a message of which `rest` is not sent yet.
  virtual size_t frameBytesOf(std::span<const uint8_t>) const { return frameBytesMax(); }
  // Takes the whole frame; false while there is no room for it.
  virtual bool push(const FrameHeader& header, std::span<const uint8_t> payload) = 0;
  // Whether all that was pushed has left this process.
  virtual bool flush() = 0;
  // The header of the next frame, copied out of the peer's reach; false while there is none.
  virtual bool peek(FrameHeader* header) = 0;
  // Moves the payload of the frame just peeked at, into memory of its size; false while it is not here yet.
  virtual bool take(const FrameHeader& header, std::span<uint8_t> into) = 0;
  virtual bool peerGone() = 0;
  // Lets go of the peer.
  virtual void disconnect() = 0;

  // Ends the link; always false.
  bool fail(Drop reason);
  bool closed() const { return drop_ != Drop::none; }
  Aead* sealing() const { return sealing_.get(); }
  Aead* opening() const { return opening_.get(); }

 private:
  bool pushNext();
  bool pullNext();
  bool leave(const FrameHeader& goodbye);
  FrameExpectation expectation() const;
  FrameHeader header(FrameKind kind, size_t bytes, size_t rest) const;
  std::atomic<bool> interrupted_{false};
  bool open_ = false;
  uint64_t epoch_ = 0;
  size_t messageBytesMax_ = 0;
  std::unique_ptr<Aead> sealing_;
  std::unique_ptr<Aead> opening_;
  Drop drop_ = Drop::none;
  Drop peerDrop_ = Drop::none;
  Error error_;

  std::span<const uint8_t> outgoing_;
  size_t sent_ = 0;  // of it, in frames
  bool sending_ = false;
  bool framed_ = false;  // all of it is in frames
  uint64_t sendSequence_ = 0;

  std::span<uint8_t> incoming_;
  size_t received_ = 0;
  size_t rest_ = 0;
  bool receiving_ = false;
  bool within_ = false;
  uint64_t receiveSequence_ = 0;
};

// Moves in both directions until what was posted is done: two peers that send to each other do not wait for each other.
// E_DEADLINE where time passed, E_LINK where it was interrupted, and what the link failed with.
Error complete(Link* link, const Patience& patience);
// The same of several links at once. Where one fails, what was posted to the others is withdrawn.
Error complete(std::span<Link* const> links, const Patience& patience);
Error send(Link* link, std::span<const uint8_t> message, const Patience& patience);
Error receive(Link* link, std::span<uint8_t> into, size_t* bytes, const Patience& patience);

}  // namespace claw
