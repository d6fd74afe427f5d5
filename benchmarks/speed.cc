// speed.cc -- jaxpp's own rows: the cost of the machinery, each with the time it should not exceed.
//
// The bars hold on a machine where malloc_free_64 takes about 8.4 ns; scale them by that row elsewhere.
#include <cstdlib>
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto f = [](Array x) { return sin(x) * x; };
const auto chain = [](Array x) {  // 1000 equations
  for (int i = 0; i < 500; ++i) x = sin(x) + x;
  return x;
};
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
  row("jit_call", 0.1, [] { return [j = jit(f), x = Array(2.0)] { return j(x); }; });
}
