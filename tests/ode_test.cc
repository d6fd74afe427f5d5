// ode_test.cc -- odeint: against closed solutions and values of high precision; gradients of both kinds against each other and
// against finite differences; under jit and vmap.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;

namespace {

using V = std::vector<double>;
auto decay = [](Array y, Array, Array k) { return -k * y; };
struct Body {
  Array position, velocity;
};
auto spring = [](Body b, Array, Array k) { return Body{b.velocity, -k * b.position}; };
void near(const Array& got, const Array& want, double tolerance) {
  INFO(got << "\n" << want);
  CHECK(allclose(got, want, tolerance, tolerance));
}

}  // namespace

TEST_CASE("odeint: closed solutions", "[ode]") {
  const Array ts = {0.0, 0.1, 0.5, 0.5, 2.0, 5.0};
  near(odeint(decay, 2.0, ts, 0.7), 2 * exp(-0.7 * ts), 1e-8);
  const Body start{1.0, 0.0};
  for (bool compiled : {false, true}) {
    auto run = [&](Array k) { return odeint(spring, start, ts, k); };
    const Body b = compiled ? jit(run)(4.0) : run(4.0);
    near(b.position, cos(2 * ts), 1e-7);
    near(b.velocity, -2 * sin(2 * ts), 2e-7);
  }
  // A rate that depends on time, two extra arguments, and a vector: y' = a t + b.
  auto line = [](Array y, Array t, Array a, Array b) { return a * t + b + 0.0 * y; };
  const Array y = odeint(line, Array{0., 1.}, ts, std::tuple(2.0, Array{1., 3.}));
  CHECK(y.shape() == Shape{6, 2});
  near(y(All, 0), ts * ts + ts, 1e-10);
  near(y(All, 1), 1 + ts * ts + 3 * ts, 1e-10);
  // No extra argument; one time; none.
  near(odeint([](Array v, Array) { return v; }, 1.0, ts), exp(ts), 1e-6);
  CHECK(odeint(decay, 2.0, Array{1.0}, 0.7).to_vector() == V{2.0});
  CHECK(odeint(decay, 2.0, zeros({0}, f64), 0.7).shape() == Shape{0});
}

TEST_CASE("odeint: tolerances, f32, a stiff problem, the Lorenz equations", "[ode]") {
  const Array ts = {0.0, 1.0, 3.0};
  auto error = [&](double tolerance) {
    const Array y = odeint(decay, 1.0, ts, 1.0, {.rtol = tolerance, .atol = tolerance});
    return double(max(abs(y - exp(-ts))));
  };
  CHECK(error(1e-4) < 1e-3);
  CHECK(error(1e-10) < 1e-9);
  CHECK(error(1e-10) < error(1e-4));
  const Array single =
      odeint(decay, Array(1.f), ts.astype(f32), Array(1.f), {.rtol = 1e-5, .atol = 1e-5});
  CHECK(single.dtype() == f32);
  CHECK(allclose(single.astype(f64), exp(-ts), 1e-4, 1e-5));
  // scipy's DOP853 and Radau at 1e-13.
  auto lorenz = [](Array v, Array) {
    return stack({10.0 * (v(1) - v(0)), v(0) * (28.0 - v(2)) - v(1), v(0) * v(1) - 8. / 3 * v(2)});
  };
  near(odeint(lorenz, Array{1., 1., 1.}, Array{0.0, 0.5, 1.0})(Slice(1, None)),
       Array{{1.1982729680495119, -8.867197729736844, 32.454740211503484},
             {-9.378570010925372, -8.357033788427001, 29.362325337363743}},
       1e-6);
  auto pol = [](Array v, Array) { return stack({v(1), 50.0 * (1 - v(0) * v(0)) * v(1) - v(0)}); };
  near(odeint(pol, Array{2., 0.}, Array{0.0, 10.0, 30.0}, None,
              {.rtol = 1e-9, .atol = 1e-9})(Slice(1, None)),
       Array{{1.8583209443886737, -0.015147384822189273},
             {1.4849057585657128, -0.024628874179980012}},
       1e-5);
}

TEST_CASE("odeint: limits", "[ode]") {
  const Array ts = {0.0, 0.01, 100.0, 101.0};
  const Array y = odeint(spring, Body{1.0, 0.0}, ts, 1.0, {.mxstep = 20}).position;
  CHECK(std::isfinite(double(y(1))));
  CHECK(std::isnan(double(y(2))));
  near(odeint(decay, 1.0, Array{0.0, 3.0}, 1.0, {.hmax = 0.01}), exp(-Array{0.0, 3.0}), 1e-10);
}

TEST_CASE("odeint: gradients", "[ode]") {
  const Array ts = {0.0, 0.4, 1.5};
  for (OdeGradient how : {OdeGradient::adjoint, OdeGradient::direct}) {
    CAPTURE(int(how));
    const OdeOptions options{.rtol = 1e-10, .atol = 1e-10, .gradient = how};
    auto f = [&](Array y0, Array times, Array k) {
      return sum(sin(odeint(decay, y0, times, k, options)));
    };
    auto exact = [](Array y0, Array times, Array k) {
      return sum(sin(y0 * exp(-k * (times - times(0)))));
    };
    auto [y, t, k] = grad<0, 1, 2>(f)(2.0, ts, 0.7);
    auto [ey, et, ek] = grad<0, 1, 2>(exact)(2.0, ts, 0.7);
    near(y, ey, 1e-7);
    near(t, et, 1e-7);
    near(k, ek, 1e-7);
    auto [jy, jt, jk] = jit(grad<0, 1, 2>(f))(2.0, ts, 0.7);
    near(jy, ey, 1e-7);
    near(jt, et, 1e-7);
    near(jk, ek, 1e-7);
    // Forward mode, forward over reverse, reverse over reverse.
    auto of_k = [&](Array q) { return f(2.0, ts, q); };
    auto exact_of_k = [&](Array q) { return exact(2.0, ts, q); };
    near(jvp(of_k, 0.7, 1.0).second, ek, 1e-7);
    const Array second = grad(grad(exact_of_k))(0.7);
    near(jacfwd(grad(of_k))(0.7), second, 1e-5);
    near(grad(grad(of_k))(0.7), second, 1e-5);
    // Lanes with steps of their own.
    const Array ks = {0.1, 0.7, 5.0};
    near(vmap(grad(of_k))(ks), vmap(grad(exact_of_k))(ks), 1e-6);
    near(jit(vmap(grad(of_k)))(ks), vmap(grad(exact_of_k))(ks), 1e-6);
    near(vmap([&](Array q) { return odeint(decay, 2.0, ts, q, options); })(ks),
         2 * exp(-reshape(ks, {3, 1}) * ts), 1e-8);
  }
}

TEST_CASE("odeint: gradients of trees, with respect to what the function captures", "[ode]") {
  const Array ts = {0.0, 0.5, 2.0};
  for (OdeGradient how : {OdeGradient::adjoint, OdeGradient::direct}) {
    const OdeOptions options{.rtol = 1e-10, .atol = 1e-10, .gradient = how};
    auto loss = [&](Body start, Array w) {
      auto rate = [w](Body b, Array t) {
        return Body{b.velocity, -dot(w, b.position) + 0.1 * sin(t) * b.velocity};
      };
      Body b = odeint(rate, start, ts, None, options);
      return sum(b.position * b.position) + sum(b.velocity);
    };
    const Body start{Array{1.0, 0.3}, Array{0.0, -0.2}};
    const Array w = {{2.0, 0.5}, {0.1, 1.0}};
    auto [b, dw] = grad<0, 1>(loss)(start, w);
    const double h = 1e-5;
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        const Array up = w.at(i, j).add(h), down = w.at(i, j).add(-h);
        const double slope = (double(loss(start, up)) - double(loss(start, down))) / (2 * h);
        CHECK(double(dw(i, j)) == Approx(slope).epsilon(1e-5).margin(1e-6));
      }
    Body up = start, down = start;
    up.velocity = up.velocity.at(1).add(h);
    down.velocity = down.velocity.at(1).add(-h);
    CHECK(double(b.velocity(1)) ==
          Approx((double(loss(up, w)) - double(loss(down, w))) / (2 * h)).epsilon(1e-5));
  }
}

TEST_CASE("odeint: nothing to integrate", "[ode]") {
  const auto f = [](Array y, Array t) { return -y * t; };
  const Array ts = {0., 0.5, 1.};
  CHECK(odeint(f, zeros({0}, f64), ts).shape() == Shape{3, 0});
  CHECK(jit([&](Array y) { return odeint(f, y, ts); })(zeros({2, 0}, f64)).shape() ==
        Shape{3, 2, 0});
  CHECK(grad([&](Array t) { return sum(odeint(f, zeros({0}, f64), t)); })(ts).shape() == Shape{3});
  CHECK(array_equal(odeint(f, Array{2.}, Array{0.25}), Array{{2.}}));
}
TEST_CASE("odeint: errors", "[ode]") {
  using Catch::Matchers::Contains;
  CHECK_THAT(message([] { odeint(decay, 1.0, 2.0, 1.0); }), Contains("odeint") && Contains("E30"));
  CHECK_THAT(message([] {
               odeint([](Array y, Array) { return sum(y); }, Array{1., 2.}, Array{0., 1.});
             }),
             Contains("dy/dt") && Contains("E31"));
}
