// Hostile peers on every link: altered frames, sealed and not, rings whose bookkeeping lies or changes while it is read, and
// memory of another kind. The sanitizers watch every access; each kind of attack must end the link for its own reason.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "link/shared-ring.h"
#include "link/ucx-inbox.h"
#include "tests/link-pair.h"

namespace {

using namespace claw;
using namespace claw::test;

constexpr uint64_t kEpoch = 5;
constexpr size_t kCapacity = 20'011;  // of the victim's memory: less than a frame may have

struct Tally {
  std::array<int, kDrops> drops{};
  int whole = 0;    // messages that arrived although somebody tried
  int pending = 0;  // links that still wait
  int of(Drop drop) const { return drops[static_cast<size_t>(drop)]; }
};

// What the victim makes of what has come, with memory of exactly the size it posts.
void judge(Link* victim, Tally* tally) {
  Bytes into(kCapacity);
  for (int round = 0; round < 4 && victim->drop() == Drop::none; round++) {
    if (!victim->receiving()) CHECK(!victim->postReceive(into));
    victim->progress();
    CHECK(victim->receivedBytes() <= kCapacity);
    if (!victim->receiving() && victim->drop() == Drop::none) tally->whole++;
  }
  tally->drops[static_cast<size_t>(victim->drop())]++;
  if (victim->drop() == Drop::none) tally->pending++;
  if (victim->drop() != Drop::none) CHECK(victim->error() && !victim->error().message.empty());
  victim->withdraw();
}

FrameHeader goodHeader(uint64_t sequence, size_t bytes, size_t rest = 0) {
  return {kFrameMagic, kFrameVersion, static_cast<uint16_t>(FrameKind::data), kEpoch,
          sequence,    static_cast<uint32_t>(bytes), static_cast<uint32_t>(rest)};
}

// One field is something else, or random bits are turned.
FrameHeader altered(Random* random, FrameHeader header) {
  constexpr uint32_t lengths[] = {0, 1, 20'011, 20'012, 32768, 32769, 65536, 65537, 0x7fffffff, 0x80000000, 0xffffffff};
  const uint32_t length = lengths[random->bits() % std::size(lengths)];
  switch (random->bits() % 9) {
    case 0: header.magic ^= 1u << random->bits() % 32; break;
    case 1: header.version ^= static_cast<uint16_t>(1u << random->bits() % 16); break;
    case 2: header.kind = static_cast<uint16_t>(random->bits()); break;
    case 3: header.epoch = random->bits() % 2 == 0 ? kEpoch - 1 : kEpoch + random->bits(); break;
    case 4: header.sequence += random->bits() % 2 == 0 ? 1 : ~uint64_t{0}; break;
    case 5: header.bytes = length; break;
    case 6: header.rest = length; break;
    case 7: header.bytes = length, header.rest = ~length + 1; break;
    default: {
      uint8_t bytes[sizeof header];
      std::memcpy(bytes, &header, sizeof header);
      for (int i = 0; i < 3; i++) bytes[random->bits() % sizeof bytes] ^= static_cast<uint8_t>(1u << random->bits() % 8);
      std::memcpy(&header, bytes, sizeof header);
    }
  }
  return header;
}

// ---- TCP

struct TcpVictim {
  Descriptor attacker;
  std::unique_ptr<Link> link;

  TcpVictim() {
    auto [mine, theirs] = sockets();
    attacker = std::move(mine);
    link = makeTcpLink(std::move(theirs));
    CHECK(!link->open(terms(*link, kEpoch)));
  }
  // As much as the socket takes.
  void write(const Bytes& bytes) const { (void)!::send(attacker.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
};

// A member turned hostile: whatever it says is sealed as it should be.
void attackTcp(Random* random, Tally* tally) {
  TcpVictim victim;
  uint64_t sequence = 0;
  for (uint32_t good = random->bits() % 3; good > 0; good--) {
    victim.write(sealedFrame(goodHeader(sequence, 1000), randomBytes(random, 1000)));
    sequence++;
  }
  const size_t size = random->bits() % 8 == 0 ? kCapacity + random->bits() % 10'000 : random->bits() % 2000;
  Bytes frame = sealedFrame(altered(random, goodHeader(sequence, size)), randomBytes(random, size));
  const uint32_t how = random->bits() % 8;
  if (how == 0) frame = sealedFrame(goodHeader(sequence, size), randomBytes(random, size));
  if (how < 2) frame[random->bits() % frame.size()] ^= 0x10;               // in transit
  if (how == 2) frame.resize(random->bits() % frame.size());               // and then nothing
  if (how == 3) frame = randomBytes(random, random->bits() % 3000);
  victim.write(frame);
  if (random->bits() % 2 == 0) victim.attacker.reset();
  judge(victim.link.get(), tally);
}

// ---- shared memory

struct SharedVictim {
  Descriptor socket;
  SharedMemory* memory = nullptr;
  std::unique_ptr<Link> link;

  SharedVictim() {
    auto [mine, theirs] = sockets();
    const Descriptor file(memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK(ftruncate(file.number(), sizeof(SharedMemory)) == 0);
    CHECK(fcntl(file.number(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    void* base = mmap(nullptr, sizeof(SharedMemory), PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
    CHECK(base != MAP_FAILED);
    memory = static_cast<SharedMemory*>(base);
    CHECK(!handOver(mine, file, kSoon));
    CHECK(!connectShared(std::move(theirs), kSoon, &link));
    CHECK(!link->open(terms(*link, kEpoch)));
    socket = std::move(mine);
  }
  ~SharedVictim() { munmap(memory, sizeof(SharedMemory)); }

  Ring& toVictim() const { return memory->rings[0]; }
  Ring& fromVictim() const { return memory->rings[1]; }
  void write(uint64_t number, const FrameHeader& header, uint64_t place = 0) const {
    Slot& slot = toVictim().slots[number % kRingSlots];
    std::memcpy(slot.header.data(), &header, sizeof header);
    slot.place = place;
    storeShared(slot.stamp, number + 1, std::memory_order_release);
  }
};

void attackShared(Random* random, Tally* tally) {
  SharedVictim victim;
  uint64_t sequence = 0;
  for (uint32_t good = random->bits() % 3; good > 0; good--, sequence++) victim.write(sequence, goodHeader(sequence, 1000));
  victim.write(sequence, altered(random, goodHeader(sequence, random->bits() % 2000)));
  switch (random->bits() % 6) {
    case 0:  // a stamp of no round
      victim.toVictim().slots[sequence % kRingSlots].stamp = random->bits();
      break;
    case 1: {  // more consumed than was ever written
      const Bytes message(10);
      victim.fromVictim().consumed = random->bits() % 2 == 0 ? ~uint64_t{0} : uint64_t{1} << 40;
      while (victim.link->drop() == Drop::none && !victim.link->sending()) {
        CHECK(!victim.link->postSend(message));
        victim.link->progress();
      }
      break;
    }
    case 2: {  // anything anywhere
      auto* bytes = reinterpret_cast<uint8_t*>(victim.memory);
      for (int i = 0; i < 2000; i++) bytes[random->bits() % sizeof(SharedMemory)] = static_cast<uint8_t>(random->bits());
      break;
    }
    default: break;
  }
  judge(victim.link.get(), tally);
}

// Payloads at places of the window, at its very end and beyond it, where no place can be.
void attackPlaces(Random* random, Tally* tally) {
  SharedVictim victim;
  const size_t bytes = 1 + random->bits() % kCapacity;
  const uint64_t last = kWindowBytes - bytes + 1;
  const uint64_t places[] = {1, 1 + random->bits() % last, last, last + 1, last + 1 + random->bits() % bytes, kWindowBytes + 1,
                             ~uint64_t{0}, uint64_t{1} << 63, (uint64_t{random->bits()} << 32) + kWindowBytes};
  const uint64_t place = places[random->bits() % std::size(places)];
  victim.write(0, goodHeader(0, bytes), place);
  const int whole = tally->whole;
  judge(victim.link.get(), tally);
  CHECK((tally->whole > whole) == (place <= last));
  CHECK((victim.link->drop() == Drop::length) == (place > last));
}

// A slot holds no more than kSlotBytes, though a frame may have more.
void attackSlotLength() {
  SharedVictim victim;
  Bytes into(2 * kSlotBytes);
  victim.write(0, goodHeader(0, kSlotBytes + 1));
  CHECK(!victim.link->postReceive(into));
  victim.link->progress();
  CHECK(victim.link->drop() == Drop::length);
}

// Headers change all the time between good and absurd; what the victim checked must be what it uses.
void attackWhileRead(Tally* tally) {
  for (int round = 0; round < 200; round++) {
    SharedVictim victim;
    std::atomic<bool> begun{false};
    std::atomic<bool> done{false};
    std::thread attacker([&] {
      Random random(static_cast<uint64_t>(round));
      const auto flip = [&](uint64_t number) {
        auto& words = victim.toVictim().slots[number % kRingSlots].header;
        const auto good = std::bit_cast<std::array<uint64_t, 4>>(goodHeader(number, 500));
        const auto bad = std::bit_cast<std::array<uint64_t, 4>>(goodHeader(number, 0xfffffff0u, 0x10));
        const auto& chosen = random.bits() % 2 == 0 ? good : bad;
        storeShared(words[3], chosen[3], std::memory_order_relaxed);
      };
      for (uint64_t number = 0; number < 8; number++) victim.write(number, goodHeader(number, 500));
      while (!done.load(std::memory_order_relaxed)) {
        for (uint64_t number = 0; number < 8; number++) flip(number);
        begun = true;
      }
    });
    // Else a victim that is quicker than the thread's start would see nothing change.
    while (!begun) std::this_thread::yield();
    Bytes into(kCapacity);
    for (int messages = 0; messages < 8 && victim.link->drop() == Drop::none;) {
      if (!victim.link->receiving()) CHECK(!victim.link->postReceive(into));
      victim.link->progress();
      if (victim.link->receiving() || victim.link->drop() != Drop::none) continue;
      CHECK(victim.link->receivedBytes() == 500);
      messages++;
      tally->whole++;
    }
    tally->drops[static_cast<size_t>(victim.link->drop())]++;
    victim.link->withdraw();
    done = true;
    attacker.join();
  }
}

// Memory that could shrink under the reader, of another size, and no memory at all.
void attackHandOver() {
  const auto refused = [](size_t size, int seals) {
    auto [mine, theirs] = sockets();
    const Descriptor file(memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK(ftruncate(file.number(), static_cast<off_t>(size)) == 0);
    if (seals != 0) CHECK(fcntl(file.number(), F_ADD_SEALS, seals) == 0);
    CHECK(!handOver(mine, file, kSoon));
    std::unique_ptr<Link> link;
    const Error error = connectShared(std::move(theirs), kSoon, &link);
    CHECK(link == nullptr && std::strcmp(error.code, "E_LINK_PEER") == 0);
  };
  refused(sizeof(SharedMemory), 0);
  refused(sizeof(SharedMemory), F_SEAL_GROW);
  refused(4096, F_SEAL_SHRINK | F_SEAL_GROW);
  refused(2 * sizeof(SharedMemory), F_SEAL_SHRINK | F_SEAL_GROW);
  auto [mine, theirs] = sockets();
  CHECK(::send(mine.number(), "x", 1, 0) == 1);
  std::unique_ptr<Link> link;
  CHECK(std::strcmp(connectShared(std::move(theirs), kSoon, &link).code, "E_LINK_PEER") == 0);
}

struct UcxTally {
  int taken = 0;
  int ignored = 0;
  int lengths = 0;
  int sequences = 0;
  int credits = 0;
};

// Heads of any size and content with memory of exactly the bytes that came, in any order, and counts that cannot be.
void attackUcx(Random* random, UcxTally* tally) {
  const UcxToken token = {1, 2, 3};
  UcxInbox inbox(token);
  std::vector<Bytes> kept;
  std::set<uint64_t> sequences;
  for (uint64_t i = 0; i < 100 && inbox.broken() == Drop::none; i++) {
    const uint64_t attack = random->bits() % 200;
    const uint64_t ahead = random->bits() % 8 == 0 ? random->bits() % kUcxFrames : 0;
    const uint64_t sequence = inbox.taken() + (attack == 0 ? kUcxFrames + ahead : ahead);
    const size_t bytes = attack == 2 ? kUcxFrameBytes + 1 : random->bits() % 300;
    UcxHead head{goodHeader(sequence, bytes), token};
    if (attack == 3) head.frame.bytes += 1 + static_cast<uint32_t>(random->bits());
    if (attack >= 4 && attack < 30) head.token[random->bits() % token.size()] ^= 1;
    Bytes words(sizeof head);
    std::memcpy(words.data(), &head, sizeof head);
    if (attack >= 30 && attack < 50) words.resize(random->bits() % sizeof head);
    kept.emplace_back(bytes, static_cast<uint8_t>(sequence));
    const auto arrival = inbox.keep(words, kept.back().data(), bytes);
    if (arrival == UcxInbox::Arrival::kept) CHECK(sequences.insert(sequence).second);  // none replaces another
    tally->ignored += arrival == UcxInbox::Arrival::ignored ? 1 : 0;
    for (const UcxInbox::Frame* frame = inbox.next(); frame != nullptr; frame = inbox.next()) {
      CHECK(frame->header.sequence == inbox.taken() && frame->header.bytes <= kUcxFrameBytes);
      const auto* data = static_cast<const uint8_t*>(frame->data);
      const Bytes copy(data, data + frame->header.bytes);
      CHECK(copy == Bytes(copy.size(), static_cast<uint8_t>(inbox.taken())));
      inbox.drop();
      tally->taken++;
    }
  }
  tally->lengths += inbox.broken() == Drop::length ? 1 : 0;
  tally->sequences += inbox.broken() == Drop::sequence ? 1 : 0;
  UcxRoom room(token);
  for (uint64_t sent = random->bits() % kUcxFrames; sent > 0; sent--) room.send();
  const UcxCredit credit{random->bits() % (2 * kUcxFrames), token};
  Bytes words(sizeof credit);
  std::memcpy(words.data(), &credit, sizeof credit);
  room.hear(words);
  CHECK(room.broken() == (credit.taken > room.sent()) && room.any());
  tally->credits += room.broken() ? 1 : 0;
}

void report(const char* name, const Tally& tally) {
  std::printf("%s: %d messages, %d links that wait;", name, tally.whole, tally.pending);
  for (size_t i = 1; i < kDrops; i++) {
    if (tally.drops[i] > 0) std::printf(" %d: %s;", tally.drops[i], dropReason(static_cast<Drop>(i)));
  }
  std::printf("\n");
}

void checkHeaders(const Tally& tally) {
  for (const Drop drop : {Drop::magic, Drop::version, Drop::kind, Drop::epoch, Drop::sequence, Drop::length}) {
    CHECK(tally.of(drop) >= 20);
  }
  CHECK(tally.whole >= 100);
}

}  // namespace

int main() {
  Random random(20260101);
  Tally tcp;
  for (int i = 0; i < 4000; i++) attackTcp(&random, &tcp);
  report("tcp", tcp);
  checkHeaders(tcp);
  CHECK(tcp.of(Drop::seal) >= 20 && tcp.of(Drop::lost) >= 20 && tcp.pending >= 20);
  Tally shared;
  for (int i = 0; i < 2000; i++) attackShared(&random, &shared);
  report("shared", shared);
  checkHeaders(shared);
  CHECK(shared.of(Drop::ring) >= 20);
  Tally places;
  for (int i = 0; i < 300; i++) attackPlaces(&random, &places);
  report("shared, places", places);
  CHECK(places.of(Drop::length) >= 100 && places.whole >= 60);
  attackSlotLength();
  Tally changing;
  attackWhileRead(&changing);
  report("shared, changing", changing);
  CHECK(changing.of(Drop::length) >= 20 && changing.whole >= 20);
  attackHandOver();
  UcxTally ucx;
  for (int i = 0; i < 2000; i++) attackUcx(&random, &ucx);
  std::printf("ucx: %d frames taken, %d ignored; %d lengths, %d sequences, %d counts that cannot be\n", ucx.taken, ucx.ignored,
              ucx.lengths, ucx.sequences, ucx.credits);
  CHECK(ucx.taken >= 1000 && ucx.ignored >= 1000 && ucx.lengths >= 20 && ucx.sequences >= 300 && ucx.credits >= 100);
  return 0;
}
