// interpret_loops.h -- the loops that only the interpreter needs: between memory and registers, folds, indices, masks.
// What computes comes from backends/eager/block_ops.h.
//
// A register is a row: one element for each of n iterations.  A mask is a row of bools, 0 or 1.
#pragma once
#include "backends/eager/block_ops.h"
#include "backends/loops/tree.h"

namespace jaxpp::loops::interpret {

// ---- Moving.  Strides and indices count elements; x_full: x is a row, else one element
UnaryLoop copy_loop(DType);  // z[i] = x[i]
UnaryLoop fill_loop(DType);  // z[i] = x[0]
using GatherLoop = void (*)(const void* x, std::int64_t stride, void* z, std::int64_t n);
GatherLoop gather_loop(DType);  // z[i] = x[stride * i]
using GatherAtLoop = void (*)(const void* x, const std::int64_t* at, std::int64_t k,
                              std::int64_t stride, void* z, std::int64_t n);
GatherAtLoop gather_at_loop(DType);  // z[i] = x[k * at[i] + stride * i]
/// Where mask (null: everywhere) is set.
using ScatterLoop = void (*)(const void* x, bool x_full, void* z, std::int64_t stride,
                             const bool* mask, std::int64_t n);
ScatterLoop scatter_loop(DType);  // z[stride * i] = x[i]
using ScatterAtLoop = void (*)(const void* x, bool x_full, void* z, const std::int64_t* at,
                               std::int64_t k, std::int64_t stride, const bool* mask,
                               std::int64_t n);
/// z[k * at[i] + stride * i] combine= x[i], one after the other: indices may repeat.
ScatterAtLoop scatter_at_loop(Combine, DType);

// ---- Folding
UnaryLoop fold_loop(Combine, DType);  // z[0] combine= x[0], ..., x[n - 1], grouped by n alone
/// A sum of many rows: exact enough that their number does not matter.
struct Accumulator {
  double sum[2] = {}, error[2] = {};  // of a complex number: both parts
};
bool accumulates(Combine, DType);
UnaryLoop accumulate_loop(DType);  // z: an Accumulator
UnaryLoop flush_loop(DType);       // z[0] += x[0], an Accumulator, which becomes 0

// ---- Indices
using IotaLoop = void (*)(std::int64_t first, std::int64_t step, void* z, std::int64_t n);
IotaLoop iota_loop(DType);  // z[i] = first + step * i, converted from i64
using ClipLoop = void (*)(const void* x, std::int64_t lo, std::int64_t hi, std::int64_t* z,
                          std::int64_t n);
ClipLoop clip_loop(DType);

// ---- Masks
/// z = x, or x inverted, where `outer` (null: everywhere) is set; false elsewhere.  Returns how many are set.
std::int64_t mask_and(const std::uint8_t* x, bool x_full, bool inverted, const bool* outer, bool* z,
                      std::int64_t n);

// ---- Lanes
/// row[i] = old row[order[i]], or (back) row[order[i]] = old row[i].
void reorder_row(void* row, std::size_t width, const std::int32_t* order, bool back, void* scratch,
                 std::int64_t n);

}  // namespace jaxpp::loops::interpret
