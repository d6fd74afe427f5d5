// linalg.cc -- M1 to M8 of workloads.md: products, factorizations, and many small systems.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto product = [](Array a, Array b) { return matmul(a, b); };
const auto solve = [](Array a, Array b) { return linalg::solve(a, b); };
const auto cholesky = [](Array a) { return linalg::cholesky(a); };
const auto log_determinant = [](Array a) { return 2 * sum(log(diagonal(linalg::cholesky(a)))); };

/// G G^T / n + I.
Array positive_definite(std::int64_t n) {
  Array g = bench::random_array<double>(43, {n, n});
  return matmul(g, transpose(g)) / double(n) + eye(n, f64);
}
/// R(seed, shape) + diagonal * I, for matrices in the last two axes.
Array dominant(std::uint64_t seed, const Shape& shape, double diagonal) {
  const std::size_t n = std::size_t(shape.back());
  return bench::fill<float>(shape, [=](std::size_t i) {
    return bench::random(seed, i) + (i / n % n == i % n ? diagonal : 0.0);
  });
}
}  // namespace

void bench::register_linalg() {
  for (std::int64_t n : {64, 256, 1024, 2048})
    add("M1", n, {.gflop = 2e-9 * double(n * n * n)}, [n] {
      return run(jit(product), random_array(41, {n, n}), random_array(42, {n, n}));
    });
  add("M2", 0, {.gflop = 2e-9 * 256 * 64 * 64 * 64}, [] {
    return run(jit(product), random_array(41, {256, 64, 64}), random_array(42, {256, 64, 64}));
  });
  add("M3_chol", 512, {}, [] { return run(jit(cholesky), positive_definite(512)); });
  add("M3_logdet_grad", 512, {},
      [] { return run(jit(value_and_grad(log_determinant)), positive_definite(512)); });
  add("M4_solve", 512, {}, [] {
    return run(jit(solve), dominant(44, {512, 512}, 32), random_array(45, {512}));
  });
  add("M8", 100'000, {}, [] {
    return run(jit(vmap(solve)), dominant(47, {100'000, 3, 3}, 3), random_array(48, {100'000, 3}));
  });
}
