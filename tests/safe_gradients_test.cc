// safe_gradients_test.cc -- what is not selected gives nothing to a gradient, whatever its slope.
#include "jaxpp/safe_gradients.h"
#include <cmath>
#include <limits>
#include "jaxpp/jaxpp.h"
#include "values.h"

using namespace jaxpp;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

bool any_nan(const Array& x) { return bool(any(isnan(x))); }
// The gradient of sum(f) is NaN somewhere; with safe gradients it is `want`, in every way of taking it.
template <class F>
void check_safe(F f, const Array& x, const Array& want) {
  auto total = [f](Array v) { return sum(f(v)); };
  CHECK(any_nan(grad(total)(x)));
  check(grad(safe_gradients(total))(x), want);
  check(jit(grad(safe_gradients(total)))(x), want);
  check(grad(safe_gradients(jit(total)))(x), want);
  check(grad(safe_gradients(checkpoint(total)))(x), want);
  check(vmap(grad(safe_gradients([f](Array v) { return f(v); })))(x), want);
  check(vmap(grad(safe_gradients(jit([f](Array v) { return f(v); }))))(x), want);
  check(vjp(safe_gradients(total), x).second(1.), want);
  auto looped = [f](Array v) {
    return scan([f](Array c, Array u) { return std::pair(c + f(u), f(u)); }, 0., v).first;
  };
  check(grad(safe_gradients(looped))(x), want);
  check(jit(grad(safe_gradients(looped)))(x), want);
  {
    auto scope = safe_gradients();
    check(grad(total)(x), want);
    check(jit(grad(total))(x), want);
  }
  CHECK(any_nan(grad(total)(x)));  // nothing is remembered
  CHECK(any_nan(grad(jit(total))(x)));
}

}  // namespace

TEST_CASE("safe gradients: the classics", "[safe_gradients]") {
  check_safe([](Array x) { return where(x > 0, sqrt(x), 0.); }, Array{-1., 0., 4.},
             Array{0., 0., 0.25});
  check_safe([](Array x) { return where(x > 0, x * log(x), 0.); }, Array{-1., 0., 1.},
             Array{0., 0., 1.});
  check_safe([](Array x) { return where(x != 0, sin(x) / x, 1.); }, Array{0., 1.},
             Array{0., std::cos(1.) - std::sin(1.)});
  check_safe([](Array x) { return where(x > 0, pow(x, 0.5), x); }, Array{0., 4.}, Array{1., 0.25});
  check_safe([](Array x) { return where(x < 1, arcsin(x), 2 * x); }, Array{0., 1.}, Array{1., 2.});
  check_safe([](Array x) { return where(x > 0, sqrt(x) * log(x), 0.); }, Array{0., 1.},
             Array{0., 1.});
}

TEST_CASE("safe gradients: a norm at 0, in single precision, in complex numbers",
          "[safe_gradients]") {
  auto norm = [](Array v) {
    Array s = sum(v * v);
    return where(s > 0, sqrt(s), 0.);
  };
  CHECK(any_nan(grad(norm)(zeros({3}, f64))));
  check(grad(safe_gradients(norm))(zeros({3}, f64)), Array{0., 0., 0.});
  check(grad(safe_gradients(norm))(Array{3., 4.}), Array{0.6, 0.8});
  check(grad(safe_gradients(norm))(zeros({3}, f32)), Array{0.f, 0.f, 0.f});
  auto rows = [&](Array x) { return sum(vmap(norm)(x)); };
  check(grad(safe_gradients(rows))(Array{{0., 0.}, {3., 4.}}), Array{{0., 0.}, {0.6, 0.8}});
  auto magnitude = [](Array z) { return sum(where(abs(z) > 0, real(sqrt(z)), 0.)); };
  const Array z = {std::complex<double>(0, 0), std::complex<double>(4, 0)};
  CHECK(any_nan(abs(grad(magnitude)(z))));
  check(abs(grad(safe_gradients(magnitude))(z)), Array{0., 0.25});
}

TEST_CASE("safe gradients: higher orders", "[safe_gradients]") {
  auto f = [](Array x) { return where(x > 0, sqrt(x), x * x); };
  auto safe = safe_gradients(f);
  // 0 and below: 2 x, 2, 0;  above: x^(-1/2) / 2, -x^(-3/2) / 4, 3 x^(-5/2) / 8
  for (double x : {0., -1., 4.}) {
    const bool root = x > 0;
    CAPTURE(x);
    check(grad(safe)(x), Array(root ? 0.25 : 2 * x));
    check(grad(safe_gradients(grad(safe)))(x), Array(root ? -1. / 32 : 2.));
    check(grad(safe_gradients(grad(safe_gradients(grad(safe)))))(x), Array(root ? 3. / 256 : 0.));
    auto scope = safe_gradients();
    check(grad(grad(grad(f)))(x), Array(root ? 3. / 256 : 0.));
    check(jit(grad(grad(f)))(x), Array(root ? -1. / 32 : 2.));
    check(jvp(grad(f), Array(x), Array(1.)).second, Array(root ? -1. / 32 : 2.));
    check(hessian([&](Array v) { return sum(f(v)); })(Array{x, 9.}),
          Array{{root ? -1. / 32 : 2., 0.}, {0., -1. / 108}});
  }
}

TEST_CASE("safe gradients: nothing else changes", "[safe_gradients]") {
  const Array x = {0.3, 1.7, 2.2};
  auto f = [](Array v) { return sum(log(v) * tanh(v / (v + 1)) + prod(v) * exp(-v) * pow(v, v)); };
  CHECK(bool(all(grad(safe_gradients(f))(x) == grad(f)(x))));
  const JitOptions apart{.contract = false};
  CHECK(bool(all(jit(grad(safe_gradients(f)), apart)(x) == jit(grad(f), apart)(x))));
  CHECK(allclose(jit(grad(safe_gradients(f)))(x), grad(f)(x), 1e-13, 1e-13));
  CHECK(allclose(hessian(safe_gradients(f))(x), hessian(f)(x), 1e-13, 1e-13));
  check_grads(safe_gradients(f), x);
  SECTION("an infinite slope where the value is used still shows") {
    auto root = safe_gradients([](Array v) { return sqrt(v); });
    CHECK(double(grad(root)(0.)) == kInf);
    CHECK(std::isnan(
        double(grad(safe_gradients([](Array v) { return square(sqrt(v)) + sqrt(v * v); }))(0.))));
  }
  SECTION("jit sees the setting") {
    auto g =
        jit([](Array v) { return grad([](Array u) { return where(u > 0, sqrt(u), 0.); })(v); });
    CHECK(std::isnan(double(g(0.))));
    {
      auto scope = safe_gradients();
      CHECK(double(g(0.)) == 0);
    }
    CHECK(std::isnan(double(g(0.))));
    CHECK(g.explain().find("safe_gradients was switched") != std::string::npos);
  }
  SECTION("a program says what it does") {
    auto g = [](Array v) { return where(v > 0, log(v), 0.); };
    const std::string s = make_jaxpr(grad(safe_gradients(g)))(1.).to_string();
    CHECK(s.find("zero_div") != std::string::npos);
    CHECK(make_jaxpr(grad(g))(1.).to_string().find("zero_div") == std::string::npos);
  }
}

TEST_CASE("safe gradients: loops, branches and rules of users", "[safe_gradients]") {
  auto scope = safe_gradients();
  auto f = [](Array x) { return where(x > 0, sqrt(x), 0.); };
  auto steps = [&](Array x) {
    return fori_loop(
        0, 3, [&](Array, Array v) { return f(v - 1) + 0 * v; }, x);
  };
  check(grad(steps)(1.), Array(0.));
  auto either = [&](Array x) {
    return cond(
        x > 5, [](Array v) { return v; }, f, x);
  };
  check(grad(either)(0.), Array(0.));
  check(vmap(grad(either))(Array{0., 4., 6.}), Array{0., 0.25, 1.});
  auto own = custom_jvp([](Array x) { return sqrt(x); },
                        [](Array x, Array dx) { return std::pair(sqrt(x), dx * (0.5 / sqrt(x))); });
  check(grad([&](Array x) { return where(x > 0, own(x), 0.); })(0.), Array(0.));
}
