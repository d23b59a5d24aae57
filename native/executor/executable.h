// A program with its memory: allocated and checked once, then run step after step.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arena/arena.h"
#include "executor/attention-plan.h"
#include "executor/block-shares.h"
#include "executor/error.h"
#include "executor/exchange.h"
#include "executor/phases.h"
#include "executor/program.h"
#include "executor/thread-pool.h"

namespace claw {

class Device;

struct ProgramSource {
  std::span<const BufferShape> buffers;
  std::span<const int32_t> tape;
  int32_t logits;
  Limits limits;
  std::vector<std::shared_ptr<Link>> links = {};  // that SEND and RECEIVE name, by their numbers; open
};

// The memory a step is described in, shared with TypeScript (StepBlock in src/kernels/contract.ts).
struct StepBlock {
  int32_t* tokens;
  int32_t* positions;
  int32_t* pageStart;
  int32_t* pages;
  int32_t* outputs;
  float* logits;
  int32_t* status;
  int32_t* adapters;  // counted from 1; 0: none
};

class Executable {
 public:
  static Error prepare(std::shared_ptr<Device> device, const ProgramSource& source,
                       std::shared_ptr<Executable>* executable);

  const std::shared_ptr<Device>& device() const { return device_; }
  const StepBlock& step() const { return step_; }
  // The region of the step block; whoever looks into it holds it too.
  const std::shared_ptr<Region>& stepRegion() const { return stepRegion_; }
  const Limits& limits() const { return limits_; }
  std::span<const Buffer> buffers() const { return buffers_; }
  std::span<const Operation> operations() const { return operations_; }
  std::span<const AttentionPlan> plans() const { return plans_; }

  // Checks everything the step block says against this program and the device's KV cache; clears the statuses.
  Error beginStep(int32_t rows, int32_t outputs);
  // On every thread of the pool: all operations over the rows of the step that was begun.
  void run(const Team& team);
  // What the step that ran last failed with: E_LINK, E_LINK_PEER.
  const Error& stepError() const { return stepError_; }
  const ExchangeCounts& exchangeCounts() const { return exchanges_->counts(); }

 private:
  Error allocateStep(const ProgramSource& source);
  Error allocateBuffers();
  Error allocateScratch();
  Error checkKv() const;
  Error checkPages(int32_t rows) const;
  Error checkRow(int32_t row) const;
  // What the operations ask of a step's tokens and positions.
  void findNeeds();
  void planAttention();
  void shareProducts();
  void dealProducts();
  int32_t sequencePages() const;
  float* quantizeScratch(int thread) const;
  bool exchange(Run run, const Team& team, uint32_t* met);

  std::shared_ptr<Device> device_;
  Limits limits_{};
  std::shared_ptr<Region> stepRegion_;
  Region region_;
  std::vector<AttentionPlan> plans_;  // one for each shape of attention there is; made anew for each step
  std::vector<Region> scratch_;       // one per thread: of attention, then of quantization
  StepBlock step_{};
  std::vector<Buffer> buffers_;
  std::vector<Operation> operations_;
  std::vector<Run> runs_;  // of operations_
  std::unique_ptr<Exchanges> exchanges_;
  Error stepError_;  // of the thread that exchanges; the others read it after exchanged_
  alignas(64) std::atomic<uint32_t> exchanged_{0};  // exchanges that ended in this step
  int32_t rows_ = 0;  // of the step that was begun
  int32_t outputs_ = 0;
  std::unique_ptr<BlockShares> blockShares_;  // of the products; dealt out anew for each step
  int32_t tokenCount_ = INT32_MAX;
  int32_t positionCount_ = INT32_MAX;
  int32_t adapterCount_ = 0;
  bool usesKv_ = false;
  size_t quantizeFloats_ = 0;  // of the longest segment
  size_t quantizeOffset_ = 0;  // of its room in a thread's scratch, in floats
};

}  // namespace claw
