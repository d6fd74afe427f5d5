// corner_values_test.cc -- where a derivative is a convention (at kinks, ties, infinities), and
// where a value is one (out of range, wrapping, NaN): what JAX does, measured.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include "jaxpp/jaxpp.h"
#include "jaxpp/lax.h"

using namespace jaxpp;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();
using V = std::vector<double>;
V list(const Array& a) { return a.to_vector(); }
template <class F>
double slope(F f, double x) {
  const double eager = double(grad(f)(x)), jitted = double(jit(grad(f))(x)),
               forward = double(jvp(f, x, 1.0).second);
  if (std::isnan(eager)) {
    CHECK(std::isnan(jitted));
    CHECK(std::isnan(forward));
  } else {
    CHECK(jitted == eager);
    CHECK(forward == eager);
  }
  return eager;
}

}  // namespace

TEST_CASE("corner: kinks") {
  auto absolute = [](Array x) { return abs(x); };
  CHECK(slope(absolute, 0.0) == 1);
  CHECK(slope(absolute, -2.0) == -1);
  CHECK(slope([](Array x) { return nn::relu(x); }, 0.0) == 0);
  CHECK(slope([](Array x) { return maximum(x, Array(0.0)); }, 0.0) == 0.5);
  CHECK(slope([](Array x) { return minimum(x, Array(0.0)); }, 0.0) == 0.5);
  CHECK(slope([](Array x) { return maximum(x, x); }, 3.0) == 1);
  CHECK(slope([](Array x) { return clip(x, 0.0, 1.0); }, 1.0) == 0.5);
  CHECK(slope([](Array x) { return clip(x, 0.0, 1.0); }, 0.0) == 0.5);
  CHECK(slope([](Array x) { return lax::clamp(Array(0.0), x, Array(1.0)); }, 1.0) == 0);
  CHECK(slope([](Array x) { return lax::clamp(Array(0.0), x, Array(1.0)); }, 0.5) == 1);
  for (double x : {0.0, 0.3, 1.0}) {
    CHECK(slope([](Array v) { return sign(v); }, x) == 0);
    CHECK(slope([](Array v) { return floor(v); }, x) == 0);
    CHECK(slope([](Array v) { return rint(v); }, x) == 0);
  }
  CHECK(slope([](Array x) { return lax::rem(x, Array(2.0)); }, 3.0) == 1);
}

TEST_CASE("corner: ties") {
  CHECK(list(grad([](Array x) { return max(x); })(Array{1., 3., 3., 2.})) == V{0, 0.5, 0.5, 0});
  CHECK(list(grad([](Array x) { return min(x); })(Array{1., 1., 1., 2.})) ==
        V{1. / 3, 1. / 3, 1. / 3, 0});
  // A stable sort: the gradient follows the permutation.
  CHECK(list(grad([](Array x) {
          return dot(sort(x), Array{1., 10., 100.});
        })(Array{2., 1., 2.})) == V{10, 1, 100});
  CHECK(argsort(Array{2., 1., 2., 1.}).to_vector<int>() == std::vector<int>{1, 3, 0, 2});
  CHECK(list(grad([](Array x) { return sum(cumprod(x)); })(Array{2., 0., 3.}))[1] == 8);
  CHECK(list(grad([](Array x) { return prod(x); })(Array{2., 0., 3.})) == V{0, 6, 0});
}

TEST_CASE("corner: infinite and undefined slopes") {
  CHECK(slope([](Array x) { return sqrt(x); }, 0.0) == kInf);
  CHECK(std::isnan(double(grad([](Array x) { return sqrt(sum(x * x)); })(Array{0., 0.})(0))));
  auto guarded = [](Array x) { return where(x > 0, log(x), 0.0); };
  CHECK(std::isnan(double(grad(guarded)(0.0))));  // 0 * inf: guard the argument of log instead
  CHECK(double(jvp(guarded, 0.0, 1.0).second) == 0);
  CHECK(slope([](Array x) { return log(x); }, 0.0) == kInf);
  CHECK(slope([](Array x) { return 1 / x; }, 0.0) == -kInf);
  CHECK(slope([](Array x) { return nn::softplus(x); }, 1000.0) == 1);
  CHECK(slope([](Array x) { return nn::logsumexp(stack({x, x})); }, 1000.0) == 1);
  CHECK(slope([](Array x) { return logaddexp(x, Array(-kInf)); }, 1.0) == 1);
  CHECK(slope([](Array x) { return tanh(x); }, 1000.0) == 0);
  CHECK(slope([](Array x) { return logistic(x); }, -1000.0) == 0);
}

TEST_CASE("corner: powers") {
  auto p = [](Array x, Array y) { return pow(x, y); };
  auto [dx, dy] = grad<0, 1>(p)(0.0, 0.0);
  CHECK(std::isnan(double(dx)));
  CHECK(double(dy) == 0);
  CHECK(slope([](Array x) { return pow(x, 2.0); }, 0.0) == 0);
  CHECK(slope([](Array x) { return pow(x, 2.0); }, -1.0) == -2);
  CHECK(slope([](Array x) { return lax::integer_pow(x, 0); }, 0.0) == 0);
  CHECK(slope([](Array x) { return lax::integer_pow(x, 1); }, 0.0) == 1);
  CHECK(slope([](Array x) { return lax::integer_pow(x, 2); }, 0.0) == 0);
  CHECK(slope([](Array x) { return lax::integer_pow(x, 3); }, -2.0) == 12);
  CHECK(double(grad<1>(p)(0.0, 2.0)) == 0);
}

TEST_CASE("corner: NaN") {
  CHECK(std::isnan(double(max(Array{1., kNan, 2.}))));
  CHECK(std::isnan(double(maximum(Array(kNan), Array(1.0)))));
  CHECK(int(argmax(Array{1., kNan, 2., kNan})) == 1);
  CHECK(int(argmin(Array{1., kNan, 2.})) == 1);
  V sorted = list(sort(Array{kNan, 2., -kInf, 1., kInf}));
  CHECK(V(sorted.begin(), sorted.end() - 1) == V{-kInf, 1, 2, kInf});
  CHECK(std::isnan(sorted.back()));
}

TEST_CASE("corner: a sum of one element is that element, a sum of more starts from 0") {
  const auto negative = [](const Array& y) {
    bool all = true;
    for (double v : list(y)) all &= v == 0 && std::signbit(v);
    return all;
  };
  const auto check = [&](auto f, const Array& x, bool expected) {
    CHECK(negative(f(x)) == expected);
    CHECK(negative(jit(f)(x)) == expected);
  };
  const auto all = [](Array x) { return sum(x); };
  const auto rows = [](Array x) { return sum(x, 1); };
  const auto columns = [](Array x) { return sum(x, 0); };
  for (DType d : {f64, f32, bf16}) {
    check(all, full({1}, -0.0).astype(d), true);
    check(rows, full({3, 1}, -0.0).astype(d), true);
    check(columns, full({1, 3}, -0.0).astype(d), true);
    check(all, full({3}, -0.0).astype(d), false);
    check(rows, full({3, 2}, -0.0).astype(d), false);
    check(columns, full({40, 3}, -0.0).astype(d), false);
  }
}

TEST_CASE("corner: the tangents of running extremes at ties") {
  // As in JAX: halves at each step of the scan in a tree; (x0, x1) and (x2, x3) meet before they meet each other.
  const Array x{1., 1., 1., 1., 0., 2.};
  const auto last = [](int i) { return [i](Array v) { return lax::cummax(v, 0, false)(i); }; };
  CHECK(list(grad(last(1))(x)) == V{0.5, 0.5, 0, 0, 0, 0});
  CHECK(list(grad(last(2))(x)) == V{0.25, 0.25, 0.5, 0, 0, 0});
  CHECK(list(grad(last(3))(x)) == V{0.25, 0.25, 0.25, 0.25, 0, 0});
  CHECK(list(grad(last(5))(x)) == V{0, 0, 0, 0, 0, 1});
  CHECK(list(jit(grad(last(3)))(x)) == V{0.25, 0.25, 0.25, 0.25, 0, 0});
  const auto least = [](Array v) { return lax::cummin(v, 0, true)(0); };
  CHECK(list(grad(least)(Array{3., 1., 1., 2.})) == V{0, 0.5, 0.5, 0});
  CHECK(list(grad(last(1))(Array{1., kNan, 2.})) == V{0, 0, 0});
}

TEST_CASE("corner: indices out of range") {
  Array x = {10., 20., 30.};
  auto take = [](Array v, Array i) { return v(i); };
  CHECK(double(take(x, Array(-1))) == 30);  // negative ones count from the end
  CHECK(list(jit(take)(x, Array{0, -1, 2})) == V{10, 30, 30});
  CHECK(list(x.at(Array{7}).set(1.0)) == V{10, 20, 30});  // updates out of range are dropped
  CHECK(list(x.at(Array{-1}).add(1.0)) == V{10, 20, 31});
  CHECK(list(lax::dynamic_slice(x, std::vector<Array>{Array(2)}, {2})) ==
        V{20, 30});  // the start is clamped
  CHECK(list(lax::dynamic_update_slice(x, Array{1., 2.}, std::vector<Array>{Array(9)})) ==
        V{10, 1, 2});
}

TEST_CASE("corner: integers") {
  Array u = Array(250).astype(u8);
  CHECK(int(u + Array(10).astype(u8)) == 4);
  CHECK(int(Array(2147483647) + Array(1)) == -2147483647 - 1);
  CHECK(int(Array(1e20).astype(i32)) == 2147483647);  // conversions saturate
  CHECK(int(Array(-1e20).astype(i32)) == -2147483647 - 1);
  CHECK(int(Array(kNan).astype(i32)) == 0);
  CHECK(int(floor_divide(Array(-7), Array(2))) == -4);
  CHECK(int(lax::div(Array(-7), Array(2))) == -3);
  CHECK(int(remainder(Array(-7), Array(3))) == 2);
  CHECK(int(lax::rem(Array(-7), Array(3))) == -1);
  CHECK_NOTHROW(lax::div(Array(1), Array(0)));
  CHECK_NOTHROW(lax::rem(Array(1), Array(0)));
}

TEST_CASE("corner: perturbations do not meet") {
  CHECK(double(grad([](Array x) { return x * grad([x](Array y) { return x + y; })(1.0); })(1.0)) ==
        1);
  CHECK(double(grad([](Array x) { return x * grad([x](Array y) { return x * y; })(2.0); })(3.0)) ==
        6);
}
