// indexing.cc -- reading and writing windows at computed positions: gather, dynamic_slice,
// dynamic_update_slice.
//
// An index vector (the last dimension of `indices`) says where in the operand a window starts.  All
// are linear in the operand: gather^T = scatter-add, dynamic_slice^T = an update of zeros,
// dynamic_update_slice^T = the two parts of ct. A batch of start positions turns a dynamic slice
// into a gather and a dynamic update into a scatter; a batch of operands with shared positions
// stays what it is, one dimension larger.
#include "jaxpp/ops/indexing.h"
#include <algorithm>

namespace jaxpp {
namespace internal {

GatherDims gather_dims(const ScatterDims& d) {
  return {d.update_window_dims, d.inserted_window_dims, d.scatter_dims_to_operand_dims,
          d.operand_batching_dims, d.scatter_indices_batching_dims};
}
ScatterDims scatter_dims(const GatherDims& d) {
  return {d.offset_dims, d.collapsed_slice_dims, d.start_index_map, d.operand_batching_dims,
          d.start_indices_batching_dims};
}
Dims window_sizes(const ScatterDims& d, const Shape& x, const Shape& updates) {
  Dims sizes;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < std::int64_t(x.size()); ++i) {
    bool window =
        position(d.inserted_window_dims, i) < 0 && position(d.operand_batching_dims, i) < 0;
    sizes.push_back(window ? updates[std::size_t(d.update_window_dims[next++])] : 1);
    if (!window && x[std::size_t(i)] == 0) sizes.back() = 0;
  }
  return sizes;
}
Array gather_windows(const Array& x, const Array& indices, const ScatterParams& p,
                     const Shape& updates) {
  return lax::gather(
      x, indices,
      {.dimension_numbers = gather_dims(p.dimension_numbers),
       .fill_value = {},
       .indices_are_sorted = p.indices_are_sorted,
       .mode = p.mode == IndexMode::CLIP ? IndexMode::CLIP : IndexMode::PROMISE_IN_BOUNDS,
       .slice_sizes = window_sizes(p.dimension_numbers, x.shape(), updates),
       .unique_indices = p.unique_indices});
}

namespace {
void check_dims(const char* op, const char* what, const Dims& dims, std::size_t rank, bool sorted) {
  for (std::size_t i = 0; i < dims.size(); ++i) {
    check(dims[i] >= 0 && dims[i] < std::int64_t(rank), op, [&] {
      return std::string(what) + " has " + std::to_string(dims[i]) + ", which is not in [0, " +
             std::to_string(rank) + ")";
    });
    for (std::size_t k = 0; k < i; ++k)
      check(dims[k] != dims[i], op,
            [&] { return std::string(what) + " repeats " + std::to_string(dims[i]); });
    check(!sorted || i == 0 || dims[i - 1] < dims[i], op,
          [&] { return std::string(what) + " must be sorted, not " + to_string(dims); });
  }
}
void check_disjoint(const char* op, const char* a_name, const Dims& a, const char* b_name,
                    const Dims& b) {
  for (auto d : a)
    check(position(b, d) < 0, op, [&] {
      return std::string(a_name) + " and " + b_name + " both name dimension " + std::to_string(d);
    });
}
void check_starts(const char* op, Types x, std::size_t first) {
  for (std::size_t i = first; i < x.size(); ++i)
    check(x[i]->shape.empty() && is_integer(x[i]->dtype) && x[i] == x[first], op,
          [&] { return "start indices must be integer scalars of one type, not " + x[i]->str(); });
}
}  // namespace

void check_windows(const WindowDims& d, Type x, Type indices) {
  const char* op = d.op;
  check(is_integer(indices->dtype), op,
        [&] { return "indices must be integers, not " + indices->str(); });
  check(!indices->shape.empty(), op, [&] {
    return "indices must have a last dimension of index vectors; they are " + indices->str();
  });
  const std::size_t rank = x->shape.size(), batch_rank = indices->shape.size() - 1;
  check_dims(op, d.window_name, d.window, d.window.size() + batch_rank, true);
  check_dims(op, d.inserted_name, d.inserted, rank, true);
  check_dims(op, "operand_batching_dims", d.x_batching, rank, true);
  check_dims(op, d.index_map_name, d.index_map, rank, false);
  check_dims(op, d.indices_batching_name, d.indices_batching, batch_rank, false);
  check_disjoint(op, d.inserted_name, d.inserted, "operand_batching_dims", d.x_batching);
  check_disjoint(op, d.index_map_name, d.index_map, "operand_batching_dims", d.x_batching);
  check(d.x_batching.size() == d.indices_batching.size(), op, [&] {
    return std::string("operand_batching_dims and ") + d.indices_batching_name +
           " must have one length";
  });
  for (std::size_t i = 0; i < d.x_batching.size(); ++i)
    check(x->shape[std::size_t(d.x_batching[i])] ==
              indices->shape[std::size_t(d.indices_batching[i])],
          op, [&] {
            return "batching dimensions differ: dimension " + std::to_string(d.x_batching[i]) +
                   " of " + x->str() + " and " + std::to_string(d.indices_batching[i]) +
                   " of the indices, " + indices->str();
          });
  check(std::int64_t(d.index_map.size()) == indices->shape.back(), op, [&] {
    return std::string(d.index_map_name) + " has " + std::to_string(d.index_map.size()) +
           " entries, index vectors " + std::to_string(indices->shape.back());
  });
  check(rank == d.window.size() + d.inserted.size() + d.x_batching.size(), op, [&] {
    return std::string(d.window_name) + ", " + d.inserted_name +
           " and operand_batching_dims must cover the dimensions of " + x->str();
  });
}

Array stack_starts(Args starts, const int* axis, std::int64_t size) {
  bool mapped = false;
  for (std::size_t i = 0; i < starts.size(); ++i) mapped |= axis[i] >= 0;
  Results parts;
  for (std::size_t i = 0; i < starts.size(); ++i)
    parts.push_back(
        mapped ? lax::broadcast_in_dim(starts[i], {size, 1}, axis[i] >= 0 ? Dims{0} : Dims{})
               : lax::reshape(starts[i], {1}));
  return parts.size() == 1 ? parts[0] : lax::concatenate(args(parts), mapped ? 1 : 0);
}
Array zero_start(Args starts) {
  return lax::full(scalar_type(starts.empty() ? i32 : starts[0].dtype()), 0);
}

}  // namespace internal

namespace {
using namespace internal;

// ---- gather
void gather_shape(Types x, Params params, Type* y) {
  auto& p = params.as<GatherParams>();
  auto& d = p.dimension_numbers;
  check_windows({"gather", d.offset_dims, d.collapsed_slice_dims, d.start_index_map,
                 d.operand_batching_dims, d.start_indices_batching_dims, "offset_dims",
                 "collapsed_slice_dims", "start_index_map", "start_indices_batching_dims"},
                x[0], x[1]);
  const Shape &from = x[0]->shape, &indices = x[1]->shape;
  check(p.slice_sizes.size() == from.size(), "gather", [&] {
    return "slice_sizes " + to_string(p.slice_sizes) +
           " must have one entry for each dimension of " + x[0]->str();
  });
  Dims window;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::int64_t n = p.slice_sizes[i];
    check(n >= 0 && (n <= from[i] || x[1]->size == 0), "gather", [&] {
      return "slice size " + std::to_string(n) + " does not fit dimension " + std::to_string(i) +
             " of " + x[0]->str();
    });
    const bool collapsed = position(d.collapsed_slice_dims, std::int64_t(i)) >= 0;
    const bool batching = position(d.operand_batching_dims, std::int64_t(i)) >= 0;
    check(!collapsed || n == 1, "gather", [&] {
      return "collapsed dimension " + std::to_string(i) + " must have slice size 1, not " +
             std::to_string(n);
    });
    check(!batching || n <= 1, "gather", [&] {
      return "batching dimension " + std::to_string(i) + " must have slice size 0 or 1, not " +
             std::to_string(n);
    });
    if (!collapsed && !batching) window.push_back(n);
  }
  Shape out;
  const std::size_t rank = window.size() + indices.size() - 1;
  for (std::size_t i = 0, w = 0, b = 0; i < rank; ++i)
    out.push_back(position(d.offset_dims, std::int64_t(i)) >= 0 ? window[w++] : indices[b++]);
  *y = make_type(x[0]->dtype, out);
}
void gather_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!r.dx[0].defined()) return;
  GatherParams p = r.params.as<GatherParams>();
  if (p.mode == IndexMode::FILL_OR_DROP) p.fill_value = std::int64_t(0);
  r.prim.bind(Borrowed(r.dx[0], r.x[1]), p, r.dy, Loc::current());
}
void gather_transpose(TransposeRule& r) {
  if (!r.wanted(0)) return;
  auto& p = r.params.as<GatherParams>();
  r.add(0, lax::scatter_add(lax::full(r.x_types[0], 0), r.x[1], r.ct[0],
                            {.dimension_numbers = scatter_dims(p.dimension_numbers),
                             .indices_are_sorted = p.indices_are_sorted,
                             .mode = p.mode,
                             .unique_indices = p.unique_indices}));
}
void gather_batch(BatchRule& r) {
  GatherParams p = r.params.as<GatherParams>();
  GatherDims& d = p.dimension_numbers;
  Array x = r.x[0], indices = r.x[1];
  d.offset_dims = shifted(d.offset_dims, 0);
  if (r.axis[0] >= 0) {
    x = lax::move_axis(x, r.axis[0], 0);
    d.collapsed_slice_dims = shifted(d.collapsed_slice_dims, 0);
    d.start_index_map = shifted(d.start_index_map, 0);
    d.operand_batching_dims = shifted(d.operand_batching_dims, 0);
  }
  if (r.axis[1] >= 0) {
    indices = lax::move_axis(indices, r.axis[1], 0);
    d.start_indices_batching_dims = shifted(d.start_indices_batching_dims, 0);
  }
  if (r.axis[1] < 0) {  // the batch is one more window dimension
    p.slice_sizes.insert(0, r.size);
    d.offset_dims.insert(0, 0);
  } else if (r.axis[0] < 0) {  // one more dimension of index vectors, which may now meet each other
    p.unique_indices = p.indices_are_sorted = false;
  } else {
    p.slice_sizes.insert(0, std::min<std::int64_t>(r.size, 1));
    d.operand_batching_dims.insert(0, 0);
    d.start_indices_batching_dims.insert(0, 0);
  }
  *r.y = lax::gather(x, indices, p);
  *r.y_axis = 0;
}

// ---- dynamic_slice: operands x, one start for each dimension
void dynamic_slice_shape(Types x, Params params, Type* y) {
  const Dims& sizes = params.as<DynamicSliceParams>().slice_sizes;
  const Shape& from = x[0]->shape;
  check(sizes.size() == from.size() && x.size() == 1 + from.size(), "dynamic_slice", [&] {
    return x[0]->str() + " needs a start and a slice size for each dimension, not " +
           std::to_string(x.size() - 1) + " and " + std::to_string(sizes.size());
  });
  for (std::size_t i = 0; i < from.size(); ++i)
    check(sizes[i] >= 0 && sizes[i] <= from[i], "dynamic_slice", [&] {
      return "slice size " + std::to_string(sizes[i]) + " does not fit dimension " +
             std::to_string(i) + " of " + x[0]->str();
    });
  check_starts("dynamic_slice", x, 1);
  *y = make_type(x[0]->dtype, sizes);
}
Borrowed with_operands(const Array& x, Args rest) {
  Borrowed b(x);
  b.append(rest);
  return b;
}
void dynamic_slice_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (r.dx[0].defined())
    r.prim.bind(with_operands(r.dx[0], r.x.subspan(1)), r.params, r.dy, Loc::current());
}
// Where the slice lies, if the starts are known.
bool known_window(Args starts, const Shape& x, const Dims& sizes, Dims& start, Dims& limit) {
  for (std::size_t i = 0; i < starts.size(); ++i) {
    if (!starts[i].concrete()) return false;
    std::int64_t s =
        starts[i].dtype() == u64
            ? std::int64_t(std::min(starts[i].item<std::uint64_t>(), std::uint64_t(x[i])))
            : starts[i].item<std::int64_t>();
    start.push_back(std::clamp<std::int64_t>(s, 0, x[i] - sizes[i]));
    limit.push_back(start[i] + sizes[i]);
  }
  return true;
}
void dynamic_slice_transpose(TransposeRule& r) {
  if (!r.wanted(0)) return;
  Dims start, limit;
  if (known_window(r.x.subspan(1), r.x_types[0]->shape,
                   r.params.as<DynamicSliceParams>().slice_sizes, start, limit))
    return r.add_slice(0, r.ct[0], start, limit, {});  // in place
  r.add(0, lax::dynamic_update_slice(lax::full(r.x_types[0], 0), r.ct[0], r.x.subspan(1)));
}
bool any_mapped(const BatchRule& r, std::size_t first) {
  for (std::size_t i = first; i < r.x.size(); ++i)
    if (r.axis[i] >= 0) return true;
  return false;
}
void dynamic_slice_batch(BatchRule& r) {
  Dims sizes = r.params.as<DynamicSliceParams>().slice_sizes;
  Args starts = r.x.subspan(1);
  if (any_mapped(r, 1)) {
    const Dims all = iota_dims(sizes.size());
    GatherParams p{.dimension_numbers = {all, {}, all, {}, {}},
                   .fill_value = {},
                   .indices_are_sorted = true,
                   .mode = IndexMode::CLIP,
                   .slice_sizes = sizes,
                   .unique_indices = true};
    const Array index = stack_starts(starts, r.axis + 1, r.size);
    const int axis[] = {r.axis[0], 0};
    const Borrowed operands(r.x[0], index);
    BatchRule g{gather_p, operands, axis, r.size, r.axis_name, p, r.y, r.y_axis};
    return gather_batch(g);
  }
  const int axis = r.axis[0];
  Results moved;
  moved.append(starts.begin(), starts.end());
  moved.insert(std::size_t(axis), zero_start(starts));
  sizes.insert(std::size_t(axis), r.size);
  *r.y = lax::dynamic_slice(r.x[0], args(moved), sizes);
  *r.y_axis = axis;
}

// ---- dynamic_update_slice: operands x, update, one start for each dimension
void dynamic_update_slice_shape(Types x, Params, Type* y) {
  const Shape &to = x[0]->shape, &update = x[1]->shape;
  check(x[0]->dtype == x[1]->dtype, "dynamic_update_slice",
        [&] { return "element types differ: " + x[0]->str() + " and " + x[1]->str(); });
  check(update.size() == to.size() && x.size() == 2 + to.size(), "dynamic_update_slice", [&] {
    return x[0]->str() + " needs an update of its rank and a start for each dimension, not " +
           x[1]->str() + " and " + std::to_string(x.size() - 2) + " starts";
  });
  for (std::size_t i = 0; i < to.size(); ++i)
    check(update[i] <= to[i], "dynamic_update_slice", [&] {
      return "the update " + x[1]->str() + " is larger than " + x[0]->str() + " on axis " +
             std::to_string(i);
    });
  check_starts("dynamic_update_slice", x, 2);
  *y = x[0];
}
void dynamic_update_slice_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!r.dx[0].defined() && !r.dx[1].defined()) return;
  *r.dy = lax::dynamic_update_slice(instantiate(r.dx[0], r.x[0].type()),
                                    instantiate(r.dx[1], r.x[1].type()), r.x.subspan(2));
}
void dynamic_update_slice_transpose(TransposeRule& r) {
  Args starts = r.x.subspan(2);
  if (r.wanted(0)) r.add(0, lax::dynamic_update_slice(r.ct[0], lax::full(r.x_types[1], 0), starts));
  if (r.wanted(1)) r.add(1, lax::dynamic_slice(r.ct[0], starts, r.x_types[1]->shape));
}
void dynamic_update_slice_batch(BatchRule& r) {
  Args starts = r.x.subspan(2);
  const Array x = lax::batch_to_front(r.x[0], r.axis[0], r.size),
              update = lax::batch_to_front(r.x[1], r.axis[1], r.size);
  *r.y_axis = 0;
  if (any_mapped(r, 2)) {
    const Dims inner = shifted(iota_dims(starts.size()), 0);
    *r.y = lax::scatter(x, stack_starts(starts, r.axis + 2, r.size), update,
                        {.dimension_numbers = {inner, {}, inner, {0}, {0}},
                         .indices_are_sorted = true,
                         .mode = IndexMode::CLIP,
                         .unique_indices = true});
    return;
  }
  Results moved{zero_start(starts)};
  moved.append(starts.begin(), starts.end());
  *r.y = lax::dynamic_update_slice(x, update, args(moved));
}
}  // namespace

const Primitive gather_p = {.name = "gather",
                            .operands = {2, 2},
                            .shape = gather_shape,
                            .jvp = gather_jvp,
                            .transpose = gather_transpose,
                            .batch = gather_batch,
                            .params = &params_ops<GatherParams>};
const Primitive dynamic_slice_p = {.name = "dynamic_slice",
                                   .operands = {1},
                                   .shape = dynamic_slice_shape,
                                   .jvp = dynamic_slice_jvp,
                                   .transpose = dynamic_slice_transpose,
                                   .batch = dynamic_slice_batch,
                                   .params = &params_ops<DynamicSliceParams>};
const Primitive dynamic_update_slice_p = {.name = "dynamic_update_slice",
                                          .operands = {2},
                                          .shape = dynamic_update_slice_shape,
                                          .jvp = dynamic_update_slice_jvp,
                                          .transpose = dynamic_update_slice_transpose,
                                          .batch = dynamic_update_slice_batch};

Array lax::gather(const Array& x, const Array& indices, const GatherParams& p, Loc loc) {
  return gather_p.apply(p, loc, x, indices);
}
Array lax::dynamic_slice(const Array& x, Args starts, const Dims& slice_sizes, Loc loc) {
  Array y;
  dynamic_slice_p.bind(with_operands(x, starts), DynamicSliceParams{slice_sizes}, &y, loc);
  return y;
}
Array lax::dynamic_update_slice(const Array& x, const Array& update, Args starts, Loc loc) {
  Borrowed operands(x, update);
  operands.append(starts);
  Array y;
  dynamic_update_slice_p.bind(operands, {}, &y, loc);
  return y;
}

}  // namespace jaxpp
