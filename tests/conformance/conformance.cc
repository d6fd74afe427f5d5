// conformance.cc -- checks jaxpp against the corpus of cases/*.jsonl, what JAX computes for some 2,000 small programs.
//
//   jaxpp_conformance [--group G] [--name N] [--list FILE] [--eager-only] [--gpu DIR] [-v] [files or directories]
// Every expectation of a case is checked three ways: eagerly, with the transform applied to the jitted program, and with
// the whole transform jitted.  The program also goes through text and JSON and back, and through
// the passes.  A case that needs a primitive
// jaxpp does not have is skipped.  exceptions.json names the cases whose expectation is known to be wrong, each with the
// reason and a value from higher precision; they count as skipped.
// --list: only the cases named in FILE.  --gpu: values, jvp, vjp and vmap, each whole transform jitted, on the default
// device (JAXPP_PLATFORM=cuda-emu, or cuda); what was left to the CPU is counted, and the kernels are kept in DIR.
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include "backends/passes/passes.h"
#include "compare.h"
#include "jaxpp/core/json.h"
#include "jaxpp/flat.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {
constexpr std::size_t kMaxExceptions = 12;
using Fn = std::function<void(Args, Results&)>;

struct Options {
  std::string group, name;
  bool eager_only = false, verbose = false;
  fs::path gpu;  // where kernels go; empty: the usual checks
  std::set<std::string> list;
  std::vector<fs::path> paths;
};
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Shape shape_of(const json& j) {
  Shape s;
  for (auto& v : j["shape"]) s.push_back(v.get<std::int64_t>());
  return s;
}
Array array(const json& j) {
  return j.is_null()
             ? Array()
             : array_from_json(j["dtype"], shape_of(j), j["data"].get_ref<const std::string&>());
}
Results arrays(const json& list) {
  Results r;
  for (auto& a : list) r.push_back(array(a));
  return r;
}
Array zeros(Type t) {
  Array z = Array::make(t);
  std::memset(z.data<char>(), 0, std::size_t(t->size) * width(t->dtype));
  return z;
}
// The array of type t that is 1 at element k and 0 elsewhere.
Array unit(Type t, std::int64_t k) {
  Array z = zeros(t);
  char* p = z.data<char>() + std::size_t(k) * width(t->dtype);
  const double one = 1;
  const float onef = 1;
  if (real_of(t->dtype) == DType::f64)
    std::memcpy(p, &one, sizeof one);
  else if (real_of(t->dtype) == DType::f32)
    std::memcpy(p, &onef, sizeof onef);
  else if (t->dtype == DType::f16)
    *reinterpret_cast<float16*>(p) = float16(1.f);
  else
    *reinterpret_cast<bfloat16*>(p) = bfloat16(1.f);
  return z;
}

std::map<std::string, int> fallbacks;  // of --gpu: why the CPU did it, how often
int kernels = 0;                       // sources written

// One case: its program as a function, and all that the corpus says about it.
class Case {
 public:
  Case(const json& c, const Options& o) : c_(c), options_(o) {
    tolerance_ = {c.value("rtol", 0.0), c.value("atol", 0.0), c.value("normwise", false),
                  c.value("subnormal", false)};
    program_ = Jaxpr::from_json(c["program"].dump());
    x_ = arrays(c["inputs"]);
    for (auto& i : c.value("nonunique_outputs", json::array()))
      nonunique_.insert(i.get<std::size_t>());
  }

  void run() {
    const json& e = c_["expect"];
    if (c_.contains("implementation_defined")) {  // must run
      Results y;
      call(args(x_), y);
      return;
    }
    const Results want = arrays(e["eval"]["outputs"]);
    every_way(
        "eval", [](const Fn& f, Args x, Results& y) { f(x, y); }, args(x_), want, nonunique_);
    if (options_.gpu.empty()) round_trips(want);
    if (!nonunique_.empty()) return;  // the rest depends on which of the solutions was chosen
    if (e.contains("jvp")) jvp(e["jvp"]);
    if (e.contains("vjp")) vjp(e["vjp"]);
    if (e.contains("vmap"))
      for (auto& plan : e["vmap"]) vmap(plan);
    if (!options_.gpu.empty()) return;
    if (e.contains("hvp")) hvp(e["hvp"]);
    if (e.contains("jacobian")) jacobian(e["jacobian"]);
    if (e.contains("hessian")) hessian(e["hessian"]);
    if (e.contains("derivs")) derivatives(e["derivs"]);
  }

 private:
  using Transform = std::function<void(const Fn&, Args, Results&)>;

  void call(Args x, Results& y) const {
    for (Array& a : eval_jaxpr(program_, x)) y.push_back(a);
  }
  static Fn jitted(Fn f) {
    auto cache = std::make_shared<JitCache>();
    return [cache, f](Args x, Results& y) {
      std::vector<Array> owned(x.begin(), x.end());
      jit_flat(*cache, "case", flat(f), owned, {}, nullptr, y, false, {}, Loc::current());
    };
  }
  // Runs on the default device; keeps the kernels, counts what the device could not do.
  Fn on_gpu(Fn f) const {
    return [this, f](Args x, Results& y) {
      JitCache cache;
      std::vector<Array> owned(x.begin(), x.end());
      const CompiledProgram p =
          jit_compile_flat(cache, "case", flat(f), owned, {}, nullptr, {}, Loc::current());
      for (const std::string& why : cost_estimate(p).fallbacks) ++fallbacks[why];
      if (const std::string source = cuda_text(p); !source.empty())
        std::ofstream(options_.gpu / (std::to_string(kernels++) + ".cu")) << source;
      jit_flat(cache, "case", flat(f), owned, {}, nullptr, y, false, {}, Loc::current());
    };
  }
  void every_way(const std::string& what, const Transform& t, Args x, const Results& want,
                 const std::set<std::size_t>& skip = {}) const {
    auto f = [this](Args a, Results& y) { call(a, y); };
    auto check = [&](const char* how, const Fn& whole) {
      Results y;
      try {
        whole(x, y);
      } catch (const std::exception& err) {
        throw Failure(what + " (" + how + ") throws: " + err.what());
      }
      compare(what + " (" + how + ")", y, want, skip);
    };
    if (!options_.gpu.empty())
      return check("on the GPU", on_gpu([&](Args a, Results& y) { t(f, a, y); }));
    check("eager", [&](Args a, Results& y) { t(f, a, y); });
    if (options_.eager_only) return;
    const Fn inner = jitted(f);
    check("of jit", [&](Args a, Results& y) { t(inner, a, y); });
    check("in jit", jitted([&](Args a, Results& y) { t(f, a, y); }));
  }
  void compare(const std::string& what, const Results& got, const Results& want,
               const std::set<std::size_t>& skip = {}) const {
    if (got.size() != want.size())
      throw Failure(what + ": " + std::to_string(got.size()) + " results, not " +
                    std::to_string(want.size()));
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (!want[i].defined() || skip.count(i)) continue;
      const std::string d = conformance::difference(got[i], want[i], tolerance_);
      if (!d.empty()) throw Failure(what + " " + std::to_string(i) + ": " + d);
    }
  }
  // The program survives text, JSON and the passes.
  void round_trips(const Results& want) const {
    const std::string text = program_.to_string();
    const Jaxpr read = Jaxpr::parse(text);
    if (read.to_string() != text)
      throw Failure("text: print, parse, print is not the identity:\n" + text + "\n" +
                    read.to_string());
    Results y;
    for (Array& a : eval_jaxpr(read, args(x_))) y.push_back(a);
    compare("text", y, want, nonunique_);
    const std::string j = program_.json();
    const Jaxpr again = Jaxpr::from_json(j);
    if (again.json() != j) throw Failure("json: write, read, write is not the identity");
    Results z;
    for (Array& a : eval_jaxpr(again, args(x_))) z.push_back(a);
    compare("json", z, want, nonunique_);
    for (auto* pass : {passes::optimize, passes::lower}) {
      const Jaxpr better(pass(*program_.body()), program_.consts());
      better.check();
      Results o;
      for (Array& a : eval_jaxpr(better, args(x_))) o.push_back(a);
      compare("passes", o, want, nonunique_);
    }
  }

  bool inexact(std::size_t i) const { return is_inexact(x_[i].dtype()); }
  // Tangents and cotangents are operands too, so that the jitted forms see them as such.
  void jvp(const json& e) const {
    Results all = x_;
    const Results t = arrays(e["tangents"]);
    for (auto& a : t)
      if (a.defined()) all.push_back(a);
    every_way(
        "jvp",
        [&](const Fn& f, Args a, Results& dy) {
          Results y;
          jvp_flat(flat(f), a.first(x_.size()), args(spread(t, a.subspan(x_.size()))), y, dy,
                   Loc::current());
          instantiate(y, dy);
        },
        args(all), arrays(e["outputs"]));
  }
  // The arrays of `given`, in the places where `like` has one.
  static Results spread(const Results& like, Args given) {
    Results r(like.size());
    std::size_t k = 0;
    for (std::size_t i = 0; i < like.size(); ++i)
      if (like[i].defined()) r[i] = given[k++];
    return r;
  }
  static void instantiate(const Results& y, Results& dy) {
    for (std::size_t i = 0; i < dy.size(); ++i)
      if (!dy[i].defined()) dy[i] = zeros(y[i].type());
  }
  static void pull(const Fn& f, Args x, Args ct, Results& g) {
    Results y;
    LinearMap::of(flat(f), x, y, "conformance", Loc::current()).pull(ct, g, Loc::current());
    for (std::size_t i = 0; i < g.size(); ++i)
      if (!g[i].defined()) g[i] = zeros(x[i].type());
  }
  void vjp(const json& e) const {
    Results all = x_;
    const Results ct = arrays(e["cotangents"]);
    for (auto& a : ct)
      if (a.defined()) all.push_back(a);
    every_way(
        "vjp",
        [&](const Fn& f, Args a, Results& g) {
          pull(f, a.first(x_.size()), args(spread(ct, a.subspan(x_.size()))), g);
        },
        args(all), arrays(e["outputs"]));
  }
  void hvp(const json& e) const {
    const Results ct = arrays(e["cotangents"]), t = arrays(e["tangents"]);
    every_way(
        "hvp",
        [&](const Fn& f, Args a, Results& dg) {
          auto gradient = [&](Args x, Results& g) { pull(f, x, args(ct), g); };
          Results g;
          jvp_flat(flat(gradient), a, args(t), g, dg, Loc::current());
          instantiate(g, dg);
        },
        args(x_), arrays(e["outputs"]));
  }
  void vmap(const json& plan) const {
    Results in;
    std::vector<int> axes;
    std::string label = "vmap in_axes=" + plan["in_axes"].dump();
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const bool mapped = !plan["in_axes"][i].is_null();
      axes.push_back(mapped ? plan["in_axes"][i].get<int>() : kUnmapped);
      in.push_back(mapped ? array(plan["inputs"][i]) : x_[i]);
    }
    every_way(
        label,
        [&](const Fn& f, Args a, Results& y) {
          const int front = 0;
          vmap_flat(flat(f), a, axes, {&front, 1}, -1, "", y, Loc::current());
        },
        args(in), arrays(plan["outputs"]));
  }
  // [output][inexact input], row by row in reverse mode
  void jacobian(const json& e) const {
    for (std::size_t o = 0; o < e.size(); ++o) {
      const Results want = arrays(e[o]);
      every_way(
          "jacobian of output " + std::to_string(o),
          [&](const Fn& f, Args x, Results& rows) {
            const Results y = arrays(c_["expect"]["eval"]["outputs"]);
            std::vector<Results> g(static_cast<std::size_t>(y[o].size()));
            for (std::int64_t k = 0; k < y[o].size(); ++k) {
              Results ct(y.size()), all;
              ct[o] = unit(y[o].type(), k);
              pull(f, x, args(ct), all);
              for (std::size_t i = 0; i < x.size(); ++i)
                if (inexact(i)) g[std::size_t(k)].push_back(all[i]);
            }
            for (auto& r : g)
              for (const Array& a : r) rows.push_back(a);
          },
          args(x_), slices(want, y_size(o)));
    }
  }
  std::int64_t y_size(std::size_t o) const {
    return array(c_["expect"]["eval"]["outputs"][o]).size();
  }
  // Arrays of shape (rows..., rest...), cut into their rows: row 0 of all arrays, row 1 of all, ...
  Results slices(const Results& whole, std::int64_t rows) const {
    Results r;
    for (std::int64_t k = 0; k < rows; ++k)
      for (std::size_t i = 0, n = 0; i < x_.size(); ++i)
        if (inexact(i)) r.push_back(row(whole[n++], x_[i].type(), k));
    return r;
  }
  static Array row(const Array& a, Type t, std::int64_t k) {
    Array r = Array::make(t);
    const std::size_t bytes = std::size_t(t->size) * width(t->dtype);
    std::memcpy(r.data<char>(), a.data<char>() + std::size_t(k) * bytes, bytes);
    return r;
  }
  // Forward over reverse, of output 0.  Block [i][j] is cut along j: the derivative of gradient i in direction j, k.
  void hessian(const json& e) const {
    const auto wrt = e["wrt"].get<std::vector<std::size_t>>();
    std::vector<Results> blocks;
    for (auto& b : e["blocks"]) blocks.push_back(arrays(b));
    Results want;
    for (std::size_t j = 0; j < wrt.size(); ++j)
      for (std::int64_t k = 0; k < x_[wrt[j]].size(); ++k)
        for (std::size_t i = 0; i < wrt.size(); ++i)
          want.push_back(column(blocks[i][j], x_[wrt[i]].type(), x_[wrt[j]].size(), k));
    every_way(
        "hessian",
        [&](const Fn& f, Args x, Results& out) {
          auto gradient = [&](Args z, Results& g) {
            const Results y = arrays(c_["expect"]["eval"]["outputs"]);
            Results ct(y.size());
            ct[0] = unit(y[0].type(), 0);
            pull(f, z, args(ct), g);
          };
          for (std::size_t j : wrt)
            for (std::int64_t k = 0; k < x[j].size(); ++k) {
              Results t(x.size()), g, dg;
              t[j] = unit(x[j].type(), k);
              jvp_flat(flat(gradient), x, args(t), g, dg, Loc::current());
              instantiate(g, dg);
              for (std::size_t i : wrt) out.push_back(dg[i]);
            }
        },
        args(x_), want);
  }
  static Array column(const Array& a, Type t, std::int64_t columns, std::int64_t k) {
    Array r = Array::make(t);
    const std::size_t w = width(t->dtype);
    for (std::int64_t i = 0; i < t->size; ++i)
      std::memcpy(r.data<char>() + std::size_t(i) * w,
                  a.data<char>() + std::size_t(i * columns + k) * w, w);
    return r;
  }
  // f', f'', f''' of a scalar function, each the gradient of the one before
  void derivatives(const json& e) const {
    Results want = arrays(e);
    every_way(
        "derivs",
        [&](const Fn& f, Args x, Results& out) {
          Fn d = f;
          for (std::size_t k = 0; k < want.size(); ++k) {
            d = [d](Args a, Results& g) {
              Array value;
              Results aux;
              g.resize(1);
              grad_flat(flat(d), a, value, aux, g.data(), "conformance", Loc::current());
            };
            Results g;
            d(x, g);
            out.push_back(g[0]);
          }
        },
        args(x_), want);
  }

  const json& c_;
  const Options& options_;
  conformance::Tolerance tolerance_;
  Jaxpr program_;
  Results x_;
  std::set<std::size_t> nonunique_;
};

struct Count {
  int passed = 0, failed = 0, skipped = 0;
};

char running[256];  // the case at work, for the signal handler
void crashed(int) {
  const char head[] = "\ncrash in case ";
  (void)!write(2, head, sizeof head - 1);
  (void)!write(2, running, std::strlen(running));
  (void)!write(2, "\n", 1);
  _exit(3);
}

std::vector<fs::path> files(const std::vector<fs::path>& paths) {
  std::vector<fs::path> all;
  for (auto& p : paths) {
    if (!fs::is_directory(p)) {
      all.push_back(p);
      continue;
    }
    for (auto& f : fs::directory_iterator(p))
      if (f.path().extension() == ".jsonl") all.push_back(f.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}
Options parse_options(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--group" && i + 1 < argc)
      o.group = argv[++i];
    else if (a == "--name" && i + 1 < argc)
      o.name = argv[++i];
    else if (a == "--list" && i + 1 < argc) {
      std::ifstream in(argv[++i]);
      if (!in) throw std::runtime_error(std::string("cannot read ") + argv[i]);
      for (std::string line; std::getline(in, line);)
        if (!line.empty() && line[0] != '#') o.list.insert(line);
    } else if (a == "--gpu" && i + 1 < argc) {
      o.gpu = argv[++i];
      fs::create_directories(o.gpu);
    } else if (a == "--eager-only")
      o.eager_only = true;
    else if (a == "-v")
      o.verbose = true;
    else if (a.starts_with("-"))
      throw std::runtime_error(
          "usage: jaxpp_conformance [--group G] [--name N] [--list FILE] [--eager-only] [--gpu "
          "DIR] "
          "[-v] [files or directories]");
    else
      o.paths.emplace_back(a);
  }
  if (o.paths.empty()) o.paths.emplace_back(fs::path(JAXPP_CONFORMANCE_DIR) / "cases");
  return o;
}
std::map<std::string, json> read_exceptions() {
  std::map<std::string, json> m;
  std::ifstream in(fs::path(JAXPP_CONFORMANCE_DIR) / "exceptions.json");
  if (!in) return m;
  const json all = json::parse(in);
  for (auto& [name, why] : all.items()) m[name] = why;
  if (m.size() > kMaxExceptions)
    throw std::runtime_error("exceptions.json: more than 12 exceptions");
  return m;
}
}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGSEGV, crashed);
  std::signal(SIGFPE, crashed);
  const Options options = parse_options(argc, argv);
  const auto exceptions = read_exceptions();
  std::map<std::string, Count> groups;
  std::map<std::string, int> missing;
  Count total;
  for (auto& file : files(options.paths)) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error("cannot read " + file.string());
    for (std::string line; std::getline(in, line);) {
      if (line.empty()) continue;
      const json c = json::parse(line);
      const std::string name = c["name"], group = c["group"];
      if (!options.group.empty() && group != options.group) continue;
      if (!options.name.empty() && name.find(options.name) == name.npos) continue;
      if (!options.list.empty() && !options.list.count(name)) continue;
      std::strncpy(running, name.c_str(), sizeof running - 1);
      if (options.verbose) std::printf("%s\n", name.c_str()), std::fflush(stdout);
      Count& count = groups[group];
      try {
        Case(c, options).run();
        ++count.passed;
      } catch (const UnknownPrimitive& u) {
        ++count.skipped;
        ++missing[u.primitive];
      } catch (const std::exception& e) {
        if (auto it = exceptions.find(name); it != exceptions.end()) {
          ++count.skipped;
          std::printf("EXCEPTION %s: %s\n", name.c_str(),
                      it->second["reason"].get<std::string>().c_str());
        } else {
          ++count.failed;
          std::printf("FAIL %s: %s\n", name.c_str(), e.what());
        }
      }
    }
  }
  for (auto& [g, n] : groups) {
    total.passed += n.passed;
    total.failed += n.failed;
    total.skipped += n.skipped;
    std::printf("%-28s %4d passed %4d failed %4d skipped\n", g.c_str(), n.passed, n.failed,
                n.skipped);
  }
  for (auto& [why, n] : fallbacks) std::printf("left to the CPU %4d times: %s\n", n, why.c_str());
  if (!options.gpu.empty()) std::printf("%d modules of kernels\n", kernels);
  if (!missing.empty()) std::printf("skipped for want of:");
  for (auto& [p, n] : missing) std::printf(" %s (%d)", p.c_str(), n);
  if (!missing.empty()) std::printf("\n");
  std::printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped);
  return total.failed != 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "jaxpp_conformance: %s\n", e.what());
  return 2;
}
