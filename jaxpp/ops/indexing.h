// indexing.h -- what gather, scatter and the dynamic slices share: their dimension numbers are one
// description of "a window of the operand for every index vector", read in one direction or the
// other.
#pragma once
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {

/// The gather that reads the windows which a scatter writes, and the other way round.
GatherDims gather_dims(const ScatterDims&);
ScatterDims scatter_dims(const GatherDims&);
/// Sizes of the windows of a scatter: those of `updates` on the window dimensions, 1 elsewhere.
Dims window_sizes(const ScatterDims&, const Shape& x, const Shape& updates);
/// Reads the windows that the scatter `p` writes.  Windows out of bounds give something, but never
/// a fault.
Array gather_windows(const Array& x, const Array& indices, const ScatterParams& p,
                     const Shape& updates);

/// Checks what both have in common; `op` names the operation, the arguments its parameters.
struct WindowDims {
  const char* op;
  const Dims &window, &inserted, &index_map, &x_batching, &indices_batching;
  const char *window_name, *inserted_name, *index_map_name, *indices_batching_name;
};
void check_windows(const WindowDims&, Type x, Type indices);

/// One integer array [..., k] of k rank-0 starts, of which some carry a batch (axis 0, -1: none) of
/// `size`.
Array stack_starts(Args starts, const int* axis, std::int64_t size);
/// A rank-0 zero of the type that the starts of a dynamic slice have.
Array zero_start(Args starts);

}  // namespace jaxpp::internal
