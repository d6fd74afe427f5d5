// speed.cc -- jaxpp's own rows: the cost of the machinery, each with the time it should not exceed.
//
// The bars hold on a machine where malloc_free_64 takes about 8.4 ns; scale them by that row elsewhere.
#include <cstdlib>
#include "backends/loops/loops.h"
#include "backends/passes/passes.h"
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto f = [](Array x) { return sin(x) * x; };
const auto chain = [](Array x) {  // 1000 equations
  for (int i = 0; i < 500; ++i) x = sin(x) + x;
  return x;
};
// A program of 2,000 equations like those of users: the gradient of a deep network of small arrays.
JaxprPtr program_of_2000() {
  auto deep = [](Array x, Array w) {
    for (int i = 0; i < 120; ++i) x = tanh(x * w + sum(x)) * exp(-square(x));
    return sum(x);
  };
  auto g = value_and_grad<0, 1>(deep);
  return passes::optimize(*make_jaxpr(g)(ones({100}), ones({100})).body());
}
}  // namespace

void bench::register_speed() {
  row("malloc_free_64", 0, [] {
    return [] {
      void* p = std::malloc(64);
      benchmark::DoNotOptimize(p);
      std::free(p);
      return 0;
    };
  });
  row("eager_add", 0.04, [] { return [x = Array(2.0), y = Array(3.0)] { return x + y; }; });
  row("eager_grad", 1, [] { return [g = grad(f), x = Array(2.0)] { return g(x); }; });
  row("eager_grad3", 8, [] { return [g = grad(grad(grad(f))), x = Array(2.0)] { return g(x); }; });
  row("eager_vmap8", 0.5,
      [] { return [v = vmap(f), x = random_array(3, {8}).astype(f64)] { return v(x); }; });
  row(
      "trace_equation", 0.15, [] { return [t = make_jaxpr(chain)] { return t(2.0); }; }, 1000,
      "of 1000");
  row(
      "loop_build", 20,
      [] {
        return [j = program_of_2000()] {
          loops::Program p = loops::build(*j);
          loops::schedule(p, {});
          loops::plan_memory(p);
          return int(p.body.size());
        };
      },
      double(program_of_2000()->eqns.size()), "an equation: build, schedule, plan");
  row("jit_call", 0.1, [] { return [j = jit(f), x = Array(2.0)] { return j(x); }; });
}
