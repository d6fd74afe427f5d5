// bench.h -- how a row is registered and measured.
//
//   add("E1", 1000, {.gb = 8e-6}, [] { return run(jit(value_and_grad(f)), random_array(11, {1000})); });
//
// The outer lambda prepares, when the row's turn has come; what it returns is called and timed.  The result of the first
// call is the one whose checksum is compared, its duration is `compile_s`.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include "benchmarks/inputs.h"

namespace bench {

/// What a row promises; all of it may be left out.
struct RowOptions {
  double bar_us = 0;    ///< what the median should not exceed
  double gb = 0;        ///< compulsory traffic of a call, 1e9 bytes
  double gflop = 0;     ///< operations of a call, 1e9
  double per_call = 1;  ///< the timed call does this many of what the row counts
  std::string note = {};
};
/// One line of results, in the format of workloads.md.  Seconds are for one call; < 0: not measured.
struct Record {
  double median = -1, least = -1, compile = -1;
  bool has_checksum = false;
  Checksum checksum = {};
  std::string note = {};
  std::int64_t reps = 0;
  double foreign_cpu = 0;  ///< cores that other processes used meanwhile
  double wait = 0;         ///< of the time, how much our threads stood in the queue for a core
  double peak_rss_mb = 0, rss_growth_mb = 0;
};
struct Row {
  std::string workload;
  std::int64_t n = 0;
  RowOptions options = {};
  std::function<Record()> measure;
  std::string label() const { return n ? workload + "@" + std::to_string(n) : workload; }
};
std::vector<Row>& rows();

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
/// The value is used: computing it may not be optimized away.
template <class T>
inline void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}
/// Median, least and repetitions of one call; repeat(k) makes k calls.
Record measure(const std::function<void(std::int64_t)>& repeat);
/// The median of single runs, seconds each.
Record median_of(std::vector<double> seconds);

/// A call of f with these arguments; they outlive it, so nothing is donated.
template <class F, class... A>
auto run(F f, A... args) {
  return [f, ... a = std::move(args)] { return f(a...); };
}

/// A row that measures itself.
void add_record(const char* workload, std::int64_t n, RowOptions, std::function<Record()>);

/// prepare() gives the call that is timed; compared(result) is the part of its result that enters the checksum.
template <class Prepare, class Compared>
void add(const char* workload, std::int64_t n, RowOptions options, Prepare prepare,
         Compared compared) {
  add_record(workload, n, options, [=] {
    auto call = prepare();
    const double start = now();
    auto first = call();
    const double compile = now() - start;
    Checksum sum;
    constexpr bool is_tree = !std::is_arithmetic_v<decltype(first)>;
    if constexpr (is_tree) {
      sum = checksum(jaxpp::tree_leaves(compared(first)));
      first = {};
    }
    Record r = measure([&](std::int64_t k) {
      for (; k > 0; --k) {
        auto result = call();
        keep(result);
      }
    });
    r.compile = compile, r.checksum = sum, r.has_checksum = is_tree;
    return r;
  });
}
template <class Prepare>
void add(const char* workload, std::int64_t n, RowOptions options, Prepare prepare) {
  add(workload, n, options, prepare, [](const auto& result) { return result; });
}

void register_speed();
void register_dispatch();
void register_elementwise();
void register_reductions();
void register_linalg();
void register_networks();
void register_analysis();
void register_loops();
void register_derivatives();
void register_data();
void register_compile();
void register_memory();

}  // namespace bench
