// polynomial_test.cc -- polynomials, trapezoids, differences, and reductions by groups: values of jax.numpy and jax.ops 0.10.2,
// identities, derivatives, batches, errors.
#include "jaxpp/polynomial.h"
#include <catch2/catch.hpp>
#include <limits>
#include "jaxpp/jaxpp.h"
#include "jaxpp/segment.h"

using namespace jaxpp;

namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();

void check(const Array& got, const Array& want, double tolerance = 1e-12) {
  INFO("got  " << got.type()->str() << "\n"
               << got << "\nwant " << want.type()->str() << "\n"
               << want);
  CHECK(got.type() == want.type());
  if (got.shape() == want.shape()) CHECK(allclose(got, want, tolerance, tolerance, true));
}

const Array P = {2., -3., 0.5, 1.}, X = {0., 0.5, 2., -1.};
const Array T = {0., 1., 2., 3., 4.}, Y = {1., 0.5, 2., 4.5, 9.};
}  // namespace

TEST_CASE("polynomials: arithmetic", "[polynomial]") {
  check(polyval(P, X), Array{1., 0.75, 6., -4.5});
  check(polyval(Array{1, 2}, Array{{3, 4}}), Array{{5, 6}});
  check(polyval(zeros({0}, f64), X), zeros({4}, f64));
  check(polyadd(P, Array{1., 1.}), Array{2., -3., 1.5, 2.});
  check(polysub(Array{1, 1}, Array{1, 2, 3}), Array{-1, -1, -2});
  check(polymul(P, Array{1., 1.}), Array{2., -1., -2.5, 1.5, 1.});
  check(polyder(P), Array{6., -6., 0.5});
  check(polyder(P, 2), Array{12., -6.});
  check(polyder(P, 9), zeros({0}, f64));
  check(polyint(P), Array{0.5, -1., 0.25, 1., 0.});
  check(polyder(polyint(P, 3), 3), P);
  check(poly(Array{1., 2., -0.5}), Array{1., -2.5, 0.5, 1.});
  check(sort(real(roots(Array{2., -5., 1., 2.}))), Array{-0.5, 1., 2.});
  CHECK(roots(Array{3.}).type()->str() == "c128[0]");
  check(vander(X),
        Array{{0., 0., 0., 1.}, {0.125, 0.25, 0.5, 1.}, {8., 4., 2., 1.}, {-1., 1., -1., 1.}});
  check(vander(X, 3, true), Array{{1., 0., 0.}, {1., 0.5, 0.25}, {1., 2., 4.}, {1., -1., 1.}});
  check(vander(X, 0), zeros({4, 0}, f64));
  check(grad([](Array x) { return polyval(P, x); })(0.5), polyval(polyder(P), 0.5));
  check(vmap([](Array p) { return polyval(polyder(p), X); })(stack({P, 2. * P}))(1),
        polyval(polyder(2. * P), X));
  CHECK_THROWS_WITH(polyval(1., X), Catch::Contains("E86"));
  CHECK_THROWS_WITH(polyder(P, -1), Catch::Contains("E82"));
}

TEST_CASE("polynomials: least squares", "[polynomial]") {
  check(polyfit(T, Y, 2), Array{0.7857142857142865, -1.1428571428571455, 0.9714285714285731});
  check(polyfit(T, stack({Y, T}, 1), 1), Array{{2., 1.}, {-0.6, 0.}});
  check(polyfit(T, polyval(P, T), 3), P, 1e-10);
  check(grad([](Array y) { return polyfit(T, y, 1)(0); })(Y), Array{-0.2, -0.1, 0., 0.1, 0.2});
  check(jit([](Array y) { return polyfit(T, y, 2); })(Y), polyfit(T, Y, 2));
  CHECK(polyfit(T.astype(f32), Y.astype(f32), 1).dtype() == f32);
}

TEST_CASE("polynomials: trapezoids and differences", "[polynomial]") {
  check(trapezoid(Y, T), Array(12.));
  check(trapezoid(Y, 0.5), Array(6.));
  check(trapezoid(stack({Y, 2. * Y}, 1), T, 0), Array{12., 24.});
  check(trapezoid(stack({Y, Y}), stack({T, 3. * T})), Array{12., 36.});
  check(trapezoid(Array{1, 2}), Array(1.5));
  check(gradient(Y), Array{-0.5, 0.5, 2., 3.5, 4.5});
  check(gradient(stack({Y, Y}, 1), 0.5, 0)(All, 1), Array{-1., 1., 4., 7., 9.});
  check(gradient(Array{1., 3.}), Array{2., 2.});
  check(grad([](Array t) { return trapezoid(Y, t); })(T), Array{-0.75, -0.5, -2., -3.5, 6.75});
  CHECK_THROWS_WITH(gradient(Array{1.}), Catch::Contains("E80"));
}

TEST_CASE("segments", "[segment]") {
  const Array x = {{1., 2.}, {3., 4.}, {5., 6.}, {7., 8.}}, ids = {0, 2, -1, 0};
  check(segment_sum(x, ids, 4), Array{{8., 10.}, {0., 0.}, {3., 4.}, {0., 0.}});
  check(segment_prod(x, ids, 4), Array{{7., 16.}, {1., 1.}, {3., 4.}, {1., 1.}});
  check(segment_max(x, ids, 4), Array{{7., 8.}, {-kInf, -kInf}, {3., 4.}, {-kInf, -kInf}});
  check(segment_min(x, ids, 4), Array{{1., 2.}, {kInf, kInf}, {3., 4.}, {kInf, kInf}});
  check(segment_max(Array{3, 4}, Array{0, 0}, 2), Array{4, std::numeric_limits<int>::min()});
  check(segment_min(Array{3, 4}, Array{0, 5}, 2), Array{3, std::numeric_limits<int>::max()});
  check(segment_sum(x, ids, 0), zeros({0, 2}, f64));
  check(segment_sum(zeros({0, 2}, f64), zeros({0}, i32), 1), Array{{0., 0.}});
  const auto largest = [&](Array v) {
    const Array m = segment_max(v, ids, 4);
    return sum(where(m > -kInf, m, 0));
  };
  check(grad(largest)(x), Array{{0., 0.}, {1., 1.}, {0., 0.}, {1., 1.}});
  check(jit([&](Array v) { return segment_sum(v, ids, 4); })(x), segment_sum(x, ids, 4));
  check(vmap([&](Array column) { return segment_prod(column, ids, 4); },
             {.in_axes = {1}, .out_axes = 1})(x),
        segment_prod(x, ids, 4));
  check(vmap([&](Array i) { return segment_sum(x, i, 3); })(Array{{0, 1, 2, 0}, {0, 0, 0, 0}})(1),
        Array{{16., 20.}, {0., 0.}, {0., 0.}});
  CHECK_THROWS_WITH(segment_sum(x, Array{0}, 2), Catch::Contains("E86"));
  CHECK_THROWS_WITH(segment_sum(x, Array{0., 1., 2., 3.}, 2), Catch::Contains("E93"));
  CHECK_THROWS_WITH(segment_sum(x, ids, -2), Catch::Contains("E82"));
}

TEST_CASE("polydiv", "[polynomial]") {
  const Array u = {2., -3., 1., 5., 4.}, v = {2., 1., 3.};
  const auto [q, r] = polydiv(u, v);
  CHECK(allclose(q, Array{1., -2., 0.}, 1e-14, 1e-14));
  CHECK(allclose(r, Array{0., 0., 0., 11., 4.}, 1e-14, 1e-14));
  CHECK(allclose(polyadd(polymul(q, v), r), u, 1e-14, 1e-14));
  CHECK(
      allclose(jit([](Array a, Array b) { return polydiv(a, b).second; })(u, v), r, 1e-14, 1e-14));
  check_grads([](Array a, Array b) { return polydiv(a, b).first; }, std::tuple(u, v));
  const auto longer = polydiv(v, u);
  CHECK(array_equal(longer.first, Array{0.}));
  CHECK(array_equal(longer.second, v));
}
