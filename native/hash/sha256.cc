#include "hash/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace claw {
namespace sha256 {

alignas(16) const uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

}  // namespace sha256

namespace {

constexpr Sha256State kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

uint32_t bigEndian(const uint8_t* bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  static_assert(std::endian::native == std::endian::little);
  return __builtin_bswap32(word);
}

void scalarBlock(Sha256State* state, const uint8_t* bytes) {
  using std::rotr;
  uint32_t w[64];
  for (size_t i = 0; i < 16; i++) w[i] = bigEndian(bytes + 4 * i);
  for (size_t i = 16; i < 64; i++) {
    const uint32_t low = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t high = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + low + w[i - 7] + high;
  }
  auto [a, b, c, d, e, f, g, h] = *state;
  for (size_t i = 0; i < 64; i++) {
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t first = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + choice + sha256::kRounds[i] + w[i];
    const uint32_t second = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + majority;
    h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
  }
  const Sha256State added = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; i++) (*state)[i] += added[i];
}

void scalarOne(Sha256Lane* lane, size_t blocks) {
  for (; blocks > 0; blocks--, lane->bytes += kSha256Block) scalarBlock(&lane->state, lane->bytes);
}

void scalarTwo(Sha256Lane* first, Sha256Lane* second, size_t blocks) {
  scalarOne(first, blocks);
  scalarOne(second, blocks);
}

void writeHash(const Sha256State& state, uint8_t* hash) {
  for (size_t i = 0; i < state.size(); i++) {
    const uint32_t word = __builtin_bswap32(state[i]);
    std::memcpy(hash + sizeof word * i, &word, sizeof word);
  }
}

}  // namespace

std::vector<Sha256Kernel> sha256Kernels() {
  std::vector<Sha256Kernel> kernels = {{"scalar", scalarOne, scalarTwo}};
  for (const Sha256Kernel& kernel : {sha256::x86Kernel(), sha256::armKernel()}) {
    if (kernel.one != nullptr) kernels.push_back(kernel);
  }
  return kernels;
}

Sha256Lane sha256Begin(const uint8_t* bytes) { return {kInitial, bytes}; }

void sha256Finish(const Sha256Kernel& kernel, Sha256Lane* lane, size_t rest, uint64_t total, uint8_t* hash) {
  kernel.one(lane, rest / kSha256Block);
  rest %= kSha256Block;
  uint8_t last[2 * kSha256Block] = {};  // a byte 0x80 and the length may need a block more
  std::copy_n(lane->bytes, rest, last);
  last[rest] = 0x80;
  const size_t blocks = rest + 1 + sizeof(uint64_t) > kSha256Block ? 2 : 1;
  const uint64_t bits = __builtin_bswap64(total * 8);
  std::memcpy(last + blocks * kSha256Block - sizeof bits, &bits, sizeof bits);
  lane->bytes = last;
  kernel.one(lane, blocks);
  writeHash(lane->state, hash);
}

}  // namespace claw
