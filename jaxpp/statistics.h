// statistics.h -- order statistics, reductions that skip NaN, covariance, histograms; named as in jax.numpy.
//
//   Array m = median(x);                                        // of all elements
//   Array bounds = quantile(x, Array{0.05, 0.95}, 0);           // [2, ...]: two numbers per column
//   Array clean = nanmean(measurements, 0);                     // NaN: not measured
//   auto [counts, edges] = histogram(x, 20);
//
// Axes and keepdims are those of the reductions of math.h.  Everything is a composition of its functions: derivatives follow
// the elements that were chosen.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

// ---- Order statistics

/// The number below which a share q of the elements lies, q in [0, 1] of any shape, which comes first in the result.
///   quantile(x[n, m], q[k], 0) is [k, m];   quantile({1., 2., 4.}, 0.75) == 3.
/// The place (n - 1) q in the sorted elements may lie between two of them; method: "linear" (interpolates), "lower", "higher",
/// "midpoint", "nearest" (of equally near ones the lower).  The type is x's (integers: a float); NaN wins.
Array quantile(const Array& x, const Array& q, const Axes& axes = Axes::every(),
               bool keepdims = false, std::string_view method = "linear", Loc = Loc::current());
/// quantile(x, q / 100).
Array percentile(const Array& x, const Array& q, const Axes& axes = Axes::every(),
                 bool keepdims = false, std::string_view method = "linear", Loc = Loc::current());
/// quantile(x, 0.5): the element in the middle, or the mean of the two there.
Array median(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             Loc = Loc::current());

// ---- NaN as what is missing.  Where nothing is left: 0 for sums, 1 for products, -1 for indices, NaN for the others

Array nansum(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             Loc = Loc::current());
Array nanprod(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
              Loc = Loc::current());
Array nanmean(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
              Loc = Loc::current());
Array nanvar(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             double ddof = 0, Loc = Loc::current());
Array nanstd(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             double ddof = 0, Loc = Loc::current());
Array nanmax(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             Loc = Loc::current());
Array nanmin(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             Loc = Loc::current());
Array nanargmax(const Array& x, std::optional<int> axis = {}, bool keepdims = false,
                Loc = Loc::current());
Array nanargmin(const Array& x, std::optional<int> axis = {}, bool keepdims = false,
                Loc = Loc::current());
Array nancumsum(const Array& x, std::optional<int> axis = {}, Loc = Loc::current());
Array nancumprod(const Array& x, std::optional<int> axis = {}, Loc = Loc::current());
Array nanquantile(const Array& x, const Array& q, const Axes& axes = Axes::every(),
                  bool keepdims = false, std::string_view method = "linear", Loc = Loc::current());
Array nanpercentile(const Array& x, const Array& q, const Axes& axes = Axes::every(),
                    bool keepdims = false, std::string_view method = "linear",
                    Loc = Loc::current());
Array nanmedian(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
                Loc = Loc::current());

// ---- Covariance

/// The covariances of variables in the rows of x (columns, if not rowvar), with n - ddof in the denominator.
///   [k, n] -> [k, k];  a vector is one variable: [n] -> []
Array cov(const Array& x, bool rowvar = true, double ddof = 1, Loc = Loc::current());
/// The covariances by the standard deviations: Pearson's coefficients, in [-1, 1].
Array corrcoef(const Array& x, bool rowvar = true, Loc = Loc::current());

// ---- Counting

/// How often each of 0, ..., length - 1 occurs in a vector of integers (i64), or the sum of the weights there.  Negative
/// integers count as 0, others out of range do not.   bincount({0, 2, 2}, 3) == {1, 0, 2}
Array bincount(const Array& x, std::int64_t length, const Array& weights = {},
               Loc = Loc::current());
/// The number of the bin that each x lies in: i with bins(i - 1) <= x < bins(i)  (if right, bins(i - 1) < x <= bins(i)).  bins: a
/// vector, ascending or descending (then with >= and >).
Array digitize(const Array& x, const Array& bins, bool right = false, Loc = Loc::current());
/// How many elements of x lie between neighbouring edges, as floats; the last bin includes its upper edge.
struct Histogram {
  Array counts, edges;
};
struct HistogramOptions {
  Array weights = {};    ///< what an element counts, of x's shape; 1 each, if none are given
  bool density = false;  ///< counts / (their sum * size of the bin): the integral is 1
};
using HistogramRange = std::optional<std::array<double, 2>>;
/// Bins of equal width from the least to the greatest element, or over a range.
Histogram histogram(const Array& x, std::int64_t bins = 10, HistogramRange range = {},
                    const HistogramOptions& = {}, Loc = Loc::current());
/// Bins between ascending edges.
Histogram histogram(const Array& x, const Array& edges, const HistogramOptions& = {},
                    Loc = Loc::current());
/// The edges of such bins.   [bins + 1]
Array histogram_bin_edges(const Array& x, std::int64_t bins = 10, HistogramRange range = {},
                          Loc = Loc::current());

/// Points in d dimensions, in boxes.   counts: [bins of each dimension]
struct HistogramDD {
  Array counts;
  std::vector<Array> edges;
};
/// Numbers of bins, one for each dimension or one for all:  {10},  {10, 20};  or ascending edges of each:  {x_edges, y_edges}.
struct Bins {
  Dims counts = {};
  std::vector<Array> edges = {};
  Bins(int n) : counts{n} {}
  Bins(std::initializer_list<int> n) : counts(n.begin(), n.end()) {}
  Bins(std::initializer_list<Array> e) : edges(e) {}
  Bins(std::vector<Array> e) : edges(std::move(e)) {}
};
/// points: [n, d];  ranges: none, or one (perhaps empty) for each dimension
HistogramDD histogramdd(const Array& points, const Bins& bins = 10,
                        const std::vector<HistogramRange>& ranges = {},
                        const HistogramOptions& = {}, Loc = Loc::current());
/// Points (x, y) in the plane.
HistogramDD histogram2d(const Array& x, const Array& y, const Bins& bins = 10,
                        const std::vector<HistogramRange>& ranges = {},
                        const HistogramOptions& = {}, Loc = Loc::current());

// ---- Ranks, errors (scipy.stats)

/// The rank of each element, from 1 on; equal ones share a rank: "average", "min", "max", "dense" (as "min", without gaps), or
/// get theirs in order: "ordinal".  Flattened without an axis.
Array rankdata(const Array& x, std::string_view method = "average", std::optional<int> axis = {},
               Loc = Loc::current());
/// The standard error of the mean: std(x, axis, ddof) / sqrt(n).
Array sem(const Array& x, std::optional<int> axis = 0, double ddof = 1, Loc = Loc::current());

}  // namespace jaxpp
