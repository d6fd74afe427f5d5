// taylor_test.cc -- Taylor series: closed forms to high order, every sample of every primitive against nested jvp, control
// flow, and other transforms around them.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/jaxpp.h"
#include "rule_samples.h"

using namespace jaxpp;

namespace {

using V = std::vector<double>;
double factorial(int n) { return std::tgamma(n + 1.0); }
template <class C>
V numbers(const C& c) {
  V v;
  for (const Array& a : c) v.push_back(double(a));
  return v;
}
void near(const V& got, const V& want, double tolerance = 1e-12) {
  REQUIRE(got.size() == want.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    CAPTURE(k);
    CHECK(got[k] == Approx(want[k]).epsilon(tolerance).margin(1e-14));
  }
}
template <class F>
V formula(int order, F f) {
  V v;
  for (int k = 0; k <= order; ++k) v.push_back(f(k));
  return v;
}
// Coefficients by nested forward mode: order + 1 derivatives, 2^order operations.
V nested(std::function<Array(Array)> f, double x, int order) {
  V v;
  for (int k = 0; k <= order; ++k) {
    v.push_back(double(f(Array(x))) / factorial(k));
    f = [f](Array a) { return jvp(f, a, 1.0).second; };
  }
  return v;
}

}  // namespace

TEST_CASE("taylor: closed forms", "[taylor]") {
  const int n = 14;
  const double x = 0.7;
  near(numbers(taylor([](Array a) { return exp(a); }, n)(x, 1.0)),
       formula(n, [&](int k) { return std::exp(x) / factorial(k); }));
  near(numbers(taylor([](Array a) { return sin(a); }, n)(x, 1.0)),
       formula(n, [&](int k) { return std::sin(x + k * M_PI / 2) / factorial(k); }));
  near(numbers(taylor([](Array a) { return cos(a); }, n)(x, 2.0)), formula(n, [&](int k) {
         return std::cos(x + k * M_PI / 2) * std::pow(2, k) / factorial(k);
       }));
  near(numbers(taylor([](Array a) { return log(a); }, n)(x, 1.0)), formula(n, [&](int k) {
         return k == 0 ? std::log(x) : (k % 2 ? 1 : -1) / (k * std::pow(x, k));
       }));
  near(numbers(taylor([](Array a) { return 1 / (1 - a); }, n)(0.0, 1.0)),
       formula(n, [](int) { return 1.0; }));
  auto binomial = [](double r) {
    return [r](int k) {
      double c = 1;
      for (int i = 0; i < k; ++i) c *= (r - i) / (i + 1);
      return c;
    };
  };
  near(numbers(taylor([](Array a) { return sqrt(1 + a); }, n)(0.0, 1.0)),
       formula(n, binomial(0.5)));
  near(numbers(taylor([](Array a) { return pow(1 + a, 2.5); }, n)(0.0, 1.0)),
       formula(n, binomial(2.5)));
  near(numbers(taylor([](Array a) { return pow(1 + a, -3); }, n)(0.0, 1.0)),
       formula(n, binomial(-3)));
  near(numbers(taylor([](Array a) { return pow(a, 6); }, 8)(0.0, 1.0)),
       {0, 0, 0, 0, 0, 0, 1, 0, 0});
  near(numbers(taylor([](Array a) { return cbrt(1 + a); }, n)(0.0, 1.0)),
       formula(n, binomial(1. / 3)));
  near(numbers(taylor([](Array a) { return rsqrt(1 + a); }, n)(0.0, 1.0)),
       formula(n, binomial(-0.5)));
  // tanh at 0: t - t^3/3 + 2 t^5/15 - 17 t^7/315 + 62 t^9/2835 - 1382 t^11/155925
  near(numbers(taylor([](Array a) { return tanh(a); }, 11)(0.0, 1.0)),
       {0, 1, 0, -1. / 3, 0, 2. / 15, 0, -17. / 315, 0, 62. / 2835, 0, -1382. / 155925});
  // erf at 0: 2 / sqrt(pi) (-1)^m / (m! (2m + 1)) t^(2m + 1)
  near(numbers(taylor([](Array a) { return erf(a); }, n)(0.0, 1.0)), formula(n, [](int k) {
         const int m = k / 2;
         return k % 2 ? 2 / std::sqrt(M_PI) * (m % 2 ? -1 : 1) / (factorial(m) * k) : 0.0;
       }));
  near(numbers(taylor([](Array a) { return arctan(a); }, n)(0.0, 1.0)),
       formula(n, [](int k) { return k % 2 ? (k / 2 % 2 ? -1. : 1.) / k : 0.0; }));
  // A quotient: sin / cos.
  near(numbers(taylor([](Array a) { return sin(a) / cos(a); }, n)(0.4, 1.0)),
       numbers(taylor([](Array a) { return tan(a); }, n)(0.4, 1.0)), 1e-11);
  // log gamma, whose derivatives are polygammas.
  near(numbers(taylor([](Array a) { return lgamma(a); }, 6)(1.0, 1.0)),
       {0, -0.57721566490153286061, 0.82246703342411321824, -0.40068563438653142847,
        0.27058080842778454788, -0.20738555102867398527, 0.16955717699740818995});
}

TEST_CASE("taylor: the series of an argument, and solutions of differential equations",
          "[taylor]") {
  // sin(t^2 + t), order 6: t + t^2 - t^3/6 - t^4/2 + (1/120 - 1/2) t^5 + (1/24 - 1/6) t^6
  const std::vector<Array> in{0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0};
  near(numbers(taylor_series([](Array x) { return sin(x); }, in)),
       {0, 1, 1, -1. / 6, -0.5, 1. / 120 - 0.5, 1. / 24 - 1. / 6});
  // y' = 1 + y^2, y(0) = 0: the tangent.
  std::vector<Array> y{0.0};
  for (int k = 0; k < 9; ++k)
    y.push_back(taylor_series([](Array v) { return 1 + v * v; }, y)[std::size_t(k)] / (k + 1));
  near(numbers(y), {0, 1, 0, 1. / 3, 0, 2. / 15, 0, 17. / 315, 0, 62. / 2835});
}

TEST_CASE("taylor: trees, several arguments, order 0, integers", "[taylor]") {
  struct Point {
    Array x, y;
  };
  auto f = [](Point p, Array s) { return Point{p.x * p.y, s * sum(p.x)}; };
  auto c = taylor(f, 2)(std::tuple(Point{Array{1., 2.}, Array{3., 4.}}, 2.0),
                        std::tuple(Point{Array{1., 1.}, Array{0., 2.}}, 1.0));
  REQUIRE(c.size() == 3);
  CHECK(c[0].x.to_vector() == V{3, 8});
  CHECK(c[1].x.to_vector() == V{3, 8});
  CHECK(c[2].x.to_vector() == V{0, 2});
  CHECK(double(c[0].y) == 6);
  CHECK(double(c[1].y) == 7);
  CHECK(double(c[2].y) == 2);
  CHECK(numbers(taylor([](Array x) { return sin(x); }, 0)(0.5, 1.0)) == V{std::sin(0.5)});
  auto counted =
      taylor([](Array x) { return std::pair(floor(x), (x * 2).astype(i32)); }, 2)(1.5, 1.0);
  CHECK(double(counted[0].first) == 1);
  CHECK(double(counted[1].first) == 0);
  CHECK(int(counted[0].second) == 3);
  CHECK(int(counted[2].second) == 0);
}

TEST_CASE("taylor: against nested jvp", "[taylor]") {
  auto all = [](auto... f) {
    (near(numbers(taylor(f, 5)(0.6, 1.0)), nested(f, 0.6, 5), 1e-9), ...);
  };
  all([](Array x) { return asin(x) + acos(x * x) * atanh(x); },
      [](Array x) { return pow(x, sin(x)); }, [](Array x) { return log1p(x) * expm1(x); },
      [](Array x) { return arctan2(x, 1 + x * x); }, [](Array x) { return erf_inv(0.5 * x); },
      [](Array x) { return nn::gelu(x) * nn::softplus(x); },
      [](Array x) { return maximum(x, 0.2) * abs(x) + minimum(x * x, x); },
      [](Array x) {
        return sum(exp(Array{0., -1., -2.} * x));
      },
      [](Array x) {
        Array m = {{2 + x, sin(x)}, {sin(x), 3 * x}};
        return sum(linalg::inv(m)) + linalg::slogdet(m).logdet;
      },
      [](Array x) {
        Array m = {{2 + x, sin(x)}, {sin(x), 3 * x}};
        return sum(linalg::cholesky(m)) + sum(linalg::eigh(m).w * Array{1., 2.});
      });
}

TEST_CASE("taylor: control flow", "[taylor]") {
  const Array steps = arange(4.0);
  auto by_scan = [steps](Array x) {
    return scan([x](Array c, Array i) { return std::pair(sin(c) * x + i, c); }, x, steps,
                {.reverse = true});
  };
  auto scanned = [&](Array x) {
    auto [c, ys] = by_scan(x);
    return c + sum(ys * ys);
  };
  auto looped = [](Array x) {
    return while_loop([](const std::pair<Array, Array>& s) { return s.second < 3; },
                      [x](std::pair<Array, Array> s) {
                        return std::pair(exp(-s.first) * x, s.second + 1);
                      },
                      std::pair(x * x, Array(0)))
        .first;
  };
  auto bounded = [](Array x) {
    return while_loop([](Array c) { return c < 5; }, [x](Array c) { return c * (1 + x); }, x,
                      {.max_steps = 20});
  };
  auto branched = [](Array x) {
    return cond(
        x > 0.5, [](Array a) { return sin(a) * a; }, [](Array a) { return a; }, x);
  };
  auto called = [](Array x) {
    return jit([](Array a) { return checkpoint([](Array b) { return exp(b * b); })(a); })(x);
  };
  auto custom = [](Array x) {
    auto f = custom_jvp(
        [](Array a) { return log(1 + exp(a)); },
        [](Array a, Array da) { return std::pair(log(1 + exp(a)), da / (1 + exp(-a))); });
    auto g =
        custom_vjp([](Array a) { return sin(a); }, [](Array a) { return std::pair(sin(a), a); },
                   [](Array a, Array ct) { return ct * cos(a); });
    return f(x) * g(x * x);
  };
  auto check = [](auto f) {
    const V want = nested(f, 0.6, 4);
    near(numbers(taylor(f, 4)(0.6, 1.0)), want, 1e-10);
    near(numbers(jit([f](Array x, Array v) { return taylor(f, 4)(x, v); })(0.6, 1.0)), want, 1e-10);
  };
  check(scanned);
  check(looped);
  check(bounded);
  check(branched);
  check(called);
  check(custom);
}

TEST_CASE("taylor: under other transforms", "[taylor]") {
  auto f = [](Array x) { return sin(x) * exp(x); };
  auto third = [f](Array x) { return taylor(f, 3)(x, ones_like(x))[3] * 6; };
  auto fourth = [f](Array x) { return taylor(f, 4)(x, ones_like(x))[4] * 24; };
  CHECK(double(grad(third)(0.3)) == Approx(double(fourth(0.3))));
  CHECK(double(jvp(third, 0.3, 1.0).second) == Approx(double(fourth(0.3))));
  const Array x = {0.3, 0.6, -1.0};
  CHECK(allclose(vmap(third)(x), third(x), 1e-12, 0));
  CHECK(allclose(jit(vmap(grad(third)))(x), fourth(x), 1e-11, 0));
  // A Laplacian by jets, one for each direction.
  auto u = [](Array p) { return exp(p(0)) * sin(2 * p(1)) + p(2) * p(2) * p(2); };
  auto laplacian = [u](Array p) {
    return sum(vmap([u, p](Array v) { return 2 * taylor(u, 2)(p, v)[2]; })(eye(3, f64)));
  };
  const Array p = {0.1, 0.2, 0.3};
  CHECK(double(laplacian(p)) == Approx(double(trace(hessian(u)(p)))));
}

TEST_CASE("taylor: the work is quadratic in the order", "[taylor]") {
  auto equations = [](int order) {
    return make_jaxpr([order](Array x) {
             return taylor([](Array a) { return tanh(sin(a) * exp(a)); }, order)(x, 1.0);
           })(0.5)
        .size();
  };
  CHECK(equations(16) < 5 * equations(8));
  CHECK(equations(32) < 5 * equations(16));
}

TEST_CASE("taylor: every primitive, by the samples of its rules", "[taylor]") {
  using namespace jaxpp::internal;
  using testing::Sample;
  std::vector<Sample> all = testing::elementwise_samples();
  for (auto* more :
       {&testing::structural_samples, &testing::analysis_samples, &testing::call_samples})
    for (auto& s : more()) all.push_back(std::move(s));
  int compared = 0;
  for (const Sample& s : all) {
    INFO(s.name);
    testing::Random random(testing::seed_of(s.name));
    const testing::Arrays x = s.make(random);
    std::vector<Results> series(4);
    bool inexact = false;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto& constant = s.options.constant;
      const bool fixed = std::find(constant.begin(), constant.end(), int(i)) != constant.end();
      const bool varies = !fixed && is_float(x[i].dtype()) && width(x[i].dtype()) >= 8;
      inexact |= varies;
      series[0].push_back(x[i]);
      series[1].push_back(varies ? random.array(x[i].dtype(), x[i].shape(), -0.1, 0.1) : Array());
      series[2].push_back(Array());
      series[3].push_back(Array());
    }
    if (!inexact) continue;
    auto along = [&](Args t, Results& y) {
      Results in;
      for (std::size_t i = 0; i < x.size(); ++i)
        in.push_back(series[1][i].defined()
                         ? lax::add(x[i], lax::mul(lax::broadcast_in_dim(t[0], x[i].shape(), {}),
                                                   series[1][i]))
                         : x[i]);
      s.f(args(in), y);
    };
    // d^k / dt^k by nested jvp
    auto slope = [](FlatFn f) {
      return [f](Args t, Results& y) {
        const Array one = lax::full(scalar_type(DType::f64), 1);
        Results value, dy;
        jvp_flat(f, t, {&one, 1}, value, dy, Loc::current());
        for (std::size_t i = 0; i < value.size(); ++i)
          y.push_back(dy[i].defined() ? dy[i] : lax::zeros_like(value[i]));
      };
    };
    std::vector<Results> got, want(4);
    const Array zero = lax::full(scalar_type(DType::f64), 0);
    const Args at(&zero, 1);
    try {
      auto d1 = slope(flat(along));
      auto d2 = slope(flat(d1));
      auto d3 = slope(flat(d2));
      along(at, want[0]);
      d1(at, want[1]);
      d2(at, want[2]);
      d3(at, want[3]);
    } catch (const Error&) {
      continue;  // a primitive without so many derivatives
    }
    auto f = [&](Args in, Results& y) { s.f(in, y); };
    taylor_flat(flat(f), series, got, "taylor", Loc::current());
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t i = 0; i < want[k].size(); ++i) {
        CAPTURE(k, i);
        const Array& w = want[k][i];
        if (!is_inexact(w.dtype()) || width(w.dtype()) < 8 || w.dtype() == DType::c64) continue;
        const Array scaled = lax::mul(got[k][i], lax::full_like(got[k][i], factorial(int(k))));
        CHECK(allclose(scaled, w, 1e-7, 1e-8, true));
      }
    ++compared;
  }
  CHECK(compared > 150);
}
