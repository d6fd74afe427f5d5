// main.cc -- jaxpp_bench_cpp [--filter TEXT] [--json FILE]
//
// Gradients of the C++ set by jaxpp, beside the derivatives of handwritten.h, on one core.  A row is the least time of a
// call; in brackets its ratio to the scalar hand-written one.  Every result is compared with that one's.
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "benchmarks/bench.h"
#include "benchmarks/cpp/handwritten.h"
#include "benchmarks/programs.h"
#if __has_include("jaxpp/threads.h")
#include "jaxpp/threads.h"
#endif
using namespace jaxpp;

namespace {

Array array(const cpp::Vec& v, const Shape& shape) {
  return Array(std::span<const double>(v), shape);
}
Array array(const std::vector<int>& v) { return Array(v); }
cpp::Vec flat(const std::vector<Array>& leaves) {
  cpp::Vec all;
  for (const Array& a : leaves)
    for (double v : a.to_vector()) all.push_back(v);
  return all;
}
/// The greatest difference, relative to the greatest element.
double relative_error(const cpp::Vec& a, const cpp::Vec& b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, greatest = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference = std::max(difference, std::abs(a[i] - b[i]));
    greatest = std::max(greatest, std::abs(b[i]));
  }
  return difference / (greatest > 0 ? greatest : 1);
}

// ---- The programs, as a user of jaxpp writes them

const auto sumexp = [](Array x) { return sum(sin(x) * exp(-x * x) + 0.1 * x * x); };
const auto rosenbrock = [](Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - square(head)) + square(1 - head));
};
const auto sincos2 = [](Array a, Array b) { return sin(a) * cos(b) + 0.1 * (a * a + b * b); };

struct Cell {
  Array hidden, memory;
};
struct LstmParameters {
  Array main, extra;  // [layers, 2 (weight, bias), 4 (gates), width], [3, width]
};
/// The loss of predicting each element of a sequence [steps, width] from those before.
Array lstm_loss(LstmParameters p, std::vector<Cell> start, Array sequence) {
  auto step = [&](std::vector<Cell> cells, std::pair<Array, Array> pair) {
    Array x = pair.first * p.extra(0);
    for (std::size_t k = 0; k < cells.size(); ++k) {
      Array w = p.main(int(k), 0), b = p.main(int(k), 1), h = cells[k].hidden;
      Array forget = nn::sigmoid(x * w(0) + b(0)), in = nn::sigmoid(h * w(1) + b(1));
      Array out = nn::sigmoid(x * w(2) + b(2)), change = tanh(h * w(3) + b(3));
      Array memory = cells[k].memory * forget + in * change;
      x = out * tanh(memory);
      cells[k] = {x, memory};
    }
    Array y = x * p.extra(1) + p.extra(2);
    return std::pair(cells, sum(pair.second * (y - log(2 + sum(exp(y))))));
  };
  Array inputs = sequence(Slice(None, -1)), targets = sequence(Slice(1, None));
  return -sum(scan(step, start, std::pair(inputs, targets)).second) / double(inputs.size());
}
/// Jacobians of all observations, each [2, 15].
const auto bundle_jacobians = [](Array cameras, Array points, Array weights, Array seen,
                                 Array camera_of, Array point_of) {
  return vmap(bench::projection_jacobian)(take(cameras, camera_of, 0), take(points, point_of, 0),
                                          weights, seen);
};

// ---- Rows

class Table {
 public:
  Table(std::string filter, const std::string& json) : filter_(std::move(filter)) {
    if (!json.empty()) json_.open(json, std::ios::app);
  }
  /// ours() returns a tree of Arrays; theirs(d, out) fills out by the derivatives d, and returns whether d has them.
  /// The programs take turns, so that a busy moment of the machine does not favour one of them.
  template <class Ours, class Theirs>
  void row(const char* workload, std::int64_t n, Ours ours, Theirs theirs) {
    if (std::string(workload).find(filter_) == std::string::npos) return;
    const cpp::Vec result = flat(tree_leaves(ours()));
    cpp::Vec reference(result.size()), out(result.size());
    theirs(cpp::scalar, reference);
    std::vector<Entry> entries = {{"scalar", 0, [&] { theirs(cpp::scalar, reference); }},
                                  {"jaxpp", relative_error(result, reference), [&] {
                                     auto fresh = ours();
                                     bench::keep(fresh);
                                   }}};
    const cpp::Derivatives* simd = cpp::simd();
    if (simd && theirs(*simd, out))
      entries.push_back({"simd", relative_error(out, reference), [&] { theirs(*simd, out); }});
    for (int round = 0; round < 3; ++round)
      for (Entry& e : entries) {
        bench::Record r = bench::measure([&](std::int64_t k) {
          for (; k > 0; --k) e.call();
        });
        if (round == 0 || r.least < e.best.least) e.best = r;
      }
    for (const Entry& e : entries) print(workload, n, e, e.best.least / entries[0].best.least);
  }

 private:
  struct Entry {
    const char* peer;
    double error;
    std::function<void()> call;
    bench::Record best = {};
  };
  void print(const char* workload, std::int64_t n, const Entry& e, double ratio) {
    std::printf("%-12s %8lld  %-7s %12.4g us  (%.3g)   relative error %.1e%s\n", workload,
                static_cast<long long>(n), e.peer, e.best.least * 1e6, ratio, e.error,
                e.error < 1e-9 ? "" : "   WRONG");
    std::fflush(stdout);
    if (!json_.is_open()) return;
    const nlohmann::ordered_json line = {{"peer", e.peer},
                                         {"set", "cpp"},
                                         {"workload", workload},
                                         {"n", n},
                                         {"median_s", e.best.median},
                                         {"min_s", e.best.least},
                                         {"ratio_to_scalar", ratio},
                                         {"relative_error", e.error},
                                         {"wait", e.best.wait}};
    json_ << line.dump() << std::endl;
  }
  std::string filter_;
  std::ofstream json_;
};

void add_gmm(Table& table, int components, int points) {
  const cpp::Gmm in(10, components, points);
  const std::int64_t k = in.k, d = in.d;
  const auto begin = in.parameters.begin();
  auto part = [&](std::int64_t from, std::int64_t size, const Shape& shape) {
    return array(cpp::Vec(begin + from, begin + from + size), shape);
  };
  const bench::Mixture m = {part(0, k, {k}), part(k, k * d, {k, d}),
                            part(k + k * d, k * in.icf_size(), {k, in.icf_size()})};
  table.row(
      components == 25 ? "gmm_k25" : "gmm_k50", points,
      bench::run(jit(grad(bench::log_likelihood)), m, array(in.x, {in.n, d})),
      [&](const cpp::Derivatives& by, cpp::Vec& g) { return by.gmm && (by.gmm(in, g), true); });
}
void add_bundle(Table& table) {
  const cpp::BundleAdjustment in(49, 7776, 31843);
  table.row(
      "ba_jac", in.observations,
      bench::run(jit(bundle_jacobians), array(in.camera, {in.cameras, 11}),
                 array(in.point, {in.points, 3}), array(in.weight, {in.observations}),
                 array(in.seen, {in.observations, 2}), array(in.camera_of), array(in.point_of)),
      [&](const cpp::Derivatives& by, cpp::Vec& j) {
        return by.bundle && (by.bundle(in, j), true);
      });
}
void add_lstm(Table& table) {
  const cpp::LstmInput in(2, 1024, 14);
  const std::int64_t l = in.layers, b = in.width;
  const auto split = in.parameters.begin() + 8 * l * b;
  const LstmParameters p = {array({in.parameters.begin(), split}, {l, 2, 4, b}),
                            array({split, in.parameters.end()}, {3, b})};
  std::vector<Cell> start;
  for (auto at = in.state.begin(); at != in.state.end(); at += 2 * b)
    start.push_back({array({at, at + b}, {b}), array({at + b, at + 2 * b}, {b})});
  table.row(
      "lstm_l2", in.steps,
      bench::run(jit(grad(lstm_loss)), p, start, array(in.sequence, {in.steps, b})),
      [&](const cpp::Derivatives& by, cpp::Vec& g) { return by.lstm && (by.lstm(in, g), true); });
}

void add_curves(Table& table, int sets) {
  const cpp::Curves in(sets);
  const std::int64_t m = std::int64_t(in.x.size());
  const Array x = array(in.x, {m});
  const auto fit = [x, start = Array{in.start[0], in.start[1]}](Array y) {
    const auto misfit = [&](Array p) { return p(0) * (1. - exp(-p(1) * x)) - y; };
    return optimize::least_squares(misfit, start, {.ftol = 0, .xtol = 1e-12, .gtol = 0}).x;
  };
  table.row("curve_fits", sets, bench::run(jit(vmap(fit)), array(in.y, {sets, m})),
            [&](const cpp::Derivatives& by, cpp::Vec& fits) {
              return by.curves && (by.curves(in, fits), true);
            });
}

void run_all(Table& table) {
  for (std::int64_t n : {1'000, 1'000'000}) {
    const cpp::Vec x = cpp::normals(std::size_t(n), 1);
    table.row("sumexp", n, bench::run(jit(grad(sumexp)), array(x, {n})),
              [&](const cpp::Derivatives& by, cpp::Vec& g) {
                return by.sumexp && (by.sumexp(x, g), true);
              });
  }
  const cpp::Vec x = cpp::normals(100, 2);
  table.row("rosen_hess", 100, bench::run(jit(hessian(rosenbrock)), array(x, {100})),
            [&](const cpp::Derivatives& by, cpp::Vec& h) {
              return by.rosenbrock_hessian && (by.rosenbrock_hessian(x, h), true);
            });
  auto squared_end = [](bench::Lorenz field, bench::Point start) {
    bench::Point end = bench::lorenz(start, field, 10'000);
    return end.x * end.x + end.y * end.y + end.z * end.z;
  };
  table.row("lorenz", 10'000,
            bench::run(jit(grad<0, 1>(squared_end)), bench::Lorenz{10.0, 28.0, 8.0 / 3},
                       bench::Point{1.0, 1.0, 1.0}),
            [](const cpp::Derivatives& by, cpp::Vec& g) {
              return by.lorenz && (by.lorenz(10'000, {10.0, 28.0, 8.0 / 3, 1, 1, 1}, g), true);
            });
  table.row("sincos2", 2, bench::run(jit(grad<0, 1>(sincos2)), Array(0.3), Array(0.7)),
            [](const cpp::Derivatives& by, cpp::Vec& g) {
              volatile double a = 0.3, b = 0.7;
              return by.sincos2 && (by.sincos2(a, b, g.data()), true);
            });
  add_gmm(table, 25, 1000);
  add_gmm(table, 50, 10'000);
  add_bundle(table);
  add_lstm(table);
  add_curves(table, 1);
  add_curves(table, 1000);
}

/// All of this process on the last core it may use.
void use_one_core() {
  cpu_set_t may, one;
  CPU_ZERO(&one);
  if (::sched_getaffinity(0, sizeof may, &may) != 0) return;
  for (int i = CPU_SETSIZE; i-- > 0;)
    if (CPU_ISSET(i, &may)) {
      CPU_SET(i, &one);
      break;
    }
  ::sched_setaffinity(0, sizeof one, &one);
#if __has_include("jaxpp/threads.h")
  set_num_threads(1);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  std::string filter, json;
  for (int i = 1; i + 1 < argc; i += 2)
    (argv[i] == std::string("--json") ? json : filter) = argv[i + 1];
  if (argc % 2 == 0) {
    std::fprintf(stderr, "usage: jaxpp_bench_cpp [--filter TEXT] [--json FILE]\n");
    return 2;
  }
  use_one_core();
  Table table(filter, json);
  run_all(table);
}
