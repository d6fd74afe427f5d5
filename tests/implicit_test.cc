// implicit_test.cc -- custom_linear_solve and custom_root: values, derivatives of any order, batches, and what is refused.
#include <catch2/catch.hpp>
#include <limits>
#include "checks.h"
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {

// Jacobi's iteration, of unknown length: reverse mode could not go through it.
template <class F>
Array iterate(const F& product, Array b) {
  const auto far = [&](Array x) { return max(abs(product(x) - b)) > 1e-14; };
  return while_loop(
      far, [&](Array x) { return x + 0.25 * (b - product(x)); }, zeros_like(b));
}
Array solve_by(Array a, Array b) {
  const auto product = [&](Array v) { return matmul(a, v); };
  const auto solver = [](const auto& f, Array rhs) { return iterate(f, rhs); };
  return custom_linear_solve(product, b, solver, solver);
}
Array matrix() { return Array{{4., 0.5, 0.1}, {-0.3, 3.5, 0.2}, {0.4, 0.1, 4.5}}; }
bool near(const Array& a, const Array& b) { return bool(allclose(a, b, 1e-9, 1e-11)); }

// x with x^3 + x = a, by bisection.
Array root_of(Array a) {
  const auto f = [&](Array x) { return x * x * x + x - a; };
  const auto bisect = [](const auto& g, Array) {
    using Range = std::pair<Array, Array>;
    const auto wide = [](const Range& r) { return r.second - r.first > 1e-15; };
    const auto halve = [&](const Range& r) {
      const Array middle = (r.first + r.second) / 2., above = g(middle) > 0.;
      return Range(where(above, r.first, middle), where(above, middle, r.second));
    };
    return while_loop(
               [&](const Range& r) { return wide(r) & (r.first < (r.first + r.second) / 2.); },
               halve, Range(Array(-4.), Array(4.)))
        .first;
  };
  const auto tangent = [](const auto& g, Array y) { return y / g(ones_like(y)); };
  return custom_root(f, Array(0.), bisect, tangent);
}

}  // namespace

TEST_CASE("implicit: linear systems") {
  const Array a = matrix(), b = {1., -2., 0.5};
  const auto direct = [](Array m, Array v) { return linalg::solve(m, v); };
  CHECK(near(solve_by(a, b), direct(a, b)));
  CHECK(near(jit(solve_by)(a, b), direct(a, b)));
  const auto loss = [](auto solver) {
    return [=](Array m, Array v) { return sum(sin(solver(m, v))); };
  };
  const auto [da, db] = grad<0, 1>(loss(solve_by))(a, b);
  const auto [ea, eb] = grad<0, 1>(loss(direct))(a, b);
  CHECK((near(da, ea) && near(db, eb)));
  const auto [ja, jb] = jit(grad<0, 1>(loss(solve_by)))(a, b);
  CHECK((near(ja, ea) && near(jb, eb)));
  CHECK(near(hessian(loss(solve_by))(a, b), hessian(loss(direct))(a, b)));
  CHECK(near(jacfwd(solve_by)(a, b), jacrev(direct)(a, b)));

  const Array many = stack({b, 2. * b, b + 1.}), systems = stack({a, a + 0.1, transpose(a)});
  CHECK(near(vmap(solve_by, {.in_axes = {None, 0}})(a, many),
             vmap(direct, {.in_axes = {None, 0}})(a, many)));
  CHECK(near(vmap(grad(loss(solve_by)))(systems, many), vmap(grad(loss(direct)))(systems, many)));
}

TEST_CASE("implicit: symmetric systems, trees, and what is refused") {
  struct Pair {
    Array x, y;
  };
  const auto solve_pair = [](Array w, Pair b, LinearSolveOptions options) {
    const auto product = [&](Pair v) { return Pair{2. * v.x + w * v.y, w * v.x + 3. * v.y}; };
    const auto cramer = [&](const auto& f, Pair v) {
      const Pair i = f(Pair{ones_like(v.x), zeros_like(v.x)}),
                 j = f(Pair{zeros_like(v.x), ones_like(v.x)});
      const Array det = i.x * j.y - j.x * i.y;
      return Pair{(j.y * v.x - j.x * v.y) / det, (i.x * v.y - i.y * v.x) / det};
    };
    return custom_linear_solve(product, b, cramer, None, options);
  };
  const Pair b{Array(1.), Array(2.)};
  const auto f = [&](Array w) {
    const Pair x = solve_pair(w, b, {.symmetric = true});
    return x.x * x.y;
  };
  // x = (3 - 2 w) / (6 - w^2), y = (4 - w) / (6 - w^2)
  const auto exact = [](Array w) { return (3. - 2. * w) * (4. - w) / square(6. - w * w); };
  CHECK(near(f(Array(0.5)), exact(Array(0.5))));
  CHECK(near(grad(f)(Array(0.5)), grad(exact)(Array(0.5))));
  CHECK(near(grad(grad(f))(Array(0.5)), grad(grad(exact))(Array(0.5))));
  const auto one_way = [&](Array w) { return solve_pair(w, b, {}).x; };
  CHECK(near(jvp(one_way, std::tuple(Array(0.5)), std::tuple(Array(1.))).second,
             grad([](Array w) { return (3. - 2. * w) / (6. - w * w); })(Array(0.5))));
  CHECK_THROWS_WITH(grad(one_way)(Array(0.5)), Catch::Contains("transpose_solve"));
  const auto shrinks = [](Array v) { return lax::slice(v, {0}, {2}); };
  CHECK_THROWS_WITH(
      custom_linear_solve(shrinks, Array{1., 2., 3.}, [](const auto&, Array v) { return v; }),
      Catch::Contains("matvec must return arrays like b"));
}

TEST_CASE("implicit: roots") {
  // x = 1 at a = 2; x' = 1 / (3 x^2 + 1), x'' = -6 x x'^3
  const Array a = 2.;
  CHECK(near(root_of(a), Array(1.)));
  CHECK(near(grad(root_of)(a), Array(0.25)));
  CHECK(near(grad(grad(root_of))(a), Array(-6. / 64)));
  CHECK(near(jit(grad(grad(root_of)))(a), Array(-6. / 64)));
  CHECK(near(vmap(grad(root_of))(Array{0., 2., 10.}), Array{1., 0.25, 1. / 13}));
  CHECK(near(jvp(root_of, std::tuple(a), std::tuple(Array(4.))).second, Array(1.)));
}

TEST_CASE("implicit: roots whose tangents are solved by functions with rules of their own") {
  // linalg::solve has a derivative of its own, which the recorded tangent_solve holds as a call.
  const auto root = [](Array start, Array a) {
    const auto f = [&](Array x) { return x * x * x + x - a; };
    const auto newton = [](const auto& g, Array x0) {
      return while_loop([&](Array x) { return max(abs(g(x))) > 1e-13; },
                        [&](Array x) { return x - g(x) / (3. * x * x + 1.); }, x0);
    };
    const auto tangent = [](const auto& g, Array y) {
      const auto column = [&](Array v) { return g(v); };
      return linalg::solve(matrix_transpose(vmap(column)(eye(y.size(), y.dtype()))), y);
    };
    return sum(custom_root(f, start, newton, tangent));
  };
  const Array starts = {{1., 2.}, {0., 0.}}, a = {2., 10.};
  CHECK(near(grad<1>(root)(starts(0), Array(2.)), Array(0.5)));
  CHECK(near(vmap(grad<1>(root))(starts, a), Array{0.5, 2. / 13}));
  CHECK(near(jit(vmap(grad<1>(root)))(starts, a), Array{0.5, 2. / 13}));
  CHECK(near(vmap(grad<1>(grad<1>(root)))(starts, a), Array{-12. / 64, -24. / (13. * 13 * 13)}));
}
