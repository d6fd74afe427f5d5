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
  add("malloc_free_64", 0, {}, [] {
    return [] {
      void* p = std::malloc(64);
      keep(p);
      std::free(p);
      return 0;
    };
  });
  add("eager_add", 0, {.bar_us = 0.04},
      [] { return [x = Array(2.0), y = Array(3.0)] { return x + y; }; });
  add("eager_grad", 0, {.bar_us = 1}, [] { return run(grad(f), Array(2.0)); });
  add("eager_grad3", 0, {.bar_us = 8}, [] { return run(grad(grad(grad(f))), Array(2.0)); });
  add("eager_vmap8", 0, {.bar_us = 0.5}, [] { return run(vmap(f), random_array<double>(3, {8})); });
  add("trace_equation", 0, {.bar_us = 0.15, .per_call = 1000, .note = "of 1000"},
      [] { return [t = make_jaxpr(chain)] { return t(2.0).body() != nullptr; }; });
  add("loop_build", 0,
      {.bar_us = 20,
       .per_call = double(program_of_2000()->eqns.size()),
       .note = "an equation: build, schedule, plan"},
      [] {
        return [j = program_of_2000()] {
          loops::Program p = loops::build(*j);
          loops::schedule(p, {});
          loops::plan_memory(p);
          return int(p.body.size());
        };
      });
  add("jit_call", 0, {.bar_us = 0.1}, [] { return run(jit(f), Array(2.0)); });
}
