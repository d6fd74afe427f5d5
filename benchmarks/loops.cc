// loops.cc -- L1 to L5 of workloads.md: long loops over small states, and their gradients.
#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
using namespace jaxpp;

using bench::Lorenz;
using bench::Point;

namespace {

Point start() { return {1.0, 1.0, 1.0}; }
Lorenz parameters() { return {10.0, 28.0, 8.0 / 3}; }

// ---- L3: loops that end when the value says so
/// Cube roots one after the other, each from the one before; and the number of Newton's steps.
std::pair<Array, Array> cube_roots(Array a) {
  using State = std::tuple<Array, Array, Array>;  // root, steps in all, steps for this one
  auto root = [&](Array i, std::pair<Array, Array> s) {
    Array ai = a(i);
    auto far = [=](const State& t) {
      auto& [x, total, k] = t;
      return (abs(pow(x, 3) - ai) > 1e-12 * ai) & (k < 50);
    };
    auto newton = [=](const State& t) {
      auto& [x, total, k] = t;
      return State(x - (x * x * x - ai) / (3 * x * x), total + 1, k + 1);
    };
    auto [x, total, k] = while_loop(far, newton, State(s.first, s.second, Array(0)));
    return std::pair(x, total);
  };
  return fori_loop(0, a.size(), root, std::pair<Array, Array>(1.0, std::int64_t(0)));
}
/// After how many steps z = z^2 + c leaves the circle of radius 2, at most 100.
Array escape_time(Array cx, Array cy) {
  using State = std::tuple<Array, Array, Array>;
  auto inside = [](const State& s) {
    auto& [x, y, k] = s;
    return (x * x + y * y <= 4) & (k < 100);
  };
  auto step = [=](const State& s) {
    auto& [x, y, k] = s;
    return State(x * x - y * y + cx, 2 * x * y + cy, k + 1);
  };
  return std::get<2>(while_loop(inside, step, State(0.f, 0.f, 0)));
}

// ---- L5: stars
/// Vectors from each star to each other, and their squared lengths, softened.
std::pair<Array, Array> distances(Array x) {
  Array d = x(None) - x(All, None);
  return {d, sum(d * d, -1) + 0.01};
}
Array acceleration(Array x, Array m) {
  auto [d, r2] = distances(x);
  return einsum("ijk,ij,j->ik", d, pow(r2, -1.5), m);
}
/// The energy after ten steps of the leapfrog method.
Array energy(Array x, Array v, Array m) {
  const double dt = 0.01;
  struct Stars {
    Array x, v, a;
  };
  auto step = [&](Stars s) {
    s.v = s.v + dt / 2 * s.a;
    s.x = s.x + dt * s.v;
    s.a = acceleration(s.x, m);
    s.v = s.v + dt / 2 * s.a;
    return std::pair(s, None);
  };
  Stars end = scan(step, Stars{x, v, acceleration(x, m)}, None, {.length = 10}).first;
  Array r2 = distances(end.x).second;
  return 0.5 * sum(m * sum(end.v * end.v, -1)) - 0.5 * sum(m(All, None) * m(None) * rsqrt(r2));
}

}  // namespace

void bench::register_loops() {
  add("L1", 10'000, {}, [] {
    return run(jit([](Point p, Lorenz f) { return bench::lorenz(p, f, 10'000); }), start(),
               parameters());
  });
  add("L2", 10'000, {}, [] {
    auto final_sum = [](Point p, Lorenz f) {
      Point end = bench::lorenz(p, f, 10'000);
      return end.x + end.y + end.z;
    };
    return run(jit(value_and_grad<0, 1>(final_sum)), start(), parameters());
  });
  add("L3_newton", 200'000, {}, [] {
    return run(jit(cube_roots),
               fill<double>({200'000}, [](std::size_t i) { return 1 + unit(76, i); }));
  });
  add("L3_mandel", 512, {}, [] {
    const Shape grid = {512, 512};
    return run(jit(vmap(vmap(escape_time))),
               fill<float>(grid, [](std::size_t i) { return -2 + 3 * double(i % 512) / 512; }),
               fill<float>(grid, [](std::size_t i) { return -1.5 + 3 * double(i / 512) / 512; }));
  });
  add("L4", 100'000, {}, [] {
    auto step = [](Array, Array x) { return x + 1e-3 * (sin(x) - 0.1 * x); };
    return run(jit([=](Array x) { return fori_loop(0, 100'000, step, x); }), Array(0.5));
  });
  add("L5", 512, {}, [] {
    const std::int64_t n = 512;
    return run(jit(value_and_grad<0, 1>(energy)), random_array(81, {n, 3}),
               affine(82, {n, 3}, 0, 0.1),
               fill<float>({n}, [](std::size_t i) { return (1.5 + 0.5 * random(83, i)) / 512; }));
  });
}
