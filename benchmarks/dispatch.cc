// dispatch.cc -- D1 to D5 of workloads.md: what a call costs when there is nothing to compute.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto f = [](Array x) { return sin(x) * x; };
const auto twice_plus_one = [](std::vector<Array> v) {
  for (Array& x : v) x = x * 2 + 1;
  return v;
};
}  // namespace

void bench::register_dispatch() {
  add("D1", 0, {.bar_us = 0.1}, [] { return run(jit(f), Array(0.5f)); });
  add("D2", 0, {}, [] { return run(jit(grad(f)), Array(0.5f)); });
  add("D3", 0, {}, [] { return run(grad(f), Array(0.5f)); });
  add("D4", 0, {.bar_us = 3}, [] {
    std::vector<Array> xs;
    for (std::uint64_t k = 0; k < 100; ++k) xs.push_back(random_array(100 + k, {8}));
    return run(jit(twice_plus_one), xs);
  });
  add("D5", 0, {}, [] {
    return run([](const Array& x, const Array& y) { return x + y; }, random_array(1, {8}),
               random_array(2, {8}));
  });
}
