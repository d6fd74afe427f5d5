// linalg_test.cc -- factorisations against their definition, linalg against numpy's values, and all derivatives.
#include <jaxpp/jaxpp.h>
#include <catch2/catch.hpp>
#include <cmath>

using namespace jaxpp;

namespace {
Array normal(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
Array transposed(const Array& a) { return swapaxes(a, -1, -2); }
Array adjoint(const Array& a) {
  return is_complex(a.dtype()) ? conj(transposed(a)) : transposed(a);
}
Array positive(int seed, const Shape& shape, DType d = f64) {
  const Array a = normal(seed, shape, d);
  return matmul(a, adjoint(a)) + 3 * eye(shape.back(), d);
}
double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  return a.size() ? double(max(abs(a - b))) : 0;
}
}  // namespace

TEST_CASE("linalg: cholesky") {
  for (DType d : {f64, c128}) {
    for (std::int64_t n : {1, 3, 31, 32, 33, 100}) {
      const Array a = positive(int(n), {n, n}, d), l = lax::cholesky(a);
      CHECK(distance(matmul(l, adjoint(l)), a) < 1e-12 * double(n * n));
      CHECK(distance(l, tril(l)) == 0);
    }
    const Array a = positive(7, {2, 3, 4, 4}, d);
    CHECK(distance(linalg::cholesky(a)(1, 2), linalg::cholesky(a(1, 2))) < 1e-14);
    check_grads([](Array x) { return linalg::cholesky(x); }, std::tuple(positive(1, {2, 3, 3}, d)),
                {.order = 2});
    CHECK(distance(linalg::cholesky(a, true), adjoint(linalg::cholesky(a))) == 0);
  }
  const Array bad = linalg::cholesky({{{4., 2.}, {2., 5.}}, {{1., 2.}, {2., 1.}}});
  CHECK(distance(bad(0), {{2., 0.}, {1., 2.}}) == 0);
  CHECK(bool(all(isnan(bad(1)(Array{0, 1, 1}, Array{0, 0, 1})))));
  CHECK(linalg::cholesky(zeros({0, 0})).shape() == Shape{0, 0});
}

TEST_CASE("linalg: triangular_solve, all flags") {
  for (DType d : {f64, c128})
    for (int flags = 0; flags < 32; ++flags)
      for (const auto& [n, m] : std::vector<std::pair<std::int64_t, std::int64_t>>{
               {1, 5}, {3, 5}, {40, 5}, {40, 1}, {30, 200}}) {
        const TriangularSolveParams p{.conjugate_a = bool(flags & 1),
                                      .left_side = bool(flags & 2),
                                      .lower = bool(flags & 4),
                                      .transpose_a = bool(flags & 8),
                                      .unit_diagonal = bool(flags & 16)};
        const Array full = normal(1, {n, n}, d) / double(n) + eye(n, d);
        const Array b = normal(2, p.left_side ? Shape{n, m} : Shape{m, n}, d);
        const Array x = lax::triangular_solve(full, b, p);
        Array a =
            p.lower ? tril(full, p.unit_diagonal ? -1 : 0) : triu(full, p.unit_diagonal ? 1 : 0);
        if (p.unit_diagonal) a = a + eye(n, d);
        if (p.transpose_a) a = transposed(a);
        if (p.conjugate_a && is_complex(d)) a = conj(a);
        INFO("flags " << flags << ", n " << n << ", m " << m);
        CHECK(distance(p.left_side ? matmul(a, x) : matmul(x, a), b) < 1e-11);
        if (n == 3)
          check_grads([p](Array u, Array v) { return lax::triangular_solve(u, v, p); },
                      std::tuple(full, b), {.order = 2});
      }
  const Array halves = lax::triangular_solve((2 * eye(30, f64)).astype(bf16), ones({30, 2}, bf16),
                                             {.left_side = true});
  CHECK(array_equal(halves, full({30, 2}, 0.5, bf16)));
  const auto solve = [](Array a, Array b) {
    return lax::triangular_solve(a, b, {.left_side = true, .lower = true});
  };
  const Array a = normal(3, {4, 3, 3}) + 3 * eye(3, f64), b = normal(4, {4, 3, 2});
  const Array want = solve(a, b);
  CHECK(distance(vmap(solve)(a, b), want) < 1e-14);
  CHECK(distance(vmap(solve, {.in_axes = {None, 0}})(a(1), b)(2), solve(a(1), b(2))) < 1e-14);
  CHECK(distance(vmap(solve, {.in_axes = {0, None}})(a, b(1))(2), solve(a(2), b(1))) < 1e-14);
  CHECK(distance(vmap(solve, {.in_axes = {None, 2}})(a(1), moveaxis(b, 0, 2))(2),
                 solve(a(1), b(2))) < 1e-14);
}

TEST_CASE("linalg: lu") {
  for (DType d : {f32, f64, c64, c128})
    for (Shape s : {Shape{1, 1},
                    {3, 3},
                    {4, 2},
                    {2, 4},
                    {33, 33},
                    {70, 90},
                    {90, 70},
                    {2, 5, 5},
                    {0, 3},
                    {3, 0}}) {
      const Array a = normal(5, s, d);
      const std::vector<Array> f = lax::lu(a);
      const std::int64_t m = a.shape(-2), n = a.shape(-1), k = std::min(m, n);
      CHECK(f[1].dtype() == i32);
      if (a.size() == 0) continue;
      const Array l = tril(f[0](Ellipsis, All, Slice(0, k)), -1) + eye(m, k, 0, d);
      const Array u = triu(f[0](Ellipsis, Slice(0, k), All));
      const Array rows = take_along_axis(a, expand_dims(f[2], -1), -2);
      CHECK(distance(matmul(l, u), rows) < (width(real_of(d)) == 4 ? 1e-4 : 1e-12));
      CHECK(array_equal(lax::lu_pivots_to_permutation(f[1], m), f[2]));
    }
  for (Shape s : {Shape{3, 3}, {4, 2}, {2, 4}, {2, 3, 3}})
    check_grads([](Array x) { return lax::lu(x)[0]; }, std::tuple(normal(6, s)), {.order = 2});
  check_grads([](Array x) { return lax::lu(x)[0]; }, std::tuple(normal(6, {3, 3}, c128)));
  const Array singular = lax::lu({{1., 2.}, {2., 4.}})[0];
  CHECK(distance(singular, {{2., 4.}, {0.5, 0.}}) == 0);
}

TEST_CASE("linalg: solve, inv, det, slogdet") {
  const Array a = {{4., 1., 2.}, {1., 3., 0.}, {2., 0., 5.}};
  CHECK(distance(linalg::solve(a, {1., 2., 3.}),
                 Array{-0.3023255813953489, 0.7674418604651163, 0.7209302325581396}) < 1e-14);
  CHECK(double(linalg::det(a)) == Approx(43));
  for (DType d : {f64, c128}) {
    for (std::int64_t n : {1, 2, 3, 4, 6}) {
      const Array m = normal(int(n), {n, n}, d) + 2 * eye(n, d), b = normal(20, {n, 2}, d);
      CHECK(distance(matmul(m, linalg::solve(m, b)), b) < 1e-12);
      CHECK(distance(matmul(m, linalg::inv(m)), eye(n, d)) < 1e-12);
      const auto [sign, logdet] = linalg::slogdet(m);
      CHECK(logdet.dtype() == f64);
      CHECK(distance(sign * exp(logdet), linalg::det(m)) < 1e-11);
      check_grads([](Array x, Array y) { return linalg::solve(x, y); }, std::tuple(m, b),
                  {.order = 2});
      check_grads([](Array x) { return linalg::inv(x); }, std::tuple(m), {.order = 2});
      check_grads([](Array x) { return linalg::det(x); }, std::tuple(m), {.order = 2});
      check_grads([](Array x) { return linalg::slogdet(x).logdet; }, std::tuple(m), {.order = 2});
    }
    check_grads([](Array x) { return linalg::slogdet(x).sign; },
                std::tuple(normal(30, {2, 3, 3}, d)));
  }
  // Leading dimensions broadcast; a vector is one column.
  const Array many = normal(8, {2, 3, 3}) + 3 * eye(3, f64);
  CHECK(distance(linalg::solve(many, {1., 2., 3.})(1), linalg::solve(many(1), {1., 2., 3.})) <
        1e-14);
  CHECK(linalg::solve(many(0), normal(9, {5, 3, 4})).shape() == Shape{5, 3, 4});
  CHECK(distance(vmap([](Array x) { return linalg::det(x); })(many), linalg::det(many)) < 1e-12);
  CHECK(linalg::solve(Array{{2.f, 0.f}, {0.f, 4.f}}, Array{1.f, 1.f}).dtype() == f32);
  // A matrix of rank n - 1: the derivative of det is the adjugate.
  const Array low = normal(10, {4, 3}), rank3 = matmul(low, normal(11, {3, 4}));
  CHECK(std::abs(double(linalg::det(rank3))) < 1e-12);
  const Array g = grad([](Array x) { return linalg::det(x); })(rank3);
  for (int i = 0; i < 4; ++i) {
    const double h = 1e-6;
    const Array step = zeros({4, 4}, f64).at(i, 2).set(h);
    const double fd = double(linalg::det(rank3 + step) - linalg::det(rank3 - step)) / (2 * h);
    CHECK(double(g(i, 2)) == Approx(fd).epsilon(1e-6));
  }
  CHECK(double(linalg::slogdet(zeros({2, 2}, f64)).sign) == 0);
  CHECK(double(linalg::slogdet(zeros({2, 2}, f64)).logdet) == -INFINITY);
  CHECK(double(linalg::det(zeros({0, 0}, f64))) == 1);
}

TEST_CASE("linalg: jit and nested transforms of solve") {
  const Array a = normal(12, {4, 4}) + 4 * eye(4, f64), b = normal(13, {4});
  const auto loss = [](Array x, Array y) { return sum(square(linalg::solve(x, y))); };
  const Array g = grad(loss)(a, b);
  CHECK(distance(jit(grad(loss))(a, b), g) < 1e-13);
  CHECK(distance(grad(jit(loss))(a, b), g) < 1e-13);
  const Array as = stack(std::vector<Array>{a, a + eye(4, f64)});
  CHECK(distance(vmap(grad(loss), {.in_axes = {0, None}})(as, b)(0), g) < 1e-13);
  CHECK(distance(jit(vmap(grad(loss), {.in_axes = {0, None}}))(as, b)(0), g) < 1e-13);
}

TEST_CASE("linalg: norm") {
  const Array m = {{1., -2., 3.}, {-4., 5., 6.}}, v = {3., -4.};
  CHECK(double(linalg::norm(v)) == 5);
  CHECK(double(linalg::norm(v, 1)) == 7);
  CHECK(double(linalg::norm(v, 3)) == Approx(std::cbrt(91.)));
  CHECK(double(linalg::norm(v, INFINITY)) == 4);
  CHECK(double(linalg::norm(v, -INFINITY)) == 3);
  CHECK(double(linalg::norm(Array{0., 2., 3.}, 0)) == 2);
  CHECK(double(linalg::norm(m)) == Approx(std::sqrt(91.)));
  CHECK(double(linalg::norm(m, "fro")) == Approx(std::sqrt(91.)));
  CHECK(double(linalg::norm(m, 1)) == 9);
  CHECK(double(linalg::norm(m, -1)) == 5);
  CHECK(double(linalg::norm(m, INFINITY)) == 15);
  CHECK(double(linalg::norm(m, -INFINITY)) == 6);
  CHECK(distance(linalg::norm(m, None, 0), Array{std::sqrt(17.), std::sqrt(29.), std::sqrt(45.)}) <
        1e-14);
  CHECK(linalg::norm(m, 1, -1, true).shape() == Shape{2, 1});
  CHECK(linalg::norm(normal(14, {2, 3, 4}), 1, {0, -1}).shape() == Shape{3});
  CHECK(linalg::norm(normal(14, {2, 3, 4}), INFINITY, {0, 2}, true).shape() == Shape{1, 3, 1});
  CHECK(double(linalg::norm(Array{std::complex(3., 4.)})) == 5);
  CHECK(std::isnan(double(grad([](Array x) { return linalg::norm(x); })(zeros({2}, f64))(0))));
  check_grads([](Array x) { return linalg::norm(x); }, std::tuple(m), {.order = 2});
  check_grads([](Array x) { return linalg::norm(x, 3, 1); }, std::tuple(m), {.order = 2});
  CHECK(double(linalg::trace(Array{{1., 2.}, {3., 4.}})) == 5);
}

TEST_CASE("linalg: bad input") {
  const Array m = ones({2, 3}, f64), s = eye(2, f64);
  CHECK_THROWS_AS(linalg::inv(m), TypeError);
  CHECK_THROWS_AS(linalg::det(Array{1., 2.}), TypeError);
  CHECK_THROWS_AS(linalg::solve(s, Array{1., 2., 3.}), TypeError);
  CHECK_THROWS_AS(linalg::solve(s, Array(1.)), TypeError);
  CHECK_THROWS_AS(linalg::norm(m, "nuclear"), TypeError);
  CHECK_THROWS_AS(linalg::norm(m, 1, 2), TypeError);
  CHECK_THROWS_AS(linalg::norm(ones({2, 2, 2}), 1), TypeError);
  CHECK_THROWS_AS(lax::cholesky(m), TypeError);
  CHECK_THROWS_AS(lax::cholesky(Array{{1, 2}, {3, 4}}), TypeError);
  CHECK_THROWS_AS(lax::lu(Array{1., 2.}), TypeError);
  CHECK_THROWS_AS(lax::triangular_solve(s, m, {}), TypeError);
  CHECK_THROWS_AS(lax::triangular_solve(s, ones({1, 2, 2}, f64), {.left_side = true}), TypeError);
  CHECK_THROWS_AS(lax::triangular_solve(s, ones({2, 2}, f32), {.left_side = true}), TypeError);
  CHECK_THROWS_AS(lax::lu_pivots_to_permutation(Array{0, 1, 2}, 2), TypeError);
}

// ---- Decompositions
TEST_CASE("linalg: factors multiply to the matrix", "[decompositions]") {
  for (DType d : {f32, f64, c64, c128})
    for (auto [m, n] :
         {std::pair<std::int64_t, std::int64_t>{4, 4}, {5, 3}, {3, 5}, {1, 1}, {40, 33}}) {
      INFO(zeros({0}, d).type()->str() << " " << m << " x " << n);
      const double tolerance = real_of(d) == f64 ? 1e-12 : 2e-4;
      const Array a = random::normal(random::key(1), {2, m, n}, d);
      auto unitary = [&](const Array& q) {
        return distance(matmul(adjoint(q), q),
                        broadcast_to(eye(q.shape(-1), d), {2, q.shape(-1), q.shape(-1)})) <
               tolerance;
      };
      for (bool full : {false, true}) {
        const auto [q, r] = linalg::qr(a, full);
        CHECK(distance(matmul(q, r), a) < tolerance);
        CHECK(unitary(q));
        CHECK(q.shape(-1) == (full ? m : std::min(m, n)));
        const auto [u, s, vh] = linalg::svd(a, full);
        const std::int64_t k = std::min(m, n);
        CHECK(distance(matmul(u(Ellipsis, Slice(0, k)) * expand_dims(s, -2).astype(d),
                              vh(Ellipsis, Slice(0, k), All)),
                       a) < tolerance * 10);
        CHECK(unitary(u));
        CHECK(unitary(adjoint(vh)));
        CHECK(bool(all(s(Ellipsis, Slice(0, k - 1)) >= s(Ellipsis, Slice(1, k)))));
      }
      const std::vector<Array> f = lax::qr(a, {false, true});
      const Array columns = take_along_axis(a, expand_dims(f[2], -2), -1);
      CHECK(distance(matmul(f[0], f[1]), columns) < tolerance);
      if (m != n) continue;
      const Array h = (a + adjoint(a)) / 2;
      const auto [w, v] = linalg::eigh(h);
      CHECK(distance(matmul(h, v), v * expand_dims(w, -2).astype(d)) < tolerance * 10);
      CHECK(unitary(v));
      const auto [z, x] = linalg::eig(a);
      CHECK(distance(matmul(a.astype(x.dtype()), x), x * expand_dims(z, -2)) < tolerance * 10);
      CHECK(distance(linalg::expm(zeros({2, m, n}, d)), broadcast_to(eye(n, d), {2, n, n})) <
            tolerance);
    }
  // A NaN makes NaNs of its matrix only.
  const Array bad = linalg::svdvals(Array{{{1., NAN}, {0., 1.}}, {{2., 0.}, {0., 1.}}});
  CHECK(array_equal(bad(1), Array{2., 1.}));
  CHECK(bool(all(isnan(bad(0)))));
  CHECK(linalg::svdvals(zeros({0, 3}, f64)).shape() == Shape{0});
  CHECK(linalg::qr(zeros({3, 0}, f64)).q.shape() == Shape{3, 0});
  CHECK(linalg::eigvalsh(zeros({2, 0, 0}, f64)).shape() == Shape{2, 0});
}
TEST_CASE("linalg: functions of decompositions", "[decompositions]") {
  const Array a = normal(40, {5, 3}), b = normal(41, {5}),
              third = normal(42, {3, 3}) + 3 * eye(3, f64);
  const Array low = matmul(normal(43, {4, 2}), normal(44, {2, 5}));  // of rank 2
  for (const Array& x : {a, transpose(a), low}) {
    const Array p = linalg::pinv(x);
    CHECK(distance(matmul(x, matmul(p, x)), x) < 1e-12);
    CHECK(distance(matmul(p, matmul(x, p)), p) < 1e-12);
  }
  CHECK(std::int64_t(linalg::matrix_rank(low)) == 2);
  const auto fit = linalg::lstsq(a, b);
  CHECK(distance(matmul(transpose(a), matmul(a, fit.x) - b), zeros({3}, f64)) < 1e-12);
  CHECK(double(fit.residuals(0)) == Approx(double(sum(jaxpp::square(matmul(a, fit.x) - b)))));
  CHECK(double(linalg::cond(Array{{2., 0.}, {0., 4.}})) == Approx(2));
  CHECK(double(linalg::cond(Array{{2., 0.}, {0., 4.}}, 1)) == Approx(2));
  CHECK(distance(linalg::matrix_power(third, 5),
                 matmul(third, matmul(third, matmul(third, matmul(third, third))))) < 1e-9);
  CHECK(distance(linalg::matrix_power(third, -2), linalg::inv(matmul(third, third))) < 1e-12);
  CHECK(distance(linalg::matrix_power(third, 0), eye(3, f64)) == 0);
  // exp of a rotation's generator, scaled far up.
  const double t = 20;
  CHECK(distance(linalg::expm(Array{{0., -t}, {t, 0.}}),
                 Array{{std::cos(t), -std::sin(t)}, {std::sin(t), std::cos(t)}}) < 1e-11);
  CHECK(distance(linalg::multi_dot({b, a, third, normal(45, {3, 2})}),
                 matmul(matmul(matmul(b, a), third), normal(45, {3, 2}))) < 1e-11);

  check_grads([](Array x) { return linalg::pinv(x); }, std::tuple(a));
  check_grads([](Array x) { return linalg::expm(x); }, std::tuple(third / 4));
  check_grads([](Array x) { return linalg::svdvals(x); }, std::tuple(a));
  check_grads([](Array x, Array y) { return linalg::lstsq(x, y).x; }, std::tuple(a, b));
  // Equal singular values do not disturb the pseudo-inverse.
  check_grads([](Array x) { return linalg::pinv(x); }, std::tuple(eye(3, f64)));
  auto f = [](Array x) { return linalg::eigvalsh(x + transpose(x)); };
  CHECK(distance(jit(f)(third), f(third)) < 1e-14);
  CHECK_THROWS_AS(linalg::eigh(a), TypeError);
  CHECK_THROWS_AS(linalg::multi_dot({}), TypeError);
  CHECK_THROWS_AS(linalg::lstsq(a, normal(1, {4})), TypeError);
}
