// bench.h -- how a row is registered.
//
//   workload("D1", 0, [] { return [f = jit(...), x = Array(0.5f)] { return f(x); }; });
//   row("eager_add", 0.04, [] { return [x = Array(2.0)] { return x + x; }; });
//
// The outer lambda prepares, once; the inner one is what is timed.  Its first call gives checksum and compile time.
#pragma once
#include <benchmark/benchmark.h>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include "benchmarks/inputs.h"

namespace bench {

struct Row {
  std::string workload = {};
  std::int64_t n = 0;
  double bar_us = 0;    // what the median should not exceed; 0: none
  double per_call = 1;  // the timed call does this many of what the row counts
  std::string note = {};
  bool compared = false;  // has a reference checksum
  Checksum checksum = {};
  double compile_s = 0;
  std::string label() const { return n ? workload + "@" + std::to_string(n) : workload; }
};
std::map<std::string, Row>& rows();  // by label

template <class Build>
void add(Row r, Build build) {
  std::string label = r.label();
  rows()[label] = r;
  using Call = decltype(build());
  auto prepared = std::make_shared<std::unique_ptr<Call>>();
  benchmark::RegisterBenchmark(
      label.c_str(),
      [=](benchmark::State& state) {
        if (!*prepared) {
          *prepared = std::make_unique<Call>(build());
          Row& row = rows()[label];
          auto start = std::chrono::steady_clock::now();
          auto result = (**prepared)();
          row.compile_s =
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
          if constexpr (requires { jaxpp::tree_leaves(result); })
            row.checksum = checksum(jaxpp::tree_leaves(result));
        }
        Call& call = **prepared;
        for (auto _ : state) {
          auto result = call();
          benchmark::DoNotOptimize(result);
        }
      })
      ->Repetitions(7)
      ->MinTime(0.08)
      ->UseRealTime();
}
/// A workload of workloads.md, compared with expected.json.
template <class Build>
void workload(const char* name, std::int64_t n, Build build, double bar_us = 0) {
  add({.workload = name, .n = n, .bar_us = bar_us, .compared = true}, build);
}
/// A row of jaxpp's own, with a bar.
template <class Build>
void row(const char* name, double bar_us, Build build, double per_call = 1, const char* note = "") {
  add({.workload = name, .bar_us = bar_us, .per_call = per_call, .note = note}, build);
}

void register_speed();
void register_dispatch();

}  // namespace bench
