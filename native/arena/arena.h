// Memory from the system, anonymous or a file mapped to be read, counted by purpose. A refused mapping is an empty region, never an
// abort: whoever asked turns it into E_MEMORY.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>

namespace claw {

enum class Purpose : int { weights = 0, kv = 1, buffers = 2 };

constexpr size_t kAlignment = 64;  // of every allocation within a region: a cache line, a vector register

// Multiplies sizes; false when the product does not fit.
bool multiply(std::initializer_list<size_t> factors, size_t* product);

constexpr size_t alignUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Usage {
  std::array<std::atomic<size_t>, 3> bytes{};
  std::atomic<bool> lockRefused{false};
};

// One mapping, handed out front to back in aligned pieces. Unmapped with its owner.
class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  explicit operator bool() const { return base_ != nullptr; }
  uint8_t* base() const { return base_; }
  size_t size() const { return size_; }
  // Bytes handed out.
  size_t used() const { return used_; }

  // The next piece, zero at first, aligned to kAlignment; null when the region is used up.
  void* take(size_t bytes);
  // Gives the memory behind whole system pages within [from, from + bytes) back; it reads as zero afterwards.
  void discard(size_t from, size_t bytes) const;
  template <typename T>
  T* take(size_t count) {
    return static_cast<T*>(take(count * sizeof(T)));
  }

 private:
  friend class Arena;
  void release();

  uint8_t* base_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
  Purpose purpose_ = Purpose::weights;
  std::shared_ptr<Usage> usage_;
};

class Arena {
 public:
  // Regions mapped from now on are kept in memory (mlock).
  void lock() { locked_ = true; }
  // Whether the last region that was refused would have been there, but not locked.
  bool lockRefused() const { return usage_->lockRefused.load(); }
  // A region of at least `bytes`, rounded up to whole pages; empty when the system refuses it. KV pages and buffers lie in
  // reserved huge pages where there are enough of them; other memory is in transparent ones where those are allowed. With
  // several NUMA nodes, pages go around all of them, as the threads that use them do.
  Region map(Purpose purpose, size_t bytes) const;
  size_t bytes(Purpose purpose) const { return usage_->bytes[static_cast<size_t>(purpose)].load(); }

 private:
  Region counted(Purpose purpose, void* base, size_t size) const;

  bool locked_ = false;
  std::shared_ptr<Usage> usage_ = std::make_shared<Usage>();
};

}  // namespace claw
