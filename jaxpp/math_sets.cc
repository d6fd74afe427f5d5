// math_sets.cc -- see math_sets.h.  Everything is sorting and counting, so that it works with sizes that are given.
#include "jaxpp/math_sets.h"
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {

// The number of true elements of a mask, or what was asked for.
std::int64_t result_size(const char* op, const Array& mask, const SizeOptions& o, Loc loc) {
  if (o.size) {
    if (*o.size < 0)
      fail(std::string(op) + ": the size is " + std::to_string(*o.size) + ".", user_loc(loc),
           "E01");
    return *o.size;
  }
  if (!mask.concrete())
    fail(std::string(op) + ": the number of results depends on values, which are not known here.",
         user_loc(loc), "E07", "Give it:   " + std::string(op) + "(x, {.size = n})");
  return sum(mask).item<std::int64_t>(loc);
}
// Places of the first n true elements of a vector; its size for those that are missing.
Array places(const Array& mask, std::int64_t n) {
  const std::int64_t size = mask.size();
  Array at = sort(where(mask, arange(size), size));
  if (n <= size) return at(Slice(n));
  return concatenate({at, full({n - size}, size, i64)});
}
// values[at], or `missing` where at is out of range.
Array chosen(const Array& values, const Array& at, const Array& missing) {
  if (values.size() == 0) return broadcast_to(missing, at.shape());
  return where(at < values.size(), take(values, at, 0, "clip"), missing);
}
Array missing_value(const SizeOptions& o, const Array& like, const Array& otherwise) {
  return (o.fill_value ? *o.fill_value : otherwise).astype(like.dtype());
}
// The elements of a sorted vector where the mask holds; missing ones are the least of these.
Array kept(const char* op, const Array& values, const Array& mask, const SizeOptions& o, Loc loc) {
  const Array at = places(mask, result_size(op, mask, o, loc));
  const Array least = chosen(values, places(mask, 1), zeros({1}, values.dtype())).reshape({});
  return chosen(values, at, missing_value(o, values, least));
}
Array differ(const Array& a, const Array& b) {  // NaN is one value
  const Array d = a != b;
  return is_inexact(a.dtype()) ? logical_and(d, logical_not(logical_and(isnan(a), isnan(b)))) : d;
}
struct Sorted {
  Array order, values, first;  // first: of its value
};
Sorted sorted(const Array& x) {
  const Array v = ravel(x), order = argsort(v), values = take(v, order, 0, "clip");
  const std::int64_t n = v.size();
  if (n == 0) return {order, values, zeros({0}, b1)};
  const Array later = differ(values(Slice(1, None)), values(Slice(0, n - 1)));
  return {order, values, concatenate({ones({1}, b1), later})};
}
// x and y, flat and of one type.
std::array<Array, 2> two_sets(const char* op, const Array& x, const Array& y, Loc loc) {
  need_array(x, op, loc);
  need_array(y, op, loc);
  std::array<Array, 2> v{ravel(x, loc), ravel(y, loc)};
  promote_types_of(op, v, loc);
  return v;
}

}  // namespace

std::vector<Array> nonzero(const Array& x, const SizeOptions& o, Loc loc) {
  need_array(x, "nonzero", loc);
  if (x.ndim() == 0)
    fail("nonzero: of a number.", user_loc(loc), "E86", "Give it an axis: x.reshape({1}).");
  UserLine line(loc);
  const Array mask = ravel(truth(x, "nonzero", loc));
  const Array at = places(mask, result_size("nonzero", mask, o, loc));
  const Array missing = (o.fill_value ? *o.fill_value : Array(std::int64_t(0))).astype(i64);
  std::vector<Array> index;
  std::int64_t stride = 1;
  for (int d = x.ndim(); d-- > 0;) {
    const std::int64_t n = x.shape()[std::size_t(d)];
    const Array i = x.size() == 0 ? at : floor_divide(at, stride) % n;
    index.insert(index.begin(), where(at < x.size(), i, missing));
    stride *= n;
  }
  return index;
}
Array argwhere(const Array& x, const SizeOptions& o, Loc loc) {
  return stack(nonzero(x, o, loc), 1, loc);
}
Array flatnonzero(const Array& x, const SizeOptions& o, Loc loc) {
  need_array(x, "flatnonzero", loc);
  return nonzero(ravel(x, loc), o, loc)[0];
}
Array extract(const Array& condition, const Array& x, const SizeOptions& o, Loc loc) {
  need_array(condition, "extract", loc);
  need_array(x, "extract", loc);
  if (condition.size() != x.size())
    fail("extract: the condition " + condition.type()->str() + " is not of the size of " +
             x.type()->str() + ".",
         user_loc(loc), "E86");
  UserLine line(loc);
  const Array mask = ravel(truth(condition, "extract", loc)), v = ravel(x);
  const Array at = places(mask, result_size("extract", mask, o, loc));
  return chosen(v, at, missing_value(o, v, Array(0)));
}
Array compress(const Array& condition, const Array& x0, std::optional<int> axis,
               const SizeOptions& o, Loc loc) {
  need_array(condition, "compress", loc);
  need_array(x0, "compress", loc);
  const Array x = axis ? x0 : ravel(x0, loc);
  const auto d = axis_of(axis.value_or(0), x, "compress", loc);
  const std::int64_t n = x.shape()[std::size_t(d)];
  if (condition.ndim() != 1 || condition.size() > n)
    fail("compress: the condition " + condition.type()->str() + " is no vector of up to " +
             std::to_string(n) + " elements.",
         user_loc(loc), "E86");
  UserLine line(loc);
  const Array mask = truth(condition, "compress", loc);
  const Array at = places(mask, result_size("compress", mask, o, loc));
  Shape one(std::size_t(x.ndim()), 1);
  one[std::size_t(d)] = at.size();
  const Array missing = missing_value(o, x, Array(0));
  if (n == 0) {
    Shape none = x.shape();
    none[std::size_t(d)] = at.size();
    return broadcast_to(missing, none);
  }
  return where((at < mask.size()).reshape(one), take(x, at, int(d), "clip"), missing);
}
Array trim_zeros(const Array& x, std::string_view trim, Loc loc) {
  need_array(x, "trim_zeros", loc);
  if (x.ndim() != 1)
    fail("trim_zeros: " + x.type()->str() + " is no vector.", user_loc(loc), "E86");
  if (trim != "f" && trim != "b" && trim != "fb" && trim != "bf")
    fail("trim_zeros: no end \"" + std::string(trim) + "\".", user_loc(loc), "E85",
         "It is \"f\", \"b\" or \"fb\".");
  if (!x.concrete())
    fail("trim_zeros: the number of results depends on values, which are not known here.",
         user_loc(loc), "E07");
  UserLine line(loc);
  const Array at = flatnonzero(x);
  if (at.size() == 0) return x(Slice(0));
  const auto first = at(0).item<std::int64_t>(), last = at(-1).item<std::int64_t>();
  return x(Slice(trim == "b" ? 0 : first, trim == "f" ? x.size() : last + 1));
}

Unique unique_all(const Array& x, const SizeOptions& o, Loc loc) {
  need_array(x, "unique", loc);
  UserLine line(loc);
  const Sorted s = sorted(x);
  const std::int64_t size = x.size();
  const Array at = places(s.first, result_size("unique", s.first, o, loc));
  Unique u;
  u.values =
      kept("unique", s.values, s.first, {.size = at.size(), .fill_value = o.fill_value}, loc);
  u.index = chosen(s.order, at, size > 0 ? s.order(0) : Array(std::int64_t(0)));
  u.counts = concatenate({at(Slice(1, None)), full({at.size() > 0 ? 1 : 0}, size, i64)}) - at;
  const Array group = cumsum(s.first.astype(i64)) - 1;
  u.inverse = zeros({size}, i64).at(s.order).set(group).reshape(x.shape());
  return u;
}
Array unique(const Array& x, const SizeOptions& o, Loc loc) {
  need_array(x, "unique", loc);
  UserLine line(loc);
  const Sorted s = sorted(x);
  return kept("unique", s.values, s.first, o, loc);
}

Array isin(const Array& x, const Array& among, bool invert, Loc loc) {
  const auto [v, set] = two_sets("isin", x, among, loc);
  UserLine line(loc);
  if (set.size() == 0) return full(x.shape(), invert, b1);
  const Array s = sort(set);
  const Array found = take(s, searchsorted(s, v), 0, "clip") == v;
  return (invert ? logical_not(found) : found).reshape(x.shape());
}
Array union1d(const Array& x, const Array& y, const SizeOptions& o, Loc loc) {
  const auto v = two_sets("union1d", x, y, loc);
  UserLine line(loc);
  const Sorted s = sorted(concatenate({v[0], v[1]}));
  return kept("union1d", s.values, s.first, o, loc);
}
Array intersect1d(const Array& x, const Array& y, const SizeOptions& o, Loc loc) {
  const auto v = two_sets("intersect1d", x, y, loc);
  UserLine line(loc);
  const Sorted s = sorted(v[0]);
  return kept("intersect1d", s.values, logical_and(s.first, isin(s.values, v[1])), o, loc);
}
Array setdiff1d(const Array& x, const Array& y, const SizeOptions& o, Loc loc) {
  const auto v = two_sets("setdiff1d", x, y, loc);
  UserLine line(loc);
  const Sorted s = sorted(v[0]);
  const SizeOptions zero{o.size, o.fill_value ? *o.fill_value : Array(0)};
  return kept("setdiff1d", s.values, logical_and(s.first, isin(s.values, v[1], true)), zero, loc);
}
Array setxor1d(const Array& x, const Array& y, const SizeOptions& o, Loc loc) {
  const auto v = two_sets("setxor1d", x, y, loc);
  UserLine line(loc);
  const Sorted s = sorted(concatenate({v[0], v[1]}));
  const Array both = logical_and(isin(s.values, v[0]), isin(s.values, v[1]));
  return kept("setxor1d", s.values, logical_and(s.first, logical_not(both)), o, loc);
}

}  // namespace jaxpp
