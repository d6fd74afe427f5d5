// statistics_test.cc -- order statistics, NaN as what is missing, covariance, counting: values of jax.numpy 0.10.2, derivatives,
// batches, corners, and errors.
#include "jaxpp/statistics.h"
#include <catch2/catch.hpp>
#include <limits>
#include "jaxpp/jaxpp.h"
#include "tests/values.h"

using namespace jaxpp;

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();

const Array X = {{3., 1., 4., 1.5}, {5., 9., 2., 6.}, {-1., 0.5, 7., 2.5}};
const Array Y = {{3., kNan, 4., 1.5}, {kNan, kNan, kNan, kNan}, {-1., 0.5, kNan, 2.5}};
const Array Q = {0.1, 0.5, 0.85};
}  // namespace

TEST_CASE("statistics: quantiles", "[statistics]") {
  check(quantile(X, Q, 1), Array{{1.15, 2.9, -0.55}, {2.25, 5.5, 1.5}, {3.55, 7.65, 4.975}});
  check(quantile(X, Q), Array{0.55, 2.75, 6.35});
  check(quantile(X, Q, 1, false, "lower"), Array{{1., 2., -1.}, {1.5, 5., 0.5}, {3., 6., 2.5}});
  check(quantile(X, Q, 1, false, "higher"), Array{{1.5, 5., 0.5}, {3., 6., 2.5}, {4., 9., 7.}});
  check(quantile(X, Q, 1, false, "midpoint"),
        Array{{1.25, 3.5, -0.25}, {2.25, 5.5, 1.5}, {3.5, 7.5, 4.75}});
  check(quantile(X, Q, 1, false, "nearest"), Array{{1., 2., -1.}, {1.5, 5., 0.5}, {4., 9., 7.}});
  check(median(X, 0), Array{3., 1., 4., 2.5});
  check(percentile(X, 30., {0, 1}, true), Array{{1.65}});
  check(median(Y, 1), Array{kNan, kNan, kNan});
  check(nanquantile(Y, Q, 1), Array{{1.8, kNan, -0.7}, {3., kNan, 0.5}, {3.7, kNan, 1.9}});
  check(nanpercentile(Y, 100. * Q, 1), nanquantile(Y, Q, 1));
  check(nanmedian(Y, 0, true), Array{{1., 0.5, 4., 2.}});
  // ends, one element, infinities, integers, other types
  check(quantile(X, Array{{0., 1.}}), Array{{-1., 9.}});
  check(median(Array{2.f}), Array(2.f));
  check(quantile(Array{1., kInf, 2.}, 0.5), Array(2.));
  check(quantile(Array{1., kInf, 2.}, 1), Array(kInf));
  check(median(Array{4, 1}), Array(2.5));
  CHECK(quantile(X.astype(f32), 0.25).dtype() == f32);
  CHECK(median(zeros({0, 3}), 1).shape() == Shape{0});
  CHECK_THROWS_WITH(median(zeros({3, 0}), 1), Catch::Contains("E80"));
  CHECK_THROWS_WITH(quantile(X, 0.5, 0, false, "cubic"), Catch::Contains("E85"));
}

TEST_CASE("statistics: derivatives and batches of quantiles", "[statistics]") {
  check(grad([](Array x) { return median(x); })(X),
        Array{{0.5, 0., 0., 0.}, {0., 0., 0., 0.}, {0., 0., 0., 0.5}});
  check(grad([](Array q) { return quantile(X(0), q); })(0.5), Array(4.5));  // 3 (3 - 1.5)
  check_grads([](Array x, Array q) { return quantile(x, q, 1); }, std::tuple(X, Q));
  const auto rows = [](Array x) { return quantile(x, Q); };
  check(vmap(rows)(X), transpose(quantile(X, Q, 1)));
  check(jit(vmap(grad([](Array x) { return nanmedian(x); })))(Y),
        Array{{1., 0., 0., 0.}, {0., 0., 0., 0.}, {0., 1., 0., 0.}});
  check(grad([](Array y) { return median(y); })(Y(0)), zeros({4}, f64));
  check(jit([](Array x) { return nanquantile(x, Q, 1); })(Y), nanquantile(Y, Q, 1));
}

TEST_CASE("statistics: NaN as what is missing", "[statistics]") {
  check(nansum(Y, 1), Array{8.5, 0., 2.});
  check(nanprod(Y, 1), Array{18., 1., -1.25});
  check(nanmean(Y, 1), Array{17. / 6, kNan, 2. / 3});
  check(nanvar(Y, 1), Array{1.0555555555555556, kNan, 2.0555555555555556});
  check(nanstd(Y, 1), Array{1.0274023338281628, kNan, 1.4337208778404378});
  check(nanvar(Y, 0, true, 1), Array{{8., kNan, kNan, 0.5}});
  check(nanmax(Y, 1), Array{4., kNan, 2.5});
  check(nanmin(Y, 1), Array{1.5, kNan, -1.});
  check(nanargmax(Y, 1), Array{2, -1, 3}.astype(i64));
  check(nanargmin(Y, 1), Array{3, -1, 0}.astype(i64));
  check(nancumsum(Y, 1), Array{{3., 3., 7., 8.5}, {0., 0., 0., 0.}, {-1., -0.5, -0.5, 2.}});
  check(nancumprod(Y, 1), Array{{3., 3., 12., 18.}, {1., 1., 1., 1.}, {-1., -0.5, -0.5, -1.25}});
  check(nanmax(Array{3, 1}), Array(3));
  check(nanmean(Array{3, 1}), Array(2.));
  check(grad([](Array y) { return nansum(square(nanmean(y, 1))); })(Y),
        Array{{17. / 9, 0., 17. / 9, 17. / 9}, {0., 0., 0., 0.}, {4. / 9, 4. / 9, 0., 4. / 9}});
  check(jit(grad([](Array y) { return nanvar(y); }))(Y),
        Array{{5. / 12, 0., 0.75, -1. / 12}, {0., 0., 0., 0.}, {-11. / 12, -5. / 12, 0., 0.25}});
}

TEST_CASE("statistics: covariance", "[statistics]") {
  check(cov(X), Array{{91. / 48, -3.75, 2.625}, {-3.75, 25. / 3, -7.}, {2.625, -7., 145. / 12}});
  check(cov(X, false)(0), Array{28. / 3, 11.5, -23. / 3, 13. / 3});
  check(cov(X(0)), Array(91. / 48));
  check(cov(X(0), true, 0), var(X(0)));
  check(corrcoef(X)(0), Array{1., -0.9434563530497264, 0.5484484989205184});
  check(corrcoef(X(0)), Array(1.));
  const Array c =
      lax::complex(Array{{1., 0., 3.}, {-2., 1., 0.}}, Array{{2., -1., 1.}, {1., 1., 2.}});
  check(cov(c), conj(transpose(cov(c))));
  check(real(diag(cov(c))), var(c, 1, false, 1));
  const auto first = [](Array x) { return corrcoef(x)(0, 1); };
  check(grad(first)(X)(0), Array{0.06174512884428003, 0.06543140519319227, -0.023960796267929553,
                                 -0.10321573776954274});
  CHECK_THROWS_WITH(cov(zeros({2, 2, 2})), Catch::Contains("E86"));
}

TEST_CASE("statistics: counting", "[statistics]") {
  const Array x = {0, 2, -1, 2, 9};
  check(bincount(x, 4), Array{2, 0, 2, 0}.astype(i64));
  check(bincount(x, 4, Array{.5, 1., 2., 3., 4.}), Array{2.5, 0., 4., 0.});
  check(bincount(zeros({0}, i32), 2), zeros({2}, i64));
  check(grad([&](Array w) { return sum(square(bincount(x, 4, w))); })(Array{.5, 1., 2., 3., 4.}),
        Array{5., 8., 5., 8., 0.});
  const Array bins = {0., 1., 2.5, 4.}, v = {-1., 0., 0.5, 1., 4., 5., 2.5};
  check(digitize(v, bins), Array{0, 1, 1, 2, 4, 4, 3});
  check(digitize(v, bins, true), Array{0, 0, 1, 1, 3, 4, 2});
  check(digitize(v, flip(bins)), Array{4, 3, 3, 2, 0, 0, 1});
  check(digitize(v, flip(bins), true), Array{4, 4, 3, 3, 1, 0, 2});
  const auto both = [](Histogram h, Array counts, Array edges) {
    check(h.counts, counts);
    check(h.edges, edges);
  };
  both(histogram(X, 5), {2., 4., 2., 2., 2.}, {-1., 1., 3., 5., 7., 9.});
  both(histogram(X, bins), {1., 3., 3.}, bins);
  both(histogram(X, 4, std::array{0., 6.}), {2., 3., 2., 2.}, {0., 1.5, 3., 4.5, 6.});
  both(histogram(ones({3}), 2), {0.f, 3.f}, {.5f, 1.f, 1.5f});
  both(histogram(Array{0., kNan, 1.}, 1, std::array{0., 1.}), {2.}, {0., 1.});
  check(jit([](Array a) { return histogram(a, 5).counts; })(X), histogram(X, 5).counts);
  check(vmap([](Array a) { return histogram(a, 2).counts; })(X)(1), histogram(X(1), 2).counts);
  CHECK_THROWS_WITH(bincount(Array{1.}, 2), Catch::Contains("E93"));
  CHECK_THROWS_WITH(bincount(x, 4, Array{1.}), Catch::Contains("E81"));
  CHECK_THROWS_WITH(histogram(X, 0), Catch::Contains("E82"));
}

TEST_CASE("histograms: weights, density, several dimensions", "[statistics]") {
  const Array x = {0.5, 1.5, 1.5, 2.5, 4., -1.}, y = {1., 2., 2.5, 0., 1., 3.},
              w = {1., 2., 3., 4., 5., 6.};
  check(histogram(x, 4, {}, {.weights = w}).counts, {6., 1., 9., 5.});
  check(histogram(x, 4, {}, {.density = true}).counts, {2. / 15, 2. / 15, 0.4, 2. / 15});
  check(histogram_bin_edges(x, 4, {{0., 2.}}), {0., 0.5, 1., 1.5, 2.});
  const auto h = histogram2d(x, y, {2, 3});
  check(h.counts, {{0., 1., 1.}, {1., 1., 2.}});
  check(h.edges[0], {-1., 1.5, 4.});
  check(h.edges[1], {0., 1., 2., 3.});
  const Array density = {{0., 2. / 21}, {8. / 21, 4. / 21}};
  check(histogram2d(x, y, {2}, {{{0., 3.}}, {{0., 2.}}}, {.weights = w, .density = true}).counts,
        density);
  const Array points = stack({x, y}, 1);
  check(histogramdd(points, {2, 3}).counts, h.counts);
  check(histogramdd(points, h.edges).counts, h.counts);
  check(jit([](Array p) { return histogramdd(p, {2, 3}).counts; })(points), h.counts);
  CHECK(histogramdd(points, {zeros({1}), h.edges[1]}).counts.shape() == Shape{0, 3});
  CHECK_THROWS_WITH(histogramdd(x), Catch::Matchers::Contains("points are [n, d]"));
  CHECK_THROWS_WITH(histogramdd(points, {1, 2, 3}),
                    Catch::Matchers::Contains("of 3 and ranges of 0 dimensions for 2"));
  CHECK_THROWS_WITH(histogram(x, 4, {}, {.weights = zeros({2})}),
                    Catch::Matchers::Contains("for 6 elements"));
}

TEST_CASE("rankdata, sem", "[statistics]") {
  const Array x = {3., 1., 4., 1., 5., 3., 3.};
  check(rankdata(x), {4., 1.5, 6., 1.5, 7., 4., 4.});
  check(rankdata(x, "min"), {3., 1., 6., 1., 7., 3., 3.});
  check(rankdata(x, "max"), {5., 2., 6., 2., 7., 5., 5.});
  check(rankdata(x, "dense"), {2., 1., 3., 1., 4., 2., 2.});
  check(rankdata(x, "ordinal"), {3., 1., 6., 2., 7., 4., 5.});
  const Array m = {{1., 4., 2., 8.}, {5., 7., 1., 3.}, {9., 2., 6., 0.}};
  check(rankdata(m, "average", 1), {{1., 3., 2., 4.}, {3., 4., 1., 2.}, {4., 2., 3., 1.}});
  check(rankdata(m, "max", 0), transpose(rankdata(transpose(m), "max", 1)));
  check(jit([](Array v) { return rankdata(v); })(x), rankdata(x));
  CHECK(rankdata(zeros({0})).shape() == Shape{0});
  CHECK_THROWS_WITH(rankdata(x, "first"), Catch::Matchers::Contains("no method"));
  check(sem(m, 1), {1.5478479684172257, 1.2909944487358056, 2.0155644370746373});
}
