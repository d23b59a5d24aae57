#include "link/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace claw {
namespace {

constexpr int kBacklog = 64;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

template <typename T>
T* as(SocketAddress* address) {
  address->size = sizeof(T);
  return reinterpret_cast<T*>(&address->storage);
}

std::string nameOf(const LinkAddress& address) {
  return address.driver == LinkDriver::shared ? address.host : address.host + ":" + std::to_string(address.port);
}

Error systemError(const char* attempt, const LinkAddress& address) {
  return makeError("E_LINK", "%s %s failed: %s.", attempt, nameOf(address).c_str(), std::strerror(errno));
}

Error unixAddress(const std::string& path, SocketAddress* made) {
  auto* name = as<sockaddr_un>(made);
  if (path.empty() || path.size() >= sizeof name->sun_path) {
    return makeError("E_LINK", "The path of a link's socket has %zu bytes; the system takes 1 to %zu.", path.size(),
                     sizeof name->sun_path - 1);
  }
  name->sun_family = AF_UNIX;
  std::memcpy(name->sun_path, path.data(), path.size());
  return {};
}

Error socketAddress(const LinkAddress& address, SocketAddress* made) {
  if (address.driver == LinkDriver::shared) return unixAddress(address.host, made);
  auto* four = as<sockaddr_in>(made);
  four->sin_family = AF_INET;
  four->sin_port = htons(address.port);
  if (inet_pton(AF_INET, address.host.c_str(), &four->sin_addr) == 1) return {};
  made->storage = {};
  auto* six = as<sockaddr_in6>(made);
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(address.port);
  if (inet_pton(AF_INET6, address.host.c_str(), &six->sin6_addr) == 1) return {};
  return makeError("E_LINK", "%s is not an IPv4 or IPv6 address.", address.host.c_str());
}

Descriptor makeSocket(SocketAddress* address) {
  return Descriptor(socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void set(const Descriptor& socket, int level, int option, int value) {
  setsockopt(socket.number(), level, option, &value, sizeof value);
}

// A step's messages are small and waited for. While nothing is under way the kernel asks the peer's whether it is there; while
// something is, Silence looks. TCP_USER_TIMEOUT would do both, and end links to peers that read nothing for long.
void prepare(const Descriptor& socket) {
  constexpr int kProbes = 3;
  constexpr auto kProbeSeconds = std::chrono::seconds(1);
  constexpr auto kIdleSeconds = std::chrono::duration_cast<std::chrono::seconds>(kSilenceMost) - kProbes * kProbeSeconds;
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(kIdleSeconds.count()));
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(kProbeSeconds.count()));
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
}

// The folder and the socket's mode keep others out; this holds where they are wrong.
Error checkUser(const Descriptor& peer) {
  ucred user{};
  socklen_t size = sizeof user;
  const bool known = getsockopt(peer.number(), SOL_SOCKET, SO_PEERCRED, &user, &size) == 0;
  if (known && (user.uid == geteuid() || user.uid == 0)) return {};
  return makeError("E_LINK_PEER", "A process of another user (%u) is at the other end of a link.", user.uid);
}

// A socket that a process which is gone left behind stands in the way.
void removeStale(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path.c_str());
}

}  // namespace

void Descriptor::reset() {
  if (number_ >= 0) close(number_);
  number_ = -1;
}

bool awaitSocket(const Descriptor& socket, short events, Milliseconds time) {
  pollfd entry{socket.number(), events, 0};
  return poll(&entry, 1, static_cast<int>(time.count())) > 0;
}

Error listenAt(const LinkAddress& address, Descriptor* listening) {
  SocketAddress place;
  if (Error error = socketAddress(address, &place)) return error;
  Descriptor made = makeSocket(&place);
  if (!made) return systemError("Listening at", address);
  if (address.driver == LinkDriver::shared) {
    removeStale(address.host);
    fchmod(made.number(), S_IRUSR | S_IWUSR);  // the mode that binding gives the file
  } else {
    const int yes = 1;
    setsockopt(made.number(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  }
  if (bind(made.number(), place.get(), place.size) != 0 || listen(made.number(), kBacklog) != 0) {
    return systemError("Listening at", address);
  }
  *listening = std::move(made);
  return {};
}

uint16_t portOf(const Descriptor& listening) {
  SocketAddress place;
  place.size = sizeof place.storage;
  if (getsockname(listening.number(), place.get(), &place.size) != 0) return 0;
  if (place.storage.ss_family == AF_INET) return ntohs(as<sockaddr_in>(&place)->sin_port);
  return place.storage.ss_family == AF_INET6 ? ntohs(as<sockaddr_in6>(&place)->sin6_port) : uint16_t{0};
}

Error acceptPeer(const Descriptor& listening, LinkDriver driver, Milliseconds time, Descriptor* peer) {
  awaitSocket(listening, POLLIN, time);
  Descriptor made(accept4(listening.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!made && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)) {
    return makeError("E_DEADLINE", "No peer asked for a link within %lld ms.", static_cast<long long>(time.count()));
  }
  if (!made) return makeError("E_LINK", "Accepting a link failed: %s.", std::strerror(errno));
  if (driver != LinkDriver::shared) prepare(made);
  if (driver == LinkDriver::shared) {
    if (Error error = checkUser(made)) return error;
  }
  *peer = std::move(made);
  return {};
}

Error connectTo(const LinkAddress& address, Milliseconds time, Descriptor* peer) {
  SocketAddress place;
  if (Error error = socketAddress(address, &place)) return error;
  Descriptor made = makeSocket(&place);
  if (!made) return systemError("Connecting to", address);
  if (connect(made.number(), place.get(), place.size) != 0) {
    if (errno != EINPROGRESS) return systemError("Connecting to", address);
    if (!awaitSocket(made, POLLOUT, time)) {
      return makeError("E_DEADLINE", "%s did not answer within %lld ms.", nameOf(address).c_str(),
                       static_cast<long long>(time.count()));
    }
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(made.number(), SOL_SOCKET, SO_ERROR, &failure, &size);
    errno = failure;
    if (failure != 0) return systemError("Connecting to", address);
  }
  if (address.driver != LinkDriver::shared) prepare(made);
  if (address.driver == LinkDriver::shared) {
    if (Error error = checkUser(made)) return error;
  }
  *peer = std::move(made);
  return {};
}

namespace {

// A message of one byte, with room for one open file.
struct FileMessage {
  FileMessage() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
  }

  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
};

}  // namespace

Error handOver(const Descriptor& socket, const Descriptor& file, Milliseconds time) {
  FileMessage message;
  cmsghdr* carried = CMSG_FIRSTHDR(&message.header);
  carried->cmsg_level = SOL_SOCKET;
  carried->cmsg_type = SCM_RIGHTS;
  carried->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = file.number();
  std::memcpy(CMSG_DATA(carried), &number, sizeof number);
  awaitSocket(socket, POLLOUT, time);
  if (sendmsg(socket.number(), &message.header, MSG_NOSIGNAL) == 1) return {};
  return makeError("E_LINK", "Handing shared memory to a peer failed: %s.", std::strerror(errno));
}

Error takeOver(const Descriptor& socket, Milliseconds time, Descriptor* file) {
  if (!awaitSocket(socket, POLLIN, time)) {
    return makeError("E_DEADLINE", "The peer handed over no shared memory within %lld ms.",
                     static_cast<long long>(time.count()));
  }
  FileMessage message;
  const ssize_t bytes = recvmsg(socket.number(), &message.header, MSG_CMSG_CLOEXEC);
  const cmsghdr* carried = bytes == 1 ? CMSG_FIRSTHDR(&message.header) : nullptr;
  if (carried == nullptr || carried->cmsg_level != SOL_SOCKET || carried->cmsg_type != SCM_RIGHTS ||
      carried->cmsg_len != CMSG_LEN(sizeof(int))) {
    return makeError("E_LINK_PEER", "The peer handed over no shared memory.");
  }
  int number = -1;
  std::memcpy(&number, CMSG_DATA(carried), sizeof number);
  *file = Descriptor(number);
  return {};
}

}  // namespace claw
