// nn_optim_test.cc -- activations, softmax and initializers against closed forms; optimizers
// against steps done by hand.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include "jaxpp/grad.h"
#include "jaxpp/jit.h"
#include "jaxpp/nn.h"
#include "jaxpp/optim.h"

using namespace jaxpp;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();

void check(const Array& got, const Array& want, double rtol = 1e-12) {
  INFO("got  " << got.type()->str() << "\n"
               << got << "\nwant " << want.type()->str() << "\n"
               << want);
  CHECK(got.type() == want.type());
  if (got.shape() == want.shape()) CHECK(allclose(got, want, rtol, rtol, true));
}
template <class F>
double d(F f, double x) {
  return double(grad(f)(x));
}

TEST_CASE("nn: activations") {
  const Array x = {-2., 0., 3.};
  check(nn::relu(x), Array{0., 0., 3.});
  CHECK(nn::relu(Array{-1.f}).dtype() == f32);
  CHECK(std::isnan(double(nn::relu(kNan))));
  check(nn::relu6(Array{-1., 3., 9.}), Array{0., 3., 6.});
  check(nn::leaky_relu(x), Array{-0.02, 0., 3.});
  check(nn::sigmoid(x), 1 / (1 + exp(-x)));
  check(nn::log_sigmoid(Array{-1000., 0.}), Array{-1000., -std::log(2.)});
  check(nn::silu(x), x / (1 + exp(-x)));
  check(nn::softplus(Array{-1000., 0., 1000.}), Array{0., std::log(2.), 1000.});
  check(nn::gelu(x, false), 0.5 * x * (1 + erf(x / std::sqrt(2.))), 1e-10);
  check(nn::gelu(Array{1.}), Array{0.8411919906082768});
  check(nn::mish(Array{1.}), Array{std::tanh(std::log1p(std::exp(1.)))});
  check(nn::squareplus(Array{0.}), Array{1.});
  check(nn::soft_sign(x), Array{-2. / 3, 0., 0.75});
  check(nn::elu(x), Array{std::expm1(-2.), 0., 3.});
  check(nn::celu(x, 2), Array{2 * std::expm1(-1.), 0., 3.});
  check(nn::selu(Array{1.}), Array{1.0507009873554804934});
  check(nn::hard_tanh(x), Array{-1., 0., 1.});
  check(nn::hard_sigmoid(x), Array{1. / 6, 0.5, 1.});
  check(nn::hard_silu(x), Array{-2. / 6, 0., 3.});
  check(nn::glu(Array{1., 2., 0., 0.}), Array{0.5, 1.});
}

TEST_CASE("nn: derivatives of activations at their corners") {
  CHECK(d([](Array x) { return nn::relu(x); }, 0) == 0);
  CHECK(d([](Array x) { return nn::relu6(x); }, 0) == 0);
  CHECK(d([](Array x) { return nn::relu6(x); }, 6) == 0);
  CHECK(d([](Array x) { return nn::leaky_relu(x); }, 0) == 1);
  CHECK(d([](Array x) { return nn::softplus(x); }, 0) == 0.5);
  CHECK(d([](Array x) { return nn::softplus(x); }, 1000) == 1);
  CHECK(d([](Array x) { return nn::softplus(x); }, -1000) == 0);
  CHECK(d(grad([](Array x) { return nn::softplus(x); }), 0) == 0.25);
  CHECK(d([](Array x) { return nn::elu(x); }, 0) == 1);
  CHECK(d([](Array x) { return nn::celu(x); }, 0) == 1);
  CHECK(d([](Array x) { return nn::celu(x); }, 2000) == 1);
  CHECK(d([](Array x) { return nn::elu(x); }, 2000) == 1);
}

TEST_CASE("nn: softmax and relatives") {
  const Array x = {{1., 2., 3.}, {1000., 1000., -1000.}};
  check(sum(nn::softmax(x), 1), Array{1., 1.});
  check(nn::softmax(x)(1), Array{0.5, 0.5, 0.});
  check(nn::softmax(x, 0)(0, 0), Array(0.));
  check(exp(nn::log_softmax(x)), nn::softmax(x));
  check(nn::logsumexp(x, 1),
        Array{3 + std::log(1 + std::exp(-1.) + std::exp(-2.)), 1000 + std::log(2.)});
  check(nn::logsumexp(x, 1, true)(0, 0), nn::logsumexp(x(0)));
  check(nn::logsumexp(Array{-kInf, -kInf}), Array(-kInf));
  check(nn::logsumexp(Array{kInf, 1.}), Array(kInf));
  check(nn::logsumexp(zeros({0}, f64)), Array(-kInf));
  check(grad([](Array v) { return nn::logsumexp(v); })(x(0)), nn::softmax(x(0)));
  check(grad([](Array v) { return nn::log_softmax(v)(0); })(x(0)),
        Array{1., 0., 0.} - nn::softmax(x(0)));
  const Array p = nn::softmax(x(0)), c = {1., 0., 2.};
  check(grad([&](Array v) { return sum(c * nn::softmax(v)); })(x(0)), p * (c - sum(p * c)));
  check(mean(nn::standardize(x(0)), 0), Array(0.));
  check(nn::one_hot(Array{0, 2, 5, -1}, 3, f64),
        Array{{1., 0., 0.}, {0., 0., 1.}, {0., 0., 0.}, {0., 0., 0.}});
  CHECK(nn::one_hot(Array{{0, 1}}, 300, f32, 0).shape() == Shape{300, 1, 2});
  check(sum(nn::one_hot(Array{std::uint8_t(200)}, 300, f64)), Array(1.));
  CHECK_THROWS_AS(nn::one_hot(Array{1.}, 3), TypeError);
  CHECK_THROWS_AS(nn::softmax(x, 2), TypeError);
}

TEST_CASE("nn: initializers have the variances they promise") {
  const random::Key key = random::key(0);
  const Shape s{400, 300};
  auto variance = [](const Array& w) { return double(var(w)); };
  CHECK(variance(nn::initializers::glorot_uniform(key, s, f64)) == Approx(2. / 700).epsilon(0.02));
  CHECK(variance(nn::initializers::glorot_normal(key, s, f64)) == Approx(2. / 700).epsilon(0.02));
  CHECK(variance(nn::initializers::he_normal(key, s, f64)) == Approx(2. / 400).epsilon(0.02));
  CHECK(variance(nn::initializers::he_uniform(key, s, f64)) == Approx(2. / 400).epsilon(0.02));
  CHECK(variance(nn::initializers::lecun_normal(key, s, f64)) == Approx(1. / 400).epsilon(0.02));
  CHECK(variance(nn::initializers::lecun_uniform(key, s, f64)) == Approx(1. / 400).epsilon(0.02));
  CHECK(variance(nn::initializers::normal(key, s, f64, 3)) == Approx(9).epsilon(0.02));
  CHECK(double(max(abs(nn::initializers::truncated_normal(key, s, f64, 1)))) < 2);
  CHECK(nn::initializers::he_normal(key, {3, 3, 4, 8}).dtype() == f32);
  CHECK(variance(nn::initializers::he_normal(key, {5, 5, 40, 80}, f64)) ==
        Approx(2. / 1000).epsilon(0.02));
  CHECK(double(sum(nn::initializers::ones(key, {2, 2}))) == 4);
  CHECK_THROWS_AS(nn::initializers::he_normal(key, {3}), TypeError);
}

// ---- Optimizers
struct Params {
  Array w, b;
  int width = 3;
};

TEST_CASE("optim: one step of each, by hand") {
  const Params p{Array{1., 2.}, Array(3.f)}, g{Array{0.5, -1.}, Array(2.f)};
  {
    auto opt = optim::sgd(0.1);
    auto [q, s] = opt.update(p, g, opt.init(p));
    check(q.w, Array{0.95, 2.1});
    check(q.b, Array(2.8f), 1e-6);
    CHECK(q.width == 3);
    check(s.step, Array(1));
  }
  {
    auto opt = optim::momentum(0.1, 0.9);
    auto [q, s] = opt.update(p, g, opt.init(p));
    check(q.w, Array{0.95, 2.1});
    auto [r, t] = opt.update(q, g, s);
    check(r.w, Array{0.95 - 0.095, 2.1 + 0.19});
    check(t.velocity.w, Array{0.95, -1.9});
    auto nesterov = optim::momentum(0.1, 0.9, true);
    check(nesterov.update(p, g, nesterov.init(p)).first.w, Array{1 - 0.095, 2.19});
  }
  {
    auto opt = optim::adam(0.1);
    auto state = opt.init(p);
    Params q = p;
    double w = 1, m = 0, n = 0;
    for (int t = 1; t <= 3; ++t) {
      std::tie(q, state) = opt.update(q, g, state);
      m = 0.9 * m + 0.1 * 0.5;
      n = 0.999 * n + 0.001 * 0.25;
      w -= 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(n / (1 - std::pow(0.999, t))) + 1e-8);
    }
    check(q.w(0), Array(w));
    CHECK(q.b.dtype() == f32);
    check(state.step, Array(3));
    check(state.mu.w(0), Array(m));
    check(state.nu.w(0), Array(n));
  }
  {
    auto opt = optim::adamw(0.1, 0.5);
    auto plain = optim::adam(0.1);
    auto q = opt.update(p, g, opt.init(p)).first, r = plain.update(p, g, plain.init(p)).first;
    check(q.w, r.w - 0.1 * 0.5 * p.w);
  }
}

TEST_CASE("optim: clipping") {
  const Params g{Array{3., 0.}, Array(4.)};
  check(optim::global_norm(g), Array(5.));
  check(optim::clip_by_global_norm(g, 1).b, Array(0.8));
  check(optim::clip_by_global_norm(g, 10).w, g.w);
  check(optim::clip_by_value(g, 2).w, Array{2., 0.});
  const Params zero{Array{0., 0.}, Array(0.)};
  check(optim::clip_by_global_norm(zero, 1).w, zero.w);
}

TEST_CASE("optim: schedules") {
  auto at = [](auto schedule, int step) { return double(schedule(Array(step))); };
  CHECK(at(optim::constant(0.3), 7) == 0.3);
  CHECK(at(optim::linear(1, 0, 10), 5) == 0.5);
  CHECK(at(optim::linear(1, 0, 10), 50) == 0);
  CHECK(at(optim::exponential_decay(1, 10, 0.5), 20) == 0.25);
  CHECK(at(optim::exponential_decay(1, 10, 0.5, true), 19) == 0.5);
  CHECK(at(optim::cosine_decay(2, 100), 50) == Approx(1));
  CHECK(at(optim::cosine_decay(2, 100, 0.1), 200) == Approx(0.2));
  const auto warm = optim::warmup_cosine_decay(0, 1, 10, 110, 0.1);
  CHECK(at(warm, 5) == 0.5);
  CHECK(at(warm, 10) == 1);
  CHECK(at(warm, 60) == Approx(0.55));
  CHECK(at(warm, 500) == Approx(0.1));
  const auto steps = optim::piecewise_constant(1, {{10, 0.5}, {20, 0.1}});
  CHECK(at(steps, 9) == 1);
  CHECK(at(steps, 10) == 0.5);
  CHECK(at(steps, 20) == Approx(0.05));
}

TEST_CASE("optim: descent under jit, with a schedule and a struct") {
  auto loss = [](const Params& p) {
    return sum(square(p.w - Array{1., -2.})) + square(p.b - 3.f).astype(f64);
  };
  auto opt = optim::adam(optim::cosine_decay(0.1, 400));
  auto step =
      jit([opt, loss](Params p, auto state) { return opt.update(p, grad(loss)(p), state); });
  Params p{zeros({2}, f64), zeros({})};
  auto state = opt.init(p);
  for (int i = 0; i < 400; ++i) std::tie(p, state) = step(p, state);
  check(p.w, Array{1., -2.}, 1e-3);
  check(p.b, Array(3.f), 1e-3);
  check(state.step, Array(400));
}

}  // namespace
