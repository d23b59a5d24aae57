// How a program's operations are dealt out to the threads. Operations between two barriers form a phase; within a phase,
// consecutive operations whose shares are the same rows, or the same pieces of rows, form a run: a thread takes each of
// its rows or pieces through the whole run.
#pragma once

#include <span>
#include <vector>

#include "executor/program.h"

namespace claw {

// Never empty; more than one operation only where they share rows or pieces, or are one exchange with other ranks.
using Run = std::span<const Operation>;

// Decides each operation's share, and before which operations the threads must meet. After an exchange they have met.
void shareOut(std::vector<Operation>* operations);

// The runs of operations that were shared out, in order; the spans are of `operations`.
std::vector<Run> runsOf(std::span<const Operation> operations);

}  // namespace claw
