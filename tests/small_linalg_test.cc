// small_linalg_test.cc -- batches of small matrices: no calls, and what the kernels give.
#include <jaxpp/jaxpp.h>
#include <catch2/catch.hpp>

using namespace jaxpp;

namespace {
Array normal(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
// Relative to the largest number.
double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  REQUIRE(a.dtype() == b.dtype());
  REQUIRE(bool(all(isnan(a) == isnan(b))));
  if (a.size() == 0) return 0;
  const Array off = max(abs(nan_to_num(a) - nan_to_num(b))), size = max(abs(nan_to_num(b)));
  return double(off.astype(f64)) / std::max(1., double(size.astype(f64)));
}
// jit(f)(x...) against f(x...), and the calls that are left.
template <class F, class... X>
double difference(F f, std::int64_t calls, const X&... x) {
  CHECK(jit(f).compile(x...).cost().calls == calls);
  const std::vector<Array> now = tree_leaves(jit(f)(x...)), eager = tree_leaves(f(x...));
  REQUIRE(now.size() == eager.size());
  double most = 0;
  for (std::size_t i = 0; i < now.size(); ++i) most = std::max(most, distance(now[i], eager[i]));
  return most;
}
}  // namespace

TEST_CASE("small matrices: factors are those of the kernels") {
  for (DType d : {f32, f64}) {
    const double eps = d == f32 ? 2e-4 : 1e-12;
    for (std::int64_t n : {1, 2, 3, 5, 8}) {
      const Array a = normal(int(n), {20, n, n}, d);
      CHECK(difference([](Array x) { return lax::lu(x); }, 0, a) < eps * 100);
      const Array p = matmul(a, swapaxes(a, -1, -2)) + eye(n, d);
      CHECK(difference([](Array x) { return lax::cholesky(x); }, 0, p) < eps);
    }
    CHECK(difference([](Array x) { return lax::lu(x); }, 0, normal(1, {4, 4}, d)) < eps);
    CHECK(difference([](Array x) { return lax::lu(x); }, 1, normal(1, {5, 5}, d)) == 0);
    CHECK(difference([](Array x) { return lax::lu(x); }, 1, normal(1, {20, 9, 9}, d)) == 0);
  }
  CHECK(difference([](Array x) { return lax::lu(x); }, 1, normal(1, {3, 3}, c128)) == 0);
}

TEST_CASE("small matrices: no pivot, no factor") {
  const Array singular{{{1., 2., 3.}, {2., 4., 6.}, {1., 1., 1.}},
                       {{0., 0., 0.}, {0., 0., 0.}, {0., 0., 0.}},
                       {{0., 1., 0.}, {0., 0., 1.}, {1., 0., 0.}}};
  CHECK(difference([](Array x) { return lax::lu(x); }, 0, singular) == 0);
  CHECK(difference([](Array x) { return linalg::det(x); }, 0, singular) == 0);
  const Array indefinite{
      {{4., 2.}, {2., 5.}}, {{1., 2.}, {2., 1.}}, {{0., 0.}, {0., 0.}}, {{-1., 0.}, {0., 1.}}};
  CHECK(difference([](Array x) { return lax::cholesky(x); }, 0, indefinite) < 1e-15);
}

TEST_CASE("small matrices: triangular_solve, all flags") {
  for (int flags = 0; flags < 32; ++flags) {
    const TriangularSolveParams p{.conjugate_a = bool(flags & 1),
                                  .left_side = bool(flags & 2),
                                  .lower = bool(flags & 4),
                                  .transpose_a = bool(flags & 8),
                                  .unit_diagonal = bool(flags & 16)};
    const auto solve = [p](Array a, Array b) { return lax::triangular_solve(a, b, p); };
    for (std::int64_t n : {1, 3, 6}) {
      const Array a = normal(1, {16, n, n}) / 4. + eye(n), b = normal(2, {16, n, n});
      CHECK(difference(solve, 0, a, b) < 1e-12);
      const Array c = normal(3, p.left_side ? Shape{16, n, 2} : Shape{16, 2, n});
      CHECK(difference(solve, 0, a, c) < 1e-12);
    }
  }
}

TEST_CASE("small matrices: solve, inv and det in vmap, scan and grad") {
  const auto solve = [](Array a, Array b) { return linalg::solve(a, b); };
  const Array a = normal(1, {30, 3, 3}) + 3. * eye(3), b = normal(2, {30, 3});
  CHECK(difference([&](Array x, Array y) { return vmap(solve)(x, y); }, 0, a, b) < 1e-13);
  CHECK(difference([](Array x) { return linalg::inv(x); }, 0, a) < 1e-13);
  CHECK(difference([](Array x) { return linalg::det(x); }, 0, a) < 1e-12);
  CHECK(difference(
            [&](Array x, Array y) {
              return vmap(grad<0, 1>([&](Array p, Array q) { return sum(sin(solve(p, q))); }))(x,
                                                                                               y);
            },
            0, a, b) < 1e-12);
  const auto steps = [&](Array x, Array y) {  // of many systems, each on its own
    return vmap([&](Array p, Array q) {
      return scan([&](Array s, NoneType) { return std::pair(solve(p, s) + q, None); }, q, None,
                  {.length = 5})
          .first;
    })(x, y);
  };
  CHECK(difference(steps, 0, a, b) < 1e-12);
  CHECK(jit(steps).compile(a, b).cost().loops == 1);
}

TEST_CASE("small matrices: a batch of systems is one pass over memory") {
  const Array a = normal(1, {1000, 3, 3}, f32), b = normal(2, {1000, 3}, f32);
  const auto f = [](Array x, Array y) {
    return vmap([](Array p, Array q) { return linalg::solve(p, q); })(x, y);
  };
  const CostEstimate c = jit(f).compile(a, b).cost();
  CHECK(c.loops == 1);
  CHECK(c.bytes_read == 4 * 12000);
  CHECK(c.bytes_written == 4 * 3000);
}
