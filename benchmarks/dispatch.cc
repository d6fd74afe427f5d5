// dispatch.cc -- D1 to D5 of workloads.md: what a call costs when there is nothing to compute.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto f = [](Array x) { return sin(x) * x; };
}

void bench::register_dispatch() {
  workload(
      "D1", 0, [] { return [f = jit(f), x = Array(0.5f)] { return f(x); }; }, 0.1);
  workload("D2", 0, [] { return [f = jit(grad(f)), x = Array(0.5f)] { return f(x); }; });
  workload("D3", 0, [] { return [f = grad(f), x = Array(0.5f)] { return f(x); }; });
  workload(
      "D4", 0,
      [] {
        std::vector<Array> xs;
        for (int k = 0; k < 100; ++k) xs.push_back(random_array(std::uint64_t(100 + k), {8}));
        auto twice_plus_one = jit([](std::vector<Array> v) {
          for (Array& x : v) x = x * 2 + 1;
          return v;
        });
        return [=] { return twice_plus_one(xs); };
      },
      3);
  workload("D5", 0,
           [] { return [x = random_array(1, {8}), y = random_array(2, {8})] { return x + y; }; });
}
