// index.h -- index expressions, resolved: what reading (index.cc) and updating (index_update.cc) share.
#pragma once
#include "jaxpp/core/trace.h"
#include "jaxpp/ops/params.h"

namespace jaxpp::internal {

/// One item of an index expression, resolved against the dimension `dim` of x (-1: none).
struct IndexItem {
  enum Kind { point, range, indices, new_axis } kind;
  std::int64_t dim = -1, start = 0, count = 1, step = 1;
  Array array = {};
};
struct IndexItems : SmallVec<IndexItem, 6> {
  bool arrays = false;

  void add(IndexItem item) { push_back(std::move(item)); }
};
IndexItems resolve_index(const Array& x, std::span<const Index> index, Loc loc);

/// What integers and slices select.
struct IndexBox {                    // of x
  Dims start, limit, stride, sizes;  // sizes: (limit - start) / stride, rounded up
  Dims reversed, points;             // dimensions of x
  Dims added;                        // new axes of the result
  bool whole = true, unit = true;    // selects everything; all strides are 1
  Shape result;
};
IndexBox box_of(const Array& x, const IndexItems& items);
Array read_box(const Array& x, const IndexBox& b, Loc loc);

/// The gather or scatter that an expression stands for.
struct IndexWindows {
  Array indices;
  GatherDims dims;
  Dims sizes;    // of the window, for each dimension of x
  Shape shape;   // of what is selected, without new axes
  Shape result;  // with them
  Dims added;
  bool unique = true;  // windows cannot meet
};
IndexWindows windows_of(const Array& x, const IndexItems& items, Loc loc);

}  // namespace jaxpp::internal
