#include "link/ucx-link.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "link/socket.h"
#include "link/ucx-worker.h"

namespace claw {

#ifdef CLAW_UCX

namespace {

using Clock = std::chrono::steady_clock;

// A worker's address names all its devices; on machines with many it has some KiB.
constexpr size_t kAddressBytesMax = size_t{64} << 10;
// What a peer sent before it ended may come after its goodbye, which goes another way.
constexpr auto kGrace = std::chrono::milliseconds(200);

class UcxLink final : public Link {
 public:
  UcxLink(std::shared_ptr<Link> control, std::unique_ptr<UcxWorker> worker)
      : control_(std::move(control)), worker_(std::move(worker)), bell_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    (void)control_->postReceive({reinterpret_cast<uint8_t*>(&theirFrames_), sizeof theirFrames_});
  }
  ~UcxLink() override { close(); }

  // The keys of the handshake seal the connection below; frames go as they are, hence over trusted networks alone.
  bool needsKeys() const override { return false; }

  void park(std::chrono::milliseconds time) override {
    if (closed() || worker_->failed() || !worker_->arm()) return;
    pollfd entries[] = {{worker_->file(), POLLIN, 0}, {bell_.number(), POLLIN, 0}};
    poll(entries, std::size(entries), static_cast<int>(time.count()));
    eventfd_t rings = 0;
    if (entries[1].revents != 0) eventfd_read(bell_.number(), &rings);
  }

  void wake() override { eventfd_write(bell_.number(), 1); }

 protected:
  size_t frameBytesMax() const override { return kUcxFrameBytes; }

  bool push(const FrameHeader& header, std::span<const uint8_t> payload) override {
    worker_->progress();
    if (!worker_->room().any()) return false;
    if (static_cast<FrameKind>(header.kind) != FrameKind::goodbye) return worker_->send(header, payload);
    goodbye_ = static_cast<Drop>(header.rest);  // said by disconnect(), over the other connection
    return true;
  }

  bool flush() override {
    worker_->progress();
    return worker_->flush();
  }

  bool peek(FrameHeader* header) override {
    if (worker_->inbox()->next() == nullptr) worker_->progress();
    if (worker_->room().broken()) return fail(Drop::ring);
    if (const Drop reason = worker_->inbox()->broken(); reason != Drop::none) return fail(reason);
    if (const UcxInbox::Frame* frame = worker_->inbox()->next()) {
      *header = frame->header;
      return true;
    }
    if (!saidAll()) return false;
    *header = {kFrameMagic, kFrameVersion, static_cast<uint16_t>(FrameKind::goodbye), 0, worker_->inbox()->taken(),
               0,           static_cast<uint32_t>(control_->peerDrop())};
    return true;
  }

  bool take(const FrameHeader& header, std::span<uint8_t> into) override {
    if (static_cast<FrameKind>(header.kind) == FrameKind::goodbye) return true;
    worker_->take(into);
    return true;
  }

  // The connection below ends with the peer, whatever UCX notices.
  bool peerGone() override {
    worker_->progress();
    hear();
    if (control_->drop() == Drop::none && !worker_->failed()) return false;
    if (saidAll()) return true;
    const auto now = Clock::now();
    if (ended_ == Clock::time_point{}) ended_ = now;
    return now - ended_ >= kGrace;
  }

  void disconnect() override {
    if (goodbye_ == Drop::none) {
      control_->close(Drop::lost);
    } else {
      const uint64_t frames = worker_->room().sent();
      if (!control_->postSend({reinterpret_cast<const uint8_t*>(&frames), sizeof frames})) control_->progress();
      control_->close(goodbye_);
    }
    worker_->end();
  }

 private:
  // How many frames the peer sent, then its goodbye.
  void hear() {
    control_->progress();
    control_->watch();
    if (control_->receiving() || control_->drop() != Drop::none) return;
    counted_ = control_->receivedBytes() == sizeof theirFrames_;
    (void)control_->postReceive({});
    control_->progress();
  }

  // Whether the peer said goodbye and all that it sent was taken.
  bool saidAll() const {
    return control_->peerDrop() != Drop::none && counted_ && worker_->inbox()->taken() == theirFrames_;
  }

  const std::shared_ptr<Link> control_;
  const std::unique_ptr<UcxWorker> worker_;
  Descriptor bell_;
  Drop goodbye_ = Drop::none;
  uint64_t theirFrames_ = 0;
  bool counted_ = false;  // whether they said it
  Clock::time_point ended_{};  // when the peer's end was noticed
};

// Says what the peer has to know of the worker, and connects it with the peer's.
Error introduce(Link* control, UcxWorker* worker, const UcxTerms& terms) {
  std::vector<uint8_t> address;
  UcxToken token;
  if (Error error = worker->begin(terms.local, &address, &token)) return error;
  std::vector<uint8_t> words(token.begin(), token.end());
  words.insert(words.end(), address.begin(), address.end());
  std::vector<uint8_t> heard(std::min(kAddressBytesMax, control->messageBytesMax()));
  if (Error error = control->postSend(words)) return error;
  if (Error error = control->postReceive(heard)) return error;
  if (Error error = complete(control, terms.patience)) return error;
  heard.resize(control->receivedBytes());
  if (heard.size() <= token.size()) return makeError("E_LINK_PEER", "A peer did not say where UCX reaches it.");
  std::memcpy(token.data(), heard.data(), token.size());
  return worker->connect(std::span<const uint8_t>(heard).subspan(token.size()), token);
}

// Both ends are reached, and nothing is left to be agreed on between them, before a thread goes away to compute.
Error meet(Link* control, UcxWorker* worker, const UcxTerms& terms) {
  const auto begin = Clock::now();
  const auto within = [&](const auto& holds) -> Error {
    while (!holds()) {
      if (worker->failed()) return makeError("E_LINK", "UCX cannot reach a peer.");
      if (control->drop() != Drop::none) return control->error();
      if (control->interrupted()) return makeError("E_LINK", "The wait for the peer of a link was ended.");
      if (Clock::now() - begin >= terms.patience.limit) {
        return makeError("E_DEADLINE", "A peer was not reached over UCX within %lld ms.",
                         static_cast<long long>(terms.patience.limit.count()));
      }
      worker->progress();
      control->watch();
      sched_yield();
    }
    return {};
  };
  worker->sayTaken(true);
  if (Error error = within([&] { return worker->flush() && worker->room().heard(); })) return error;
  const uint8_t ready = 1;
  uint8_t theirs = 0;
  if (Error error = control->postSend({&ready, 1})) return error;
  if (Error error = control->postReceive({&theirs, 1})) return error;
  Error error = within([&] {
    control->progress();
    return !control->sending() && !control->receiving();
  });
  if (error) control->withdraw();
  return error;
}

}  // namespace

Error changeToUcx(std::shared_ptr<Link> control, const UcxTerms& terms, std::unique_ptr<Link>* link) {
  auto worker = std::make_unique<UcxWorker>();
  Error error = introduce(control.get(), worker.get(), terms);
  if (!error) error = meet(control.get(), worker.get(), terms);
  if (error) {
    control->close(Drop::handshake);
    return error;
  }
  LinkTerms agreed;
  agreed.epoch = control->epoch();
  agreed.messageBytesMax = control->messageBytesMax();
  auto made = std::make_unique<UcxLink>(std::move(control), std::move(worker));
  error = made->open(std::move(agreed));
  *link = std::move(made);
  return error;
}

#else

Error changeToUcx(std::shared_ptr<Link> control, const UcxTerms&, std::unique_ptr<Link>*) {
  control->close(Drop::handshake);
  return checkUcx();
}

#endif

}  // namespace claw
