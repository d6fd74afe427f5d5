// math_edit.cc -- see math_edit.h.  Compositions; positions are known, so what moves is a take.
#include "jaxpp/math_edit.h"
#include <algorithm>
#include <limits>
#include <numbers>
#include <numeric>
#include "jaxpp/control.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/math_sets.h"

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
void need_matrix(const char* op, const Array& x, Loc loc) {
  need_array(x, op, loc);
  if (x.ndim() != 2)
    fail(std::string(op) + ": " + x.type()->str() + " is no matrix.", user_loc(loc), "E86");
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
Array resize(const Array& x, const Shape& shape, Loc loc) {
  need_array(x, "resize", loc);
  for (std::int64_t n : shape) need_count("resize", n, loc);
  const std::int64_t size = make_type(x.dtype(), shape)->size;
  UserLine line(loc);
  if (x.size() == 0) return zeros(shape, x.dtype());
  return tile(ravel(x), (size + x.size() - 1) / x.size())(Slice(size)).reshape(shape);
}
Array diagflat(const Array& x, std::int64_t k, Loc loc) {
  need_array(x, "diagflat", loc);
  return diag(ravel(x, loc), k, loc);
}
Array put(const Array& x, const Array& positions, const Array& values, Loc loc) {
  need_array(x, "put", loc);
  need_integers(positions, "put", loc);
  need_array(values, "put", loc);
  if (positions.size() == 0) return x;
  if (values.size() == 0) fail("put: no values.", user_loc(loc), "E80");
  UserLine line(loc);
  return ravel(x)
      .at(ravel(positions))
      .set(resize(values, {positions.size()}, loc).astype(x.dtype()))
      .reshape(x.shape());
}
Array put_along_axis(const Array& x, const Array& indices, const Array& values, int axis, Loc loc) {
  need_array(x, "put_along_axis", loc);
  need_integers(indices, "put_along_axis", loc);
  need_array(values, "put_along_axis", loc);
  const auto d = axis_of(axis, x, "put_along_axis", loc);
  if (indices.ndim() != x.ndim())
    fail("put_along_axis: indices " + indices.type()->str() + " for " + x.type()->str() +
             " are of another rank.",
         user_loc(loc), "E86");
  UserLine line(loc);
  Indices at;
  for (std::int64_t k = 0; k < x.ndim(); ++k) {
    Shape one(std::size_t(x.ndim()), 1);
    one[std::size_t(k)] = x.shape()[std::size_t(k)];
    at.push_back(k == d ? indices : arange(one[std::size_t(k)]).reshape(one));
  }
  return IndexedArray(x, at).set(values.astype(x.dtype()));
}
Array place(const Array& x, const Array& mask, const Array& values, Loc loc) {
  need_array(x, "place", loc);
  need_array(mask, "place", loc);
  need_array(values, "place", loc);
  if (mask.shape() != x.shape())
    fail("place: the mask " + mask.type()->str() + " is not of the shape of " + x.type()->str() +
             ".",
         user_loc(loc), "E86");
  if (x.size() == 0) return x;
  if (values.size() == 0) fail("place: no values.", user_loc(loc), "E80");
  UserLine line(loc);
  const Array on = truth(mask, "place", loc), number = cumsum(ravel(on).astype(i64)) - 1;
  const Array v = take(ravel(values), remainder(number, values.size()), 0, "clip");
  return where(on, v.reshape(x.shape()).astype(x.dtype()), x);
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
std::array<Array, 2> tril_indices_from(const Array& x, std::int64_t k, Loc loc) {
  need_matrix("tril_indices_from", x, loc);
  return tril_indices(x.shape()[0], k, x.shape()[1], loc);
}
std::array<Array, 2> triu_indices_from(const Array& x, std::int64_t k, Loc loc) {
  need_matrix("triu_indices_from", x, loc);
  return triu_indices(x.shape()[0], k, x.shape()[1], loc);
}
std::vector<Array> diag_indices_from(const Array& x, Loc loc) {
  need_array(x, "diag_indices_from", loc);
  const Shape& s = x.shape();
  if (s.size() < 2 || !std::equal(s.begin() + 1, s.end(), s.begin()))
    fail(
        "diag_indices_from: " + x.type()->str() + " has not equal sizes in two dimensions or more.",
        user_loc(loc), "E86");
  return diag_indices(s[0], x.ndim(), loc);
}
std::vector<Array> indices(const Shape& shape, bool sparse, Loc loc) {
  std::vector<Slice> ranges;
  for (std::int64_t n : shape) {
    need_count("indices", n, loc);
    ranges.emplace_back(n);
  }
  return sparse ? ogrid(ranges, loc) : mgrid(ranges, loc);
}
std::vector<Array> ix_(const std::vector<Array>& vectors, Loc loc) {
  std::vector<Array> at;
  for (const Array& v : vectors) {
    need_array(v, "ix_", loc);
    if (v.ndim() != 1) fail("ix_: " + v.type()->str() + " is no vector.", user_loc(loc), "E86");
    if (!is_bool(v.dtype())) need_integers(v, "ix_", loc);
    Shape one(vectors.size(), 1);
    one[at.size()] = -1;
    at.push_back((is_bool(v.dtype()) ? flatnonzero(v, {}, loc) : v).reshape(one));
  }
  return at;
}
std::vector<Array> ogrid(const std::vector<Slice>& ranges, Loc loc) {
  UserLine line(loc);
  std::vector<Array> grid;
  for (const Slice& r : ranges) {
    if (r.stop.open || r.step == 0)
      fail("a grid: a range needs a stop, and a step that is not 0.", user_loc(loc), "E84");
    Shape one(ranges.size(), 1);
    one[grid.size()] = -1;
    grid.push_back(
        arange(r.start.open ? 0 : r.start.value, r.stop.value, r.step, i64).reshape(one));
  }
  return grid;
}
std::vector<Array> mgrid(const std::vector<Slice>& ranges, Loc loc) {
  return broadcast_arrays(ogrid(ranges, loc), loc);
}

Array packbits(const Array& x0, std::optional<int> axis, bool big_endian, Loc loc) {
  need_array(x0, "packbits", loc);
  if (!is_integer(x0.dtype()) && !is_bool(x0.dtype()))
    fail("packbits: integers or bools are wanted, not " + x0.type()->str() + ".", user_loc(loc),
         "E93");
  UserLine line(loc);
  const Array x = axis ? truth(x0, "packbits", loc) : ravel(truth(x0, "packbits", loc));
  const auto d = axis_of(axis.value_or(0), x, "packbits", loc);
  const std::int64_t bits = x.shape()[std::size_t(d)], bytes = (bits + 7) / 8;
  Array last = moveaxis(x.astype(u8), int(d), -1);
  Shape rows = last.shape(), filler = rows;
  filler.back() = bytes * 8 - bits;
  rows.back() = bytes;
  rows.push_back(8);
  last = concatenate({last, zeros(filler, u8)}, -1).reshape(rows);
  const Array shifts = (big_endian ? flip(arange(8)) : arange(8)).astype(u8);
  return moveaxis(sum(left_shift(last, shifts), -1).astype(u8), -1, int(d));
}
Array unpackbits(const Array& x0, std::optional<int> axis, std::optional<std::int64_t> count,
                 bool big_endian, Loc loc) {
  need_array(x0, "unpackbits", loc);
  if (x0.dtype() != u8)
    fail("unpackbits: u8 is wanted, not " + x0.type()->str() + ".", user_loc(loc), "E93");
  UserLine line(loc);
  const Array x = axis ? x0 : ravel(x0);
  const auto d = axis_of(axis.value_or(0), x, "unpackbits", loc);
  const Array shifts = (big_endian ? flip(arange(8)) : arange(8)).astype(u8);
  const Array last = moveaxis(x, int(d), -1);
  Shape bits = last.shape();
  bits.back() *= 8;
  Array y = bitwise_and(right_shift(last(Ellipsis, None), shifts), std::uint8_t(1)).reshape(bits);
  const std::int64_t have = bits.back(), want = !count ? have
                                                : *count < 0
                                                    ? std::max<std::int64_t>(have + *count, 0)
                                                    : *count;
  y = y(Ellipsis, Slice(std::min(want, have)));
  if (want > have) {
    bits.back() = want - have;
    y = concatenate({y, zeros(bits, u8)}, -1);
  }
  return moveaxis(y, -1, int(d));
}

namespace {
// What the format of a float says of it.
struct FloatFormat {
  DType bits;             // an integer of the same width
  std::int64_t mantissa;  // stored bits
  std::int64_t most;      // the greatest exponent
};
FloatFormat format_of(DType d) {
  return d == f64 ? FloatFormat{i64, 52, 1023} : FloatFormat{i32, 23, 127};
}
// 2^n, with 1 - most <= n <= most.
Array two_to(const Array& n, DType d) {
  const FloatFormat f = format_of(d);
  return lax::bitcast_convert_type(left_shift(n.astype(f.bits) + f.most, f.mantissa), d);
}
// f32 or f64, for a float of any format: what halves are computed in.
Array wide(const Array& x) { return width(x.dtype()) < 4 ? x.astype(f32) : x; }
void need_real(const Array& x, const char* op, Loc loc) {
  if (is_complex(x.dtype()))
    fail(std::string(op) + ": real numbers are wanted, not " + x.type()->str() + ".", user_loc(loc),
         "E76");
}
}  // namespace

Array ldexp(const Array& x, const Array& n, Loc loc) {
  const Array v = inexact(x, "ldexp", loc);
  need_real(v, "ldexp", loc);
  need_integers(n, "ldexp", loc);
  UserLine line(loc);
  Array y = wide(v);
  const FloatFormat f = format_of(y.dtype());
  // Down in steps that leave room for the mantissa, so that only the last one rounds (musl's scalbn).
  const std::int64_t down = f.most - 1 - f.mantissa - 1;
  const auto bound = [&](const Array& k) { return clip(k, -2 * down - f.most + 1, 3 * f.most); };
  Array left = bound(n.astype(i64));
  for (int step = 0; step < 2; ++step) {
    const Array part =
        where(left < 1 - f.most, -down, where(left > f.most, f.most, std::int64_t(0)));
    y = y * two_to(part, y.dtype());
    left = left - part;
  }
  return (y * two_to(clip(left, 1 - f.most, f.most), y.dtype())).astype(v.dtype());
}
std::pair<Array, Array> frexp(const Array& x, Loc loc) {
  const Array v = inexact(x, "frexp", loc);
  need_real(v, "frexp", loc);
  UserLine line(loc);
  const Array y = wide(v);
  const FloatFormat f = format_of(y.dtype());
  const Array still = lax::stop_gradient(y);
  const Array tiny = abs(still) < two_to(Array(1 - f.most), y.dtype());  // subnormal, or zero
  const std::int64_t up = f.mantissa + 1;
  const Array normal = where(tiny, still * two_to(Array(up), y.dtype()), still);
  const Array bits = lax::bitcast_convert_type(normal, f.bits);
  const Array exponent =
      bitwise_and(right_shift(bits, f.mantissa), 2 * f.most + 1) - where(tiny, up, 0) - f.most + 1;
  const Array regular = logical_and(isfinite(still), still != 0);
  const Array n = where(regular, exponent, 0).astype(i32);
  return {ldexp(y, -n, loc).astype(v.dtype()), n};
}
Array spacing(const Array& x, Loc loc) {
  const Array v = inexact(x, "spacing", loc);
  need_real(v, "spacing", loc);
  UserLine line(loc);
  const double inf = std::numeric_limits<double>::infinity();
  return nextafter(v, copysign(full_like(v, inf), v)) - v;
}
Array isreal(const Array& x, Loc loc) {
  need_array(x, "isreal", loc);
  return imag(x, loc) == 0;
}
Array iscomplex(const Array& x, Loc loc) {
  need_array(x, "iscomplex", loc);
  return imag(x, loc) != 0;
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
