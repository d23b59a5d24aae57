// What a device holds: threads, kernels, matrices, vectors and the KV cache. Used from one thread, except where the
// pool's jobs read it; nothing changes while a job runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "executor/error.h"
#include "executor/program.h"
#include "executor/thread-pool.h"
#include "kernels/kernels.h"

namespace claw {

struct MatrixShape {
  Format format;
  int32_t rows;  // held
  int32_t columns;
  int32_t segments;
  int32_t segmentFirst;
  int32_t segmentEnd;
};

// What a packed matrix takes, in the order its parts lie in memory and in files.
struct PackedBytes {
  size_t weights;
  size_t multipliers;
  size_t scales;

  size_t total() const { return alignUp(weights) + alignUp(multipliers) + alignUp(scales); }
};

// Checks a shape and sizes its packed parts: the one place that knows them. `matrix` is without memory.
Error layOut(const MatrixShape& shape, Matrix* matrix, PackedBytes* bytes);

// Why a region for `what` was refused.
Error refusal(const Arena& arena, const char* what, size_t bytes);

// The instruction sets this build and this machine have, best last.
std::vector<const Kernels*> availableKernels();

class Device {
 public:
  // `isa` names one of availableKernels(); null when there is no such or the system refuses threads. `firstProcessor` as in ThreadPool.
  static std::shared_ptr<Device> create(int threads, const std::string& isa, Pinning pinning, int firstProcessor = -1);

  ThreadPool& pool() { return *pool_; }
  const Kernels& kernels() const { return *kernels_; }
  const Arena& arena() const { return arena_; }
  const KvCache& kv() const { return kv_; }
  std::span<const Matrix* const> matrices() const { return matrices_; }
  std::span<const Vector> vectors() const { return vectors_; }

  // Memory for a matrix of this shape, not packed yet.
  Error allocateMatrix(const MatrixShape& shape, Matrix* matrix, Region* region) const;
  // Keeps a packed matrix; its id.
  int32_t keepMatrix(const Matrix& matrix, Region region);
  // The packed bytes of a matrix, which live as long as anyone holds them; null for no matrix of this device.
  std::shared_ptr<const Region> matrixBytes(int32_t id) const;
  Error loadVector(std::span<const float> values, int32_t* id);
  // Keeps all memory from now on out of swap (mlock).
  void lockMemory() { arena_.lock(); }
  // Gives all memory back; nothing runs on this device afterwards.
  void release();
  // `shape` without its data.
  Error allocateKv(const KvCache& shape);

  // KV pages as bytes: whole pages are moved between steps, whatever lies in them. Empty when there is no such page.
  std::span<uint8_t> kvPage(int32_t page) const;
  // Gives the page's memory back to the system until it is next written.
  void discardKvPage(int32_t page) const;

 private:
  size_t kvPageBytes() const;
  std::unique_ptr<ThreadPool> pool_;
  const Kernels* kernels_ = nullptr;
  Arena arena_;
  std::vector<const Matrix*> matrices_;
  std::vector<std::unique_ptr<Matrix>> owned_;
  std::vector<Vector> vectors_;
  std::vector<std::shared_ptr<const Region>> matrixRegions_;
  std::vector<Region> vectorRegions_;
  Region kvRegion_;
  KvCache kv_{};
};

}  // namespace claw
