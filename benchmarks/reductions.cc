// reductions.cc -- R1 to R6 of workloads.md.
#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
using namespace jaxpp;

namespace {
constexpr std::int64_t kRows = 4096, kColumns = 1024;
constexpr double kMatrixGb = 4e-9 * kRows * kColumns;

const auto weighted_layer_norm = [](Array x, Array gain, Array bias, Array weights) {
  return sum(bench::layer_norm(x, gain, bias) * weights);
};
Array matrix() { return bench::affine(31, {kRows, kColumns}, 0, 4); }
}  // namespace

void bench::register_reductions() {
  add("R1", 0, {.gb = 2 * kMatrixGb},
      [] { return run(jit([](Array x) { return nn::softmax(x, -1); }), matrix()); });
  add("R2", 0, {.gb = 3 * kMatrixGb}, [] {
    return run(jit(value_and_grad<0, 1, 2>(weighted_layer_norm)),
               random_array(32, {kRows, kColumns}), affine(33, {kColumns}, 1, 0.5),
               random_array(34, {kColumns}), random_array(35, {kRows, kColumns}));
  });
  add("R3", 0, {.gb = kMatrixGb},
      [] { return run(jit([](Array x) { return nn::logsumexp(x, 0); }), matrix()); });
  add("R4", 10'000'000, {.gb = 0.04},
      [] { return run(jit([](Array x) { return sum(x); }), affine(36, {10'000'000}, 1, 1)); });
  add("R5", 10'000'000, {.gb = 0.08},
      [] { return run(jit([](Array x) { return cumsum(x); }), random_array(37, {10'000'000})); });
  add("R6", 0, {.gb = kMatrixGb},
      [] { return run(jit([](Array x) { return argmax(x, -1); }), matrix()); });
}
