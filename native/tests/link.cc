// The contract of links over every driver: order, sizes, back-pressure, both directions at once, time, goodbyes, peers that
// are killed, epochs, and waking up.
#include "link/link.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "link/link-queue.h"
#include "link/ucx-api.h"
#include "tests/link-pair.h"

namespace {

using namespace claw;
using namespace claw::test;

void testSizesInOrder(LinkDriver driver) {
  Pair pair = opened(driver);
  Random random(1);
  std::vector<size_t> sizes = {0, 1, 31, 32, 33, 32767, 32768, 32769, 65535, 65536, 65537, 1 << 20, kMessageBytesMax};
  for (int i = 0; i < 200; i++) sizes.push_back(random.bits() % 100'000);
  for (const size_t size : sizes) {
    const Bytes message = size < (1 << 21) ? randomBytes(&random, size) : Bytes(size, 7);
    Bytes into(size);
    CHECK(!pair.one->postSend(message));
    CHECK(!pair.other->postReceive(into));
    settle(&pair);
    CHECK(!pair.one->sending() && !pair.other->receiving());
    CHECK(pair.other->receivedBytes() == size && into == message);
  }
  const Bytes large(kMessageBytesMax + 1);
  CHECK(pair.one->postSend(large));
  CHECK(pair.one->drop() == Drop::none);
}

// Without both directions in one wait, each would wait for the other's room for ever.
void testBothDirections(LinkDriver driver) {
  Pair pair = opened(driver);
  constexpr size_t size = size_t{4} << 20;
  const Bytes first(size, 1);
  const Bytes second(size, 2);
  const auto side = [](Link* link, const Bytes& out, const Bytes& expected) {
    for (int round = 0; round < 8; round++) {
      Bytes into(size);
      CHECK(!link->postSend(out) && !link->postReceive(into));
      CHECK(!complete(link, kPatient));
      CHECK(into == expected);
    }
  };
  std::thread peer(side, pair.other.get(), second, first);
  side(pair.one.get(), first, second);
  peer.join();
}

// A sender whose peer does not read is held up; nothing is lost of what it sent before.
void testBackPressure(LinkDriver driver) {
  Pair pair = opened(driver);
  const Bytes message(10'000, 3);
  size_t accepted = 0;
  for (; accepted < 10'000; accepted++) {
    CHECK(!pair.one->postSend(message));
    pair.one->progress();
    if (pair.one->sending()) break;
  }
  CHECK(accepted > 3 && accepted < 10'000);
  Bytes into(message.size());
  for (size_t i = 0; i <= accepted; i++) {
    CHECK(!pair.other->postReceive(into));
    settle(&pair);
    CHECK(!pair.other->receiving() && into == message);
  }
  CHECK(!pair.one->sending());
}

void testTime(LinkDriver driver) {
  const Patience hasty{std::chrono::microseconds(0), Milliseconds(30)};
  Pair pair = opened(driver);
  Bytes into(100'000);
  size_t bytes = 0;
  CHECK(std::strcmp(receive(pair.one.get(), into, &bytes, hasty).code, "E_DEADLINE") == 0);
  // Nothing had come, so nothing is lost.
  const Bytes small(5, 9);
  CHECK(!send(pair.other.get(), small, kPatient));
  CHECK(!receive(pair.one.get(), into, &bytes, kPatient) && bytes == small.size());
  // In the middle of a message there is no way back.
  const Bytes large(kMessageBytesMax, 1);
  CHECK(std::strcmp(send(pair.other.get(), large, hasty).code, "E_DEADLINE") == 0);
  CHECK(pair.other->drop() == Drop::timeout && pair.other->error());
  Bytes all(large.size());
  CHECK(std::strcmp(receive(pair.one.get(), all, &bytes, kPatient).code, "E_LINK") == 0);
  CHECK(pair.one->drop() == Drop::lost);
}

void testGoodbye(LinkDriver driver) {
  Pair pair = opened(driver);
  const Bytes message(1000, 4);
  CHECK(!send(pair.one.get(), message, kPatient));
  pair.one->close();
  CHECK(pair.one->postSend(message) && pair.one->drop() == Drop::closed);
  Bytes into(message.size());
  size_t bytes = 0;
  CHECK(!receive(pair.other.get(), into, &bytes, kPatient) && into == message);
  CHECK(receive(pair.other.get(), into, &bytes, kPatient) && pair.other->drop() == Drop::closed);
}

// A peer that is refused hears why.
void testEpochs(LinkDriver driver) {
  Pair pair = opened(driver);
  pair.one->setEpoch(2);
  pair.other->setEpoch(2);
  const Bytes message(10, 1);
  Bytes into(10);
  size_t bytes = 0;
  CHECK(!send(pair.one.get(), message, kPatient) && !receive(pair.other.get(), into, &bytes, kPatient));
  pair.other->setEpoch(3);
  CHECK(!send(pair.one.get(), message, kPatient));
  CHECK(std::strcmp(receive(pair.other.get(), into, &bytes, kPatient).code, "E_LINK_PEER") == 0);
  CHECK(pair.other->drop() == Drop::epoch);
  const Error told = receive(pair.one.get(), into, &bytes, kPatient);
  CHECK(told && told.message.find("another epoch") != std::string::npos);
}

void testHandshakeMessages(LinkDriver driver) {
  Pair pair = connected(driver);
  const Bytes hello(kHelloBytesMax, 1);
  const Bytes longer(kHelloBytesMax + 1, 1);
  Bytes into(kHelloBytesMax);
  size_t bytes = 0;
  CHECK(pair.one->postSend(longer));
  CHECK(!send(pair.one.get(), hello, kPatient) && !receive(pair.other.get(), into, &bytes, kPatient));
  CHECK(bytes == hello.size());
  if (pair.one->needsKeys()) CHECK(pair.one->open(LinkTerms{1, 1000, nullptr, nullptr}));
  CHECK(!pair.one->open(terms(*pair.one)) && !pair.other->open(terms(*pair.other)));
  CHECK(!send(pair.one.get(), hello, kPatient) && !receive(pair.other.get(), into, &bytes, kPatient));
}

// The child is in the middle of a message that finds no room when it is killed. It fills what room there is while nobody reads,
// and stays so: it could send all of it to a reader that keeps up.
void testKilledPeer(LinkDriver driver) {
  auto [first, second] = sockets();
  int full[2];
  CHECK(pipe(full) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    first.reset();
    const auto link = openedEnd(driver, connectedEnd(driver, std::move(second), false));
    const Bytes large(kMessageBytesMax, 1);
    (void)link->postSend(large);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    while (link->progress() || std::chrono::steady_clock::now() < end) continue;
    if (write(full[1], "", 1) == 1) pause();
    _exit(0);
  }
  second.reset();
  const auto link = openedEnd(driver, connectedEnd(driver, std::move(first), true));
  char byte = 0;
  CHECK(read(full[0], &byte, 1) == 1);
  Bytes into(kMessageBytesMax);
  CHECK(!link->postReceive(into));
  while (link->receivedBytes() == 0) link->progress();
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, nullptr, 0) == child);
  CHECK(complete(link.get(), kPatient) && link->drop() == Drop::lost);
  CHECK(link->receivedBytes() > 0 && link->receivedBytes() < kMessageBytesMax);
  CHECK(close(full[0]) == 0 && close(full[1]) == 0);
}

// Both ends sleep for nearly a second at a time and are woken for each message: a bell that is missed would show.
void testWaking(LinkDriver driver) {
  Pair pair = opened(driver);
  constexpr Milliseconds nap{900};
  constexpr int rounds = 300;
  int overslept = 0;
  const auto await = [&](Link* link, int* missed) {
    while (link->sending() || link->receiving()) {
      if (link->progress()) continue;
      const auto begin = std::chrono::steady_clock::now();
      link->park(nap);
      if (std::chrono::steady_clock::now() - begin >= nap) (*missed)++;
      CHECK(link->drop() == Drop::none);
    }
  };
  std::thread echo([&] {
    int missed = 0;
    Bytes into(8);
    for (int round = 0; round < rounds; round++) {
      CHECK(!pair.other->postReceive(into));
      await(pair.other.get(), &missed);
      CHECK(!pair.other->postSend(into));
      await(pair.other.get(), &missed);
    }
  });
  Bytes message(8, 1);
  Bytes into(8);
  for (int round = 0; round < rounds; round++) {
    CHECK(!pair.one->postSend(message) && !pair.one->postReceive(into));
    await(pair.one.get(), &overslept);
  }
  echo.join();
  CHECK(overslept < 5);
}

// A thread that was woken while it was awake does not go to sleep once. Ten sleeps are counted that last their whole time.
void testWokenBefore(LinkDriver driver) {
  Pair pair = opened(driver);
  constexpr Milliseconds nap{400};
  int overslept = 0;
  for (int round = 0; round < 10; round++) {
    pair.one->wake();
    const auto begin = std::chrono::steady_clock::now();
    pair.one->park(nap);
    if (std::chrono::steady_clock::now() - begin >= nap) overslept++;
  }
  CHECK(overslept < 5);
  // Being woken is used up: the next sleep is one.
  const auto begin = std::chrono::steady_clock::now();
  pair.one->park(Milliseconds(30));
  pair.one->park(Milliseconds(30));
  CHECK(std::chrono::steady_clock::now() - begin >= Milliseconds(30));
}

// A wait without a limit ends when another thread says so, whether this one spins or sleeps.
void testInterrupting(LinkDriver driver) {
  for (const int spin : {0, 1'000'000}) {
    Pair pair = opened(driver);
    Bytes into(8);
    CHECK(!pair.one->postReceive(into));
    std::atomic<bool> ended{false};
    std::thread waiting([&] {
      CHECK(std::strcmp(complete(pair.one.get(), {std::chrono::microseconds(spin), kWithoutLimit}).code, "E_LINK") == 0);
      ended = true;
    });
    std::this_thread::sleep_for(Milliseconds(50));
    CHECK(!ended);
    const auto begin = std::chrono::steady_clock::now();
    pair.one->interrupt();
    waiting.join();
    CHECK(std::chrono::steady_clock::now() - begin < Milliseconds(1000));
    // Nothing had come of the message: the link itself is whole, but nobody waits for it any more.
    CHECK(pair.one->drop() == Drop::none && pair.one->interrupted());
    CHECK(!pair.one->postReceive(into) && complete(pair.one.get(), kPatient));
  }
}

// Every one of three sends to both others at once, messages of which many do not fit into what links hold.
void testSeveral(LinkDriver driver) {
  constexpr size_t sides = 3;
  Pair pairs[sides];  // between a side and the next one
  for (Pair& pair : pairs) pair = opened(driver);
  const auto side = [&](size_t at) {
    Link* const links[] = {pairs[at].one.get(), pairs[(at + sides - 1) % sides].other.get()};
    for (size_t round = 0; round < 20; round++) {
      const Bytes out(round * 100'000 + 1, static_cast<uint8_t>(at));
      Bytes into[2] = {Bytes(out.size()), Bytes(out.size())};
      for (int i = 0; i < 2; i++) CHECK(!links[i]->postSend(out) && !links[i]->postReceive(into[i]));
      CHECK(!complete(links, kPatient));
      CHECK(into[0] == Bytes(out.size(), static_cast<uint8_t>((at + 1) % sides)));
      CHECK(into[1] == Bytes(out.size(), static_cast<uint8_t>((at + 2) % sides)));
    }
  };
  std::thread second(side, 1);
  std::thread third(side, 2);
  side(0);
  second.join();
  third.join();
}

// Messages of all sizes from memory that the link lends where it has some, and from other memory between them, read later: what is
// under way does not change, and none is lent twice.
void testLending(LinkDriver driver) {
  Pair pair = opened(driver);
  Random random(7);
  std::vector<Bytes> under;
  int lendings = 0;
  int refusals = 0;
  const auto read = [&] {
    Bytes into(under.front().size());
    CHECK(!pair.other->postReceive(into));
    // Some of it may be with the system for a while, where nothing moves on either side.
    while (pair.other->receiving() && pair.other->drop() == Drop::none) settle(&pair);
    CHECK(!pair.other->receiving() && into == under.front());
    under.erase(under.begin());
  };
  for (int round = 0; round < 1500; round++) {
    const size_t size = random.bits() % 20 == 0 ? random.bits() % 3'000'000 : random.bits() % 20'000;
    const auto lent = pair.one->lend(size);
    CHECK(lent.empty() || lent.size() == size);
    lendings += lent.empty() ? 0 : 1;
    refusals += lent.empty() ? 1 : 0;
    Bytes message(size, static_cast<uint8_t>(round));
    const bool uses = !lent.empty() && random.bits() % 8 != 0;
    if (uses) std::copy(message.begin(), message.end(), lent.begin());
    under.push_back(message);
    CHECK(!pair.one->postSend(uses ? std::span<const uint8_t>(lent) : message));
    pair.one->progress();
    while (pair.one->sending() || (!under.empty() && random.bits() % 3 == 0)) read();
  }
  while (!under.empty()) read();
  std::printf("%d lent, %d not\n", lendings, refusals);
  if (driver == LinkDriver::shared) CHECK(lendings >= 500 && refusals >= 5);
  if (driver != LinkDriver::shared) CHECK(lendings == 0);
}

struct Counted final : LinkQueue::Transfer {
  void done(const Error& error, size_t bytes) override {
    failed = static_cast<bool>(error);
    moved = bytes;
    ended = true;
  }
  std::atomic<bool> ended{false};
  bool failed = false;
  size_t moved = 0;
};

// Messages queued on both sides; then one side ends while the other waits.
void testQueue(LinkDriver driver) {
  Pair pair = opened(driver);
  auto one = LinkQueue::start(std::move(pair.one));
  auto other = LinkQueue::start(std::move(pair.other));
  Bytes out(300'000, 5);
  Bytes into[10];
  Counted sent[10];
  Counted received[11];
  for (int i = 0; i < 10; i++) {
    into[i].resize(out.size());
    sent[i].memory = out;
    received[i].memory = into[i];
    other->receive(&received[i]);
    one->send(&sent[i]);
  }
  Bytes more(1);
  received[10].memory = more;
  other->receive(&received[10]);
  for (int i = 0; i < 10; i++) {
    while (!sent[i].ended || !received[i].ended) sched_yield();
    CHECK(!sent[i].failed && !received[i].failed && received[i].moved == out.size() && into[i] == out);
  }
  CHECK(!received[10].ended);
  one.reset();
  while (!received[10].ended) sched_yield();
  CHECK(received[10].failed);
  Counted late;
  late.memory = more;
  other->send(&late);
  while (!late.ended) sched_yield();
  CHECK(late.failed);
}

using Test = void (*)(LinkDriver);
constexpr std::pair<const char*, Test> kTests[] = {
    {"killed", testKilledPeer},  // before UCX has threads, which a fork leaves behind
    {"sizes", testSizesInOrder}, {"directions", testBothDirections}, {"back-pressure", testBackPressure},
    {"time", testTime},          {"goodbye", testGoodbye},           {"epochs", testEpochs},
    {"hello", testHandshakeMessages}, {"waking", testWaking},
    {"woken", testWokenBefore},      {"interrupting", testInterrupting}, {"several", testSeveral},  {"queue", testQueue}, {"lending", testLending},
};

}  // namespace

int main() {
  constexpr const char* names[] = {"shared", "tcp", "ucx"};
  for (const LinkDriver driver : {LinkDriver::shared, LinkDriver::tcp, LinkDriver::ucx}) {
    const char* name = names[static_cast<size_t>(driver)];
    if (const Error error = driver == LinkDriver::ucx ? checkUcx() : Error{}) {
      std::printf("link %s: skipped: %s\n", name, error.message.c_str());
      continue;
    }
    for (const auto& [subject, test] : kTests) {
      std::printf("link %s: %s\n", name, subject);
      std::fflush(stdout);
      test(driver);
    }
  }
  return 0;
}
