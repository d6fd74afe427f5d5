// statistics.cc -- see statistics.h.  Quantiles sort once: a row of n elements that are no NaN has its q at place (n - 1) q,
// between two integers; sort puts NaN last, so that skipping them only makes n smaller.
#include "jaxpp/statistics.h"
#include <algorithm>
#include <limits>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();

// x[kept..., n]: the axes as one, the last.
Array axes_to_last(const Array& x, const Dims& axes) {
  Dims order;
  Shape shape;
  std::int64_t n = 1;
  for (std::int64_t a = 0; a < x.ndim(); ++a)
    if (std::find(axes.begin(), axes.end(), a) == axes.end()) {
      order.push_back(a);
      shape.push_back(x.shape()[std::size_t(a)]);
    }
  for (std::int64_t a : axes) {
    order.push_back(a);
    n *= x.shape()[std::size_t(a)];
  }
  shape.push_back(n);
  return lax::reshape(lax::transpose(x, order), shape);
}

Array between(const Array& low, const Array& high, const Array& share, std::string_view method) {
  if (method == "lower") return low;
  if (method == "higher") return high;
  if (method == "midpoint") return (low + high) * 0.5;
  if (method == "nearest") return where(share <= 0.5, low, high);
  return low * (1 - share) + high * share;
}

Array quantile_of(const char* op, const Array& x0, const Array& q0, double scale, const Axes& axes,
                  bool keepdims, std::string_view method, bool skip_nan, Loc loc) {
  const Array x = inexact(x0, op, loc);
  const Dims d = axes_of(axes, x, op, loc);
  need_array(q0, op, loc);
  constexpr std::string_view known[] = {"linear", "lower", "higher", "midpoint", "nearest"};
  if (std::find(std::begin(known), std::end(known), method) == std::end(known))
    fail(std::string(op) + ": no method \"" + std::string(method) + "\".", user_loc(loc), "E85",
         "There are linear, lower, higher, midpoint and nearest.");
  if (is_complex(x.dtype()) || is_complex(q0.dtype()))
    fail(std::string(op) + ": complex numbers have no order.", user_loc(loc), "E86");
  UserLine line(loc);
  const Array rows = axes_to_last(x, d);
  const std::int64_t n = rows.shape().back();
  if (n == 0)
    fail(std::string(op) + ": nothing to choose from: " + x.type()->str() +
             " has no elements along the axes.",
         user_loc(loc), "E80");
  const Array q = ravel(inexact(q0, op, loc)) / scale;
  const Array missing = isnan(rows);
  Array last;  // where the last element of a row is, [kept..., 1]
  if (skip_nan)
    last = sum(logical_not(missing), -1, true).astype(q.dtype()) - 1;
  else
    last = full(Shape(rows.shape().size(), 1), double(n - 1), q.dtype());
  const Array place = clip(last * q, zeros_like(last), maximum(last, 0));  // [kept..., q]
  const Array below = floor(place), above = ceil(place);
  const Array nothing = skip_nan ? all(missing, -1, true) : any(missing, -1, true);
  const Array sorted = sort(where(nothing, kNan, rows));  // constants: without a derivative
  const Array low = take_along_axis(sorted, below.astype(i64), -1),
              high = take_along_axis(sorted, above.astype(i64), -1);
  // one element: as it is, infinite too
  Array y =
      where(below == above, low, between(low, high, (place - below).astype(x.dtype()), method));
  y = moveaxis(y, -1, 0);
  Shape shape = q0.shape();
  for (std::int64_t a = 0; a < x.ndim(); ++a) {
    const bool reduced = std::find(d.begin(), d.end(), a) != d.end();
    if (!reduced)
      shape.push_back(x.shape()[std::size_t(a)]);
    else if (keepdims)
      shape.push_back(1);
  }
  return lax::reshape(y, shape);
}
}  // namespace

Array quantile(const Array& x, const Array& q, const Axes& axes, bool keepdims,
               std::string_view method, Loc loc) {
  return quantile_of("quantile", x, q, 1, axes, keepdims, method, false, loc);
}
Array percentile(const Array& x, const Array& q, const Axes& axes, bool keepdims,
                 std::string_view method, Loc loc) {
  return quantile_of("percentile", x, q, 100, axes, keepdims, method, false, loc);
}
Array median(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return quantile_of("median", x, 0.5, 1, axes, keepdims, "linear", false, loc);
}
Array nanquantile(const Array& x, const Array& q, const Axes& axes, bool keepdims,
                  std::string_view method, Loc loc) {
  return quantile_of("nanquantile", x, q, 1, axes, keepdims, method, true, loc);
}
Array nanpercentile(const Array& x, const Array& q, const Axes& axes, bool keepdims,
                    std::string_view method, Loc loc) {
  return quantile_of("nanpercentile", x, q, 100, axes, keepdims, method, true, loc);
}
Array nanmedian(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return quantile_of("nanmedian", x, 0.5, 1, axes, keepdims, "linear", true, loc);
}

// ---- NaN as what is missing
namespace {
Array filled(const Array& x, double v, Loc loc) {
  if (!x.defined() || !is_inexact(x.dtype())) return x;  // (the reduction refuses an undefined one)
  return lax::select(isnan(x, loc), lax::full_like(x, v, loc), x, loc);
}
using Reduction = Array(const Array&, const Axes&, bool, Loc);
Array nan_extremum(Reduction* reduce, const Array& x, double v, const Axes& axes, bool keepdims,
                   Loc loc) {
  const Array y = reduce(filled(x, v, loc), axes, keepdims, loc);
  if (!is_inexact(x.dtype())) return y;
  UserLine line(loc);
  return where(all(isnan(x), axes, keepdims), kNan, y);
}
using ArgReduction = Array(const Array&, std::optional<int>, bool, Loc);
Array nan_arg(ArgReduction* reduce, const Array& x, double v, std::optional<int> axis,
              bool keepdims, Loc loc) {
  const Array y = reduce(filled(x, v, loc), axis, keepdims, loc);
  UserLine line(loc);
  return where(all(isnan(x), axis ? Axes(*axis) : Axes::every(), keepdims), -1, y);
}
Array numbers_in(const Array& x, const Axes& axes, bool keepdims, DType d) {
  return sum(logical_not(isnan(x)), axes, keepdims).astype(d);
}
}  // namespace

Array nansum(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return sum(filled(x, 0, loc), axes, keepdims, loc);
}
Array nanprod(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return prod(filled(x, 1, loc), axes, keepdims, loc);
}
Array nanmean(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  const Array v = inexact(x, "nanmean", loc);
  UserLine line(loc);
  return nansum(v, axes, keepdims) / numbers_in(v, axes, keepdims, v.dtype());
}
Array nanvar(const Array& x, const Axes& axes, bool keepdims, double ddof, Loc loc) {
  const Array v = inexact(x, "nanvar", loc);
  UserLine line(loc);
  const Array centered = filled(v - nanmean(v, axes, true), 0, loc);
  const Array squares =
      is_complex(v.dtype()) ? square(real(centered)) + square(imag(centered)) : square(centered);
  const Array n = numbers_in(v, axes, keepdims, squares.dtype()) - ddof;
  return sum(squares, axes, keepdims) / where(n > 0, n, kNan);
}
Array nanstd(const Array& x, const Axes& axes, bool keepdims, double ddof, Loc loc) {
  return lax::sqrt(nanvar(x, axes, keepdims, ddof, loc), loc);
}
Array nanmax(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return nan_extremum(max, x, -kInf, axes, keepdims, loc);
}
Array nanmin(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return nan_extremum(min, x, kInf, axes, keepdims, loc);
}
Array nanargmax(const Array& x, std::optional<int> axis, bool keepdims, Loc loc) {
  return nan_arg(argmax, x, -kInf, axis, keepdims, loc);
}
Array nanargmin(const Array& x, std::optional<int> axis, bool keepdims, Loc loc) {
  return nan_arg(argmin, x, kInf, axis, keepdims, loc);
}
Array nancumsum(const Array& x, std::optional<int> axis, Loc loc) {
  return cumsum(filled(x, 0, loc), axis, loc);
}
Array nancumprod(const Array& x, std::optional<int> axis, Loc loc) {
  return cumprod(filled(x, 1, loc), axis, loc);
}

// ---- Covariance
Array cov(const Array& x0, bool rowvar, double ddof, Loc loc) {
  Array x = inexact(x0, "cov", loc);
  if (x.ndim() > 2)
    fail("cov: needs a vector or a matrix, not " + x.type()->str() + ".", user_loc(loc), "E86");
  UserLine line(loc);
  const bool one = x.ndim() < 2;
  x = atleast_2d(x);
  if (!one && !rowvar) x = transpose(x);
  const Array centered = x - mean(x, 1, true);
  const double n = double(x.shape()[1]) - ddof;
  const Array c = matmul(centered, conj(transpose(centered))) / (n > 0 ? n : kNan);
  return c.shape() == Shape{1, 1} ? lax::reshape(c, {}) : c;
}
Array corrcoef(const Array& x, bool rowvar, Loc loc) {
  UserLine line(loc);
  const Array c = cov(x, rowvar);
  if (c.ndim() == 0) return c / c;
  const Array deviation = sqrt(real(diag(c)));
  const Array r = c / expand_dims(deviation, 1) / expand_dims(deviation, 0);
  if (is_complex(r.dtype())) return lax::complex(clip(real(r), -1, 1), clip(imag(r), -1, 1));
  return clip(r, -1, 1);
}

// ---- Counting
namespace {
void need_vector(const char* op, const Array& x, Loc loc) {
  need_array(x, op, loc);
  if (x.ndim() != 1)
    fail(std::string(op) + ": needs a vector, not " + x.type()->str() + ".", user_loc(loc), "E86");
}
// The sums of the weights whose index is 0, ..., n - 1; others do not count.
Array sums_at(const Array& index, const Array& weights, std::int64_t n) {
  ScatterParams p;
  p.mode = IndexMode::FILL_OR_DROP;
  p.dimension_numbers.inserted_window_dims = p.dimension_numbers.scatter_dims_to_operand_dims =
      Dims{0};
  return lax::scatter_add(zeros({n}, weights.dtype()), lax::expand_dims(index, Dims{1}), weights,
                          p);
}
}  // namespace

Array bincount(const Array& x, std::int64_t length, const Array& weights, Loc loc) {
  need_vector("bincount", x, loc);
  if (!is_integer(x.dtype()))
    fail("bincount: counts integers, not " + x.type()->str() + ".", user_loc(loc), "E93");
  if (length < 0)
    fail("bincount: the length " + std::to_string(length) + " is negative.", user_loc(loc), "E82");
  if (weights.defined() && weights.shape() != x.shape())
    fail("bincount: the weights are " + weights.type()->str() + " for values " + x.type()->str() +
             ".",
         user_loc(loc), "E81", "Give one weight for each value.");
  UserLine line(loc);
  const Array w = weights.defined() ? weights : ones(x.shape(), i64);
  return sums_at(maximum(x, 0), w, length);
}
Array digitize(const Array& x, const Array& bins, bool right, Loc loc) {
  need_vector("digitize", bins, loc);
  need_array(x, "digitize", loc);
  UserLine line(loc);
  const char* side = right ? "left" : "right";
  const Array up = searchsorted(bins, x, side);
  if (bins.size() < 2) return up;
  const Array down = bins.size() - searchsorted(flip(bins), x, side);
  return where(bins(-1) >= bins(0), up, down);
}
Histogram histogram(const Array& x, const Array& edges0, Loc loc) {
  need_vector("histogram", edges0, loc);
  Array both[] = {inexact(x, "histogram", loc), inexact(edges0, "histogram", loc)};
  promote_types_of("histogram", both, loc);
  UserLine line(loc);
  const Array v = ravel(both[0]), &edges = both[1];
  const std::int64_t n = edges.size();
  if (n < 2) return {zeros({0}, v.dtype()), edges};
  const Array bin = where(v == edges(-1), n - 1, searchsorted(edges, v, "right"));
  return {sums_at(bin - 1, ones(v.shape(), v.dtype()), n - 1), edges};
}
Histogram histogram(const Array& x, std::int64_t bins, std::optional<std::array<double, 2>> range,
                    Loc loc) {
  const Array v = inexact(x, "histogram", loc);
  if (bins < 1)
    fail("histogram: needs at least one bin, not " + std::to_string(bins) + ".", user_loc(loc),
         "E82");
  UserLine line(loc);
  Array low, high;
  if (range) {
    low = number_like(v, (*range)[0], loc);
    high = number_like(v, (*range)[1], loc);
  } else if (v.size() == 0) {
    low = number_like(v, 0, loc);
    high = number_like(v, 1, loc);
  } else {
    low = min(v);
    high = max(v);
  }
  const Array flat = low == high;  // all at one place: in the middle of a bin of width 1 in all
  return histogram(
      v, linspace(where(flat, low - 0.5, low), where(flat, high + 0.5, high), bins + 1), loc);
}

}  // namespace jaxpp
