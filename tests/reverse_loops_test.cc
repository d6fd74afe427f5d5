// reverse_loops_test.cc -- reverse mode through loops that is bounded in time or memory: while_loop with max_steps, and scans
// with checkpoints.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {

using V = std::vector<double>;
V list(const Array& a) { return a.to_vector(); }
// a -> a c (1 - c) until c < 0.2 (or for ever), from c = x: a number of steps that depends on x.
struct Logistic {
  std::int64_t max_steps = 0;
  Array operator()(Array a, Array x) const {
    auto [c, n] = while_loop([](const std::pair<Array, Array>& s) { return s.first > 0.2; },
                             [a](std::pair<Array, Array> s) {
                               return std::pair(a * s.first * (1 - s.first) + 0.01 * sin(s.first),
                                                s.second + 1);
                             },
                             std::pair(x, Array(0)), {.max_steps = max_steps});
    return c + 0.0 * n.astype(f64);
  }
};
}  // namespace

TEST_CASE("reverse loops: while_loop with max_steps", "[reverse_loops]") {
  const Logistic f{50};
  for (double from : {0.9, 0.5, 0.15}) {  // several steps, many, none
    CAPTURE(from);
    const double a = 1.2;
    double c = from;
    int steps = 0;
    while (c > 0.2 && steps < 50) c = a * c * (1 - c) + 0.01 * std::sin(c), ++steps;
    auto plain = [&](Array p, Array x) {
      for (int i = 0; i < steps; ++i) x = p * x * (1 - x) + 0.01 * sin(x);
      return x;
    };
    CHECK(double(f(a, from)) == Approx(c).epsilon(1e-14));
    auto [da, dx] = grad<0, 1>(f)(a, from);
    auto [pa, px] = grad<0, 1>(plain)(a, from);
    CHECK(double(da) == Approx(double(pa)).epsilon(1e-12));
    CHECK(double(dx) == Approx(double(px)).epsilon(1e-12));
    auto [ja, jx] = jit(grad<0, 1>(f))(a, from);
    CHECK(double(ja) == Approx(double(pa)).epsilon(1e-12));
    CHECK(double(jx) == Approx(double(px)).epsilon(1e-12));
    // Second order: reverse over reverse, forward over reverse, reverse over forward.
    auto second = [&](auto g) {
      return double(grad([&](Array p) { return grad(g)(p, from); })(a));
    };
    const double want = second(plain);
    CHECK(second(f) == Approx(want).epsilon(1e-11));
    CHECK(double(jit([&](Array p) { return grad([&](Array q) { return grad(f)(q, from); })(p); })(
              a)) == Approx(want).epsilon(1e-11));
    CHECK(double(jacfwd([&](Array p) { return grad(f)(p, from); })(a)) ==
          Approx(want).epsilon(1e-11));
    CHECK(double(grad([&](Array p) {
            return jvp([&](Array q) { return f(q, from); }, p, 1.0).second;
          })(a)) == Approx(want).epsilon(1e-11));
    // Third order.
    auto third = [&](auto g) {
      return double(grad(grad(grad([&](Array p) { return g(p, from); })))(a));
    };
    CHECK(third(f) == Approx(third(plain)).epsilon(1e-10));
  }
}

TEST_CASE("reverse loops: a loop that reaches max_steps stops there", "[reverse_loops]") {
  auto f = [](Array x) {
    return while_loop([](Array) { return Array(true); }, [](Array c) { return c * c; }, x,
                      {.max_steps = 3});
  };
  CHECK(double(f(1.1)) == Approx(std::pow(1.1, 8)));
  CHECK(double(grad(f)(1.1)) == Approx(8 * std::pow(1.1, 7)));
  CHECK(double(jit(grad(f))(1.1)) == Approx(8 * std::pow(1.1, 7)));
  CHECK(double(jvp(f, 1.1, 1.0).second) == Approx(8 * std::pow(1.1, 7)));
  CHECK(list(vmap(grad(f))(Array{1.1, 0.5})) == V{double(grad(f)(1.1)), double(grad(f)(0.5))});
}

TEST_CASE("reverse loops: each lane takes its own number of steps", "[reverse_loops]") {
  const Logistic f{40};
  const Array a = {1.2, 1.1, 1.3, 1.05}, x = {0.9, 0.19, 0.6, 0.7};
  V da, dx, second;
  for (int i = 0; i < 4; ++i) {
    auto [p, q] = grad<0, 1>(f)(a(i), x(i));
    da.push_back(double(p));
    dx.push_back(double(q));
    second.push_back(double(grad([&](Array s) { return grad<1>(f)(a(i), s); })(x(i))));
  }
  const Array want_a = Array(da), want_x = Array(dx);
  auto lanes = vmap([&](Array p, Array q) { return grad<0, 1>(f)(p, q); });
  auto total = [&](Array p, Array q) { return sum(vmap(f)(p, q)); };
  auto near = [](const Array& got, const Array& want) {
    INFO(got << want);
    CHECK(allclose(got, want, 1e-11, 1e-13));
  };
  for (bool compiled : {false, true}) {
    CAPTURE(compiled);
    auto r = compiled ? jit(lanes)(a, x) : lanes(a, x);
    near(std::get<0>(r), want_a);
    near(std::get<1>(r), want_x);
    auto t = compiled ? jit(grad<0, 1>(total))(a, x) : grad<0, 1>(total)(a, x);
    near(std::get<0>(t), want_a);
    near(std::get<1>(t), want_x);
    auto hess =
        vmap([&](Array p, Array q) { return grad([&](Array s) { return grad<1>(f)(p, s); })(q); });
    near(compiled ? jit(hess)(a, x) : hess(a, x), Array(second));
    // One parameter for all lanes.
    auto shared = [&](Array p) { return sum(vmap(f, {.in_axes = {None, 0}})(p, x)); };
    double sum_of = 0;
    for (int i = 0; i < 4; ++i) sum_of += double(grad<0>(f)(1.2, x(i)));
    CHECK(double(compiled ? jit(grad(shared))(1.2) : grad(shared)(1.2)) ==
          Approx(sum_of).epsilon(1e-11));
  }
}

TEST_CASE("reverse loops: lanes that are done keep their NaNs inside", "[reverse_loops]") {
  // sqrt(c - 1) has no derivative where a lane ends.
  auto f = [](Array x) {
    return while_loop([](Array c) { return c > 1; }, [](Array c) { return c - sqrt(c - 1) - 0.5; },
                      x, {.max_steps = 10});
  };
  const Array x = {3.0, 1.5, 0.5, 9.0};
  const Array got = vmap(grad(f))(x), compiled = jit(vmap(grad(f)))(x);
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(double(got(i)) == Approx(double(grad(f)(x(i)))));
    CHECK(double(compiled(i)) == Approx(double(grad(f)(x(i)))));
  }
}

TEST_CASE("reverse loops: a carry that is a tree, of vectors and matrices", "[reverse_loops]") {
  struct Power {
    Array v, value;
  };
  auto f = [](Array m) {  // power iteration
    Power p = while_loop([](const Power& q) { return q.value < 2.4; },
                         [m](Power q) {
                           Array w = dot(m, q.v);
                           return Power{w / sqrt(sum(w * w)), q.value + 0.3 * sum(w * q.v)};
                         },
                         Power{Array{1., 0.5, 0.2}, 0.0}, {.max_steps = 30});
    return sum(p.v * Array{1., 2., 3.}) + p.value;
  };
  Array m = {{1.0, 0.2, 0.1}, {0.2, 0.8, 0.3}, {0.1, 0.3, 1.1}};
  check_grads(f, m, {.order = 2});
  CHECK(allclose(jit(grad(f))(m), grad(f)(m), 1e-12, 1e-14));
}

TEST_CASE("reverse loops: steps beyond the last cost no memory and no time of their own",
          "[reverse_loops]") {
  // The tape has room for max_steps carries of 8 bytes, and nothing else grows with max_steps.
  auto f = [](std::int64_t most) {
    return [most](Array x) {
      return while_loop([](Array c) { return c > 1; },
                        [](Array c) { return 0.5 * sin(c) + 0.4 * c; }, x, {.max_steps = most});
    };
  };
  const auto small = jit(grad(f(1000))).compile(Array(5.0)).memory().temporaries,
             large = jit(grad(f(100000))).compile(Array(5.0)).memory().temporaries;
  CHECK(large - small <= 8 * 99000 + 4096);
}

// ---- scan

namespace {
auto chain(std::int64_t n, Checkpointing how, bool reverse = false) {
  const Array xs = arange(double(n)) / double(n);
  return [=](Array a, Array x) {
    auto step = [a](Array c, Array i) {
      Array y = sin(a * c) + 0.1 * i;
      return std::pair(y, y * c);
    };
    auto [c, ys] = scan(step, x, xs, {.reverse = reverse, .checkpoint = how});
    return sum(c) + sum(ys * ys);
  };
}
}  // namespace

TEST_CASE("reverse loops: checkpoints of every kind give the same gradients", "[reverse_loops]") {
  for (bool reverse : {false, true})
    for (std::int64_t n : {0, 1, 7, 16, 17, 63, 64, 65, 100, 130, 521})
      for (Checkpointing how : {Checkpointing::sqrt, Checkpointing::log, Checkpointing::every(5)}) {
        CAPTURE(reverse, n, how.interval());
        const auto f = chain(n, how, reverse), plain = chain(n, Checkpointing::none, reverse);
        CHECK(double(f(1.3, 0.4)) == Approx(double(plain(1.3, 0.4))).epsilon(1e-13));
        auto [a, x] = grad<0, 1>(f)(1.3, 0.4);
        auto [pa, px] = grad<0, 1>(plain)(1.3, 0.4);
        CHECK(double(a) == Approx(double(pa)).epsilon(1e-11));
        CHECK(double(x) == Approx(double(px)).epsilon(1e-11).margin(1e-14));
      }
}

TEST_CASE("reverse loops: checkpoints under jit, vmap and second derivatives", "[reverse_loops]") {
  for (Checkpointing how : {Checkpointing::sqrt, Checkpointing::log}) {
    CAPTURE(how.interval());
    const auto f = chain(70, how), plain = chain(70, Checkpointing::none);
    auto second = [](auto g) {
      return [g](Array a) { return grad([g](Array p) { return grad(g)(p, 0.4); })(a); };
    };
    const double want = double(second(plain)(1.3));
    CHECK(double(second(f)(1.3)) == Approx(want).epsilon(1e-10));
    CHECK(double(jit(second(f))(1.3)) == Approx(want).epsilon(1e-10));
    CHECK(double(jacfwd([&](Array a) { return grad(f)(a, 0.4); })(1.3)) ==
          Approx(want).epsilon(1e-10));
    const Array a = {1.3, 0.7, 1.1};
    auto lanes = [](auto g) { return vmap(grad(g), {.in_axes = {0, None}}); };
    CHECK(allclose(lanes(f)(a, 0.4), lanes(plain)(a, 0.4), 1e-11, 1e-13));
    CHECK(allclose(jit(lanes(f))(a, 0.4), lanes(plain)(a, 0.4), 1e-11, 1e-13));
  }
}

TEST_CASE("reverse loops: memory of checkpointed scans", "[reverse_loops]") {
  // A state of 64 numbers, all of which make each of the next.
  const Array m = 0.2 * sin(reshape(arange(4096.0), {64, 64}));
  auto f = [m](std::int64_t n, Checkpointing how) {
    return [=](Array x) {
      auto step = [m](Array c) { return std::pair(sin(dot(m, c)), None); };
      return sum(scan(step, x, None, {.length = n, .checkpoint = how}).first);
    };
  };
  const Array x = sin(arange(64.0));
  const std::int64_t state = 512;
  for (std::int64_t n : {1000, 10000, 100000}) {
    CAPTURE(n);
    auto memory = [&](Checkpointing how) {
      return std::int64_t(jit(grad(f(n, how))).compile(x).memory().temporaries) / state;
    };
    UNSCOPED_INFO(memory(Checkpointing::none)
                  << " " << memory(Checkpointing::sqrt) << " " << memory(Checkpointing::log));
    const double root = std::sqrt(double(n)), levels = std::log(double(n)) / std::log(8.0);
    CHECK(memory(Checkpointing::none) >= n - 1);
    CHECK(memory(Checkpointing::sqrt) <= 2.2 * root + 16);
    CHECK(memory(Checkpointing::log) <= 16 * levels + 16);
    if (n > 1000) continue;
    const Array want = grad(f(n, Checkpointing::none))(x);
    CHECK(allclose(jit(grad(f(n, Checkpointing::sqrt)))(x), want, 1e-10, 1e-14));
    CHECK(allclose(jit(grad(f(n, Checkpointing::log)))(x), want, 1e-10, 1e-14));
  }
}
