// iterative_test.cc -- cg, bicgstab and gmres: solutions, derivatives, batches, trees, and where they stop.
#include <catch2/catch.hpp>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {
Array normal(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
Array adjoint(const Array& a) { return conj(swapaxes(a, -1, -2)); }
Array positive(int seed, std::int64_t n, DType d = f64) {
  const Array a = normal(seed, {n, n}, d);
  return matmul(a, adjoint(a)) / double(n) + eye(n, d);
}
Array general(int seed, std::int64_t n, DType d = f64) {
  return normal(seed, {n, n}, d) / double(2 * n) + eye(n, d);
}
double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  return a.size() ? double(max(abs(a - b))) : 0;
}
struct Pair {
  Array x, y;
};
constexpr linalg::GmresOptions kBatched{.tol = 1e-13},
    kIncremental{.tol = 1e-13, .solve_method = linalg::GmresMethod::incremental};

// All solvers of general systems, by name.
template <class F>
void with_each(const F& check) {
  check("bicgstab",
        [](const auto& a, const auto& b) { return linalg::bicgstab(a, b, {.tol = 1e-13}); });
  check("gmres", [](const auto& a, const auto& b) { return linalg::gmres(a, b, kBatched); });
  check("gmres, incremental",
        [](const auto& a, const auto& b) { return linalg::gmres(a, b, kIncremental); });
}
}  // namespace

TEST_CASE("iterative: solutions, of every field", "[iterative]") {
  for (DType d : {f32, f64, c64, c128}) {
    const bool wide = real_of(d) == f64;
    const double tol = wide ? 1e-13 : 1e-5, far = wide ? 1e-10 : 1e-3;
    const Array a = general(1, 12, d), p = positive(2, 12, d), b = normal(3, {12}, d);
    CHECK(distance(linalg::cg(p, b, {.tol = tol}), linalg::solve(p, b)) < far);
    const Array x = linalg::solve(a, b);
    CHECK(distance(linalg::bicgstab(a, b, {.tol = tol}), x) < far);
    for (auto method : {linalg::GmresMethod::batched, linalg::GmresMethod::incremental})
      for (std::int64_t restart : {5, 20}) {
        INFO(restart);
        const linalg::GmresOptions o{.tol = tol, .restart = restart, .solve_method = method};
        const Array y = linalg::gmres(a, b, o);
        CHECK(y.dtype() == d);
        CHECK(distance(y, x) < far);
        CHECK(distance(jit([&](Array m, Array v) { return linalg::gmres(m, v, o); })(a, b), y) <
              far);
      }
  }
}
TEST_CASE("iterative: JAX's numbers after few steps", "[iterative]") {
  // jax.scipy.sparse.linalg (0.10.2), maxiter 2, and of gmres one restart of 2.
  const Array a = {{4., 1., 0.}, {1., 3., -1.}, {0., -1., 2.}}, b = {1., 2., 3.};
  const auto near = [](const Array& x, const Array& y) { return bool(allclose(x, y, 1e-10)); };
  CHECK(near(linalg::cg(a, b, {.tol = 0, .maxiter = 2}),
             {-0.039603960396039702, 1.2871287128712872, 2.2722772277227725}));
  CHECK(near(linalg::bicgstab(a, b, {.tol = 0, .maxiter = 1}),
             {0.031248842635457935, 1.0419428910040369, 1.8077756379393357}));
  CHECK(near(linalg::gmres(a, b, {.tol = 0, .restart = 2, .maxiter = 1}),
             {-0.01184834123222748, 1.252764612954187, 2.1982622432859409}));
  CHECK(near(
      linalg::gmres(
          a, b,
          {.tol = 0, .restart = 2, .maxiter = 1, .solve_method = linalg::GmresMethod::incremental}),
      {-0.01184834123222748, 1.252764612954187, 2.1982622432859409}));
}
TEST_CASE("iterative: derivatives by the equation", "[iterative]") {
  const Array p = positive(4, 5), a = general(5, 5), b = normal(6, {5});
  const auto by_cg = [](Array m, Array v) {
    return linalg::cg((m + adjoint(m)) / 2., v, {.tol = 1e-14});
  };
  const auto direct = [](Array m, Array v) { return linalg::solve((m + adjoint(m)) / 2., v); };
  check_grads(by_cg, std::tuple(p, b), {.order = 2});
  const auto [dm, dv] = grad<0, 1>([&](Array m, Array v) { return sum(sin(by_cg(m, v))); })(p, b);
  const auto [em, ev] = grad<0, 1>([&](Array m, Array v) { return sum(sin(direct(m, v))); })(p, b);
  CHECK((distance(dm, em) < 1e-10 && distance(dv, ev) < 1e-10));
  with_each([&](const char* name, const auto& solve) {
    INFO(name);
    check_grads(solve, std::tuple(a, b), {.order = 2});
    const auto loss = [&](Array m, Array v) { return sum(cos(solve(m, v))); };
    const auto exact = [](Array m, Array v) { return sum(cos(linalg::solve(m, v))); };
    const Array g = grad(loss)(a, b);
    CHECK(distance(g, grad(exact)(a, b)) < 1e-10);
    CHECK(distance(jit(grad(loss))(a, b), g) < 1e-10);
    const Array many = stack({a, transpose(a), a + 0.1}), rows = stack({b, 2. * b, b - 1.});
    CHECK(distance(vmap(solve)(many, rows),
                   linalg::solve(many, expand_dims(rows, -1))(All, All, 0)) < 1e-10);
    CHECK(distance(vmap(solve, {.in_axes = {None, 0}})(a, rows)(2), solve(a, rows(2))) < 1e-10);
    CHECK(distance(vmap(grad(loss))(many, rows)(1), grad(loss)(many(1), rows(1))) < 1e-10);
    CHECK(distance(jit(vmap(grad(loss)))(many, rows)(1), grad(loss)(many(1), rows(1))) < 1e-10);
  });
  // Hermitian: the transpose is the conjugate.
  const Array h = positive(7, 4, c128), z = normal(8, {4}, c128);
  check_grads([](Array m, Array v) { return linalg::cg((m + adjoint(m)) / 2., v, {.tol = 1e-14}); },
              std::tuple(h, z));
  with_each([&](const char* name, const auto& solve) {
    INFO(name);
    check_grads(solve, std::tuple(general(9, 4, c128), z));
  });
}
TEST_CASE("iterative: trees, guesses, preconditioners", "[iterative]") {
  const Array w = positive(10, 3);
  const auto product = [&](const Pair& v) {
    return Pair{dot(w, v.x) + 0.1 * sum(v.y), 3. * v.y + 0.1 * sum(v.x)};
  };
  const Pair b{Array{1., 2., 3.}, Array{{1., 0.}, {-1., 2.}}};
  const auto residual = [&](const Pair& x) {
    const Pair y = product(x);
    return std::max(distance(y.x, b.x), distance(y.y, b.y));
  };
  CHECK(residual(linalg::cg(product, b, {.tol = 1e-13})) < 1e-11);
  CHECK(residual(linalg::bicgstab(product, b, {.tol = 1e-13})) < 1e-11);
  CHECK(residual(linalg::gmres(product, b, kBatched)) < 1e-11);
  CHECK(residual(linalg::gmres(product, b, kIncremental)) < 1e-11);
  const auto halve = [](const Pair& v) { return Pair{v.x / 2., v.y / 3.}; };
  CHECK(residual(linalg::cg(product, b, {.tol = 1e-13}, b, halve)) < 1e-11);
  CHECK(residual(linalg::bicgstab(product, b, {.tol = 1e-13}, b, halve)) < 1e-11);
  CHECK(residual(linalg::gmres(product, b, kIncremental, b, halve)) < 1e-11);
  // An inverse as the preconditioner needs one step, a solution as the guess none.
  const Array a = general(11, 6), p = positive(12, 6), v = normal(13, {6});
  const Array x = linalg::solve(p, v);
  CHECK(distance(linalg::cg(p, v, {.maxiter = 1}, None, linalg::inv(p)), x) < 1e-12);
  CHECK(distance(linalg::cg(p, v, {.maxiter = 0}, x), x) == 0);
  CHECK(distance(linalg::gmres(a, v, {.restart = 1, .maxiter = 1}, None, linalg::inv(a)),
                 linalg::solve(a, v)) < 1e-12);
  // Columns of a matrix are one vector.
  const Array many = normal(14, {6, 3});
  CHECK(distance(linalg::cg(p, many, {.tol = 1e-13}), linalg::solve(p, many)) < 1e-11);
  // What a closes over has a derivative too, in a tree.
  check_grads(
      [&](Array s) {
        return linalg::gmres(
                   [&](Pair u) {
                     return Pair{dot(w, u.x) * s, u.y + s * sum(u.x)};
                   },
                   b, kBatched)
            .y;
      },
      std::tuple(Array(1.5)));
}
TEST_CASE("iterative: where they stop", "[iterative]") {
  const Array p = positive(15, 30), b = normal(16, {30});
  for (double tol : {1e-2, 1e-6}) {
    const Array r = b - dot(p, linalg::cg(p, b, {.tol = tol}));
    CHECK(double(linalg::norm(r)) <= tol * double(linalg::norm(b)));
    CHECK(double(linalg::norm(r)) > 1e-6 * tol);
    for (auto method : {linalg::GmresMethod::batched, linalg::GmresMethod::incremental}) {
      const Array s = b - dot(p, linalg::gmres(p, b, {.tol = tol, .solve_method = method}));
      CHECK(double(linalg::norm(s)) <= tol * double(linalg::norm(b)) * (1 + 1e-10));
    }
  }
  CHECK(distance(linalg::cg(p, b, {.atol = 1e9}), zeros({30}, f64)) == 0);
  const Array nothing = zeros({30}, f64);
  CHECK(distance(linalg::cg(p, nothing), nothing) == 0);
  CHECK(distance(linalg::bicgstab(p, nothing), nothing) == 0);
  CHECK(distance(linalg::gmres(p, nothing), nothing) == 0);
  CHECK(linalg::cg(eye(0, f64), zeros({0}, f64)).shape() == Shape{0});
  CHECK(linalg::gmres(eye(0, f64), zeros({0}, f64)).shape() == Shape{0});
  // An eigenvector as right-hand side: the space is exhausted after one direction.
  const Array e = {1., 0., 0.}, d = diag(Array{2., 3., 4.});
  for (auto method : {linalg::GmresMethod::batched, linalg::GmresMethod::incremental})
    CHECK(distance(linalg::gmres(d, e, {.solve_method = method}), e / 2.) < 1e-14);
  CHECK_THROWS_WITH(linalg::cg(ones({2, 3}, f64), ones({3}, f64)), Catch::Contains("square"));
  CHECK_THROWS_WITH(linalg::cg(p, b, {}, ones({3}, f64)), Catch::Contains("x0"));
  CHECK_THROWS_AS(linalg::cg(eye(2, f64), Array{1, 2}), TypeError);
  CHECK_THROWS_AS(linalg::gmres(p, b, {.restart = 0}), TypeError);
  CHECK_THROWS_AS(linalg::cg([](Array v) { return v(Slice(0, 2)); }, b), TypeError);
}
