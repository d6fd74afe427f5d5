// data.cc -- S1 to S6 of workloads.md: sorting, gathering, scattering, random numbers, transposition.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {
const auto row_of = [](Array table, Array i) { return table(i); };
const auto half_square = [](Array table, Array i) { return 0.5 * sum(square(table(i))); };
const auto sums = [](Array v, Array segment) { return segment_sum(v, segment, 10'000); };
Array table() { return bench::random_array(121, {100'000, 16}); }
Array row_numbers() { return bench::random_indices(122, 1'000'000, 100'000); }
}  // namespace

void bench::register_data() {
  add("S1", 1'000'000, {},
      [] { return run(jit([](Array x) { return sort(x); }), random_array(120, {1'000'000})); });
  add("S2_gather", 0, {.gb = 0.132}, [] { return run(jit(row_of), table(), row_numbers()); });
  add("S2_grad", 0, {},
      [] { return run(jit(value_and_grad(half_square)), table(), row_numbers()); });
  add("S3", 0, {}, [] {
    return run(jit(sums), random_array(123, {1'000'000}), random_indices(124, 1'000'000, 10'000));
  });
  add("S5", 10'000'000, {}, [] {
    auto normals = [](random::Key key) { return random::normal(key, {10'000'000}); };
    return run(jit(normals), random::Key{fill<std::uint32_t>({2}, [](std::size_t) { return 0; })});
  });
  add("S6", 4096, {.gb = 8e-9 * 4096 * 4096}, [] {
    return run(jit([](Array x) { return transpose(x); }), random_array(129, {4096, 4096}));
  });
}
