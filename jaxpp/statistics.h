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
/// Bins of equal width from the least to the greatest element, or over a range.
Histogram histogram(const Array& x, std::int64_t bins = 10,
                    std::optional<std::array<double, 2>> range = {}, Loc = Loc::current());
/// Bins between ascending edges.
Histogram histogram(const Array& x, const Array& edges, Loc = Loc::current());

}  // namespace jaxpp
