// elementwise.cc -- E1 to E5 of workloads.md: formulas over long arrays, and their gradients.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto waves = [](Array x) { return sum(sin(x) * exp(-x * x) + tanh(x)); };

Array normal_cdf(Array z) { return 0.5 * (1 + erf(z * 0.7071067811865475)); }
/// Black and Scholes' price of a call option.
Array price(Array s, Array k, Array t, Array r, Array sigma) {
  Array d1 = (log(s / k) + (r + 0.5 * sigma * sigma) * t) / (sigma * sqrt(t));
  Array d2 = d1 - sigma * sqrt(t);
  return s * normal_cdf(d1) - k * exp(-r * t) * normal_cdf(d2);
}

const auto chain = [](Array x, Array y) {
  for (int i = 0; i < 10; ++i) y = 0.5 * y + x;
  return y;
};

template <class F>
void add_function(const char* name, F f) {
  bench::add(name, 1'000'000, {.gb = 8e-3},
             [=] { return bench::run(jit(f), bench::affine(14, {1'000'000}, 2, 1)); });
}
}  // namespace

void bench::register_elementwise() {
  for (std::int64_t n : {1'000, 100'000, 10'000'000})
    add("E1", n, {.gb = 8e-9 * double(n)},
        [n] { return run(jit(value_and_grad(waves)), affine(11, {n}, 0, 3)); });
  add("E2", 1'000'000, {.gb = 40e-3}, [] {
    const Shape n = {1'000'000};
    auto greeks = vmap(value_and_grad<0, 2, 3, 4>(price));
    return run(jit(greeks), affine(21, n, 100, 20), affine(22, n, 100, 20), affine(23, n, 1, 0.5),
               affine(25, n, 0.03, 0.01), affine(24, n, 0.3, 0.1));
  });
  add("E3", 1'000'000, {.gb = 16e-3},
      [] { return run(jit(value_and_grad(waves)), affine<double>(11, {1'000'000}, 0, 3)); });
  add("E4", 10'000'000, {.gb = 0.12}, [] {
    return run(jit(chain), random_array(12, {10'000'000}), random_array(13, {10'000'000}));
  });
  add_function("E5_sin", [](Array x) { return sin(x); });
  add_function("E5_cos", [](Array x) { return cos(x); });
  add_function("E5_exp", [](Array x) { return exp(x); });
  add_function("E5_log", [](Array x) { return log(x); });
  add_function("E5_tanh", [](Array x) { return tanh(x); });
  add_function("E5_erf", [](Array x) { return erf(x); });
  add_function("E5_sqrt", [](Array x) { return sqrt(x); });
  add_function("E5_sigmoid", [](Array x) { return nn::sigmoid(x); });
}
