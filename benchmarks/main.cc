// main.cc -- jaxpp_bench [--filter REGEX] [--skip REGEX] [--list] [--json FILE] [--expected FILE]
//
// Runs the registered rows and prints for each the median and least time of a call, beside the row's bar and whether its
// checksum is the reference's.  FILE receives one JSON line a row, in the format of workloads.md; "-": standard output
// has these lines instead of the table.  A row that throws says why, and the next one runs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <regex>

#include "benchmarks/bench.h"

namespace bench {

std::vector<Row>& rows() {
  static std::vector<Row> all;
  return all;
}
void add_record(const char* workload, std::int64_t n, RowOptions options,
                std::function<Record()> measure) {
  rows().push_back({workload, n, std::move(options), std::move(measure)});
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
using nlohmann::ordered_json;

struct Arguments {
  std::string filter, skip, json, expected;
  bool list = false;
};
Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    std::string* value = flag == "--filter"     ? &a.filter
                         : flag == "--skip"     ? &a.skip
                         : flag == "--json"     ? &a.json
                         : flag == "--expected" ? &a.expected
                                                : nullptr;
    if (flag == "--list") {
      a.list = true;
    } else if (!value || i + 1 == argc) {
      std::fprintf(stderr,
                   "usage: jaxpp_bench [--filter REGEX] [--skip REGEX] [--list] [--json FILE] "
                   "[--expected FILE]\n");
      std::exit(2);
    } else {
      *value = argv[++i];
    }
  }
  return a;
}

std::string text(double s) {
  char out[32];
  for (auto [scale, unit] : {std::pair(1.0, "s"), {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}) {
    if (s < 0.9995 * scale && scale > 1e-9) continue;
    std::snprintf(out, sizeof out, "%.4g %s", s / scale, unit);
    break;
  }
  return out;
}
/// What there is to say about a row's result.
std::string verdict(const Row& row, const Record& r, const nlohmann::json& expected) {
  std::string out;
  auto say = [&](const std::string& what) { out += (out.empty() ? "" : "   ") + what; };
  if (r.median < 0) return r.note;
  if (row.options.bar_us > 0) {
    char bar[64];
    std::snprintf(bar, sizeof bar, "bar %6.2f us%s", row.options.bar_us,
                  r.median * 1e6 <= row.options.bar_us ? "" : "   MISSED");
    say(bar);
  }
  const auto reference = expected.find(row.workload + "@" + std::to_string(row.n));
  if (reference != expected.end() && r.has_checksum) {
    const double sum = (*reference)["checksum"], scale = (*reference)["scale"];
    const double tolerance = (*reference)["tolerance"];
    const bool agrees =
        std::abs(r.checksum.sum - sum) <= tolerance * std::max(scale, r.checksum.scale);
    char wrong[96];
    std::snprintf(wrong, sizeof wrong, "WRONG CHECKSUM %.10g, not %.10g", r.checksum.sum, sum);
    say(agrees ? "checksum agrees" : wrong);
  }
  if (r.foreign_cpu > 0.2 && r.wait > 0.03) say("(disturbed)");
  if (!r.note.empty()) say(r.note);
  return out;
}
ordered_json line(const Row& row, const Record& r) {
  auto number = [](double v) { return v < 0 ? ordered_json(nullptr) : ordered_json(v); };
  auto rounded = [](double v) { return std::round(v * 1000) / 1000; };
  ordered_json out = {{"peer", "jaxpp"},
                      {"workload", row.workload},
                      {"n", row.n},
                      {"median_s", number(r.median)},
                      {"min_s", number(r.least)},
                      {"checksum", nullptr},
                      {"scale", nullptr},
                      {"compile_s", number(r.compile)},
                      {"note", r.note}};
  if (r.has_checksum) out["checksum"] = r.checksum.sum, out["scale"] = r.checksum.scale;
  if (r.median < 0) return out;
  out["reps"] = r.reps;
  out["foreign_cpu"] = rounded(r.foreign_cpu);
  out["wait"] = rounded(r.wait);
  if (row.options.gb > 0) out["GBs"] = rounded(row.options.gb / r.median);
  if (row.options.gflop > 0) out["GFLOPs"] = rounded(row.options.gflop / r.median);
  if (r.peak_rss_mb > 0) out["peak_rss_mb"] = rounded(r.peak_rss_mb);
  if (r.rss_growth_mb > 0) out["rss_growth_mb"] = rounded(r.rss_growth_mb);
  return out;
}

Record run_row(const Row& row) {
  Record r;
  try {
    r = row.measure();
    r.median /= row.options.per_call;
    r.least /= row.options.per_call;
    if (r.note.empty()) r.note = row.options.note;
  } catch (const std::exception& e) {
    r.note = std::string("error: ") + e.what();
    std::replace(r.note.begin(), r.note.end(), '\n', ' ');
  }
  return r;
}

void register_all() {
  register_speed();
  register_dispatch();
  register_elementwise();
  register_reductions();
  register_linalg();
  register_networks();
  register_loops();
  register_derivatives();
  register_data();
  register_analysis();
  register_compile();
  register_memory();
}

int run_all(const Arguments& a) {
  nlohmann::json expected = nlohmann::json::object();
  if (!a.expected.empty()) expected = nlohmann::json::parse(std::ifstream(a.expected));
  std::ofstream file;
  if (!a.json.empty() && a.json != "-") file.open(a.json, std::ios::app);
  const std::regex filter(a.filter), skip(a.skip);
  const bool table = a.json != "-" && !a.list;
  if (table) std::printf("%-22s %12s %12s   %s\n", "row", "median", "least", "bar, checksum");
  for (const Row& row : rows()) {
    const std::string label = row.label();
    if (!std::regex_search(label, filter)) continue;
    if (!a.skip.empty() && std::regex_search(label, skip)) continue;
    if (a.list) {
      std::printf("%s\n", label.c_str());
      continue;
    }
    const Record r = run_row(row);
    if (table) {
      const bool measured = r.median >= 0;
      std::printf("%-22s %12s %12s   %s\n", label.c_str(), measured ? text(r.median).c_str() : "-",
                  measured ? text(r.least).c_str() : "-", verdict(row, r, expected).c_str());
      std::fflush(stdout);
    }
    if (file.is_open()) file << line(row, r).dump() << std::endl;
    if (a.json == "-") std::cout << line(row, r).dump() << std::endl;
  }
  return 0;
}
}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bench::Arguments arguments = bench::parse(argc, argv);
  ::setenv("JAXPP_CACHE", "0", 0);  // compilations are cold: nothing is read from the disk
  bench::register_all();
  return bench::run_all(arguments);
}
