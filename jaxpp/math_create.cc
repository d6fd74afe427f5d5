// math_create.cc -- arrays from nothing: constants, ranges, identities, triangles, diagonals.
//
// Diagonals need no gather: in a matrix of m columns, flattened, a diagonal is a slice of stride
// m + 1; building one is the transpose of that, padding with m zeros between the elements.
#include <cmath>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

// ---- The default element type
namespace {
constinit thread_local DType default_type = DType::f32;
}
DType default_dtype() { return default_type; }
DefaultDTypeScope::DefaultDTypeScope(DType d) : saved_(default_type) {
  if (!is_inexact(d))
    throw TypeError(std::string("default_dtype: must be a float or complex type, not ") + name(d) +
                    ".  [E83]");
  default_type = d;
}
DefaultDTypeScope::~DefaultDTypeScope() { default_type = saved_; }
DefaultDTypeScope default_dtype(DType d) { return DefaultDTypeScope(d); }

// ---- Constants
namespace {
Array constant(DType d, const Shape& shape, double v, Loc loc) {
  return lax::full(make_type(d, shape), v, loc);
}
void need_size(std::int64_t n, const char* op, const char* what, Loc loc) {
  if (n < 0)
    fail(std::string(op) + ": " + what + " " + std::to_string(n) + " is negative.", user_loc(loc),
         "E82");
}
}  // namespace
Array zeros(const Shape& s, DType d, Loc loc) { return constant(d, s, 0, loc); }
Array ones(const Shape& s, DType d, Loc loc) { return constant(d, s, 1, loc); }
Array empty(const Shape& s, DType d, Loc loc) { return constant(d, s, 0, loc); }
Array full(const Shape& s, const Array& value, std::optional<DType> d, Loc loc) {
  need_array(value, "full", loc);
  return broadcast_to(lax::convert_element_type(value, d.value_or(value.dtype()), loc), s, loc);
}
Array zeros_like(const Array& x, std::optional<DType> d, Loc loc) {
  need_array(x, "zeros_like", loc);
  return constant(d.value_or(x.dtype()), x.shape(), 0, loc);
}
Array ones_like(const Array& x, std::optional<DType> d, Loc loc) {
  need_array(x, "ones_like", loc);
  return constant(d.value_or(x.dtype()), x.shape(), 1, loc);
}
Array empty_like(const Array& x, std::optional<DType> d, Loc loc) { return zeros_like(x, d, loc); }
Array full_like(const Array& x, const Array& value, std::optional<DType> d, Loc loc) {
  need_array(x, "full_like", loc);
  return full(x.shape(), value, d.value_or(x.dtype()), loc);
}

// ---- Ranges
namespace {
// A number that is known also while a trace records.
Array known_number(int v, DType d, Loc loc) {
  Scope now(nullptr);
  return lax::convert_element_type(Array(v), d, loc);
}
}  // namespace
Array arange(const Array& stop, std::optional<DType> d, Loc loc) {
  need_array(stop, "arange", loc);
  return arange(known_number(0, stop.dtype(), loc), stop, d, loc);
}
Array arange(const Array& start, const Array& stop, std::optional<DType> d, Loc loc) {
  need_array(start, "arange", loc);
  return arange(start, stop, known_number(1, start.dtype(), loc), d, loc);
}
Array arange(const Array& start, const Array& stop, const Array& step, std::optional<DType> d,
             Loc loc) {
  Array x[] = {start, stop, step};
  for (auto& a : x) need_array(a, "arange", loc);
  const DType t =
      d.value_or(promote_types(promote_types(start.dtype(), stop.dtype()), step.dtype()));
  if (is_complex(t) || is_bool(t))
    fail(std::string("arange: not for ") + name(t) + ".", user_loc(loc), "E84");
  double n;
  if (is_integer(promote_types(promote_types(start.dtype(), stop.dtype()), step.dtype()))) {
    const auto from = start.item<std::int64_t>(loc), to = stop.item<std::int64_t>(loc),
               by = step.item<std::int64_t>(loc);
    if (by == 0) fail("arange: the step is 0.", user_loc(loc), "E84");
    // in 128 bits: to - from may exceed 64
    const auto distance = __int128(to) - from + (by > 0 ? by - 1 : by + 1);
    n = double(distance / by);
  } else {
    const double by = step.item<double>(loc);
    if (by == 0) fail("arange: the step is 0.", user_loc(loc), "E84");
    n = std::ceil((stop.item<double>(loc) - start.item<double>(loc)) / by);
  }
  if (!(n < 1e18)) fail("arange: not a finite number of elements.", user_loc(loc), "E84");
  const Shape shape{n > 0 ? std::int64_t(n) : 0};
  const DType working = is_float(t) && width(t) == 2 ? DType::f32 : t;
  Array y = lax::iota(working, shape, 0, loc);
  if (double by = step.item<double>(loc); by != 1)
    y = lax::mul(lax::convert_element_type(step, working, loc), y, loc);
  if (double from = start.item<double>(loc); from != 0)
    y = lax::add(lax::convert_element_type(start, working, loc), y, loc);
  return lax::convert_element_type(y, t, loc);
}
Array linspace(const Array& start, const Array& stop, std::int64_t num, bool endpoint,
               std::optional<DType> d, Loc loc) {
  Array a = start, b = stop;
  promote_inexact("linspace", a, b, loc);
  const DType result = d.value_or(a.dtype()), working = to_inexact(result);
  need_size(num, "linspace", "the number of points", loc);
  UserLine line(loc);
  auto bounds = broadcast_arrays({a.astype(working), b.astype(working)});
  Shape s(bounds[0].shape().size() + 1, 1);
  const std::int64_t intervals = endpoint ? num - 1 : num;
  Array first = expand_dims(bounds[0], 0), last = expand_dims(bounds[1], 0), y;
  if (num == 0) {
    s.resize(1);
    s[0] = 0;
    s.append(bounds[0].shape().begin(), bounds[0].shape().end());
    return zeros(s, result);
  }
  if (num == 1) {
    y = first;
  } else {
    // start * (1 - t) + stop * t, and stop itself: both ends are exact
    s[0] = intervals;
    Array t = (lax::iota(real_of(working), s, 0) / double(intervals)).astype(working);
    y = first * (1 - t) + last * t;
    if (endpoint) y = concatenate({y, last}, 0);
  }
  if (is_integer(result)) y = floor(y);
  return y.astype(result);
}
std::vector<Array> meshgrid(const std::vector<Array>& x, std::string_view indexing, Loc loc) {
  if (indexing != "xy" && indexing != "ij")
    fail("meshgrid: the indexing is \"xy\" or \"ij\", not \"" + std::string(indexing) + "\".",
         user_loc(loc), "E85");
  const std::size_t n = x.size();
  auto axis = [&](std::size_t i) { return indexing == "xy" && n >= 2 && i < 2 ? 1 - i : i; };
  Shape s(n);
  for (std::size_t i = 0; i < n; ++i) {
    need_array(x[i], "meshgrid", loc);
    if (x[i].ndim() != 1)
      fail("meshgrid: takes vectors, not " + x[i].type()->str() + ".", user_loc(loc), "E86");
    s[axis(i)] = x[i].size();
  }
  std::vector<Array> y;
  for (std::size_t i = 0; i < n; ++i)
    y.push_back(lax::broadcast_in_dim(x[i], s, Dims{std::int64_t(axis(i))}, loc));
  return y;
}

// ---- Triangles and diagonals
namespace {
/// bool [n, m]: column - row <= k.
Array on_or_below(std::int64_t n, std::int64_t m, std::int64_t k, Loc loc) {
  const Shape s{n, m};
  Array row = lax::iota(DType::i64, s, 0, loc), column = lax::iota(DType::i64, s, 1, loc);
  return lax::ge(lax::add(row, Array(k), loc), column, loc);
}
void need_matrix(const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  if (x.ndim() < 2)
    fail(std::string(op) + ": needs a matrix, or a stack of them, not " + x.type()->str() + ".",
         user_loc(loc), "E86");
}
}  // namespace
Array eye(std::int64_t n, DType d, Loc loc) { return eye(n, n, 0, d, loc); }
Array eye(std::int64_t n, std::int64_t m, std::int64_t k, DType d, Loc loc) {
  need_size(n, "eye", "the size", loc);
  need_size(m, "eye", "the size", loc);
  const Shape s{n, m};
  Array row = lax::iota(DType::i64, s, 0, loc), column = lax::iota(DType::i64, s, 1, loc);
  return lax::convert_element_type(lax::eq(lax::add(row, Array(k), loc), column, loc), d, loc);
}
Array identity(std::int64_t n, DType d, Loc loc) { return eye(n, n, 0, d, loc); }
Array tri(std::int64_t n, std::int64_t m, std::int64_t k, DType d, Loc loc) {
  need_size(n, "tri", "the size", loc);
  need_size(m, "tri", "the size", loc);
  return lax::convert_element_type(on_or_below(n, m, k, loc), d, loc);
}
Array tril(const Array& x, std::int64_t k, Loc loc) {
  need_matrix(x, "tril", loc);
  Array low = on_or_below(x.shape(-2), x.shape(-1), k, loc);
  return where(low, x, lax::zeros_like(x, loc), loc);
}
Array triu(const Array& x, std::int64_t k, Loc loc) {
  need_matrix(x, "triu", loc);
  Array below = on_or_below(x.shape(-2), x.shape(-1), k - 1, loc);
  return where(below, lax::zeros_like(x, loc), x, loc);
}
Array diagonal(const Array& x, std::int64_t offset, int axis1, int axis2, Loc loc) {
  need_matrix(x, "diagonal", loc);
  const auto a1 = axis_of(axis1, x, "diagonal", loc), a2 = axis_of(axis2, x, "diagonal", loc);
  if (a1 == a2)
    fail("diagonal: axis " + std::to_string(a1) + " is given twice for " + x.type()->str() + ".",
         user_loc(loc), "E74");
  Array v = moveaxis(x, Axes(Dims{a1, a2}), {-2, -1}, loc);
  const std::int64_t n = v.shape(-2), m = v.shape(-1);
  const std::int64_t size = std::min(offset < 0 ? n + offset : n, offset > 0 ? m - offset : m);
  Shape flat(v.shape().begin(), v.shape().end() - 2);
  flat.push_back(n * m);
  Dims start(flat.size(), 0), limit(flat), stride(flat.size(), 1);
  if (size > 0) {
    start.back() = offset >= 0 ? offset : -offset * m;
    limit.back() = start.back() + (size - 1) * (m + 1) + 1;
    stride.back() = m + 1;
  } else {
    limit.back() = 0;
  }
  return lax::slice(lax::reshape(v, flat, loc), start, limit, stride, loc);
}
Array diag(const Array& x, std::int64_t k, Loc loc) {
  need_array(x, "diag", loc);
  if (x.ndim() == 2) return diagonal(x, k, 0, 1, loc);
  if (x.ndim() != 1)
    fail("diag: takes a vector or a matrix, not " + x.type()->str() + ".", user_loc(loc), "E86");
  const std::int64_t offset = k < 0 ? -k : k, n = x.size() + offset;
  if (x.size() == 0) return constant(x.dtype(), {n, n}, 0, loc);
  const std::int64_t before = k >= 0 ? k : -k * n;
  const std::int64_t after = n * n - before - ((x.size() - 1) * (n + 1) + 1);
  Array flat = lax::pad(x, number_like(x, 0, loc), {Dims{before, after, n}}, loc);
  return lax::reshape(flat, {n, n}, loc);
}

}  // namespace jaxpp
