// main.cc -- jaxpp_bench [--filter REGEX] [--json FILE] [--expected FILE]
//
// Runs the registered rows under Google Benchmark and reports the median of the repetitions, beside the row's bar and
// whether its checksum is the reference's.  FILE receives one JSON line a row, in the format of workloads.md.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include "benchmarks/bench.h"

namespace bench {

std::map<std::string, Row>& rows() {
  static std::map<std::string, Row> all;
  return all;
}

Checksum checksum(const std::vector<jaxpp::Array>& outputs) {
  Checksum c;
  std::size_t k = 0;
  auto take = [&](double y) {
    double w = (1 + double(k++ % 8) / 8) * y;
    c.sum += w;
    c.scale += std::abs(w);
  };
  for (const jaxpp::Array& a : outputs) {
    if (jaxpp::is_complex(a.dtype())) {
      for (std::complex<double> z : a.to_vector<std::complex<double>>())
        take(z.real()), take(z.imag());
    } else {
      for (double y : a.to_vector<double>()) take(y);
    }
  }
  return c;
}

namespace {
class Reporter : public benchmark::BenchmarkReporter {
 public:
  Reporter(const std::string& json, const std::string& expected) {
    if (!json.empty()) json_.open(json, std::ios::app);
    if (!expected.empty()) expected_ = nlohmann::json::parse(std::ifstream(expected));
  }

 private:
  bool ReportContext(const Context&) override {
    std::printf("%-22s %12s %12s   %s\n", "row", "median", "least", "bar");
    return true;
  }
  // Called with all the repetitions of one row, and their aggregates.
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<double> seconds;
    std::int64_t calls = 0;
    const std::string label = runs[0].run_name.function_name;
    Row& row = rows()[label];
    for (const Run& r : runs) {
      if (r.run_type != Run::RT_Iteration || r.error_occurred) continue;
      seconds.push_back(r.real_accumulated_time / double(r.iterations) / row.per_call);
      calls += r.iterations;
    }
    if (seconds.empty()) return;
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    std::string verdict;
    if (row.bar_us > 0) {
      char bar[64];
      std::snprintf(bar, sizeof bar, "bar %6.2f us%s", row.bar_us,
                    median * 1e6 <= row.bar_us ? "" : "   MISSED");
      verdict = bar;
    }
    if (row.compared) verdict += (verdict.empty() ? "" : "   ");
    if (row.compared) verdict += agrees(row) ? "checksum agrees" : "WRONG CHECKSUM";
    std::printf("%-22s %12s %12s   %s\n", label.c_str(), text(median).c_str(),
                text(seconds[0]).c_str(), verdict.c_str());
    std::fflush(stdout);
    if (!json_.is_open()) return;
    nlohmann::ordered_json line = {{"peer", "jaxpp"},
                                   {"workload", row.workload},
                                   {"n", row.n},
                                   {"median_s", median},
                                   {"min_s", seconds[0]}};
    line["checksum"] = row.compared ? nlohmann::ordered_json(row.checksum.sum) : nullptr;
    line["scale"] = row.compared ? nlohmann::ordered_json(row.checksum.scale) : nullptr;
    line["compile_s"] = row.compile_s;
    line["note"] = row.note;
    line["reps"] = calls;
    json_ << line.dump() << std::endl;
  }
  bool agrees(const Row& row) {
    const std::string key = row.workload + "@" + std::to_string(row.n);
    if (!expected_.contains(key)) return true;
    const double sum = expected_[key]["checksum"], scale = expected_[key]["scale"];
    const bool ok = std::abs(row.checksum.sum - sum) <= 1e-4 * std::max(scale, row.checksum.scale);
    return ok;
  }
  static std::string text(double s) {
    char out[32];
    const bool ns = s < 0.9995e-6, us = s < 0.9995e-3;
    std::snprintf(out, sizeof out, "%.4g %s",
                  s * (ns   ? 1e9
                       : us ? 1e6
                            : 1e3),
                  ns   ? "ns"
                  : us ? "us"
                       : "ms");
    return out;
  }
  std::ofstream json_;
  nlohmann::json expected_ = nlohmann::json::object();
};
}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  std::string filter, json, expected;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    std::string* value = flag == "--filter"     ? &filter
                         : flag == "--json"     ? &json
                         : flag == "--expected" ? &expected
                                                : nullptr;
    if (!value || i + 1 == argc) {
      std::fprintf(stderr, "usage: jaxpp_bench [--filter REGEX] [--json FILE] [--expected FILE]\n");
      return 2;
    }
    *value = argv[++i];
  }
  bench::register_speed();
  bench::register_dispatch();
  bench::Reporter reporter(json, expected);
  benchmark::RunSpecifiedBenchmarks(&reporter, filter.empty() ? "." : filter);
  return 0;
}
