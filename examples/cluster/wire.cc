// A switch for network namespaces of one machine, where the kernel has no netem: every port is a TAP device; each direction of
// it carries so many bits a second, and every frame is held for a delay, one way.
//
//   wire BITS_PER_SECOND DELAY_MICROSECONDS PORT...
//
// makes the devices (which the caller then moves to namespaces), says "ready", and forwards until it is ended. Segments pass as
// the sender's TCP leaves them, up to 64 KB (virtio-net headers), and count as the frames that a network card would make of them.

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace {

using Nanos = int64_t;
using Bytes = std::vector<uint8_t>;

// struct virtio_net_hdr of <linux/virtio_net.h>, which is no C++ everywhere.
struct OffloadHeader {
  uint8_t flags;
  uint8_t segmentation;
  uint16_t headerBytes;
  uint16_t segmentBytes;
  uint16_t checksumStart;
  uint16_t checksumOffset;
};

constexpr size_t kHeader = sizeof(OffloadHeader);
constexpr size_t kEthernet = 14;
constexpr size_t kFrameMax = kHeader + kEthernet + 65536;
// Preamble, checksum and gap: what Ethernet adds to each frame.
constexpr size_t kEthernetOverhead = 24;
// A port takes frames at most so far ahead of its wire; what comes then waits in the sender's own queue.
constexpr Nanos kAhead = 2'000'000;
// Frames on their way to one port; a sender that is that far ahead loses frames, as at any switch.
constexpr size_t kQueueMax = 20'000;

volatile sig_atomic_t stopping = 0;

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
  exit(1);
}

Nanos now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

struct Frame {
  Nanos due;
  Bytes bytes;
};

struct Port {
  int fd;
  // Until when each direction of its wire is taken.
  Nanos sending = 0;
  Nanos hearing = 0;
  std::deque<Frame> queue;
};

class Switch {
 public:
  Switch(double bitsPerSecond, Nanos delay) : nanosPerByte_(8e9 / bitsPerSecond), delay_(delay) {}

  void add(const char* name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) fail("/dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0) fail(name);
    int size = kHeader;
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) fail("TUNSETVNETHDRSZ");
    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0) fail("TUNSETOFFLOAD");
    ports_.push_back(Port{fd, 0, 0, {}});
  }

  // One round: waits for frames or for the time of one, takes the former and passes the latter on.
  void turn() {
    Nanos time = now();
    Nanos wake = INT64_MAX;
    std::vector<pollfd> polled;
    for (const Port& port : ports_) {
      bool ahead = port.sending > time + kAhead;
      if (ahead) wake = std::min(wake, port.sending - kAhead);
      if (!port.queue.empty()) wake = std::min(wake, port.queue.front().due);
      polled.push_back({port.fd, static_cast<short>(ahead ? 0 : POLLIN), 0});
    }
    Nanos wait = std::max<Nanos>(0, wake - time);
    timespec timeout{wait / 1'000'000'000, wait % 1'000'000'000};
    if (ppoll(polled.data(), polled.size(), wake == INT64_MAX ? nullptr : &timeout, nullptr) < 0 && errno != EINTR) fail("ppoll");
    for (size_t index = 0; index < ports_.size(); index++) {
      if (polled[index].revents & POLLIN) take(index);
    }
    for (Port& port : ports_) pass(port);
  }

  void report() const {
    printf("wire: %llu frames of %llu bytes passed, %llu lost\n", static_cast<unsigned long long>(frames_),
           static_cast<unsigned long long>(bytes_), static_cast<unsigned long long>(lost_));
  }

 private:
  void take(size_t index) {
    Port& port = ports_[index];
    while (port.sending <= now() + kAhead) {
      Bytes bytes = buffer();
      bytes.resize(kFrameMax);
      ssize_t got = read(port.fd, bytes.data(), bytes.size());
      if (got < static_cast<ssize_t>(kHeader + kEthernet)) {
        spare_.push_back(std::move(bytes));
        if (got >= 0) continue;
        // A device that is down says EIO.
        if (errno == EAGAIN || errno == EINTR || errno == EIO) return;
        fail("read");
      }
      bytes.resize(got);
      forward(index, std::move(bytes));
    }
  }

  void forward(size_t from, Bytes bytes) {
    const uint8_t* ethernet = bytes.data() + kHeader;
    auto address = [](const uint8_t* bytes) {
      uint64_t value = 0;
      for (int index = 0; index < 6; index++) value = value << 8 | bytes[index];
      return value;
    };
    stations_[address(ethernet + 6)] = from;
    Nanos taken = static_cast<Nanos>(wireBytes(bytes) * nanosPerByte_);
    Nanos sent = std::max(now(), ports_[from].sending) + taken;
    ports_[from].sending = sent;
    auto station = (ethernet[0] & 1) == 1 ? stations_.end() : stations_.find(address(ethernet));
    for (size_t to = 0; to < ports_.size(); to++) {
      if (to == from || (station != stations_.end() && station->second != to)) continue;
      Port& port = ports_[to];
      if (port.queue.size() >= kQueueMax) {
        lost_++;
        continue;
      }
      // Its bytes arrive while they are sent, or after those of others that go the same way.
      port.hearing = std::max(sent, port.hearing + taken);
      Bytes copy = buffer();
      copy.assign(bytes.begin(), bytes.end());
      port.queue.push_back({port.hearing + delay_, std::move(copy)});
    }
    spare_.push_back(std::move(bytes));
  }

  // With the headers of each frame that a network card would cut it into.
  static size_t wireBytes(const Bytes& bytes) {
    OffloadHeader header;
    memcpy(&header, bytes.data(), kHeader);
    size_t length = bytes.size() - kHeader;
    if (header.segmentation == 0 || header.segmentBytes == 0) return length + kEthernetOverhead;
    size_t headers = std::min<size_t>(header.headerBytes, length);
    size_t payload = length - headers;
    size_t frames = (payload + header.segmentBytes - 1) / header.segmentBytes;
    return payload + frames * (headers + kEthernetOverhead);
  }

  void pass(Port& port) {
    while (!port.queue.empty() && port.queue.front().due <= now()) {
      Bytes& bytes = port.queue.front().bytes;
      if (write(port.fd, bytes.data(), bytes.size()) < 0) {
        lost_++;
      } else {
        frames_++;
        bytes_ += bytes.size() - kHeader;
      }
      spare_.push_back(std::move(bytes));
      port.queue.pop_front();
    }
  }

  Bytes buffer() {
    if (spare_.empty()) return Bytes();
    Bytes bytes = std::move(spare_.back());
    spare_.pop_back();
    return bytes;
  }

  double nanosPerByte_;
  Nanos delay_;
  std::vector<Port> ports_;
  std::map<uint64_t, size_t> stations_;
  std::vector<Bytes> spare_;
  uint64_t frames_ = 0, bytes_ = 0, lost_ = 0;
};

// Before the nodes' own threads, and to the microsecond: it stands for hardware, and sleeps most of the time.
void hurry() {
  prctl(PR_SET_TIMERSLACK, 1);
  sched_param parameters{};
  parameters.sched_priority = 1;
  if (sched_setscheduler(0, SCHED_FIFO, &parameters) < 0) setpriority(PRIO_PROCESS, 0, -20);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5 || atof(arguments[1]) <= 0) {
    fprintf(stderr, "Usage: wire BITS_PER_SECOND DELAY_MICROSECONDS PORT PORT...\n");
    return 2;
  }
  Switch wire(atof(arguments[1]), static_cast<Nanos>(atof(arguments[2]) * 1e3));
  for (int index = 3; index < count; index++) wire.add(arguments[index]);
  struct sigaction action{};
  action.sa_handler = [](int) { stopping = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  hurry();
  printf("ready\n");
  fflush(stdout);
  while (!stopping) wire.turn();
  wire.report();
  return 0;
}
