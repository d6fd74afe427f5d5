// control_flow.cc -- control flow that is part of a compiled program: cond, scan, while_loop, fori_loop.
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <iostream>

using namespace jaxpp;

struct Particle {
  Array position, velocity;
};

int main() {
  // scan: a carry (any struct) runs through time; what each step returns is stacked.
  auto spring = [](Particle p, Array force) {
    p.velocity += 0.1 * (force - p.position);
    p.position += 0.1 * p.velocity;
    return std::pair(p, p.position);
  };
  auto simulate = [&](Array forces) { return scan(spring, Particle{1.0, 0.0}, forces); };
  auto [end, path] = simulate(zeros({5}, f64));
  std::cout << "path " << path << "\n";

  // The compiled loop has a derivative: how the end depends on every force.
  auto final_position = jit([&](Array forces) { return simulate(forces).first.position; });
  std::cout << "d end / d forces " << grad(final_position)(zeros({5}, f64)) << "\n";

  // cond: both branches are compiled, one runs.
  auto huber = jit([](Array x) {
    return cond(
        abs(x) < 1, [](Array v) { return 0.5 * v * v; }, [](Array v) { return abs(v) - 0.5; }, x);
  });
  std::printf("huber %g %g, slopes %g %g\n", double(huber(0.5)), double(huber(-3.0)),
              double(grad(huber)(0.5)), double(grad(huber)(-3.0)));

  // while_loop: as many steps as the data asks for; under vmap, each lane stops by itself.
  auto collatz = [](Array n) {
    auto running = [](std::pair<Array, Array> s) { return s.first > 1; };
    auto next = [](std::pair<Array, Array> s) {
      return std::pair(where(s.first % 2 == 0, floor_divide(s.first, 2), 3 * s.first + 1),
                       s.second + 1);
    };
    return while_loop(running, next, std::pair(n, zeros_like(n))).second;
  };
  std::cout << "steps to reach 1: " << jit(vmap(collatz))(Array{1, 6, 7, 27}) << "\n";

  // fori_loop: a counted loop; power iteration for the largest eigenvalue.
  Array a = {{2., 1.}, {1., 3.}};
  auto eigenvalue = jit([](Array m) {
    Array v = fori_loop(
        0, 60,
        [m](Array, Array u) {
          Array w = matmul(m, u);
          return w / sqrt(sum(w * w));
        },
        Array{1., 0.});
    return dot(v, matmul(m, v));
  });
  std::printf("largest eigenvalue %.10f\n", double(eigenvalue(a)));
}
