// linalg_factors_test.cc -- factors, systems of a known kind, functions of matrices and special matrices, against the values of
// NumPy 2.4 and SciPy 1.17, against their definition, and in all derivatives.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "values.h"

using namespace jaxpp;

namespace {
Array normal(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
Array transposed(const Array& a) { return swapaxes(a, -1, -2); }
Array adjoint(const Array& a) { return conj(transposed(a)); }
Array positive(int seed, const Shape& shape, DType d = f64) {
  const Array a = normal(seed, shape, d);
  return matmul(a, adjoint(a)) + 3 * eye(shape.back(), d);
}
double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  return a.size() ? double(max(abs(a - b))) : 0;
}
double rounding(DType d) { return real_of(d) == f64 ? 1e-12 : 2e-4; }
// f on each of a batch: by itself, by vmap (over both ends), and jitted.
template <class F>
void check_batch(const F& f, const Array& batch, double tolerance = 1e-12) {
  const Array all = f(batch), lanes = vmap(f)(batch);
  CHECK(distance(all, lanes) < tolerance);
  CHECK(distance(vmap(f, {.in_axes = {-1}})(moveaxis(batch, 0, -1)), lanes) < tolerance);
  for (std::int64_t i = 0; i < batch.shape(0); ++i)
    CHECK(distance(f(batch(i)), lanes(i)) < tolerance);
  CHECK(distance(jit(f)(batch), all) < tolerance);
}
const Array kB = {{1., -2., 3.}, {-4., 5., 6.}};
const Array kG = {{2., -1., .5}, {1., 3., -2.}, {0.25, 1., 4.}};
const DType kFields[] = {f32, f64, c64, c128};
}  // namespace

// ---- numpy.linalg
TEST_CASE("linalg: norms by singular values, of vectors and of matrices", "[linalg]") {
  check(linalg::norm(kB, "nuc"), 12.49706697378234);
  check(linalg::norm(kB, 2), 8.789365882622867);
  check(linalg::norm(kB, -2), 3.707701091159473);
  check(linalg::vector_norm(kB, 3), 7.611662611020244);
  const Array x = arange(24., f64).reshape({2, 3, 4});
  check(linalg::vector_norm(x, 2, {0, 2}),
        {27.349588662354687, 36.823905279043935, 47.11687595755899});
  check(linalg::vector_norm(x, INFINITY, {0, 2}, true), {{{15.}, {19.}, {23.}}});
  CHECK(linalg::norm(x, "nuc", {2, 0}, true).shape() == Shape{1, 3, 1});
  CHECK(distance(linalg::norm(x, "nuc", {2, 0}), linalg::norm(x, "nuc", {0, 2})) < 1e-12);
  CHECK(distance(linalg::matrix_norm(x), linalg::norm(x, "fro", {1, 2})) == 0);
  CHECK(linalg::matrix_norm(x, 1, true).shape() == Shape{2, 1, 1});
  CHECK(double(linalg::vector_norm(zeros({0}, f64), INFINITY)) == 0);
  CHECK(double(linalg::matrix_norm(zeros({0, 3}, f64), 2)) == 0);
  CHECK(double(linalg::matrix_norm(zeros({0, 3}, f64), INFINITY)) == 0);
  for (const char* order : {"nuc", "fro"})
    check_grads([=](Array v) { return linalg::matrix_norm(v, order); }, std::tuple(kB),
                {.order = 2});
  for (double order : {2., -2., 1., double(INFINITY)})
    check_grads([=](Array v) { return linalg::matrix_norm(v, order); }, std::tuple(kB));
  check_batch([](Array v) { return linalg::matrix_norm(v, "nuc"); }, normal(1, {3, 4, 2}));
  CHECK_THROWS_AS(linalg::matrix_norm(kB, 3), TypeError);
  CHECK_THROWS_AS(linalg::vector_norm(kB, "nuc"), TypeError);
  CHECK_THROWS_AS(linalg::norm(kB, "max"), TypeError);
}
TEST_CASE("linalg: cond", "[linalg]") {
  check(linalg::cond(kG), 2.087561834489113);
  check(linalg::cond(kG, -2), 0.47902772673784255);
  check(linalg::cond(kG, 1), 3.735632183908045);
  check(linalg::cond(kG, -1), 1.1954022988505746);
  check(linalg::cond(kG, INFINITY), 3.4942528735632177);
  check(linalg::cond(kG, "fro"), 3.567909433192309);
  check(linalg::cond(kG, "nuc"), 9.84246522833747);
  const Array singular = {{1., 2.}, {2., 4.}}, nothing = zeros({2, 2}, f64);
  CHECK(double(linalg::cond(singular, 1)) == INFINITY);
  CHECK(double(linalg::cond(nothing, -2)) == INFINITY);
  CHECK(std::isnan(double(linalg::cond(Array{{NAN, 1.}, {0., 1.}}, 1))));
  check_grads([](Array v) { return linalg::cond(v); }, std::tuple(kG), {.order = 2});
  check_grads([](Array v) { return linalg::cond(v, 1); }, std::tuple(kG));
  CHECK_THROWS_AS(linalg::cond(zeros({0, 0})), TypeError);
  CHECK_THROWS_AS(linalg::cond(kB, 1), TypeError);
}
TEST_CASE("linalg: modes of qr, hermitian svd and pinv", "[linalg][decompositions]") {
  CHECK(linalg::qr(transposed(kB), "complete").q.shape() == Shape{3, 3});
  CHECK(linalg::qr(transposed(kB), "reduced").q.shape() == Shape{3, 2});
  const auto r = linalg::qr(transposed(kB), "r");
  CHECK_FALSE(r.q.defined());
  CHECK(distance(r.r, linalg::qr(transposed(kB)).r) == 0);
  const auto raw = linalg::qr(transposed(kB), "raw");
  check(raw.q, {{-3.7416573867739413, -0.42179344411906794, 0.632690166178602},
                {-1.069044967649699, -8.709600614100674, 0.6296937740521279}});
  check(raw.r, {1.2672612419124243, 1.4321371953902717});
  CHECK_THROWS_AS(linalg::qr(kB, "economic"), TypeError);
  CHECK_THROWS_WITH(grad([](Array a) { return sum(lax::geqrf(a).first); })(kB),
                    Catch::Contains("geqrf"));
  for (DType d : kFields) {
    const Array a = normal(3, {2, 5, 3}, d);
    const auto [v, taus] = lax::geqrf(a);
    CHECK(distance(matmul(lax::householder_product(v, taus), triu(v(All, Slice(0, 3), All))), a) <
          rounding(d));
    const Array h = normal(4, {2, 4, 4}, d), s = h + adjoint(h);
    const auto [u, w, vh] = linalg::svd(s, false, true);
    CHECK(distance(matmul(u * expand_dims(w, -2).astype(d), vh), s) < rounding(d) * 10);
    CHECK(distance(matmul(adjoint(u), u), broadcast_to(eye(4, d), {2, 4, 4})) < rounding(d));
    CHECK(distance(w, linalg::svdvals(s)) < rounding(d) * 10);
    CHECK(distance(linalg::svdvals(s, true), w) < rounding(d));
    CHECK(distance(linalg::pinv(s, {}, true), linalg::pinv(s)) < rounding(d) * 100);
  }
  // Of rank 2, with eigenvalues of both signs.
  const Array thin = normal(5, {4, 2}), low = matmul(thin * Array{2., -1.}, transposed(thin));
  CHECK(std::int64_t(linalg::matrix_rank(low, {}, true)) == 2);
  CHECK(distance(matmul(low, matmul(linalg::pinv(low, {}, true), low)), low) < 1e-11);
  check_grads([](Array a) { return linalg::pinv(a, {}, true); }, std::tuple(positive(6, {3, 3})),
              {.order = 2});
  check_grads([](Array a) { return linalg::svdvals(a, true); }, std::tuple(normal(7, {3, 3})),
              {.order = 2});
  // Vectors of a matrix that is not Hermitian: functions that do not depend on their phase.
  check_grads(
      [](Array a) {
        const auto [w, v] = linalg::eig(a, true);
        const Array size = abs(v);
        return sum(size * size * expand_dims(real(w), -2), -1);
      },
      std::tuple(kG + normal(8, {3, 3}) / 10));
  CHECK_THROWS_AS(grad([](Array a) { return sum(real(linalg::eig(a).v)); })(kG), TypeError);
}
TEST_CASE("linalg: tensorinv, tensorsolve and the array API's names", "[linalg]") {
  const Array a = normal(9, {6, 2, 3}) + eye(6, f64).reshape({6, 2, 3}), b = normal(10, {6});
  const Array inverse = linalg::tensorinv(a, 1);
  CHECK(inverse.shape() == Shape{2, 3, 6});
  CHECK(distance(tensordot(a, inverse, 2), eye(6, f64)) < 1e-11);
  const Array x = linalg::tensorsolve(a, b);
  CHECK(distance(tensordot(a, x, 2), b) < 1e-11);
  const Array moved = moveaxis(a, 0, 1);  // [2, 6, 3]: axes 0 and 2 belong to x
  CHECK(distance(linalg::tensorsolve(moved, b, {0, 2}), x) < 1e-12);
  check_grads([](Array u, Array v) { return linalg::tensorsolve(u, v); }, std::tuple(a, b));
  CHECK_THROWS_AS(linalg::tensorinv(a, 2), TypeError);
  CHECK_THROWS_AS(linalg::tensorinv(a, 0), TypeError);
  CHECK_THROWS_AS(linalg::tensorsolve(a, ones({5}, f64)), TypeError);
  const Array c = lax::complex(kB, 2. * kB);
  check(linalg::vecdot(c, c), {std::complex(70.), std::complex(385.)});
  check(linalg::vecdot(kB, kB, 0), {17., 29., 45.});
  check(linalg::cross(kB, flip(kB, 0)), cross(kB, flip(kB, 0)));
  check(linalg::outer(kB(0), kB(1)), outer(kB(0), kB(1)));
  check(linalg::diagonal(broadcast_to(kG, {2, 3, 3}), 1), {{-1., -2.}, {-1., -2.}});
  check(linalg::matrix_transpose(kB), transpose(kB));
  check(linalg::tensordot(kB, transpose(kB), 1), matmul(kB, transpose(kB)));
  CHECK_THROWS_AS(linalg::outer(kB, kB), TypeError);
  CHECK_THROWS_AS(linalg::cross(Array{1., 2.}, Array{1., 2.}), TypeError);
  CHECK_THROWS_AS(linalg::vecdot(kB, ones({2, 2}, f64)), TypeError);
}

// ---- Factors
TEST_CASE("linalg: factors of Cholesky", "[linalg]") {
  const Array a = {{4., 1., 2.}, {1., 3., 0.}, {2., 0., 5.}};
  const auto upper = linalg::cho_factor(a);
  check(upper.c, {{2., 0.5, 1.},
                  {0., 1.6583123951776999, -0.30151134457776363},
                  {0., 0., 1.9771421064483223}});
  check(linalg::cho_solve(upper, {1., 2., 3.}),
        {-0.30232558139534893, 0.76744186046511631, 0.72093023255813971});
  for (DType d : kFields)
    for (bool lower : {false, true}) {
      const Array m = positive(11, {2, 4, 4}, d), b = normal(12, {2, 4, 3}, d);
      const auto f = linalg::cho_factor(m, lower);
      CHECK(distance(lower ? matmul(f.c, adjoint(f.c)) : matmul(adjoint(f.c), f.c), m) <
            rounding(d) * 10);
      CHECK(distance(matmul(m, linalg::cho_solve(f, b)), b) < rounding(d) * 10);
      const Array x = linalg::solve(m, b, linalg::Assume::pos, lower);
      CHECK(distance(matmul(m, x), b) < rounding(d) * 10);
      CHECK(distance(linalg::solve(m(0), b(0, All, 0), linalg::Assume::pos, lower), x(0, All, 0)) <
            rounding(d));
      if (real_of(d) != f64) continue;
      const auto solve = [=](Array u, Array v) {
        return linalg::solve((u + adjoint(u)) / 2, v, linalg::Assume::pos, lower);
      };
      check_grads(solve, std::tuple(m(0), b(0)), {.order = 2});
      check_grads(
          [=](Array u, Array v) {
            return linalg::cho_solve(linalg::cho_factor((u + adjoint(u)) / 2, lower), v);
          },
          std::tuple(m(0), b(0)), {.order = 2});
      CHECK(distance(vmap(solve)(m, b), x) < 1e-12);
      CHECK(distance(vmap(solve, {.in_axes = {None, 0}})(m(1), b)(1), x(1)) < 1e-12);
      CHECK(distance(jit(solve)(m, b), x) < 1e-12);
    }
  CHECK(bool(all(isnan(linalg::cho_factor(Array{{1., 2.}, {2., 1.}}, true).c(1)))));
  CHECK(linalg::solve(zeros({0, 0}, f64), zeros({0}, f64), linalg::Assume::pos).shape() ==
        Shape{0});
  CHECK_THROWS_AS(linalg::cho_factor(kB), TypeError);
  CHECK_THROWS_AS(linalg::cho_solve(upper, ones({2}, f64)), TypeError);
}
TEST_CASE("linalg: factors of lu", "[linalg]") {
  const auto f = linalg::lu_factor(kG);
  check(f.lu, {{2., -1., 0.5}, {0.5, 3.5, -2.25}, {0.125, 0.3214285714285714, 4.6607142857142856}});
  CHECK(array_equal(f.piv, Array{0, 1, 2}));
  using linalg::Trans;
  for (DType d : kFields) {
    const Array a = normal(13, {2, 5, 5}, d) + eye(5, d), b = normal(14, {2, 5, 3}, d);
    const auto factors = linalg::lu_factor(a);
    for (Trans op : {Trans::N, Trans::T, Trans::C}) {
      const Array m = op == Trans::N ? a : op == Trans::T ? transposed(a) : adjoint(a);
      CHECK(distance(matmul(m, linalg::lu_solve(factors, b, op)), b) < rounding(d) * 100);
      const auto solve = [=](Array u, Array v) {
        return linalg::lu_solve(linalg::lu_factor(u), v, op);
      };
      const Array x = solve(a(0), b(0, All, 1));
      CHECK(distance(matmul(m(0), x), b(0, All, 1)) < rounding(d) * 100);
      if (real_of(d) == f64) {
        check_grads(solve, std::tuple(a(0), b(0)), {.order = 2});
        CHECK(distance(vmap(solve)(a, b), solve(a, b)) < 1e-12);
        CHECK(distance(jit(solve)(a, b), solve(a, b)) < 1e-12);
      }
    }
    for (Shape s : {Shape{2, 4, 3}, {3, 4}, {3, 3}}) {
      const Array m = normal(15, s, d);
      const auto [p, l, u] = linalg::lu(m);
      CHECK(p.dtype() == real_of(d));
      CHECK(distance(matmul(p.astype(d), matmul(l, u)), m) < rounding(d));
    }
  }
  // One factor, many right-hand sides; and the other way round.
  const auto one = linalg::lu_factor(kG);
  const Array many = normal(16, {4, 3, 2});
  CHECK(distance(linalg::lu_solve(one, many)(2), linalg::solve(kG, many(2))) < 1e-13);
  const auto two = linalg::lu_factor(stack({kG, 2. * kG}));
  CHECK(linalg::lu_solve(two, Array{1., 2., 3.}).shape() == Shape{2, 3});
  CHECK(linalg::lu_solve(linalg::lu_factor(zeros({0, 0}, f64)), zeros({0, 2}, f64)).shape() ==
        Shape{0, 2});
  CHECK_THROWS_AS(linalg::lu_solve({kG, f.piv(Slice(0, 2))}, ones({3}, f64)), TypeError);
  CHECK_THROWS_AS(linalg::lu_solve(linalg::lu_factor(kB), ones({2}, f64)), TypeError);
}
TEST_CASE("linalg: solve_triangular", "[linalg]") {
  using linalg::Trans;
  for (DType d : kFields)
    for (int flags = 0; flags < 12; ++flags) {
      const linalg::TriangularOptions o{
          .trans = Trans(flags / 4), .lower = bool(flags & 1), .unit_diagonal = bool(flags & 2)};
      const Array a = normal(17, {2, 3, 3}, d) + 3 * eye(3, d), b = normal(18, {3}, d);
      Array m = o.lower ? tril(a) : triu(a);
      if (o.unit_diagonal) m = where(eye(3, f64) != 0, ones_like(m), m);
      m = o.trans == Trans::N ? m : o.trans == Trans::T ? transposed(m) : adjoint(m);
      const auto solve = [=](Array u, Array v) { return linalg::solve_triangular(u, v, o); };
      const Array x = solve(a, b);
      CHECK(x.shape() == Shape{2, 3});
      CHECK(distance(squeeze(matmul(m, expand_dims(x, -1)), -1), stack({b, b})) < rounding(d));
      if (d == c128) check_grads(solve, std::tuple(a(0), b), {.order = 2});
    }
  CHECK(distance(linalg::solve_triangular(kG.astype(f32), Array{1, 2, 3}),
                 linalg::solve(triu(kG).astype(f32), Array{1, 2, 3})) < 1e-6);
  CHECK_THROWS_AS(linalg::solve_triangular(kB, Array{1., 2.}), TypeError);
}
TEST_CASE("linalg: singular and empty systems", "[linalg]") {
  const Array singular = {{1., 2.}, {2., 4.}}, b = {1., 1.};
  for (const Array& x :
       {linalg::solve(singular, b), linalg::lu_solve(linalg::lu_factor(singular), b),
        linalg::solve_triangular(Array{{1., 2.}, {0., 0.}}, b),
        linalg::solve(singular, b, linalg::Assume::pos), linalg::inv(singular)(0)})
    CHECK_FALSE(bool(all(isfinite(x))));
  CHECK(linalg::solve(zeros({2, 0, 0}, f64), zeros({0, 3}, f64)).shape() == Shape{2, 0, 3});
  CHECK(linalg::inv(zeros({0, 0}, f64)).shape() == Shape{0, 0});
  CHECK(double(linalg::slogdet(zeros({0, 0}, f64)).logdet) == 0);
  CHECK(linalg::pinv(zeros({0, 3}, f64)).shape() == Shape{3, 0});
  CHECK(std::int64_t(linalg::matrix_rank(zeros({0, 3}, f64))) == 0);
  CHECK(linalg::sqrtm(zeros({0, 0}, f64)).shape() == Shape{0, 0});
  CHECK(linalg::polar(zeros({3, 0}, f64)).u.shape() == Shape{3, 0});
  // A vector is one right-hand side for every matrix; a matrix is never a batch of vectors.
  CHECK(linalg::solve(positive(1, {4, 3, 3}), ones({3}, f64)).shape() == Shape{4, 3});
  CHECK_THROWS_AS(linalg::solve(positive(1, {4, 3, 3}), ones({4, 3}, f64)), TypeError);
}

// ---- Functions of matrices
TEST_CASE("linalg: sqrtm and schur", "[linalg][decompositions]") {
  check(real(linalg::sqrtm(kG)), {{1.4474516861723306, -0.31573121430152623, 0.095601421340812009},
                                  {0.31573121430151918, 1.7999753739070059, -0.52957557909585196},
                                  {0.047800710670406081, 0.26478778954792553, 2.0336310705499563}});
  const Array negative = {{1., 2.}, {3., -4.}};
  check(linalg::sqrtm(negative), {{std::complex(1.212183053462653, 0.31943828249996997),
                                   std::complex(0.40406101782088427, -0.63887656499993994)},
                                  {std::complex(0.60609152673132649, -0.95831484749990981),
                                   std::complex(0.20203050891044214, 1.9166296949998196)}});
  for (DType d : kFields) {
    const Array a = normal(19, {3, 5, 5}, d), r = linalg::sqrtm(a);
    CHECK(r.dtype() == complex_of(d));
    CHECK(distance(matmul(r, r), a.astype(r.dtype())) < 100 * rounding(d));
    for (auto output : {linalg::Schur::real, linalg::Schur::complex}) {
      const auto [t, z] = linalg::schur(a, output);
      CHECK(distance(matmul(z, matmul(t, adjoint(z))), a.astype(z.dtype())) < 10 * rounding(d));
      CHECK(distance(matmul(adjoint(z), z), broadcast_to(eye(5, z.dtype()), {3, 5, 5})) <
            rounding(d));
      const std::int64_t below = is_complex(t.dtype()) ? 0 : 1;
      CHECK(distance(t, triu(t, -below)) < rounding(d));
    }
  }
  // Defective, singular, and without a root.
  const Array jordan = {{4., 1., 0.}, {0., 4., 1.}, {0., 0., 4.}}, low = {{1., 2.}, {2., 4.}},
              none = {{0., 1.}, {0., 0.}};
  const Array r = linalg::sqrtm(jordan), s = linalg::sqrtm(low);
  CHECK(distance(matmul(r, r), jordan.astype(c128)) < 1e-12);
  CHECK(distance(matmul(s, s), low.astype(c128)) < 1e-7);
  CHECK_FALSE(bool(all(isfinite(real(linalg::sqrtm(none))))));
  CHECK(bool(all(isnan(real(linalg::sqrtm(Array{{NAN, 0.}, {0., 1.}}))))));
  CHECK(distance(linalg::sqrtm(zeros({2, 2}, f64)), zeros({2, 2}, c128)) == 0);
  const auto root = [](Array a) { return linalg::sqrtm(a); };
  const auto real_root = [](Array a) { return real(linalg::sqrtm(a)); };
  check_grads(real_root, std::tuple(kG), {.order = 2});
  check_grads(real_root, std::tuple(jordan), {.order = 2});
  check_grads(real_root, std::tuple(2 * eye(3, f64)), {.order = 2});  // equal eigenvalues
  check_grads(root, std::tuple(normal(20, {3, 3}, c128) + 3 * eye(3, c128)), {.order = 2});
  check_batch(real_root, positive(21, {3, 4, 4}));
  check_batch([](Array a) { return grad([](Array v) { return sum(real(linalg::sqrtm(v))); })(a); },
              positive(22, {2, 3, 3}), 1e-11);
  CHECK_THROWS_AS(linalg::sqrtm(kB), TypeError);
  CHECK_THROWS_WITH(grad([](Array a) { return sum(linalg::schur(a).t); })(kG),
                    Catch::Contains("schur"));
}
TEST_CASE("linalg: polar", "[linalg][decompositions]") {
  using linalg::Side;
  const auto [u, p] = linalg::polar(kB);
  check(u, {{0.30837486296341926, -0.58728442435393036, 0.74833277945280774},
            {-0.46740161095806088, 0.59161833909080352, 0.65690446407772918}});
  check(p, {{2.1779813067956622, -2.9537577807171438, -1.8792850768581082},
            {-2.9537577807171438, 4.1326605441618796, 1.7878567614830307},
            {-1.8792850768581086, 1.7878567614830314, 6.1864251228247999}});
  const auto left = linalg::polar(kG, Side::left);
  check(left.u, {{0.92942518678754904, -0.35946267699435885, 0.083399076811311021},
                 {0.3627124078603417, 0.84834599172185532, -0.38567964363395491},
                 {0.067886164636712931, 0.38871025478820392, 0.91885570492510205}});
  check(left.p, {{2.2600125889751128, -0.31576099781814931, 0.20648992694777274},
                 {-0.31576099781814937, 3.6791096702938182, -0.60369448084887889},
                 {0.20648992694777263, -0.60369448084887889, 4.0811046156477913}});
  for (DType d : kFields)
    for (auto [m, n] : {std::pair<std::int64_t, std::int64_t>{3, 3}, {4, 2}, {2, 4}})
      for (Side side : {Side::right, Side::left}) {
        const Array a = normal(23, {2, m, n}, d);
        const auto f = linalg::polar(a, side);
        CHECK(distance(side == Side::right ? matmul(f.u, f.p) : matmul(f.p, f.u), a) <
              10 * rounding(d));
        CHECK(distance(f.p, adjoint(f.p)) < 10 * rounding(d));
        if (real_of(d) != f64 || (side == Side::right) != (m >= n)) continue;
        check_grads(
            [=](Array x) {
              const auto of = linalg::polar(x, side);
              return std::pair(of.u, of.p);
            },
            std::tuple(a(0)), {.order = 2});
      }
  // Equal singular values are no trouble: u is smooth at the unit matrix.
  check_grads([](Array x) { return linalg::polar(x).u; }, std::tuple(eye(3, f64)), {.order = 2});
  check_batch([](Array x) { return linalg::polar(x).u; }, normal(24, {3, 4, 2}));
  CHECK_THROWS_AS(linalg::polar(Array{1., 2.}), TypeError);
}
TEST_CASE("linalg: expm and its derivative", "[linalg]") {
  const Array a = {{1., 2.}, {3., -4.}}, e = {{0., 1.}, {1., 0.5}};
  const auto f = linalg::expm_frechet(a, e);
  CHECK(bool(allclose(
      f.frechet,
      Array{{4.3088214719682583, 2.3910927093274261}, {3.0593306245674547, 1.4949403351917931}},
      1e-12)));
  CHECK(distance(f.expm, linalg::expm(a)) == 0);
  const Array upper = triu(kG);
  CHECK(distance(linalg::expm(upper, true), linalg::expm(upper)) < 1e-11);
  CHECK(bool(all(isnan(linalg::expm(1e4 * kG, false, 3)))));
  check_grads([](Array x) { return linalg::expm(x); }, std::tuple(kG / 4), {.order = 2});
  check_batch([](Array x) { return linalg::expm(x); }, normal(25, {3, 3, 3}), 1e-11);
  CHECK_THROWS_AS(linalg::expm_frechet(a, kB), TypeError);
}
TEST_CASE("linalg: eigh_tridiagonal", "[linalg][decompositions]") {
  const Array d = {1., 2., 3., 4.}, e = {.5, -1., 2.};
  const auto all = linalg::eigh_tridiagonal(d, e);
  check(all.w, {0.58756224785502931, 1.1645693696177102, 2.5771823752799983, 5.6706860072472622});
  const Array a = diag(d) + diag(e, 1) + diag(e, -1);
  CHECK(distance(matmul(a, all.v), all.v * all.w) < 1e-13);
  const auto some = linalg::eigh_tridiagonal(d, e, std::pair(1, 2));
  check(some.w, all.w(Slice(1, 3)));
  CHECK(distance(some.v, all.v(All, Slice(1, 3))) == 0);
  const auto values = [](Array x, Array y) { return linalg::eigh_tridiagonal(x, y).w; };
  check_grads(values, std::tuple(d, e), {.order = 2});
  CHECK(distance(vmap(values)(stack({d, 2. * d}), stack({e, e}))(1), values(2. * d, e)) < 1e-13);
  const Array z = lax::complex(e, Array{1., 0., -1.});
  const auto hermitian = linalg::eigh_tridiagonal(d.astype(c128), z);
  const Array h = diag(d.astype(c128)) + diag(z, 1) + diag(conj(z), -1);
  CHECK(distance(matmul(h, hermitian.v), hermitian.v * hermitian.w.astype(c128)) < 1e-13);
  check(linalg::eigh_tridiagonal(Array{3.}, zeros({0}, f64)).w, {3.});
  CHECK_THROWS_AS(linalg::eigh_tridiagonal(d, d), TypeError);
  CHECK_THROWS_AS(linalg::eigh_tridiagonal(d, e, std::pair(1, 4)), TypeError);
}

// ---- Special matrices
TEST_CASE("linalg: special matrices", "[linalg]") {
  const Array c = {1., 2., 3.};
  check(linalg::toeplitz(c, {1., 4., 5., 6.}),
        {{1., 4., 5., 6.}, {2., 1., 4., 5.}, {3., 2., 1., 4.}});
  check(linalg::toeplitz(Array{std::complex(1., 2.), std::complex(3., 4.)}),
        {{std::complex(1., 2.), std::complex(3., -4.)},
         {std::complex(3., 4.), std::complex(1., 2.)}});
  check(linalg::hankel(c, {3., 4., 5., 6.}),
        {{1., 2., 3., 4.}, {2., 3., 4., 5.}, {3., 4., 5., 6.}});
  check(linalg::hankel(c), {{1., 2., 3.}, {2., 3., 0.}, {3., 0., 0.}});
  check(linalg::circulant(c), {{1., 3., 2.}, {2., 1., 3.}, {3., 2., 1.}});
  check(linalg::companion({2., 4., 6., 8.}), {{-2., -3., -4.}, {1., 0., 0.}, {0., 1., 0.}});
  check(linalg::leslie(c, {.5, .25}), {{1., 2., 3.}, {0.5, 0., 0.}, {0., 0.25, 0.}});
  check(linalg::fiedler({1., 4., 9.}), {{0., 3., 8.}, {3., 0., 5.}, {8., 5., 0.}});
  for (const char* mode : {"full", "same", "valid"}) {
    const Array v = normal(26, {4});
    const Array m = linalg::convolution_matrix(c, 4, mode);
    if (std::string(mode) == "valid") check(m, {{3., 2., 1., 0.}, {0., 3., 2., 1.}});
    CHECK(distance(matmul(m, v), convolve(c, v, mode)) < 1e-14);
  }
  check(linalg::block_diag({kB, Array(7.), Array{8., 9.}}), {{1., -2., 3., 0., 0., 0.},
                                                             {-4., 5., 6., 0., 0., 0.},
                                                             {0., 0., 0., 7., 0., 0.},
                                                             {0., 0., 0., 0., 8., 9.}});
  CHECK(linalg::block_diag({}).shape() == Shape{1, 0});
  CHECK(linalg::block_diag({zeros({0, 2}, f64), kB}).shape() == Shape{2, 5});
  check(linalg::invhilbert(4, f64), {{16., -120., 240., -140.},
                                     {-120., 1200., -2700., 1680.},
                                     {240., -2700., 6480., -4200.},
                                     {-140., 1680., -4200., 2800.}});
  CHECK(distance(matmul(linalg::hilbert(4, f64), linalg::invhilbert(4, f64)), eye(4, f64)) < 1e-11);
  check(linalg::pascal(4, "symmetric", f64),
        {{1., 1., 1., 1.}, {1., 2., 3., 4.}, {1., 3., 6., 10.}, {1., 4., 10., 20.}});
  check(linalg::pascal(3, "lower", f64), {{1., 0., 0.}, {1., 1., 0.}, {1., 2., 1.}});
  check(linalg::helmert(3, false, f64),
        {{0.70710678118654746, -0.70710678118654746, 0.},
         {0.40824829046386307, 0.40824829046386307, -0.81649658092772615}});
  const Array full = linalg::helmert(5, true, f64);
  CHECK(distance(matmul(full, transposed(full)), eye(5, f64)) < 1e-14);
  const Array h = linalg::hadamard(8, f64);
  CHECK(distance(matmul(h, transposed(h)), 8 * eye(8, f64)) == 0);
  const Array x = normal(27, {6});
  CHECK(distance(matmul(linalg::dft(6, linalg::DftScale::none, c128), x.astype(c128)),
                 fft::fft(x)) < 1e-13);
  // Batches, types, sizes, derivatives.
  const Array rows = normal(28, {2, 3});
  check_batch([](Array v) { return linalg::toeplitz(v); }, rows);
  check_batch([](Array v) { return linalg::hankel(v, flip(v, -1)); }, rows);
  check_batch([](Array v) { return linalg::circulant(v); }, rows);
  check_batch([](Array v) { return linalg::companion(v); }, rows);
  check_batch([](Array v) { return linalg::convolution_matrix(v, 2); }, rows);
  check_batch([](Array v) { return linalg::leslie(v, v(Ellipsis, Slice(1, None))); }, rows);
  check_grads([](Array v, Array w) { return linalg::toeplitz(v, w); },
              std::tuple(rows(0), normal(29, {4})), {.order = 2});
  check_grads([](Array v) { return linalg::block_diag({v, 2. * v}); }, std::tuple(kB));
  CHECK(linalg::toeplitz(Array{1, 2}).dtype() == i32);
  CHECK(linalg::toeplitz(zeros({0}), ones({3})).shape() == Shape{0, 3});
  CHECK(linalg::circulant(zeros({2, 0})).shape() == Shape{2, 0, 0});
  CHECK_THROWS_AS(linalg::hadamard(6), TypeError);
  CHECK_THROWS_AS(linalg::companion(Array{1.}), TypeError);
  CHECK_THROWS_AS(linalg::leslie(c, c), TypeError);
  CHECK_THROWS_AS(linalg::block_diag({ones({2, 2, 2})}), TypeError);
  CHECK_THROWS_AS(linalg::pascal(3, "left"), TypeError);
  CHECK_THROWS_AS(linalg::convolution_matrix(c, 0), TypeError);
}
