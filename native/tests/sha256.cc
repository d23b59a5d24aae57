// SHA-256: the vectors of FIPS 180-4, and every kernel and both lanes alike for messages of all lengths around whole blocks.

#include "hash/sha256.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "check.h"

namespace claw {
namespace {

using Hash = std::vector<uint8_t>;

Hash alone(const Sha256Kernel& kernel, const std::vector<uint8_t>& message) {
  Hash hash(kSha256Bytes);
  Sha256Lane lane = sha256Begin(message.data());
  sha256Finish(kernel, &lane, message.size(), message.size(), hash.data());
  return hash;
}

std::vector<uint8_t> text(const char* letters) {
  return {reinterpret_cast<const uint8_t*>(letters), reinterpret_cast<const uint8_t*>(letters) + std::strlen(letters)};
}

void published(const Sha256Kernel& kernel) {
  const Hash abc = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  const Hash none = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                     0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
  const Hash two = {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26, 0x93, 0x0c, 0x3e, 0x60, 0x39,
                    0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff, 0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1};
  CHECK(alone(kernel, text("abc")) == abc);
  CHECK(alone(kernel, {}) == none);
  CHECK(alone(kernel, text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) == two);
}

void pairs(const Sha256Kernel& kernel, const Sha256Kernel& scalar) {
  test::Random random(7);
  for (int i = 0; i < 600; i++) {
    std::vector<uint8_t> first(static_cast<size_t>(i < 200 ? i : random.between(0, 5000)));
    std::vector<uint8_t> second(static_cast<size_t>(random.between(0, 700)));
    for (uint8_t& byte : first) byte = static_cast<uint8_t>(random.bits());
    for (uint8_t& byte : second) byte = static_cast<uint8_t>(random.bits());
    Hash hashA(kSha256Bytes), hashB(kSha256Bytes);
    Sha256Lane a = sha256Begin(first.data()), b = sha256Begin(second.data());
    const size_t together = std::min(first.size(), second.size()) / kSha256Block;
    kernel.two(&a, &b, together);
    sha256Finish(kernel, &a, first.size() - together * kSha256Block, first.size(), hashA.data());
    sha256Finish(kernel, &b, second.size() - together * kSha256Block, second.size(), hashB.data());
    CHECK(hashA == alone(scalar, first));
    CHECK(hashB == alone(scalar, second));
    CHECK(alone(kernel, first) == hashA);
  }
}

}  // namespace
}  // namespace claw

int main() {
  const auto kernels = claw::sha256Kernels();
  for (const auto& kernel : kernels) {
    std::printf("%s\n", kernel.name);
    claw::published(kernel);
    claw::pairs(kernel, kernels[0]);
  }
}
