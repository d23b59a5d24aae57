// AES-256-GCM against the published test cases 13 and 14 of McGrew and Viega, what is altered, and the change of keys.
#include "link/aead.h"

#include <array>
#include <cstring>
#include <vector>

#include "tests/check.h"

namespace {

using namespace claw;

using Bytes = std::vector<uint8_t>;

std::unique_ptr<Aead> make(AeadUse use) {
  const std::array<uint8_t, kAeadKeyBytes> zeros{};
  std::unique_ptr<Aead> aead;
  CHECK(!makeAesGcm(zeros, use, &aead));
  return aead;
}

void testPublished() {
  const auto aead = make(AeadUse::sealing);
  Bytes sealed(32);
  CHECK(aead->seal(0, {}, {}, sealed.data()));
  const Bytes emptyTag = {0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45, 0x36, 0xb9, 0xa9, 0x63, 0xb4, 0xf1, 0xc4, 0xcb, 0x73, 0x8b};
  CHECK(std::memcmp(sealed.data(), emptyTag.data(), emptyTag.size()) == 0);
  const Bytes plain(16);
  CHECK(aead->seal(0, {}, plain, sealed.data()));
  const Bytes expected = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18,
                          0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
  CHECK(sealed == expected);
}

// Every bit of header, text and tag, and the sequence number.
void testAltered() {
  const auto sealing = make(AeadUse::sealing);
  const auto opening = make(AeadUse::opening);
  Bytes header = {1, 2, 3, 4};
  const Bytes plain = {5, 6, 7, 8, 9};
  Bytes sealed(plain.size() + kAeadTagBytes);
  Bytes back(plain.size());
  CHECK(sealing->seal(7, header, plain, sealed.data()));
  CHECK(opening->open(7, header, sealed, back.data()) && back == plain);
  CHECK(!opening->open(8, header, sealed, back.data()));
  int refused = 0;
  for (Bytes* part : {&header, &sealed}) {
    for (size_t bit = 0; bit < 8 * part->size(); bit++) {
      (*part)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      if (!opening->open(7, header, sealed, back.data())) refused++;
      (*part)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
  }
  CHECK(refused == 8 * (4 + 5 + 16));
  CHECK(opening->open(7, header, sealed, back.data()) && back == plain);
}

// Both ends change keys at the same frame, and the old key opens nothing afterwards.
void testNextKeys() {
  const auto sealing = make(AeadUse::sealing);
  const auto opening = make(AeadUse::opening);
  const auto behind = make(AeadUse::sealing);
  constexpr uint64_t change = uint64_t{1} << 20;
  const Bytes plain = {1, 2, 3};
  Bytes sealed(plain.size() + kAeadTagBytes);
  Bytes before(sealed.size());
  Bytes back(plain.size());
  for (const uint64_t sequence : {change - 1, change, 3 * change + 5}) {
    CHECK(sealing->seal(sequence, {}, plain, sealed.data()));
    CHECK(opening->open(sequence, {}, sealed, back.data()) && back == plain);
  }
  CHECK(behind->seal(change - 1, {}, plain, before.data()));
  CHECK(!opening->open(change - 1, {}, before, back.data()));
}

}  // namespace

int main() {
  const std::array<uint8_t, kAeadKeyBytes> key{};
  std::unique_ptr<Aead> aead;
  if (const Error error = makeAesGcm(key, AeadUse::sealing, &aead)) {
    std::printf("Not tested here: %s Node's own is tested in test/cluster.\n", error.message.c_str());
    return 0;
  }
  testPublished();
  testAltered();
  testNextKeys();
  return 0;
}
