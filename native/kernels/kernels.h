// What every instruction set implements, and the layouts it works on. docs/reference/arithmetic.md defines the bits;
// src/kernels/reference/ is that page as TypeScript. One packed layout serves every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

// Inlined everywhere: folders of native/arch compile these headers with their own instructions, and a copy of theirs
// must never serve a machine that lacks them.
#define CLAW_INLINE [[gnu::always_inline]] inline

namespace claw {

constexpr int kGroup = 32;           // i4 weights that share a multiplier within a segment
constexpr int kScaleGroup = 64;      // i8 values that share a scale within a segment
constexpr int kRowBlock = 16;        // matrix rows interleaved in the packed layout
constexpr int kSegmentPad = 8;       // packed integer segments are padded with zeros to a multiple of this
constexpr int kSegmentsMax = 64;     // leaves of the balanced tree at most
constexpr int kRotationMax = 1024;   // values a rotation mixes at most
constexpr int kAttentionChunk = 256; // positions in an attention chunk: arithmetic, not tuning
constexpr int kPageTokens = 32;      // positions in a KV page
constexpr int kHeadDimMax = 512;     // largest head dimension supported
constexpr int kAdapterRankMax = 512; // largest rank of an adapter
constexpr int kAdaptersMax = 1024;   // adapters of a program

// Packed matrices are kept on disk, and a later build must not misread them: the first number changes with the layout
// below, the second with the arithmetic that decides which weights are in it (docs/reference/arithmetic.md, Weights).
constexpr int kLayoutVersion = 3;
constexpr int kArithmeticVersion = 3;

enum class Format : int32_t { f16 = 0, i8 = 1, i4 = 2 };

// Values of a group within a segment, and the groups of so long a segment.
CLAW_INLINE constexpr int32_t groupLength(Format format) { return format == Format::i8 ? kScaleGroup : kGroup; }
CLAW_INLINE constexpr int32_t groupCount(Format format, int32_t segmentLength) {
  return (segmentLength + groupLength(format) - 1) / groupLength(format);
}

// Row status bits; the same as ROW_STATUS in src/kernels/contract.ts.
constexpr int32_t kNotFinite = 1;
constexpr int32_t kKvRange = 2;

// A matrix slice, packed in blocks of 16 rows (missing rows of the last block are zero weights with scale 0).
//   f16: [row block][segments held * segmentLength][16 rows] half
//   i8:  [row block][segments held * paddedSegment / 4][16 rows][4] uint8 = q + 128 (padding: 128)
//   i4:  [row block][segments held * paddedSegment / 8][16 rows][4] bytes; byte i holds the 4-bit value q + 8 of
//        column 8c + i in its low half and of column 8c + 4 + i in its high half (padding: 8)
//        multipliers: [row block][segments held * groups][16 rows] int8
// scales: [row block][segments held * scalesPerSegment][16 rows] f32, of i8 and i4.
struct Matrix {
  Format format;
  int32_t rows;          // rows held
  int32_t columns;       // of the whole matrix
  int32_t segments;      // of the whole matrix
  int32_t segmentFirst;  // held: [segmentFirst, segmentEnd)
  int32_t segmentEnd;
  int32_t segmentLength;
  int32_t paddedSegment;  // segmentLength rounded up to kSegmentPad for i8 and i4; segmentLength for f16
  int32_t groups;         // per segment: of kScaleGroup values that share a scale (i8) or kGroup that share a multiplier (i4)
  uint8_t* weights;
  int8_t* multipliers;  // i4 only
  float* scales;

  CLAW_INLINE int32_t held() const { return segmentEnd - segmentFirst; }
  CLAW_INLINE int32_t scalesPerSegment() const { return format == Format::i8 ? groups : 1; }
  CLAW_INLINE int32_t rowBlocks() const { return (rows + kRowBlock - 1) / kRowBlock; }
  CLAW_INLINE size_t blockBytes() const {
    const size_t columnsHeld = static_cast<size_t>(held()) * static_cast<size_t>(paddedSegment) * kRowBlock;
    return format == Format::f16 ? columnsHeld * 2 : format == Format::i8 ? columnsHeld : columnsHeld / 2;
  }
};

// Quantized activation rows, rotated segment by segment before. Arrays are [row][…]; segments are padded like the
// integer weights, padding is 0.
struct QuantizedRows {
  Format format;     // of the matrices that read them: i8 or i4
  int8_t* q;         // [row][segments * paddedSegment]
  float* scales;     // [row][segments * scalesPerSegment]
  int32_t* starts;   // [row][segments * groups]: what a group's sums start at, so that the weights' offsets leave: minus
                     // the sum of the group's q, times 128 (i8) or 8 (i4)
  int32_t width;     // values per row, unpadded
  int32_t segments;
  int32_t segmentLength;
  int32_t paddedSegment;
  int32_t groups;  // per segment, as in the matrices

  CLAW_INLINE int32_t scalesPerSegment() const { return format == Format::i8 ? groups : 1; }
};

struct Subtree {
  int32_t first;  // leaves [first, end) of the balanced tree over all segments
  int32_t end;
};

// y = X * W for output row blocks [blockFirst, blockEnd) and all input rows.
// Whole (partial = false): out[row * outStride + n] = tree over all segments.
// Partial: for each subtree, out[row * outStride + subtree.first * matrix.rows + n] = its root.
struct LinearTask {
  const Matrix* matrix;
  const QuantizedRows* quantized;  // i8, i4
  const float* x;                  // f16: [rows][xStride]
  ptrdiff_t xStride;
  int32_t rows;
  int32_t blockFirst;
  int32_t blockEnd;
  float* out;
  ptrdiff_t outStride;
  bool partial;
  const Subtree* subtrees;  // the maximal subtrees of the segments held; one, the whole tree, unless partial
  int32_t subtreeCount;
};

enum class KvFormat : int32_t { f16 = 0, f32 = 1, i8 = 2 };

// KV pages, each [layer][head]{ keys: [kPageTokens / 16][headDim][16 positions], values: [kPageTokens][headDim] }, of
// uint16_t (half), float or int8_t elements as the format says; int8_t are followed by two scales for each position,
// { of keys: [kPageTokens], of values: [kPageTokens] } floats.
struct KvCache {
  uint8_t* data;
  int32_t pages;
  int32_t layers;
  int32_t heads;
  int32_t headDim;
  KvFormat format;

  CLAW_INLINE size_t elementBytes() const {
    return format == KvFormat::f16 ? sizeof(uint16_t) : format == KvFormat::f32 ? sizeof(float) : sizeof(int8_t);
  }
  CLAW_INLINE size_t vectorBytes() const {
    return static_cast<size_t>(headDim) * elementBytes() + (format == KvFormat::i8 ? sizeof(float) : 0);
  }
  // One head of one layer in a page: its keys and its values.
  CLAW_INLINE size_t headBytes() const { return static_cast<size_t>(2) * kPageTokens * vectorBytes(); }
  CLAW_INLINE uint8_t* place(int32_t page, int32_t layer, int32_t head) const {
    const size_t slot = (static_cast<size_t>(page) * layers + layer) * heads + head;
    return data + slot * headBytes();
  }
  template <class T>
  CLAW_INLINE T* keys(int32_t page, int32_t layer, int32_t head) const {
    return reinterpret_cast<T*>(place(page, layer, head));
  }
  template <class T>
  CLAW_INLINE T* values(int32_t page, int32_t layer, int32_t head) const {
    return keys<T>(page, layer, head) + static_cast<size_t>(kPageTokens) * headDim;
  }
  // The scales of keys, i8 only; those of values follow.
  CLAW_INLINE float* scales(int32_t page, int32_t layer, int32_t head) const {
    return reinterpret_cast<float*>(keys<int8_t>(page, layer, head) + static_cast<size_t>(2) * kPageTokens * headDim);
  }
};

// Where one position's keys and values of one head are kept; `slot` is the position within the page.
struct KvPlace {
  int32_t page;
  int32_t layer;
  int32_t head;
  int32_t slot;
};

// A tile of token rows of one sequence, at consecutive positions within one chunk, against one KV head: its `queries`
// query heads (consecutive in q and out) share the head's keys and values. Query i of the tile is head i % queries of row
// i / queries.
struct AttentionTask {
  const KvCache* kv;
  int32_t layer;
  int32_t head;
  int32_t queries;
  int32_t rows;
  int32_t position;      // of the first row; row r attends to positions 0..position + r
  const int32_t* pages;  // page table of the sequence
  const float* q;        // [rows][queries][headDim]; rotated where the cache is i8
  ptrdiff_t qStride;     // floats from row to row
  float* out;            // [rows][queries][headDim]
  ptrdiff_t outStride;
  float scale;
  float* scratch;  // attentionScratch(queries * rows) floats, private to the thread

  CLAW_INLINE int32_t allQueries() const { return queries * rows; }
  CLAW_INLINE int32_t chunks() const { return position / kAttentionChunk + 1; }
};

CLAW_INLINE constexpr size_t attentionScratch(size_t allQueries) { return allQueries * kAttentionChunk; }

// (m, l, o) of one chunk, or of those folded so far, for all queries of a tile.
struct AttentionSums {
  float* values;   // [all queries][headDim]: o
  float* largest;  // [all queries]: m
  float* totals;   // [all queries]: l

  CLAW_INLINE static constexpr size_t floats(size_t allQueries, size_t headDim) { return allQueries * (headDim + 2); }
  // The sums of that index among those of a task that lie in memory one after the other.
  CLAW_INLINE static AttentionSums at(float* memory, const AttentionTask& task, int32_t index = 0) {
    memory += static_cast<size_t>(index) * floats(static_cast<size_t>(task.allQueries()), static_cast<size_t>(task.kv->headDim));
    float* largest = memory + static_cast<ptrdiff_t>(task.allQueries()) * task.kv->headDim;
    return {memory, largest, largest + task.allQueries()};
  }
};

// Queries [first, end) of a tile.
struct QueryRange {
  int32_t first;
  int32_t end;
};

// Source types, as src/tensor/dtype.ts numbers ggml's.
enum class SourceType : int32_t { f32 = 0, f16 = 1, q4_0 = 2, q8_0 = 8, bf16 = 30 };

// Seals and packs rows [16 * block, …) of a matrix slice from whole source rows.
struct PackTask {
  const Matrix* matrix;
  SourceType type;
  const uint8_t* source;  // first source row held
  size_t sourceStride;    // bytes per source row
  int32_t block;
  float* scratch;  // 17 * columns floats, private to the thread
};

// The functions of one instruction set. All are pure on their arguments and safe to call from several threads.
struct Kernels {
  const char* name;  // of the instruction set: scalar, or its folder in native/arch
  void (*linear)(const LinearTask& task);
  // Rotates and quantizes one segment, whose values begin at `x`; the status bits found (0 or kNotFinite). `scratch` is
  // room for segmentLength floats, private to the thread and aligned to a cache line.
  int32_t (*quantizeSegment)(const float* x, const QuantizedRows& out, int32_t row, int32_t segment, float* scratch);
  int32_t (*rmsNormRow)(const float* x, const float* gain, float epsilon, float* out, int32_t width);
  void (*embedRow)(const Matrix& matrix, int32_t token, float* out);
  void (*ropeRow)(float* row, const float* table, int32_t heads, int32_t headDim, bool halves);
  void (*siluMul)(const float* gate, const float* up, float* out, int32_t count);
  void (*add)(const float* a, const float* b, float* out, int32_t count);
  // One position's keys and values of one head; the status bits found (0 or kKvRange).
  int32_t (*storeKv)(const KvCache& kv, const KvPlace& place, const float* k, const float* v);
  // ATTENTION in steps: a chunk by itself, a chunk folded into those before it, and the output of all of them.
  void (*attendChunk)(const AttentionTask& task, int32_t chunk, const AttentionSums& sums);
  void (*foldChunk)(const AttentionTask& task, const AttentionSums& chunk, const AttentionSums& folded, QueryRange range);
  void (*finishAttention)(const AttentionTask& task, const AttentionSums& folded, QueryRange range);
  // leaves[r] = the chain over k of fma(a[k * rank + r], x[k], .), for k below `length`.
  void (*adaptDown)(const float* x, const float* a, int32_t length, int32_t rank, float* leaves);
  // out[n] += the chain over r of fma(b[r * stride + n], roots[r], .), for n below `count`.
  void (*adaptUp)(const float* roots, const float* b, ptrdiff_t stride, int32_t rank, float* out, int32_t count);
  // 0, or the 1-based source row (within the slice) that holds NaN, infinity or a value beyond f16.
  int32_t (*packBlock)(const PackTask& task);
};

const Kernels& scalarKernels();
#ifdef CLAW_HAVE_AVX2
const Kernels& avx2Kernels();
bool avx2Supported();
#endif
#ifdef CLAW_HAVE_AVX2_VNNI
const Kernels& avx2VnniKernels();
bool avx2VnniSupported();
#endif
#ifdef CLAW_HAVE_AVX512
const Kernels& avx512Kernels();
bool avx512Supported();
#endif
#ifdef CLAW_HAVE_NEON
const Kernels& neonKernels();
bool neonSupported();
#endif
#ifdef CLAW_HAVE_NEON_DOTPROD
const Kernels& neonDotprodKernels();
bool neonDotprodSupported();
#endif

}  // namespace claw
