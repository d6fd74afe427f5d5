// math_edit.cc -- see math_edit.h.  Compositions; positions are known, so what moves is a take.
#include "jaxpp/math_edit.h"
#include <algorithm>
#include <numbers>
#include <numeric>
#include "jaxpp/control.h"
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {

Array taken(const Array& x, const std::vector<std::int64_t>& at, std::int64_t axis) {
  return take(x, Array(std::span<const std::int64_t>(at), Shape{std::int64_t(at.size())}),
              int(axis), "clip");
}
std::int64_t position(const char* op, std::int64_t i, std::int64_t size, std::int64_t last,
                      const Array& x, Loc loc) {
  const std::int64_t k = i < 0 ? i + size : i;
  if (k < 0 || k > last)
    fail(std::string(op) + ": position " + std::to_string(i) + " is outside of an axis of " +
             x.type()->str() + " with " + std::to_string(size) + " elements.",
         user_loc(loc), "E03");
  return k;
}
void need_integers(const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  if (!is_integer(x.dtype()))
    fail(std::string(op) + ": integers are wanted, not " + x.type()->str() + ".", user_loc(loc),
         "E93");
}
void need_count(const char* op, std::int64_t n, Loc loc) {
  if (n < 0) fail(std::string(op) + ": " + std::to_string(n) + " elements.", user_loc(loc), "E01");
}
std::array<Array, 2> triangle(const char* op, bool lower, std::int64_t n, std::int64_t k,
                              std::int64_t m, Loc loc) {
  need_count(op, n, loc);
  if (m < 0) m = n;
  std::vector<std::int64_t> rows, columns;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < m; ++j)
      if (lower ? j - i <= k : j - i >= k) {
        rows.push_back(i);
        columns.push_back(j);
      }
  const Shape size{std::int64_t(rows.size())};
  return {Array(std::span<const std::int64_t>(rows), size),
          Array(std::span<const std::int64_t>(columns), size)};
}

}  // namespace

Array insert(const Array& x, const Dims& at, const Array& values, int axis, Loc loc) {
  need_array(x, "insert", loc);
  need_array(values, "insert", loc);
  const auto d = axis_of(axis, x, "insert", loc);
  const std::int64_t size = x.shape()[std::size_t(d)], count = std::int64_t(at.size());
  std::vector<std::pair<std::int64_t, std::int64_t>> places;  // before which element, which value
  for (std::int64_t k = 0; k < count; ++k)
    places.emplace_back(position("insert", at[std::size_t(k)], size, size, x, loc), k);
  std::stable_sort(places.begin(), places.end(),
                   [](auto& a, auto& b) { return a.first < b.first; });
  UserLine line(loc);
  Shape slices = x.shape();
  slices[std::size_t(d)] = count;
  const Array all = concatenate({x, broadcast_to(values.astype(x.dtype()), slices)}, int(d));
  std::vector<std::int64_t> order;
  auto next = places.begin();
  for (std::int64_t i = 0; i <= size; ++i) {
    for (; next != places.end() && next->first == i; ++next) order.push_back(size + next->second);
    if (i < size) order.push_back(i);
  }
  return taken(all, order, d);
}
Array delete_(const Array& x, const Dims& at, int axis, Loc loc) {
  need_array(x, "delete_", loc);
  const auto d = axis_of(axis, x, "delete_", loc);
  const std::int64_t size = x.shape()[std::size_t(d)];
  std::vector<char> gone(static_cast<std::size_t>(size));
  for (std::int64_t i : at) gone[std::size_t(position("delete_", i, size, size - 1, x, loc))] = 1;
  std::vector<std::int64_t> left;
  for (std::int64_t i = 0; i < size; ++i)
    if (!gone[std::size_t(i)]) left.push_back(i);
  UserLine line(loc);
  return taken(x, left, d);
}
Array rot90(const Array& x, int k, std::array<int, 2> axes, Loc loc) {
  need_array(x, "rot90", loc);
  const int a = int(axis_of(axes[0], x, "rot90", loc)), b = int(axis_of(axes[1], x, "rot90", loc));
  if (a == b) fail("rot90: the axes are the same.", user_loc(loc), "E86");
  UserLine line(loc);
  switch ((k % 4 + 4) % 4) {
    case 0: return x;
    case 1: return flip(swapaxes(x, a, b), a);
    case 2: return flip(x, {a, b});
    default: return flip(swapaxes(x, a, b), b);
  }
}
Array block(const std::vector<std::vector<Array>>& rows, Loc loc) {
  UserLine line(loc);
  std::vector<Array> joined;
  for (const auto& row : rows) {
    std::vector<Array> parts;
    for (const Array& a : row) {
      need_array(a, "block", loc);
      parts.push_back(a.ndim() == 0 ? a.reshape({1, 1}) : a.ndim() == 1 ? a(None) : a);
    }
    joined.push_back(concatenate(parts, -1));
  }
  return concatenate(joined, -2);
}
std::vector<Array> hsplit(const Array& x, int sections, Loc loc) {
  need_array(x, "hsplit", loc);
  return split(x, sections, x.ndim() == 1 ? 0 : 1, loc);
}
std::vector<Array> vsplit(const Array& x, int sections, Loc loc) {
  return split(x, sections, 0, loc);
}
std::vector<Array> dsplit(const Array& x, int sections, Loc loc) {
  return split(x, sections, 2, loc);
}
Array fill_diagonal(const Array& x, const Array& value, Loc loc) {
  need_array(x, "fill_diagonal", loc);
  const Shape& s = x.shape();
  if (s.size() < 2 || (s.size() > 2 && !std::equal(s.begin() + 1, s.end(), s.begin())))
    fail("fill_diagonal: " + x.type()->str() + " is no matrix, nor has it equal sizes.",
         user_loc(loc), "E86");
  UserLine line(loc);
  Array on = ones(s, b1);
  const auto along = [&](std::int64_t d) {
    Shape one(s.size(), 1);
    one[std::size_t(d)] = s[std::size_t(d)];
    return arange(s[std::size_t(d)]).reshape(one);
  };
  for (std::int64_t d = 1; d < x.ndim(); ++d) on = logical_and(on, along(0) == along(d));
  return where(on, value.astype(x.dtype()), x);
}
Array choose(const Array& index, const std::vector<Array>& choices, Loc loc) {
  need_integers(index, "choose", loc);
  if (choices.empty()) fail("choose: no choices.", user_loc(loc), "E80");
  UserLine line(loc);
  Array y = choices.back();
  for (std::size_t k = choices.size() - 1; k-- > 0;)
    y = where(index <= std::int64_t(k), choices[k], y);
  return broadcast_arrays({y, index})[0];
}

Array partition(const Array& x, std::int64_t kth, int axis, Loc loc) {
  need_array(x, "partition", loc);
  const std::int64_t n = x.shape()[std::size_t(axis_of(axis, x, "partition", loc))];
  position("partition", kth, n, n - 1, x, loc);
  return sort(x, axis, false, loc);
}
Array argpartition(const Array& x, std::int64_t kth, int axis, Loc loc) {
  need_array(x, "argpartition", loc);
  const std::int64_t n = x.shape()[std::size_t(axis_of(axis, x, "argpartition", loc))];
  position("argpartition", kth, n, n - 1, x, loc);
  return argsort(x, axis, false, loc);
}
Array lexsort(const std::vector<Array>& keys, int axis, Loc loc) {
  if (keys.empty()) fail("lexsort: no keys.", user_loc(loc), "E80");
  for (const Array& k : keys) need_array(k, "lexsort", loc);
  UserLine line(loc);
  Array order = argsort(keys[0], axis);
  for (std::size_t k = 1; k < keys.size(); ++k) {
    if (keys[k].shape() != keys[0].shape())
      fail("lexsort: keys of shapes " + keys[0].type()->str() + " and " + keys[k].type()->str() +
               ".",
           user_loc(loc), "E86");
    const Array now = argsort(take_along_axis(keys[k], order, axis), axis);
    order = take_along_axis(order, now, axis);
  }
  return order;
}

std::vector<Array> unravel_index(const Array& places, const Shape& shape, Loc loc) {
  need_integers(places, "unravel_index", loc);
  UserLine line(loc);
  std::int64_t size = 1;
  for (std::int64_t n : shape) size *= n;
  if (size == 0) fail("unravel_index: into an empty array.", user_loc(loc), "E80");
  Array rest = places.astype(i64);
  rest = clip(where(rest < 0, rest + size, rest), 0, size - 1);
  std::vector<Array> index;
  for (std::size_t d = shape.size(); d-- > 0;) {
    index.insert(index.begin(), remainder(rest, shape[d]));
    rest = floor_divide(rest, shape[d]);
  }
  return index;
}
Array ravel_multi_index(const std::vector<Array>& index, const Shape& shape, Loc loc) {
  if (index.size() != shape.size())
    fail("ravel_multi_index: " + std::to_string(index.size()) + " indices for " +
             std::to_string(shape.size()) + " dimensions.",
         user_loc(loc), "E91");
  UserLine line(loc);
  Array at = Array(std::int64_t(0));
  for (std::size_t d = 0; d < shape.size(); ++d) {
    need_integers(index[d], "ravel_multi_index", loc);
    at = at * shape[d] + index[d].astype(i64);
  }
  return at;
}
std::array<Array, 2> tril_indices(std::int64_t n, std::int64_t k, std::int64_t m, Loc loc) {
  return triangle("tril_indices", true, n, k, m, loc);
}
std::array<Array, 2> triu_indices(std::int64_t n, std::int64_t k, std::int64_t m, Loc loc) {
  return triangle("triu_indices", false, n, k, m, loc);
}
std::vector<Array> diag_indices(std::int64_t n, int ndim, Loc loc) {
  need_count("diag_indices", n, loc);
  return std::vector<Array>(std::size_t(std::max(ndim, 0)), arange(n));
}

Array gcd(const Array& x, const Array& y, Loc loc) {
  need_integers(x, "gcd", loc);
  need_integers(y, "gcd", loc);
  UserLine line(loc);
  std::vector<Array> v{x, y};
  promote_types_of("gcd", v, loc);
  v = broadcast_arrays(v);
  using Carry = std::pair<Array, Array>;
  const auto more = [](const Carry& c) { return any(c.second != 0); };
  const auto step = [](const Carry& c) {  // Euclid's
    const Array done = c.second == 0;
    return Carry(where(done, c.first, c.second),
                 where(done, 0, fmod(c.first, where(done, 1, c.second))));
  };
  return abs(while_loop(more, step, Carry(abs(v[0]), abs(v[1]))).first);
}
Array lcm(const Array& x, const Array& y, Loc loc) {
  const Array d = gcd(x, y, loc);
  UserLine line(loc);
  return abs(floor_divide(x, where(d == 0, 1, d)) * y);
}
Array heaviside(const Array& x, const Array& at_zero, Loc loc) {
  need_array(x, "heaviside", loc);
  need_array(at_zero, "heaviside", loc);
  Array v[] = {x, at_zero};
  promote_inexact("heaviside", v[0], v[1], loc);
  UserLine line(loc);
  const Array step = where(v[0] == 0, v[1], (v[0] > 0).astype(v[0].dtype()));
  return where(isnan(v[0]), lax::stop_gradient(v[0]), step);
}
std::pair<Array, Array> modf(const Array& x, Loc loc) {
  const Array v = inexact(x, "modf", loc);
  UserLine line(loc);
  const Array whole = trunc(v);
  return {v - whole, whole};
}
Array logspace(const Array& start, const Array& stop, std::int64_t n, double base, Loc loc) {
  UserLine line(loc);
  return power(base, linspace(start, stop, n));
}
Array geomspace(const Array& start, const Array& stop, std::int64_t n, Loc loc) {
  need_array(start, "geomspace", loc);
  need_array(stop, "geomspace", loc);
  need_count("geomspace", n, loc);
  const Array a = inexact(start, "geomspace", loc), b = inexact(stop, "geomspace", loc);
  UserLine line(loc);
  const Array inner = sign(a) * exp(linspace(log(abs(a)), log(abs(b)), n));
  if (n < 2) return inner;
  return concatenate({a(None), inner(Slice(1, n - 1)), b(None)});  // the ends as they were given
}
Array unwrap(const Array& x, int axis, double period, Loc loc) {
  const Array v = inexact(x, "unwrap", loc);
  const auto d = axis_of(axis, v, "unwrap", loc);
  UserLine line(loc);
  const std::int64_t n = v.shape()[std::size_t(d)];
  if (n < 2) return v;
  const Array step = diff(v, 1, int(d)), half = 0.5 * period;
  Array small = remainder(step + half, period) - half;
  small = where(logical_and(small == -half, step > 0), half, small);
  const Array more = where(abs(step) < half, 0, small - step);
  Shape one = v.shape();
  one[std::size_t(d)] = 1;
  return v + cumsum(concatenate({zeros(one, v.dtype()), more}, int(d)), int(d));
}
Array ediff1d(const Array& x, Loc loc) {
  need_array(x, "ediff1d", loc);
  return diff(ravel(x, loc), 1, 0, loc);
}

}  // namespace jaxpp
