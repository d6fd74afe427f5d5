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
namespace {
// The number of the bin of each element of a vector; -1 or beyond the last for those that are in none.
Array bin_of(const Array& v, const Array& edges) {
  return where(v == edges(-1), edges.size() - 2, searchsorted(edges, v, "right") - 1);
}
HistogramDD counted(const char* op, const std::vector<Array>& v, std::vector<Array> edges,
                    const HistogramOptions& o, Loc loc) {
  const Array& first = v[0];
  Array weights = o.weights.defined() ? o.weights : ones(first.shape(), first.dtype());
  if (weights.size() != first.size())
    fail(std::string(op) + ": weights " + weights.type()->str() + " for " +
             std::to_string(first.size()) + " elements.",
         user_loc(loc), "E81");
  Shape shape;
  Array at = zeros(first.shape(), i64), inside = ones(first.shape(), b1);
  for (std::size_t d = 0; d < v.size(); ++d) {
    const std::int64_t n = std::max<std::int64_t>(edges[d].size() - 1, 0);
    shape.push_back(n);
    if (n == 0) continue;
    const Array bin = bin_of(v[d], edges[d]);
    inside = logical_and(inside, logical_and(bin >= 0, bin < n));
    at = at * n + bin;
  }
  const std::int64_t boxes = make_type(f32, shape)->size;
  weights = inexact(ravel(weights), op, loc);
  Array counts = boxes == 0 ? zeros(shape, weights.dtype())
                            : sums_at(where(inside, at, boxes), weights, boxes).reshape(shape);
  if (o.density) {
    counts = counts / sum(counts);
    for (std::size_t d = 0; d < v.size(); ++d) {
      Shape one(v.size(), 1);
      one[d] = -1;
      counts = counts / diff(edges[d]).astype(counts.dtype()).reshape(one);
    }
  }
  return {counts, std::move(edges)};
}
// The columns of points: [n, d].
std::vector<Array> columns(const char* op, const Array& points, Loc loc) {
  const Array p = inexact(points, op, loc);
  if (p.ndim() != 2 || p.shape()[1] == 0)
    fail(std::string(op) + ": points are [n, d], not " + p.type()->str() + ".", user_loc(loc),
         "E86");
  return unstack(p, 1, loc);
}
HistogramDD with_bins(const char* op, const std::vector<Array>& v, const Bins& bins,
                      const std::vector<HistogramRange>& ranges, const HistogramOptions& o,
                      Loc loc) {
  const std::size_t given = bins.edges.empty() ? bins.counts.size() : bins.edges.size();
  if ((given != v.size() && (given != 1 || !bins.edges.empty())) ||
      (!ranges.empty() && ranges.size() != v.size()))
    fail(std::string(op) + ": bins of " + std::to_string(given) + " and ranges of " +
             std::to_string(ranges.size()) + " dimensions for " + std::to_string(v.size()) + ".",
         user_loc(loc), "E88");
  UserLine line(loc);
  std::vector<Array> edges;
  for (std::size_t d = 0; d < v.size(); ++d) {
    if (bins.edges.empty()) {
      edges.push_back(histogram_bin_edges(v[d], bins.counts[given == 1 ? 0 : d],
                                          ranges.empty() ? HistogramRange() : ranges[d], loc));
    } else {
      need_vector(op, bins.edges[d], loc);
      edges.push_back(bins.edges[d].astype(v[d].dtype()));
    }
  }
  return counted(op, v, std::move(edges), o, loc);
}
}  // namespace

Histogram histogram(const Array& x, const Array& edges, const HistogramOptions& o, Loc loc) {
  need_vector("histogram", edges, loc);
  Array both[] = {inexact(x, "histogram", loc), inexact(edges, "histogram", loc)};
  promote_types_of("histogram", both, loc);
  UserLine line(loc);
  HistogramDD h = counted("histogram", {ravel(both[0])}, {both[1]}, o, loc);
  return {h.counts, h.edges[0]};
}
Histogram histogram(const Array& x, std::int64_t bins, HistogramRange range,
                    const HistogramOptions& o, Loc loc) {
  return histogram(x, histogram_bin_edges(x, bins, range, loc), o, loc);
}
Array histogram_bin_edges(const Array& x, std::int64_t bins, HistogramRange range, Loc loc) {
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
  return linspace(where(flat, low - 0.5, low), where(flat, high + 0.5, high), bins + 1);
}
HistogramDD histogramdd(const Array& points, const Bins& bins,
                        const std::vector<HistogramRange>& ranges, const HistogramOptions& o,
                        Loc loc) {
  return with_bins("histogramdd", columns("histogramdd", points, loc), bins, ranges, o, loc);
}
HistogramDD histogram2d(const Array& x, const Array& y, const Bins& bins,
                        const std::vector<HistogramRange>& ranges, const HistogramOptions& o,
                        Loc loc) {
  need_vector("histogram2d", x, loc);
  need_vector("histogram2d", y, loc);
  if (x.size() != y.size())
    fail("histogram2d: " + x.type()->str() + " and " + y.type()->str() + " differ in size.",
         user_loc(loc), "E91");
  std::vector<Array> v{inexact(x, "histogram2d", loc), inexact(y, "histogram2d", loc)};
  promote_types_of("histogram2d", v, loc);
  return with_bins("histogram2d", v, bins, ranges, o, loc);
}

Array rankdata(const Array& x0, std::string_view method, std::optional<int> axis, Loc loc) {
  need_array(x0, "rankdata", loc);
  const Array x1 = axis ? x0 : ravel(x0, loc);
  const auto d = axis_of(axis.value_or(0), x1, "rankdata", loc);
  if (method != "average" && method != "min" && method != "max" && method != "dense" &&
      method != "ordinal")
    fail("rankdata: no method \"" + std::string(method) + "\".", user_loc(loc), "E85",
         "It is \"average\", \"min\", \"max\", \"dense\" or \"ordinal\".");
  UserLine line(loc);
  const Array x = moveaxis(x1, int(d), -1);
  const std::int64_t n = x.shape().back();
  const DType real = is_float(x.dtype()) ? x.dtype() : f64;
  if (x.size() == 0) return zeros(x1.shape(), real);
  const Array order = argsort(x, -1), place = argsort(order, -1);  // of each element, when sorted
  const auto home = [&](const Array& r) {
    return moveaxis(take_along_axis(r, place, -1).astype(real), -1, int(d));
  };
  if (method == "ordinal") return moveaxis((place + 1).astype(real), -1, int(d));
  const Array sorted = take_along_axis(x, order, -1);
  Shape one = x.shape();
  one.back() = 1;
  const Array changes = sorted(Ellipsis, Slice(1, None)) != sorted(Ellipsis, Slice(0, n - 1));
  const Array first = concatenate({ones(one, b1), changes}, -1),
              last = concatenate({changes, ones(one, b1)}, -1);
  if (method == "dense") return home(cumsum(first.astype(i64), -1));
  const Array number = arange(1, n + 1, i64);
  const Array least = lax::cummax(where(first, number, 0), x.ndim() - 1);
  const Array most = lax::cummin(where(last, number, n), x.ndim() - 1, true);
  if (method == "min") return home(least);
  if (method == "max") return home(most);
  return home((least + most).astype(real) / 2);
}
Array sem(const Array& x, std::optional<int> axis, double ddof, Loc loc) {
  const Array v = inexact(x, "sem", loc);
  UserLine line(loc);
  const Array w = axis ? v : ravel(v);
  const auto d = axis_of(axis.value_or(0), w, "sem", loc);
  return sqrt(var(w, int(d), false, ddof) / double(w.shape()[std::size_t(d)]));
}

}  // namespace jaxpp
