#include "link/aead.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace claw {
namespace {

// 2^32 blocks under one key, with the largest frames: within the bounds of RFC 8446, section 5.5.
constexpr uint64_t kFramesPerKey = uint64_t{1} << 20;

constexpr size_t kNonceBytes = 12;
constexpr int kGetTag = 0x10;  // EVP_CTRL_AEAD_GET_TAG
constexpr int kSetTag = 0x11;  // EVP_CTRL_AEAD_SET_TAG

using Context = struct evp_cipher_ctx_st;
using Cipher = struct evp_cipher_st;
using Init = int (*)(Context*, const Cipher*, void* engine, const uint8_t* key, const uint8_t* nonce);
using Update = int (*)(Context*, uint8_t* out, int* written, const uint8_t* in, int bytes);
using Final = int (*)(Context*, uint8_t* out, int* written);

// What is used of OpenSSL, whose headers Node's install does not bring. The same in its versions 1.1 and 3.
struct OpenSsl {
  const Cipher* (*aes256Gcm)();
  Context* (*make)();
  void (*free)(Context*);
  int (*control)(Context*, int command, int number, void* data);
  Init sealInit;
  Update sealUpdate;
  Final sealFinal;
  Init openInit;
  Update openUpdate;
  Final openFinal;
};

template <typename Function>
bool find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool findAll(void* library, OpenSsl* ssl) {
  return find(library, "EVP_aes_256_gcm", &ssl->aes256Gcm) && find(library, "EVP_CIPHER_CTX_new", &ssl->make) &&
         find(library, "EVP_CIPHER_CTX_free", &ssl->free) && find(library, "EVP_CIPHER_CTX_ctrl", &ssl->control) &&
         find(library, "EVP_EncryptInit_ex", &ssl->sealInit) && find(library, "EVP_EncryptUpdate", &ssl->sealUpdate) &&
         find(library, "EVP_EncryptFinal_ex", &ssl->sealFinal) && find(library, "EVP_DecryptInit_ex", &ssl->openInit) &&
         find(library, "EVP_DecryptUpdate", &ssl->openUpdate) && find(library, "EVP_DecryptFinal_ex", &ssl->openFinal);
}

// The process's own OpenSSL, which Node's executable exports, or the system's; null where there is neither.
const OpenSsl* openSsl() {
  static OpenSsl ssl{};
  static const bool found = [] {
    if (findAll(RTLD_DEFAULT, &ssl)) return true;
    void* library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    return library != nullptr && findAll(library, &ssl);
  }();
  return found ? &ssl : nullptr;
}

using Nonce = std::array<uint8_t, kNonceBytes>;

// Four zero bytes and the number, big-endian, as the Noise protocol has it.
Nonce nonceOf(uint64_t number) {
  Nonce nonce{};
  const uint64_t swapped = __builtin_bswap64(number);
  std::memcpy(nonce.data() + kNonceBytes - sizeof swapped, &swapped, sizeof swapped);
  return nonce;
}

class AesGcm final : public Aead {
 public:
  AesGcm(const OpenSsl* ssl, std::span<const uint8_t> key, AeadUse use) : ssl_(ssl), use_(use) {
    std::copy_n(key.begin(), key_.size(), key_.begin());
  }
  ~AesGcm() override {
    ssl_->free(context_);
    explicit_bzero(key_.data(), key_.size());
  }

  bool begin() { return (context_ = ssl_->make()) != nullptr && setKey(); }

  bool seal(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> plain, uint8_t* sealed) override {
    if (use_ != AeadUse::sealing || !keyFor(sequence)) return false;
    return encrypt(nonceOf(sequence), header, plain, sealed);
  }

  bool open(uint64_t sequence, std::span<const uint8_t> header, std::span<const uint8_t> sealed, uint8_t* plain) override {
    if (use_ != AeadUse::opening || sealed.size() < kAeadTagBytes || !keyFor(sequence)) return false;
    const std::span<const uint8_t> text = sealed.first(sealed.size() - kAeadTagBytes);
    const Nonce nonce = nonceOf(sequence);
    std::array<uint8_t, kAeadTagBytes> tag;
    std::copy_n(sealed.end() - kAeadTagBytes, tag.size(), tag.begin());
    int written = 0;
    if (ssl_->openInit(context_, nullptr, nullptr, nullptr, nonce.data()) != 1) return false;
    if (!header.empty() && ssl_->openUpdate(context_, nullptr, &written, header.data(), size(header)) != 1) return false;
    if (!text.empty() && ssl_->openUpdate(context_, plain, &written, text.data(), size(text)) != 1) return false;
    return ssl_->control(context_, kSetTag, kAeadTagBytes, tag.data()) == 1 &&
           ssl_->openFinal(context_, tag.data(), &written) == 1;
  }

 private:
  static int size(std::span<const uint8_t> bytes) { return static_cast<int>(bytes.size()); }

  bool setKey() {
    const Init init = use_ == AeadUse::sealing ? ssl_->sealInit : ssl_->openInit;
    return init(context_, ssl_->aes256Gcm(), nullptr, key_.data(), nullptr) == 1;
  }

  bool encrypt(const Nonce& nonce, std::span<const uint8_t> header, std::span<const uint8_t> plain, uint8_t* sealed) {
    int written = 0;
    if (ssl_->sealInit(context_, nullptr, nullptr, nullptr, nonce.data()) != 1) return false;
    if (!header.empty() && ssl_->sealUpdate(context_, nullptr, &written, header.data(), size(header)) != 1) return false;
    if (!plain.empty() && ssl_->sealUpdate(context_, sealed, &written, plain.data(), size(plain)) != 1) return false;
    uint8_t* tag = sealed + plain.size();
    return ssl_->sealFinal(context_, tag, &written) == 1 && ssl_->control(context_, kGetTag, kAeadTagBytes, tag) == 1;
  }

  bool keyFor(uint64_t sequence) {
    for (; generation_ < sequence / kFramesPerKey; generation_++) {
      if (!replaceKey()) return false;
    }
    return true;
  }

  // REKEY of the Noise protocol (section 4.2): 32 zero bytes, sealed with the last nonce, are the next key.
  bool replaceKey() {
    const std::array<uint8_t, kAeadKeyBytes> zeros{};
    std::array<uint8_t, kAeadKeyBytes + kAeadTagBytes> sealed;
    const bool done = ssl_->sealInit(context_, ssl_->aes256Gcm(), nullptr, key_.data(), nullptr) == 1 &&
                      encrypt(nonceOf(UINT64_MAX), {}, zeros, sealed.data());
    std::copy_n(sealed.begin(), key_.size(), key_.begin());
    explicit_bzero(sealed.data(), sealed.size());
    return done && setKey();
  }

  const OpenSsl* ssl_;
  const AeadUse use_;
  Context* context_ = nullptr;
  std::array<uint8_t, kAeadKeyBytes> key_;
  uint64_t generation_ = 0;
};

}  // namespace

Error makeAesGcm(std::span<const uint8_t> key, AeadUse use, std::unique_ptr<Aead>* aead) {
  if (key.size() != kAeadKeyBytes) return makeError("E_INTERNAL", "A key has %zu bytes.", key.size());
  const OpenSsl* ssl = openSsl();
  if (ssl == nullptr) return makeError("E_NATIVE", "There is no OpenSSL in this process to encrypt a link with.");
  auto made = std::make_unique<AesGcm>(ssl, key, use);
  if (!made->begin()) return makeError("E_NATIVE", "OpenSSL refuses AES-256-GCM.");
  *aead = std::move(made);
  return {};
}

}  // namespace claw
