// math_shape.cc -- shapes: reshaping, permuting, joining, splitting, repeating, padding.
//
// Everything is a composition of linear primitives, so the derivatives are the transposed moves.
#include <algorithm>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

Array reshape(const Array& x, const Shape& shape, Loc loc) {
  need_array(x, "reshape", loc);
  Shape s = shape;
  std::int64_t known = 1, open = -1;
  bool ok = true;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == -1 && open < 0)
      open = std::int64_t(i);
    else
      ok &= s[i] >= 0 && !__builtin_mul_overflow(known, s[i], &known);
  }
  if (ok && open >= 0) {
    ok = known != 0 && x.size() % known == 0;
    if (ok) s[std::size_t(open)] = x.size() / known;
  } else if (ok) {
    ok = known == x.size();
  }
  if (!ok)
    fail("reshape: the " + std::to_string(x.size()) + " elements of " + x.type()->str() +
             " do not fill the shape " + to_string(shape) + ".",
         user_loc(loc), "E87");
  return lax::reshape(x, s, loc);
}
Array ravel(const Array& x, Loc loc) {
  need_array(x, "ravel", loc);
  return lax::reshape(x, Shape{x.size()}, loc);
}
Array transpose(const Array& x, Loc loc) {
  need_array(x, "transpose", loc);
  Dims reversed;
  for (int i = x.ndim(); i-- > 0;) reversed.push_back(i);
  return lax::transpose(x, reversed, loc);
}
Array transpose(const Array& x, const Axes& permutation, Loc loc) {
  Dims p = axes_of(permutation, x, "transpose", loc);
  if (p.size() != x.shape().size())
    fail("transpose: " + to_string(p) + " is not a permutation of the axes of " + x.type()->str() +
             ".",
         user_loc(loc), "E88");
  return lax::transpose(x, p, loc);
}
Array matrix_transpose(const Array& x, Loc loc) { return swapaxes(x, -2, -1, loc); }
Array swapaxes(const Array& x, int axis1, int axis2, Loc loc) {
  Dims p = axes_of(Axes::every(), x, "swapaxes", loc);
  std::swap(p[std::size_t(axis_of(axis1, x, "swapaxes", loc))],
            p[std::size_t(axis_of(axis2, x, "swapaxes", loc))]);
  return lax::transpose(x, p, loc);
}
Array moveaxis(const Array& x, const Axes& source, const Axes& destination, Loc loc) {
  Dims from = axes_of(source, x, "moveaxis", loc), to = axes_of(destination, x, "moveaxis", loc);
  if (from.size() != to.size())
    fail("moveaxis: " + std::to_string(from.size()) + " axes cannot move to " +
             std::to_string(to.size()) + " positions.",
         user_loc(loc), "E88");
  Dims p(x.ndim(), -1);
  for (std::size_t i = 0; i < from.size(); ++i) p[std::size_t(to[i])] = from[i];
  std::int64_t next = 0;
  for (auto& a : p) {
    if (a >= 0) continue;
    while (std::find(from.begin(), from.end(), next) != from.end()) ++next;
    a = next++;
  }
  return lax::transpose(x, p, loc);
}
Array expand_dims(const Array& x, const Axes& axes, Loc loc) {
  need_array(x, "expand_dims", loc);
  Dims d;
  const std::int64_t rank = x.ndim() + std::int64_t(axes.values().size());
  for (auto a : axes.values()) d.push_back(axis_of(a, rank, x, "expand_dims", loc));
  std::sort(d.begin(), d.end());
  if (axes.all() || std::adjacent_find(d.begin(), d.end()) != d.end())
    fail("expand_dims: the new axes " + to_string(axes.values()) + " are not distinct.",
         user_loc(loc), "E74");
  return d.empty() ? x : lax::expand_dims(x, d, loc);
}
Array squeeze(const Array& x, const Axes& axes, Loc loc) {
  Dims d;
  for (auto a : axes_of(axes, x, "squeeze", loc)) {
    if (x.shape()[std::size_t(a)] == 1)
      d.push_back(a);
    else if (!axes.all())
      fail("squeeze: axis " + std::to_string(a) + " of " + x.type()->str() +
               " does not have size 1.",
           user_loc(loc), "E89");
  }
  std::sort(d.begin(), d.end());
  return d.empty() ? x : lax::squeeze(x, d, loc);
}
Array broadcast_to(const Array& x, const Shape& shape, Loc loc) {
  need_array(x, "broadcast_to", loc);
  return broadcast_to_shape(x, shape, user_loc(loc));
}
Shape broadcast_shapes(const std::vector<Shape>& shapes, Loc loc) {
  return internal::broadcast_shapes(shapes, "broadcast_shapes", user_loc(loc));
}
std::vector<Array> broadcast_arrays(const std::vector<Array>& x, Loc loc) {
  std::vector<Shape> shapes;
  for (auto& a : x) {
    need_array(a, "broadcast_arrays", loc);
    shapes.push_back(a.shape());
  }
  if (x.empty()) return {};
  Shape s = internal::broadcast_shapes(shapes, "broadcast_arrays", user_loc(loc));
  std::vector<Array> y;
  for (auto& a : x) y.push_back(broadcast_to(a, s, loc));
  return y;
}
Array atleast_1d(const Array& x, Loc loc) {
  need_array(x, "atleast_1d", loc);
  return x.ndim() ? x : expand_dims(x, 0, loc);
}
Array atleast_2d(const Array& x, Loc loc) {
  Array y = atleast_1d(x, loc);
  return y.ndim() > 1 ? y : expand_dims(y, 0, loc);
}
Array atleast_3d(const Array& x, Loc loc) {
  Array y = atleast_2d(x, loc);
  return y.ndim() > 2 ? y : expand_dims(y, -1, loc);
}

// ---- Joining
namespace {
std::vector<Array> joined(const std::vector<Array>& x, const char* op, Loc loc) {
  if (x.empty()) fail(std::string(op) + ": needs at least one array.", user_loc(loc), "E90");
  std::vector<Array> y = x;
  promote_types_of(op, y, loc);
  return y;
}
std::vector<Array> each(const std::vector<Array>& x, Array (*f)(const Array&, Loc), Loc loc) {
  std::vector<Array> y;
  for (auto& a : x) y.push_back(f(a, loc));
  return y;
}
[[noreturn]] void shapes_differ(const char* op, const Array& a, const Array& b,
                                const std::string& where, Loc loc) {
  fail(std::string(op) + ": " + a.type()->str() + " and " + b.type()->str() + " differ" + where +
           ".",
       user_loc(loc), "E91");
}
}  // namespace
Array concatenate(const std::vector<Array>& x, int axis, Loc loc) {
  std::vector<Array> y = joined(x, "concatenate", loc);
  const auto d = axis_of(axis, y[0], "concatenate", loc);
  for (auto& a : y) {
    Shape s = a.shape();
    if (s.size() == y[0].shape().size()) s[std::size_t(d)] = y[0].shape()[std::size_t(d)];
    if (s != y[0].shape())
      shapes_differ("concatenate", y[0], a, " beyond axis " + std::to_string(d), loc);
  }
  return y.size() == 1 ? y[0] : lax::concatenate(y, d, loc);
}
Array stack(const std::vector<Array>& x, int axis, Loc loc) {
  std::vector<Array> y = joined(x, "stack", loc);
  for (auto& a : y)
    if (a.shape() != y[0].shape()) shapes_differ("stack", y[0], a, "", loc);
  return lax::stack(y, axis_of(axis, y[0].ndim() + 1, y[0], "stack", loc), loc);
}
Array hstack(const std::vector<Array>& x, Loc loc) {
  std::vector<Array> y = each(joined(x, "hstack", loc), atleast_1d, loc);
  return concatenate(y, y[0].ndim() == 1 ? 0 : 1, loc);
}
Array vstack(const std::vector<Array>& x, Loc loc) {
  return concatenate(each(joined(x, "vstack", loc), atleast_2d, loc), 0, loc);
}
Array dstack(const std::vector<Array>& x, Loc loc) {
  return concatenate(each(joined(x, "dstack", loc), atleast_3d, loc), 2, loc);
}
Array column_stack(const std::vector<Array>& x, Loc loc) {
  std::vector<Array> y;
  for (auto& a : joined(x, "column_stack", loc))
    y.push_back(a.ndim() < 2 ? transpose(atleast_2d(a, loc), loc) : a);
  return concatenate(y, 1, loc);
}

// ---- Splitting
std::vector<Array> split(const Array& x, const Dims& indices, int axis, Loc loc) {
  need_array(x, "split", loc);
  const auto d = axis_of(axis, x, "split", loc);
  const std::int64_t size = x.shape()[std::size_t(d)];
  Dims sizes;
  std::int64_t from = 0;
  for (auto i : indices) {  // as Python slices: clamped, negative from the end
    const std::int64_t to = std::clamp<std::int64_t>(i < 0 ? i + size : i, from, size);
    sizes.push_back(to - from);
    from = to;
  }
  sizes.push_back(size - from);
  return lax::split(x, sizes, d, loc);
}
namespace {
std::vector<Array> split_into(const Array& x, std::int64_t n, int axis, bool equal, Loc loc) {
  const char* op = equal ? "split" : "array_split";
  need_array(x, op, loc);
  const auto d = axis_of(axis, x, op, loc);
  const std::int64_t size = x.shape()[std::size_t(d)];
  if (n <= 0 || (equal && size % n))
    fail(std::string(op) + ": axis " + std::to_string(d) + " of " + x.type()->str() +
             " does not divide into " + std::to_string(n) + " parts.",
         user_loc(loc), "E92", n > 0 ? "array_split allows unequal parts." : "");
  Dims sizes;
  for (std::int64_t i = 0; i < n; ++i) sizes.push_back(size / n + (i < size % n));
  return lax::split(x, sizes, d, loc);
}
}  // namespace
std::vector<Array> internal::split_sections(const Array& x, std::int64_t sections, int axis,
                                            Loc loc) {
  return split_into(x, sections, axis, true, loc);
}
std::vector<Array> array_split(const Array& x, std::int64_t sections, int axis, Loc loc) {
  return split_into(x, sections, axis, false, loc);
}
std::vector<Array> unstack(const Array& x, int axis, Loc loc) {
  need_array(x, "unstack", loc);
  return lax::unstack(x, axis_of(axis, x, "unstack", loc), loc);
}

// ---- Repeating, reversing, rolling
Array tile(const Array& x, const Axes& reps, Loc loc) {
  need_array(x, "tile", loc);
  Dims r = reps.values();
  Shape s = x.shape();
  for (auto n : r)
    if (n < 0) fail("tile: " + std::to_string(n) + " repetitions.", user_loc(loc), "E82");
  while (r.size() < s.size()) r.insert(0, 1);
  while (s.size() < r.size()) s.insert(0, 1);
  return lax::tile(lax::reshape(x, s, loc), r, loc);
}
Array repeat(const Array& x, std::int64_t repeats, std::optional<int> axis, Loc loc) {
  if (!axis) return repeat(ravel(x, loc), repeats, 0, loc);
  need_array(x, "repeat", loc);
  const auto d = axis_of(*axis, x, "repeat", loc);
  if (repeats < 0)
    fail("repeat: " + std::to_string(repeats) + " repetitions.", user_loc(loc), "E82");
  Shape wide = x.shape(), result = x.shape();
  wide.insert(std::size_t(d) + 1, repeats);
  result[std::size_t(d)] *= repeats;
  Dims kept;
  for (std::int64_t i = 0; i <= x.ndim(); ++i)
    if (i != d + 1) kept.push_back(i);
  return lax::reshape(lax::broadcast_in_dim(x, wide, kept, loc), result, loc);
}
Array flip(const Array& x, const Axes& axes, Loc loc) {
  Dims d = axes_of(axes, x, "flip", loc);
  return d.empty() ? x : lax::rev(x, d, loc);
}
Array flipud(const Array& x, Loc loc) { return flip(x, 0, loc); }
Array fliplr(const Array& x, Loc loc) { return flip(x, 1, loc); }
Array roll(const Array& x, std::int64_t shift, std::optional<int> axis, Loc loc) {
  need_array(x, "roll", loc);
  if (!axis) return lax::reshape(roll(ravel(x, loc), shift, 0, loc), x.shape(), loc);
  return roll(x, Dims{shift}, *axis, loc);
}
Array roll(const Array& x, const Dims& shifts, const Axes& axes, Loc loc) {
  need_array(x, "roll", loc);
  if (shifts.size() != axes.values().size() || axes.all())
    fail("roll: " + std::to_string(shifts.size()) + " shifts for " +
             std::to_string(axes.values().size()) + " axes.",
         user_loc(loc), "E88");
  Array y = x;
  for (std::size_t i = 0; i < shifts.size(); ++i) {
    const auto d = axis_of(axes.values()[i], x, "roll", loc);
    const std::int64_t size = x.shape()[std::size_t(d)];
    if (size == 0) continue;
    const std::int64_t tail = ((shifts[i] % size) + size) % size;
    if (tail == 0) continue;
    Array parts[] = {lax::slice_in_dim(y, size - tail, size, d, loc),
                     lax::slice_in_dim(y, 0, size - tail, d, loc)};
    y = lax::concatenate(parts, d, loc);
  }
  return y;
}

// ---- Padding
namespace {
/// One axis, by pieces of x itself: n elements before and after.
Array pad_axis(const Array& x, std::int64_t before, std::int64_t after, std::int64_t d,
               std::string_view mode, Loc loc) {
  auto slice = [&](const Array& a, std::int64_t from, std::int64_t to) {
    return lax::slice_in_dim(a, from, to, d, loc);
  };
  auto join = [&](const std::vector<Array>& parts) { return lax::concatenate(parts, d, loc); };
  const std::int64_t size = x.shape()[std::size_t(d)];
  if (mode == "edge")
    return join({repeat(slice(x, 0, 1), before, int(d), loc), x,
                 repeat(slice(x, size - 1, size), after, int(d), loc)});
  if (mode == "wrap") {
    std::vector<Array> parts;
    if (before % size) parts.push_back(slice(x, size - before % size, size));
    for (std::int64_t i = 0; i < before / size + 1 + after / size; ++i) parts.push_back(x);
    if (after % size) parts.push_back(slice(x, 0, after % size));
    return join(parts);
  }
  // reflect, symmetric: mirror images, as often as needed
  const std::int64_t edge = mode == "reflect" && size > 1;  // whether the edge itself is left out
  Array y = x;
  for (std::int64_t n; before > 0; before -= n) {
    n = std::min(before, size - edge);
    y = join({lax::rev(slice(y, edge, edge + n), Dims{d}, loc), y});
  }
  for (std::int64_t n; after > 0; after -= n) {
    n = std::min(after, size - edge);
    const std::int64_t end = y.shape()[std::size_t(d)] - edge;
    y = join({y, lax::rev(slice(y, end - n, end), Dims{d}, loc)});
  }
  return y;
}
}  // namespace
Array pad(const Array& x, const PadWidths& widths, std::string_view mode, const Array& value,
          Loc loc) {
  need_array(x, "pad", loc);
  need_array(value, "pad", loc);
  const std::size_t rank = x.shape().size();
  if (widths.pairs.size() != 1 && widths.pairs.size() != rank)
    fail("pad: " + std::to_string(widths.pairs.size()) + " widths for " + x.type()->str() + ".",
         user_loc(loc), "E88");
  auto width_of = [&](std::size_t i) { return widths.pairs[widths.pairs.size() == 1 ? 0 : i]; };
  for (std::size_t i = 0; i < rank; ++i)
    if (width_of(i)[0] < 0 || width_of(i)[1] < 0)
      fail("pad: a width is negative.", user_loc(loc), "E82");
  if (mode == "constant") {
    std::vector<Dims> config;
    for (std::size_t i = 0; i < rank; ++i)
      config.push_back(Dims{width_of(i)[0], width_of(i)[1], 0});
    return lax::pad(x, lax::convert_element_type(value, x.dtype(), loc), config, loc);
  }
  if (mode != "edge" && mode != "reflect" && mode != "symmetric" && mode != "wrap")
    fail("pad: no mode \"" + std::string(mode) + "\".", user_loc(loc), "E85",
         "There are constant, edge, reflect, symmetric and wrap.");
  Array y = x;
  for (std::size_t i = 0; i < rank; ++i) {
    auto [before, after] = width_of(i);
    if (before == 0 && after == 0) continue;
    if (x.shape()[i] == 0)
      fail("pad: axis " + std::to_string(i) + " of " + x.type()->str() +
               " is empty: there is nothing to repeat.",
           user_loc(loc), "E80");
    y = pad_axis(y, before, after, std::int64_t(i), mode, loc);
  }
  return y;
}

}  // namespace jaxpp
