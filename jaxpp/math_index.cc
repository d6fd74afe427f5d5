// math_index.cc -- selecting elements by computed indices: take, take_along_axis, searchsorted,
// interp.
//
// Indexing with constants, slices and masks is x(...) (core/index.cc).
#include <bit>
#include <limits>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
void need_integers(const Array& indices, const char* op, Loc loc) {
  need_array(indices, op, loc);
  if (!is_integer(indices.dtype()))
    fail(std::string(op) + ": indices must be integers, not " + indices.type()->str() + ".",
         user_loc(loc), "E93");
}
/// Negative indices count from the end.
Array from_start(const Array& indices, std::int64_t size, Loc loc) {
  if (is_unsigned(indices.dtype())) return indices;
  // a type that holds size: int8 indices may go into a longer axis
  Array i =
      width(indices.dtype()) < 4 ? lax::convert_element_type(indices, DType::i32, loc) : indices;
  if (size > std::numeric_limits<std::int32_t>::max())
    i = lax::convert_element_type(i, DType::i64, loc);
  Array n = lax::convert_element_type(Array(size), i.dtype(), loc);
  Array wrapped = lax::add(i, n, loc);
  return lax::select(lax::lt(i, number_like(i, 0, loc), loc), wrapped, i, loc);
}
}  // namespace

Array take(const Array& x, const Array& indices, std::optional<int> axis, std::string_view mode,
           Loc loc) {
  if (!axis) return take(ravel(x, loc), indices, 0, mode, loc);
  need_array(x, "take", loc);
  need_integers(indices, "take", loc);
  const auto d = axis_of(*axis, x, "take", loc);
  const std::int64_t size = x.shape()[std::size_t(d)];
  GatherParams p;
  Array i = indices;
  if (mode == "fill") {
    i = from_start(i, size, loc);
    p.mode = IndexMode::FILL_OR_DROP;
  } else if (mode == "wrap") {
    i = remainder(i, lax::convert_element_type(Array(size), i.dtype(), loc), loc);
    p.mode = IndexMode::PROMISE_IN_BOUNDS;
  } else if (mode == "clip") {
    p.mode = IndexMode::CLIP;
  } else {
    fail("take: no mode \"" + std::string(mode) + "\".", user_loc(loc), "E85",
         "There are fill, clip and wrap.");
  }
  Shape result(x.shape().begin(), x.shape().begin() + d);
  result.append(i.shape().begin(), i.shape().end());
  result.append(x.shape().begin() + d + 1, x.shape().end());
  if (i.size() == 0) return lax::full(make_type(x.dtype(), result), 0, loc);
  if (size == 0)
    fail("take: axis " + std::to_string(d) + " of " + x.type()->str() + " is empty.", user_loc(loc),
         "E80");
  GatherDims& g = p.dimension_numbers;
  for (std::int64_t k = 0; k < x.ndim() - 1; ++k) g.offset_dims.push_back(k < d ? k : k + i.ndim());
  g.collapsed_slice_dims = g.start_index_map = Dims{d};
  p.slice_sizes = x.shape();
  p.slice_sizes[std::size_t(d)] = 1;
  return lax::gather(x, lax::expand_dims(i, Dims{i.ndim()}, loc), p, loc);
}

Array take_along_axis(const Array& x, const Array& indices, int axis, Loc loc) {
  need_array(x, "take_along_axis", loc);
  need_integers(indices, "take_along_axis", loc);
  const auto d = axis_of(axis, x, "take_along_axis", loc);
  if (indices.ndim() != x.ndim())
    fail("take_along_axis: the ranks of " + x.type()->str() + " and of the indices " +
             indices.type()->str() + " differ.",
         user_loc(loc), "E91");
  // Both are broadcast in the other axes, which then are batch axes of the gather.
  const std::int64_t size = x.shape()[std::size_t(d)], count = indices.shape()[std::size_t(d)];
  Shape row = x.shape(), of_x, of_i;
  row[std::size_t(d)] = 1;
  Shape column = indices.shape();
  column[std::size_t(d)] = 1;
  const Shape both[] = {row, column};
  of_x = of_i = internal::broadcast_shapes(both, "take_along_axis", user_loc(loc));
  of_x[std::size_t(d)] = size;
  of_i[std::size_t(d)] = count;
  Array v = broadcast_to(x, of_x, loc), i = broadcast_to(from_start(indices, size, loc), of_i, loc);
  if (i.size() == 0) return lax::full(make_type(x.dtype(), of_i), 0, loc);
  if (size == 0)
    fail("take_along_axis: axis " + std::to_string(d) + " of " + x.type()->str() + " is empty.",
         user_loc(loc), "E80");
  GatherParams p;
  p.mode = IndexMode::FILL_OR_DROP;
  GatherDims& g = p.dimension_numbers;
  g.collapsed_slice_dims = g.start_index_map = Dims{d};
  for (std::int64_t k = 0; k < x.ndim(); ++k)
    if (k != d) {
      g.operand_batching_dims.push_back(k);
      g.start_indices_batching_dims.push_back(k);
    }
  p.slice_sizes = Dims(x.ndim(), 1);
  return lax::gather(v, lax::expand_dims(i, Dims{i.ndim()}, loc), p, loc);
}

Array searchsorted(const Array& a0, const Array& v0, std::string_view side, Loc loc) {
  need_array(a0, "searchsorted", loc);
  need_array(v0, "searchsorted", loc);
  if (a0.ndim() != 1)
    fail("searchsorted: searches a vector, not " + a0.type()->str() + ".", user_loc(loc), "E86");
  if (side != "left" && side != "right")
    fail("searchsorted: the side is \"left\" or \"right\", not \"" + std::string(side) + "\".",
         user_loc(loc), "E85");
  Array x[] = {a0, v0};
  promote_types_of("searchsorted", x, loc);
  const Array &a = x[0], &v = x[1];
  UserLine line(loc);
  // Bisection: the answer lies in [low, high], whose length halves at every step; NaN counts as the
  // greatest.
  auto is_less = [](const Array& p, const Array& q) {
    Array less = lax::lt(p, q);
    return is_float(p.dtype()) ? logical_or(less, logical_and(isnan(q), logical_not(isnan(p))))
                               : less;
  };
  const DType index = a.size() > std::numeric_limits<std::int32_t>::max() ? i64 : i32;
  Array low = zeros(v.shape(), index), high = full(v.shape(), a.size(), index);
  for (int step = std::bit_width(std::uint64_t(a.size())); step-- > 0;) {
    Array middle = low + lax::shift_right_logical(high - low, full(v.shape(), 1, index));
    // once low == high == size, middle is out of range: read the last element and stay
    Array element = elements_at(a, minimum(middle, a.size() - 1));
    Array after = side == "left" ? is_less(element, v) : logical_not(is_less(v, element));
    Array open = low < high;
    low = where(logical_and(open, after), middle + 1, low);
    high = where(logical_and(open, logical_not(after)), middle, high);
  }
  return low;
}

Array interp(const Array& x0, const Array& xp0, const Array& fp0, Loc loc) {
  for (auto* a : {&x0, &xp0, &fp0}) need_array(*a, "interp", loc);
  if (xp0.ndim() != 1 || xp0.shape() != fp0.shape() || xp0.size() == 0)
    fail("interp: the points are " + xp0.type()->str() + " and " + fp0.type()->str() +
             ": needs vectors of one size, not empty.",
         user_loc(loc), "E86");
  Array xs[] = {x0, xp0};
  promote_types_of("interp", xs, loc);
  const Array x = inexact(xs[0], "interp", loc), xp = inexact(xs[1], "interp", loc),
              fp = inexact(fp0, "interp", loc);
  UserLine line(loc);
  const std::int64_t n = xp.size();
  if (n == 1) return broadcast_to(fp, Shape{1}).reshape({}) + 0 * x;
  Array i = clip(searchsorted(xp, x, "right"), 1, n - 1), before = i - 1;
  Array f0 = elements_at(fp, before), x_0 = elements_at(xp, before);
  Array df = elements_at(fp, i) - f0, dx = elements_at(xp, i) - x_0;
  Array flat = dx == 0;  // two points at one place: no division by zero, no NaN in derivatives
  Array f = where(flat, f0, f0 + (x - x_0) / where(flat, 1, dx) * df);
  f = where(x < at_index(xp, 0, 0, loc), at_index(fp, 0, 0, loc), f);
  return where(x > at_index(xp, -1, 0, loc), at_index(fp, -1, 0, loc), f);
}

}  // namespace jaxpp
