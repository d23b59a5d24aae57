// SEND and RECEIVE: rows between a program's buffers and the links to other ranks, while the threads of a step wait.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "arena/arena.h"
#include "executor/error.h"
#include "executor/phases.h"
#include "executor/program.h"
#include "link/link.h"

namespace claw {

// Since the program was prepared.
struct ExchangeCounts {
  int64_t exchanges = 0;  // of which all messages are under way at once
  int64_t messages = 0;   // sent
  int64_t bytes = 0;      // in them
  int64_t waited = 0;     // nanoseconds, from posting them until all had moved
};

// The exchanges of a program, with memory for a message in each direction of each link.
class Exchanges {
 public:
  // E_INTERNAL where an operation names a link there is not, or an exchange a direction of a link twice; E_LINK where messages would
  // be longer than a link takes; E_MEMORY.
  static Error plan(std::span<const Operation> operations, std::vector<std::shared_ptr<Link>> links, const Limits& limits,
                    const Arena& arena, std::unique_ptr<Exchanges>* made);

  // Sends and receives what the operations of an exchange say of the step's first `rows` rows. E_LINK, E_LINK_PEER; the links
  // are closed then, since their messages no longer follow the programs on both sides.
  Error run(Run exchange, const int32_t* tokens, int32_t rows);

  const ExchangeCounts& counts() const { return counts_; }

 private:
  struct Direction {
    size_t floats = 0;  // of the longest message
    float* message = nullptr;
  };
  struct Way {
    std::shared_ptr<Link> link;
    Direction out;
    Direction in;

    Direction& of(const Operation& op) { return op.op == Op::send ? out : in; }
  };

  Error size(std::span<const Operation> operations, const Limits& limits);
  Error allocate(const Arena& arena);
  Error post(const Operation& op, const int32_t* tokens, int32_t rows);
  Error check(const Operation& op, const int32_t* tokens, int32_t rows);
  void closeAll();

  std::vector<Way> ways_;
  Region memory_;
  std::vector<Link*> moving_;  // links with a message in this exchange
  ExchangeCounts counts_;
};

}  // namespace claw
