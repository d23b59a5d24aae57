// Tapes made of valid, nearly valid and random words: each is refused or runs inside its memory (the sanitizers and
// the ends of the mappings watch). Barriers stand exactly where the threads' shares meet, and runs end there.
#include "executor/tape.h"

#include <atomic>
#include <memory>
#include <vector>

#include "executor/executable.h"
#include "tests/link-pair.h"
#include "tests/matrix.h"

namespace {

using namespace claw;

class Step final : public Job {
 public:
  explicit Step(Executable* executable) : executable_(*executable) {}
  void run(const Team& team) override { executable_.run(team); }
  void finished() override { done_.store(true); }
  bool done() const { return done_.load(); }

 private:
  Executable& executable_;
  std::atomic<bool> done_{false};
};

constexpr BufferShape kBuffers[] = {
    {false, Domain::tokens, 32, 0, {}},  // 0
    {true, Domain::tokens, 32, 2, Format::i8},  // 1
    {false, Domain::tokens, 20, 0, {}},  // 2
    {false, Domain::tokens, 40, 0, {}},  // 3: partial sums of 2 segments
    {false, Domain::outputs, 20, 0, {}}, // 4
    {false, Domain::tokens, 32, 0, {}},  // 5
    {true, Domain::tokens, 32, 4, Format::i8},  // 6
    {false, Domain::tokens, 4, 0, {}},  // 7: leaves of 2 segments, ranks up to 2
};
constexpr Limits kLimits = {4, 2, 3};

// Rows on pages or at positions of their own, so that no two write the same place of the cache.
void placeRows(const Executable& executable) {
  const StepBlock& step = executable.step();
  for (int32_t row = 0; row < kLimits.rows; row++) {
    step.pageStart[row] = row % kLimits.pageEntries;
    step.positions[row] = row / kLimits.pageEntries;
    step.adapters[row] = 0;
  }
  for (int32_t i = 0; i < kLimits.pageEntries; i++) step.pages[i] = i;
}

// Both ends of a link: what a program sends over number 0 it receives over number 1. New ones after they ended.
class Loop {
 public:
  std::vector<std::shared_ptr<Link>> links() {
    if (ends_.empty() || ends_[0]->drop() != Drop::none || ends_[1]->drop() != Drop::none || ends_[0]->interrupted()) {
      test::Pair pair = test::opened(LinkDriver::tcp);
      ends_ = {std::move(pair.one), std::move(pair.other)};
    }
    return ends_;
  }
  void interrupt() {
    for (const auto& end : ends_) end->interrupt();
  }

 private:
  std::vector<std::shared_ptr<Link>> ends_;
};

Loop loop;

// On both threads, to its end; the step was begun. One that awaits what nobody sends is interrupted.
Error runStep(Executable* executable) {
  Step step(executable);
  executable->device()->pool().submit(&step);
  for (int yields = 0; !step.done(); yields++) {
    if (yields == 500) loop.interrupt();
    sched_yield();
  }
  return executable->stepError();
}

std::shared_ptr<Device> makeDevice() {
  const auto device = Device::create(2, "scalar", Pinning::automatic);
  test::Random random(3);
  const MatrixShape shape = {Format::i8, 20, 32, 2, 0, 2};
  test::Packed packed = test::pack(*device, shape, test::randomFloats(&random, 640));
  CHECK(device->keepMatrix(packed.matrix, std::move(packed.region)) == 0);
  int32_t id = -1;
  CHECK(!device->loadVector(test::randomFloats(&random, 32), &id) && id == 0);
  CHECK(!device->loadVector(test::randomFloats(&random, 40), &id) && id == 1);
  CHECK(!device->allocateKv({nullptr, 3, 1, 2, 16, KvFormat::f16}));
  return device;
}

Error prepare(const std::shared_ptr<Device>& device, const std::vector<int32_t>& tape, std::shared_ptr<Executable>* made) {
  return Executable::prepare(device, {kBuffers, tape, 4, kLimits, loop.links()}, made);
}

const std::vector<std::vector<int32_t>> kParts = {
    {1, 0, 0},           {2, 0, 5, 0, 0x3727c5ac}, {3, 1, 0},           {4, 2, 1, 0},
    {5, 3, 1, 0},        {6, 2, 3, 1, 0, 2},       {6, 2, 3, 2, 0, 1, 1, 2}, {7, 0, 0, 2, 16, 1},
    {8, 0, 5, 0, 0, 2},  {9, 5, 0, 0, 0, 2, 2, 0x3e800000}, {10, 5, 0, 0}, {11, 0, 0, 5},
    {12, 4, 2},          {13, 0, 0, 1, 21},    {14, 5, 0, 0, 9, 1, 0, 32}, {15, 5, 1, 0, 9, 2, 0, 12, 12, 20},
    {12, 4, 2},          {16, 7, 5, 0, 2, 2, 2, -1, 0, 0, 1},
    {17, 2, 7, 2, 2, -1, 0, 0, 1, 2, 0x3f000000},
};

void testWhatRuns(const std::shared_ptr<Device>& device) {
  std::vector<int32_t> tape;
  for (const auto& part : kParts) {
    std::shared_ptr<Executable> alone;
    std::vector<int32_t> single = part;
    single.push_back(0);
    CHECK(!prepare(device, single, &alone));
    tape.insert(tape.end(), part.begin(), part.end());
  }
  tape.push_back(0);
  std::shared_ptr<Executable> executable;
  CHECK(!prepare(device, tape, &executable));
  CHECK(executable->operations().size() == kParts.size());
  for (int32_t rows = 0; rows <= kLimits.rows; rows++) {
    const int32_t outputs = rows > 0 ? 1 : 0;
    placeRows(*executable);
    for (int32_t row = 0; row < kLimits.rows; row++) executable->step().adapters[row] = row % 3;
    CHECK(!executable->beginStep(rows, outputs));
    CHECK(!runStep(executable.get()));
  }
  // A step without rows sends nothing.
  CHECK(executable->exchangeCounts().exchanges == kLimits.rows + 1 && executable->exchangeCounts().messages == kLimits.rows);
  for (const int32_t adapter : {-1, 3}) {
    executable->step().adapters[0] = adapter;
    CHECK(executable->beginStep(1, 1));
  }
}

// Links that a program names have to be there, and an exchange uses each direction of one once.
void testLinks(const std::shared_ptr<Device>& device) {
  std::shared_ptr<Executable> executable;
  for (const int32_t link : {-1, 2}) CHECK(prepare(device, {14, 5, link, 0, 9, 1, 0, 32, 0}, &executable));
  const std::vector<int32_t> send = {14, 5, 0, 0, 9, 1, 0, 32};
  std::vector<int32_t> twice = send;
  twice.insert(twice.end(), send.begin(), send.end());
  twice.push_back(0);
  CHECK(prepare(device, twice, &executable));
}

// Some parts, some of their words changed, perhaps cut short.
std::vector<int32_t> mutatedTape(test::Random* random) {
  std::vector<int32_t> tape;
  for (int32_t i = random->between(1, 4); i > 0; i--) {
    const auto& part = kParts[static_cast<size_t>(random->between(0, static_cast<int32_t>(kParts.size()) - 1))];
    tape.insert(tape.end(), part.begin(), part.end());
  }
  for (int32_t i = random->between(0, 2); i > 0; i--) {
    int32_t& word = tape[static_cast<size_t>(random->between(0, static_cast<int32_t>(tape.size()) - 1))];
    word = random->between(0, 3) > 0 ? random->between(-1, 20) : static_cast<int32_t>(random->bits());
  }
  if (random->between(0, 9) > 0) tape.push_back(0);
  return tape;
}

void testMutations(const std::shared_ptr<Device>& device) {
  test::Random random(11);
  int ran = 0;
  int refused = 0;
  int failed = 0;
  int64_t messages = 0;
  for (int i = 0; i < 6000; i++) {
    std::shared_ptr<Executable> executable;
    if (prepare(device, mutatedTape(&random), &executable)) {
      refused++;
      continue;
    }
    placeRows(*executable);
    if (executable->beginStep(3, 2)) continue;
    const Error error = runStep(executable.get());
    ran += error ? 0 : 1;
    failed += error ? 1 : 0;
    messages += executable->exchangeCounts().messages;
  }
  std::printf("tapes: %d ran, %d refused, %d failed, %lld messages\n", ran, refused, failed, static_cast<long long>(messages));
  CHECK(ran > 1000 && refused > 1000 && failed > 50 && messages > 100);
}

std::vector<bool> barriersOf(const std::shared_ptr<Device>& device, const std::vector<int32_t>& tape) {
  std::shared_ptr<Executable> executable;
  CHECK(!prepare(device, tape, &executable));
  std::vector<bool> barriers;
  for (const Operation& op : executable->operations()) barriers.push_back(op.barrier);
  return barriers;
}

void testBarriers(const std::shared_ptr<Device>& device) {
  using Flags = std::vector<bool>;
  // Row by row: norm, quantize. The product reads all rows.
  CHECK((barriersOf(device, {2, 0, 5, 0, 0, 3, 1, 0, 4, 2, 1, 0, 0}) == Flags{false, false, true}));
  // Two products of one input do not meet; a sum over one of them does.
  CHECK((barriersOf(device, {4, 2, 1, 0, 5, 3, 1, 0, 11, 2, 2, 2, 0}) == Flags{false, false, true}));
  // Rotation and storing go row by row; attention reads what other rows stored.
  CHECK((barriersOf(device, {7, 0, 0, 2, 16, 1, 8, 0, 5, 0, 0, 2, 9, 5, 0, 0, 0, 2, 2, 0, 0}) == Flags{false, false, true}));
  // Attention of one layer must end before its keys are overwritten.
  CHECK((barriersOf(device, {9, 5, 0, 0, 0, 2, 2, 0, 8, 0, 0, 0, 0, 2, 0}) == Flags{false, true}));
  // A gate is cut as its quantization is, so the two do not meet; one that is cut otherwise does.
  CHECK((barriersOf(device, {10, 5, 0, 0, 3, 1, 5, 4, 2, 1, 0, 0}) == Flags{false, false, true}));
  CHECK((barriersOf(device, {10, 5, 0, 0, 3, 1, 5, 3, 6, 5, 0}) == Flags{false, false, true}));
  // Attention is shared out by heads, the quantization of its result by segments.
  CHECK((barriersOf(device, {9, 5, 0, 0, 0, 2, 2, 0, 3, 1, 5, 0}) == Flags{false, true}));
  // Two of attention meet: the second must not overwrite chunks that the first keeps for other threads.
  CHECK((barriersOf(device, {9, 5, 0, 0, 0, 2, 2, 0, 9, 0, 5, 0, 0, 2, 2, 0, 0}) == Flags{false, true}));
  // All meet before what is exchanged with others, and have met after it.
  CHECK((barriersOf(device, {11, 2, 2, 2, 14, 5, 0, 0, 9, 1, 0, 32, 15, 2, 1, 0, 9, 1, 0, 20, 11, 2, 2, 2, 0}) ==
         Flags{false, true, false, false}));
  // What adapters add waits for the product and for the leaves, which do not wait for the product.
  CHECK((barriersOf(device, {4, 2, 1, 0, 16, 7, 5, 0, 2, 2, 1, 0, 1, 17, 2, 7, 2, 1, 1, 2, 0, 0}) ==
         Flags{false, false, true}));
  // Gathering crosses from tokens to outputs.
  CHECK((barriersOf(device, {11, 2, 2, 2, 12, 4, 2, 11, 4, 4, 4, 0}) == Flags{false, true, false}));
}

// Which operations a row, or a piece of one, goes through at once.
void testRuns(const std::shared_ptr<Device>& device) {
  std::shared_ptr<Executable> executable;
  // add, norm, quantize | product | silu, quantize | rotation | gather
  const std::vector<int32_t> tape = {11, 0, 0, 5, 2, 5, 0, 0, 0, 3, 1,  5, 4, 2, 1, 0, 10, 5,
                                     0,  0, 3, 6, 5, 7, 0, 0, 2, 16, 1, 12, 4, 2, 0};
  CHECK(!prepare(device, tape, &executable));
  std::vector<size_t> sizes;
  for (const Run& run : runsOf(executable->operations())) sizes.push_back(run.size());
  CHECK((sizes == std::vector<size_t>{3, 1, 2, 1, 1}));
  // sum | send, receive | sum
  CHECK(!prepare(device, {11, 2, 2, 2, 14, 5, 0, 0, 9, 1, 0, 32, 15, 2, 1, 0, 9, 1, 0, 20, 11, 2, 2, 2, 0}, &executable));
  sizes.clear();
  for (const Run& run : runsOf(executable->operations())) sizes.push_back(run.size());
  CHECK((sizes == std::vector<size_t>{1, 2, 1}));
}

}  // namespace

int main() {
  const auto device = makeDevice();
  testRuns(device);
  testWhatRuns(device);
  testLinks(device);
  testMutations(device);
  testBarriers(device);
  return 0;
}
