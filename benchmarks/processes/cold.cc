// cold.cc -- P1 of workloads.md: a process that prints one compiled gradient.
#include <cstdio>

#include "benchmarks/processes/memory_use.h"
#include "jaxpp/jaxpp.h"
using namespace jaxpp;

int main() {
  auto f = jit(grad([](Array x) { return sin(x) * x; }));
  std::printf("value %.9g\n", double(f(0.5f)));
  std::printf("peak_rss_mb %.1f\n", bench::peak_rss_mb());
}
