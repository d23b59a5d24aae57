// A program in memory: buffers, and operations decoded from the tape of src/kernels/contract.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace claw {

// The numbers of OP in src/kernels/contract.ts; the addon reports them, so that a stale build is noticed.
enum class Op : int32_t {
  end = 0,
  embed = 1,
  rmsNorm = 2,
  quantize = 3,
  linear = 4,
  linearPartial = 5,
  combine = 6,
  rope = 7,
  kvWrite = 8,
  attention = 9,
  siluMul = 10,
  add = 11,
  gather = 12,
  embedPartial = 13,
  send = 14,
  receive = 15,
  adaptDown = 16,
  adaptUp = 17,
};

enum class Domain : int32_t { tokens = 0, outputs = 1 };

struct BufferShape {
  bool quantized;
  Domain domain;
  int32_t width;
  int32_t segments;  // quantized only
  Format format;     // quantized only: of the matrices that read it
};

struct Buffer {
  BufferShape shape;
  float* values;            // [rows][width], unless quantized
  QuantizedRows quantized;  // when quantized
};

struct Limits {
  int32_t rows;
  int32_t outputs;
  int32_t pageEntries;

  int32_t of(Domain domain) const { return domain == Domain::tokens ? rows : outputs; }
};

struct Vector {
  const float* values;
  int32_t length;
};

// One adapter's matrix in ADAPT_DOWN ([width of the input][rank]) or ADAPT_UP ([rank][outputs]); null: it has none there.
struct AdapterFactor {
  const float* values;
  int32_t rank;
  float scale;  // ADAPT_UP
};

// What is dealt out to the threads: whole rows, pieces of rows (a piece is `pieceWidth` values), blocks of a matrix's
// rows, or pairs of a row and a KV head. What is exchanged with other ranks is not dealt out: one thread sees to it.
enum class Share : int32_t { rows, pieces, blocks, heads, exchange };

// Columns of a buffer that travel.
struct ColumnRange {
  int32_t first;
  int32_t count;
};

// One operation, its operands checked and looked up. Fields an operation does not use are zero.
struct Operation {
  Op op = Op::end;
  bool barrier = false;  // whether all threads must have ended the operations before
  Share share = Share::rows;
  int32_t pieceWidth = 0;
  Domain domain = Domain::tokens;
  const Buffer* dst = nullptr;
  const Buffer* a = nullptr;
  const Buffer* b = nullptr;
  const Matrix* matrix = nullptr;
  const float* vector = nullptr;
  int32_t positions = 0;  // ROPE: rows of its table
  int32_t firstToken = 0;  // EMBED, EMBED_PARTIAL: that of the matrix's first row; SEND, RECEIVE: of the rows that travel
  int32_t endToken = 0;    // SEND, RECEIVE
  int32_t link = 0;        // of both
  int32_t vocabulary = 0;  // EMBED, EMBED_PARTIAL
  float number = 0;       // epsilon or scale
  int32_t layer = 0;
  int32_t firstHead = 0;
  int32_t heads = 0;       // of the buffer (ROPE) or of the KV cache
  int32_t queryHeads = 0;  // ATTENTION
  int32_t headDim = 0;
  int32_t plan = 0;        // ATTENTION: index of the plan of its shape
  bool halves = false;
  size_t product = 0;      // LINEAR, LINEAR_PARTIAL: which of the program's
  int32_t firstLeaf = 0;   // ADAPT_DOWN: of its segments
  int32_t segments = 0;    // ADAPT_DOWN: of its input; ADAPT_UP: of the whole
  int32_t stride = 0;      // ADAPT_DOWN, ADAPT_UP: floats of a segment's leaves
  std::vector<AdapterFactor> adapters;  // ADAPT_DOWN, ADAPT_UP: by the adapter's index
  std::vector<Subtree> subtrees;  // LINEAR: the whole tree; LINEAR_PARTIAL: maximal; COMBINE: those present
  std::vector<ColumnRange> columns;  // SEND, RECEIVE
};

}  // namespace claw
