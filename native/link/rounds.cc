#include "link/rounds.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "executor/waiting.h"
#include "link/socket.h"

namespace claw {
namespace {

using Clock = std::chrono::steady_clock;
using Micros = std::chrono::duration<double, std::micro>;

double since(Clock::time_point begin) { return Micros(Clock::now() - begin).count(); }

// Sends and receives without sleeping.
bool sendRaw(const Descriptor& socket, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::send(socket.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN) return false;
    bytes = bytes.subspan(done < 0 ? 0 : static_cast<size_t>(done));
  }
  return true;
}

bool receiveRaw(const Descriptor& socket, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = recv(socket.number(), bytes.data(), bytes.size(), 0);
    if (done == 0 || (done < 0 && errno != EAGAIN)) return false;
    if (done < 0) pauseBriefly();
    bytes = bytes.subspan(done < 0 ? 0 : static_cast<size_t>(done));
  }
  return true;
}

// Memory to send from, the link's where it has some.
std::span<uint8_t> outgoing(Link* link, std::vector<uint8_t>* own) {
  const std::span<uint8_t> lent = link->lend(own->size());
  return lent.empty() ? std::span<uint8_t>(*own) : lent;
}

}  // namespace

Error askRounds(Link* link, const RoundPlan& plan, RoundTimes* times) {
  std::vector<uint8_t> own(plan.bytes);
  std::vector<uint8_t> answer(plan.bytes, 1);
  size_t bytes = 0;
  for (int32_t round = 0; round < plan.rounds; round++) {
    const std::span<uint8_t> message = outgoing(link, &own);
    std::copy(answer.begin(), answer.end(), message.begin());
    const auto begin = Clock::now();
    if (Error error = send(link, message, plan.patience)) return error;
    if (Error error = receive(link, answer, &bytes, plan.patience)) return error;
    times->oneWay.push_back(since(begin) / 2);
    const auto copied = Clock::now();
    std::memcpy(own.data(), answer.data(), plan.bytes);
    asm volatile("" : : "r"(own.data()) : "memory");
    times->copy.push_back(since(copied));
  }
  return {};
}

Error echoRounds(Link* link, const RoundPlan& plan) {
  std::vector<uint8_t> own(plan.bytes);
  size_t bytes = 0;
  for (int32_t round = 0; round < plan.rounds; round++) {
    const std::span<uint8_t> message = outgoing(link, &own);
    if (Error error = receive(link, message, &bytes, plan.patience)) return error;
    if (Error error = send(link, message.first(bytes), plan.patience)) return error;
  }
  return {};
}

Error timeWire(const RoundPlan& plan, std::vector<double>* oneWay) {
  Descriptor listening;
  LinkAddress address{LinkDriver::tcp, "127.0.0.1", 0};
  if (Error error = listenAt(address, &listening)) return error;
  address.port = portOf(listening);
  Descriptor ours;
  Descriptor theirs;
  if (Error error = connectTo(address, plan.patience.limit, &ours)) return error;
  if (Error error = acceptPeer(listening, LinkDriver::tcp, plan.patience.limit, &theirs)) return error;
  std::thread echo([&] {
    std::vector<uint8_t> message(plan.bytes);
    for (int32_t round = 0; round < plan.rounds && receiveRaw(theirs, message); round++) sendRaw(theirs, message);
  });
  std::vector<uint8_t> message(plan.bytes, 1);
  bool whole = true;
  for (int32_t round = 0; round < plan.rounds && whole; round++) {
    const auto begin = Clock::now();
    whole = sendRaw(ours, message) && receiveRaw(ours, message);
    oneWay->push_back(since(begin) / 2);
  }
  ours.reset();
  echo.join();
  return whole ? Error{} : makeError("E_LINK", "The loopback connection ended: %s.", std::strerror(errno));
}

}  // namespace claw
