#include "link/shared-link.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "link/shared-ring.h"
#include "link/window.h"

namespace claw {
namespace {

// A file that cannot shrink: reading behind the end of one that did would end the process.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

class SharedMapping {
 public:
  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  SharedMapping& operator=(SharedMapping&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~SharedMapping() {
    if (memory_ != nullptr) munmap(memory_, sizeof(SharedMemory));
  }

  bool map(const Descriptor& file) {
    void* base = mmap(nullptr, sizeof(SharedMemory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.number(), 0);
    if (base == MAP_FAILED) return false;
    memory_ = static_cast<SharedMemory*>(base);
    return true;
  }
  SharedMemory* operator->() const { return memory_; }

 private:
  SharedMemory* memory_ = nullptr;
};

class SharedLink final : public Link {
 public:
  // The sides are 0, which accepted, and 1.
  SharedLink(Descriptor socket, SharedMapping memory, int side)
      : socket_(std::move(socket)),
        memory_(std::move(memory)),
        side_(side),
        writer_(&memory_->rings[side]),
        reader_(&memory_->rings[1 - side]) {}
  ~SharedLink() override { close(); }

  bool needsKeys() const override { return false; }

  std::span<uint8_t> lend(size_t bytes) override {
    lent_ = {};
    if (closed() || sending()) return {};
    if (!writer_.look()) {
      fail(Drop::ring);
      return {};
    }
    const size_t place = account_.find(bytes, writer_.consumed());
    if (place != WindowAccount::kNowhere) lent_ = {memory_->windows[side_] + place, bytes};
    return lent_;
  }

  void park(std::chrono::milliseconds time) override {
    Bell& own = memory_->bells[side_];
    const uint32_t seen = loadShared(own.rings, std::memory_order_relaxed);
    storeShared(own.asleep, uint32_t{1}, std::memory_order_relaxed);
    // Either the peer sees that this side sleeps, or this side what the peer did: ring() has the other fence.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!woken_.exchange(false, std::memory_order_seq_cst) && !movable()) {
      const timespec wait{0, std::chrono::nanoseconds(std::min(time, std::chrono::milliseconds(999))).count()};
      syscall(SYS_futex, &own.rings, FUTEX_WAIT, seen, &wait, nullptr, 0);
    }
    storeShared(own.asleep, uint32_t{0}, std::memory_order_relaxed);
  }

  void wake() override {
    woken_.store(true, std::memory_order_seq_cst);
    ringBell(&memory_->bells[side_]);
  }

 protected:
  size_t frameBytesMax() const override { return kWindowBytes; }
  size_t frameBytesOf(std::span<const uint8_t> rest) const override { return isLent(rest) ? rest.size() : kSlotBytes; }

  bool push(const FrameHeader& header, std::span<const uint8_t> payload) override {
    if (!writer_.room()) return writer_.broken() && fail(Drop::ring);
    if (isLent(payload)) {
      const auto place = static_cast<size_t>(payload.data() - memory_->windows[side_]);
      writer_.describe(header, place + 1);
      account_.use(place, payload.size(), writer_.written());
      lent_ = {};
    } else {
      writer_.write(header, payload);
    }
    ring();
    return true;
  }

  bool flush() override { return true; }

  bool peek(FrameHeader* header) override {
    if (!reader_.ready()) return reader_.broken() && fail(Drop::ring);
    *header = reader_.header();
    return true;
  }

  bool take(const FrameHeader&, std::span<uint8_t> into) override {
    if (!reader_.read(into, memory_->windows[1 - side_])) return fail(Drop::length);
    ring();
    return true;
  }

  // Nothing is said over the socket; it only ends.
  bool peerGone() override {
    uint8_t byte = 0;
    const ssize_t bytes = recv(socket_.number(), &byte, 1, MSG_DONTWAIT);
    return bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR);
  }

  void disconnect() override { socket_.reset(); }

 private:
  bool isLent(std::span<const uint8_t> payload) const {
    return !payload.empty() && payload.data() == lent_.data() && payload.size() <= lent_.size();
  }

  bool movable() {
    return (receiving() && (reader_.ready() || reader_.broken())) || (sending() && (writer_.room() || writer_.broken()));
  }

  void ring() {
    Bell& theirs = memory_->bells[1 - side_];
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (loadShared(theirs.asleep, std::memory_order_relaxed) == 0) return;
    storeShared(theirs.asleep, uint32_t{0}, std::memory_order_relaxed);
    ringBell(&theirs);
  }

  static void ringBell(Bell* bell) {
    std::atomic_ref<uint32_t>(bell->rings).fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, &bell->rings, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  Descriptor socket_;
  SharedMapping memory_;
  const int side_;
  RingWriter writer_;
  RingReader reader_;
  WindowAccount account_;
  std::span<uint8_t> lent_;  // and not sent from yet
  std::atomic<bool> woken_{false};
};

Error memoryError() {
  return makeError("E_LINK_MEMORY", "The system refuses %zu KiB of shared memory for a link: %s.",
                   sizeof(SharedMemory) / 1024, std::strerror(errno));
}

// All pages are taken here and now, so that writing to them never fails.
Error makeMemory(Descriptor* file) {
  Descriptor made(memfd_create("claw-link", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made || ftruncate(made.number(), sizeof(SharedMemory)) != 0) return memoryError();
  errno = posix_fallocate(made.number(), 0, sizeof(SharedMemory));
  if (errno != 0 || fcntl(made.number(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) return memoryError();
  *file = std::move(made);
  return {};
}

Error checkMemory(const Descriptor& file) {
  struct stat status{};
  const int seals = fcntl(file.number(), F_GET_SEALS);
  const bool sealed = seals >= 0 && (seals & kSeals) == kSeals;
  if (sealed && fstat(file.number(), &status) == 0 && status.st_size == static_cast<off_t>(sizeof(SharedMemory))) return {};
  return makeError("E_LINK_PEER", "The shared memory that a peer handed over is not sealed, or not the %zu bytes of this version.",
                   sizeof(SharedMemory));
}

Error makeLink(Descriptor socket, const Descriptor& file, int side, std::unique_ptr<Link>* link) {
  SharedMapping memory;
  if (!memory.map(file)) return memoryError();
  *link = std::make_unique<SharedLink>(std::move(socket), std::move(memory), side);
  return {};
}

}  // namespace

Error acceptShared(Descriptor socket, Milliseconds time, std::unique_ptr<Link>* link) {
  Descriptor file;
  if (Error error = makeMemory(&file)) return error;
  if (Error error = handOver(socket, file, time)) return error;
  return makeLink(std::move(socket), file, 0, link);
}

Error connectShared(Descriptor socket, Milliseconds time, std::unique_ptr<Link>* link) {
  Descriptor file;
  if (Error error = takeOver(socket, time, &file)) return error;
  if (Error error = checkMemory(file)) return error;
  return makeLink(std::move(socket), file, 1, link);
}

}  // namespace claw
