// compile.cc -- C1 to C4 of workloads.md: tracing, passes and code generation of programs never seen before.
//
// Each repetition compiles a program that differs from the others in one constant, so no cache of the library can have
// it; jaxpp_bench itself leaves the disk alone (JAXPP_CACHE=0).
#include <cstdio>

#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
#include "jaxpp/core/jaxpr.h"
using namespace jaxpp;

namespace {

constexpr double kEnough = 5;  // seconds for one row

/// A number near 1, another one at each repetition; the programs multiply by it.
float near_one(int repetition) { return 1 + float(repetition) * 0x1p-23f; }

/// make(factor) is a function that has never been compiled.
template <class Make, class... A>
bench::Record compilations(int repetitions, const Make& make, const A&... arguments) {
  std::vector<double> seconds;
  double total = 0, tracing = 0;
  bench::Checksum sum;
  for (int k = 0; k < repetitions && total < kEnough; ++k) {
    auto f = make(near_one(k));
    double start = bench::now();
    make_jaxpr(f)(arguments...);
    tracing = bench::now() - start;
    start = bench::now();
    auto compiled = jit(f).compile(arguments...);
    seconds.push_back(bench::now() - start);
    total += seconds.back();
    if (k == 0) sum = bench::checksum(tree_leaves(compiled(arguments...)));
  }
  bench::Record r = bench::median_of(seconds);
  r.checksum = sum, r.has_checksum = true;
  char note[64];
  std::snprintf(note, sizeof note, "of it tracing %.3g ms", tracing * 1e3);
  r.note = note;
  return r;
}

/// A straight line of n operations on scalars.
Array line(Array x, int n, float factor = 1) {
  Array y = x;
  for (int k = 0; k < n; ++k) switch (k % 4) {
      case 0: y = sin(y); break;
      case 1: y = y * x; break;
      case 2: y = y + 0.5; break;
      case 3: y = y * (0.9 * factor); break;
    }
  return y;
}

}  // namespace

void bench::register_compile() {
  add_record("C1", 0, {}, [] {
    auto [m, x, y] = mlp_inputs();
    auto make = [](float factor) {
      return grad([=](Mlp p, Array in, Array out) { return factor * mlp_loss(p, in, out); });
    };
    return compilations(7, make, m, x, y);
  });
  add_record("C2", 2000, {}, [] {
    auto make = [](float factor) { return grad([=](Array x) { return line(x, 2000, factor); }); };
    return compilations(7, make, Array(0.7f));
  });
  add_record("C3", 10'000, {.note = "make_jaxpr; checksum = number of equations"}, [] {
    std::vector<double> seconds;
    Record r;
    Checksum equations;
    for (int k = 0; k < 7; ++k) {
      const double start = now();
      Jaxpr j = make_jaxpr([](Array x) { return line(x, 10'000); })(0.7f);
      seconds.push_back(now() - start);
      equations.sum = equations.scale = double(j.body()->eqns.size());
    }
    r = median_of(seconds);
    r.checksum = equations, r.has_checksum = true;
    return r;
  });
  add_record("C4", 0, {}, [] {
    auto [p, xs] = lstm_inputs();
    auto make = [](float factor) {
      return grad([=](Lstm q, Array in) { return factor * lstm_loss(q, in); });
    };
    return compilations(7, make, p, xs);
  });
}
