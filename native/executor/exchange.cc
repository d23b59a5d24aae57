#include "executor/exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "executor/device.h"

namespace claw {
namespace {

// A peer of the same stage answers within microseconds or little more; one of an earlier stage may compute for long. Whether it
// is lost is for others to decide, who interrupt the link.
constexpr Patience kPatience = {std::chrono::microseconds(500), kWithoutLimit};

bool travels(const Operation& op, int32_t token) { return token >= op.firstToken && token < op.endToken; }

size_t rowFloats(const Operation& op) {
  size_t sum = 0;
  for (const ColumnRange& range : op.columns) sum += static_cast<size_t>(range.count);
  return sum;
}

size_t messageFloats(const Operation& op, const int32_t* tokens, int32_t rows) {
  return rowFloats(op) * static_cast<size_t>(std::count_if(tokens, tokens + rows, [&](int32_t t) { return travels(op, t); }));
}

const Buffer& bufferOf(const Operation& op) { return op.op == Op::send ? *op.a : *op.dst; }

// Visits the runs of a buffer's values that travel, in the order of the message.
template <typename Visit>
void eachPiece(const Operation& op, const int32_t* tokens, int32_t rows, Visit visit) {
  const Buffer& buffer = bufferOf(op);
  for (int32_t row = 0; row < rows; row++) {
    if (!travels(op, tokens[row])) continue;
    float* values = buffer.values + static_cast<ptrdiff_t>(row) * buffer.shape.width;
    for (const ColumnRange& range : op.columns) visit(values + range.first, static_cast<size_t>(range.count));
  }
}

void gather(const Operation& op, const int32_t* tokens, int32_t rows, float* message) {
  eachPiece(op, tokens, rows, [&](const float* values, size_t count) { message = std::copy_n(values, count, message); });
}

void scatter(const Operation& op, const int32_t* tokens, int32_t rows, const float* message) {
  eachPiece(op, tokens, rows, [&](float* values, size_t count) {
    std::copy_n(message, count, values);
    message += count;
  });
}

bool exchanges(const Operation& op) { return op.share == Share::exchange; }

}  // namespace

Error Exchanges::plan(std::span<const Operation> operations, std::vector<std::shared_ptr<Link>> links, const Limits& limits,
                      const Arena& arena, std::unique_ptr<Exchanges>* made) {
  auto plan = std::make_unique<Exchanges>();
  for (auto& link : links) plan->ways_.push_back({std::move(link), {}, {}});
  Error error = plan->size(operations, limits);
  if (!error) error = plan->allocate(arena);
  if (!error) *made = std::move(plan);
  return error;
}

Error Exchanges::size(std::span<const Operation> operations, const Limits& limits) {
  std::vector<const Direction*> used;  // in the exchange at hand
  for (const Operation& op : operations) {
    if (!exchanges(op)) {
      used.clear();
      continue;
    }
    const auto index = static_cast<size_t>(op.link);
    if (index >= ways_.size()) return makeError("E_INTERNAL", "The program names link %d of %zu.", op.link, ways_.size());
    Direction& direction = ways_[index].of(op);
    if (std::find(used.begin(), used.end(), &direction) != used.end()) {
      return makeError("E_INTERNAL", "An exchange uses a direction of link %d twice.", op.link);
    }
    used.push_back(&direction);
    size_t bytes = 0;
    const bool fits = multiply({rowFloats(op), static_cast<size_t>(limits.rows), sizeof(float)}, &bytes);
    if (const size_t most = ways_[index].link->messageBytesMax(); !fits || bytes > most) {
      return makeError("E_LINK", "Steps of %d rows make messages of %zu bytes between ranks; links take %zu. Use fewer rows.",
                       limits.rows, bytes, most);
    }
    direction.floats = std::max(direction.floats, bytes / sizeof(float));
  }
  return {};
}

Error Exchanges::allocate(const Arena& arena) {
  size_t bytes = 0;
  for (Way& way : ways_) {
    for (const Direction* direction : {&way.out, &way.in}) bytes += alignUp(direction->floats * sizeof(float));
  }
  if (bytes == 0) return {};
  memory_ = arena.map(Purpose::buffers, bytes);
  if (!memory_) return refusal(arena, "messages between ranks", bytes);
  for (Way& way : ways_) {
    for (Direction* direction : {&way.out, &way.in}) direction->message = memory_.take<float>(direction->floats);
  }
  return {};
}

Error Exchanges::run(Run exchange, const int32_t* tokens, int32_t rows) {
  moving_.clear();
  counts_.exchanges++;
  Error error;
  for (size_t i = 0; i < exchange.size() && !error; i++) error = post(exchange[i], tokens, rows);
  const auto posted = std::chrono::steady_clock::now();
  if (!error) error = complete(moving_, kPatience);
  counts_.waited += std::chrono::nanoseconds(std::chrono::steady_clock::now() - posted).count();
  for (size_t i = 0; i < exchange.size() && !error; i++) error = check(exchange[i], tokens, rows);
  if (error) closeAll();
  return error;
}

Error Exchanges::post(const Operation& op, const int32_t* tokens, int32_t rows) {
  const size_t floats = messageFloats(op, tokens, rows);
  if (floats == 0) return {};
  Way& way = ways_[static_cast<size_t>(op.link)];
  std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(way.of(op).message), floats * sizeof(float));
  if (std::find(moving_.begin(), moving_.end(), way.link.get()) == moving_.end()) moving_.push_back(way.link.get());
  if (op.op == Op::receive) return way.link->postReceive(bytes);
  if (const auto lent = way.link->lend(bytes.size()); !lent.empty()) bytes = lent;
  gather(op, tokens, rows, reinterpret_cast<float*>(bytes.data()));
  counts_.messages++;
  counts_.bytes += static_cast<int64_t>(bytes.size());
  return way.link->postSend(bytes);
}

// What came is scattered where it is just what was due.
Error Exchanges::check(const Operation& op, const int32_t* tokens, int32_t rows) {
  if (op.op == Op::send) return {};
  const size_t floats = messageFloats(op, tokens, rows);
  if (floats == 0) return {};
  Way& way = ways_[static_cast<size_t>(op.link)];
  if (const size_t bytes = way.link->receivedBytes(); bytes != floats * sizeof(float)) {
    return makeError("E_LINK", "A rank sent a message of %zu bytes where %zu were due.", bytes, floats * sizeof(float));
  }
  scatter(op, tokens, rows, way.in.message);
  return {};
}

void Exchanges::closeAll() {
  for (Way& way : ways_) {
    way.link->withdraw();
    way.link->close();
  }
}

}  // namespace claw
