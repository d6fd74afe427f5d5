// steps.cc -- P2 of workloads.md: the memory of a gradient through a thousand steps, and with checkpoints.
//
//   jaxpp_bench_steps [checkpoint]
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "benchmarks/processes/memory_use.h"
#include "jaxpp/jaxpp.h"
using namespace jaxpp;

namespace {
Array steps(Array x, std::int64_t n) {
  auto step = [](Array v) { return std::pair(v + 0.001 * sin(v) * v, None); };
  return scan(step, x, None, {.length = n}).first;
}
Array loss(Array x) { return sum(square(steps(x, 1000))); }
Array checkpointed_loss(Array x) {
  auto block = checkpoint([](Array v) { return steps(v, 40); });
  auto blocks = [&](Array v) { return std::pair(block(v), None); };
  return sum(square(scan(blocks, x, None, {.length = 25}).first));
}
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
template <class F>
void report(F f, const Array& x) {
  const double before = bench::peak_rss_mb();
  Array y = f(x);
  const double growth = bench::peak_rss_mb() - before;
  double seconds[5];
  for (double& s : seconds) {
    const double start = now();
    y = f(x);
    s = now() - start;
  }
  std::sort(seconds, seconds + 5);
  std::printf("value %.9g\nmedian_s %.6g\nmin_s %.6g\nrss_growth_mb %.1f\n", double(sum(y)),
              seconds[2], seconds[0], growth);
}
}  // namespace

int main(int argc, char**) {
  // Compiled, as the peers do it: the compiler is there before the growth is measured.
  Array x = jit([] { return sin(arange(100'000, f32)); })();
  argc > 1 ? report(jit(grad(checkpointed_loss)), x) : report(jit(grad(loss)), x);
}
