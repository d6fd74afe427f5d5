// program_test.cc -- laws that hold for every program, checked on random ones.
//
// JAXPP_FUZZ_CASES sets the number of programs (default 400), JAXPP_FUZZ_SEED the first seed.  A failure prints the seed,
// the law, and the jaxpr of the smallest program that still breaks it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string_view>
#include "../emulation.h"
#include "../environment.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"
#include "programs.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using namespace jaxpp::testing;

namespace {

long setting(const char* name, long otherwise) {
  const char* v = std::getenv(name);
  return v && *v ? std::strtol(v, nullptr, 10) : otherwise;
}

struct Case {
  const Program& f;
  std::vector<Arrays> lanes;  // three sets of arguments
  const Arrays& x() const { return lanes[0]; }
  std::size_t n() const { return lanes[0].size(); }
};
Options forward_only() {
  Options o;
  o.tolerance = 2e-7;
  o.batches = 6;
  return o;
}
Arrays run(const JaxprBody& j, Args x) {
  Results y;
  internal::eval_jaxpr(j, x, y);
  return {y.begin(), y.end()};
}
Arrays run_on(Device device, Fn f, const Arrays& x) {
  const Jaxpr j = make_jaxpr_flat(flat(f), types_of(x), Loc::current());
  Arrays in(j.consts().begin(), j.consts().end()), y(j.body()->out_types().size());
  in.insert(in.end(), x.begin(), x.end());
  run_jaxpr(*j.body(), std::span(in), y.data(), false, {.device = device});
  return y;
}
Arrays batch(const std::vector<Arrays>& lanes) {
  Arrays in;
  for (std::size_t i = 0; i < lanes[0].size(); ++i) {
    Arrays rows;
    for (auto& lane : lanes) rows.push_back(lane[i]);
    in.push_back(lax::stack(rows, 0));
  }
  return in;
}
double dot(const Arrays& a, const Arrays& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    auto v = a[k].to_vector<double>(), w = b[k].to_vector<double>();
    for (std::size_t i = 0; i < v.size(); ++i) sum += v[i] * w[i];
  }
  return sum;
}

// A function and its gradient as one program: every executor computes what eager does.
Fn value_and_gradient(const Fn& f, std::size_t n) {
  return [=](Args x, Results& y) {
    Results g, ct;
    const LinearMap map = LinearMap::of(flat(f), x.first(n), y, "vjp", Loc::current());
    for (const Array& a : y) ct.push_back(lax::full(a.type(), 1));
    map.pull(args(ct), g, Loc::current());
    for (Array& a : g) y.push_back(std::move(a));
  };
}
// Where floats are added up (or multiplied), each executor groups them in its own way (ADR 26).
bool regroups(const JaxprBody& j) {
  static const std::set<std::string_view> kinds = {
      "reduce_sum",  "reduce_prod",       "reduce",        "dot_general",          "cumsum",
      "cumprod",     "cumlogsumexp",      "reduce_window", "conv_general_dilated", "fft",
      "scatter-add", "reduce_window_sum", "cholesky",      "triangular_solve",     "lu"};
  return std::any_of(j.eqns.begin(), j.eqns.end(), [](const Equation& e) {
    const auto inner = sub_jaxprs(e);
    return kinds.count(e.prim->name) ||
           std::any_of(inner.begin(), inner.end(), [](auto& i) { return regroups(*i); });
  });
}
bool regroups(const Fn& f, const Arrays& x) {
  return regroups(*make_jaxpr_flat(flat(f), types_of(x), Loc::current()).body());
}
std::string executors_agree_on(const Fn& f, const Arrays& x) {
  const Arrays want = evaluate(f, x);
  Arrays got[2];
  for (const bool compiled : {false, true}) {
    const Variable contract("JAXPP_CONTRACT", "0"), quick("JAXPP_QUICK", "1"),
        executor("JAXPP_EXECUTOR", compiled ? nullptr : "interpreter");
    got[compiled] = run_on(Device{}, f, x);
    auto e = compare(compiled ? "compiled" : "interpreted", got[compiled], want, 1e-12);
    if (!e.empty()) return e;
  }
  if (regroups(f, x)) return compare("compiled against interpreted", got[1], got[0], 1e-13);
  for (std::size_t i = 0; i < want.size(); ++i)
    if (std::memcmp(got[0][i].data<char>(), got[1][i].data<char>(),
                    std::size_t(want[i].size()) * width(want[i].dtype())))
      return "compiled and interpreted differ in bits of result " + std::to_string(i);
  return "";
}
std::string executors_agree(const Case& c) {
  const Fn both = value_and_gradient(c.f, c.n());
  const auto e = executors_agree_on(both, c.x());
  if (!e.empty() || !regroups(both, c.x()) || regroups(c.f, c.x())) return e;
  return executors_agree_on(c.f, c.x());  // the gradient has sums, the value has none
}
std::string eager_is_jit(const Case& c) {
  auto e = check_jit(c.f, c.x());
  return e.empty() ? check_jit(gradient(c.f.scalar(), c.n()), c.x()) : e;
}
std::string jvp_is_differences(const Case& c) { return check_jvp(c.f, c.x(), forward_only()); }
std::string linearize_is_jvp_and_transposes(const Case& c) {
  return check_linearize(c.f, c.x(), forward_only());
}
std::string vmap_is_loop(const Case& c) {
  auto e = check_vmap(c.f, c.lanes, forward_only());
  if (!e.empty()) return e;
  Random random(3);
  std::vector<Arrays> lanes;
  for (auto& lane : c.lanes) lanes.push_back(with_tangents(random, lane));
  Options o = forward_only();
  o.batches = 3;
  return check_vmap(pushforward(c.f, c.n(), o), lanes, o);
}
std::string grad_of_vmap_is_vmap_of_grad(const Case& c) {
  const Arrays x = batch(c.lanes);
  return compare("grad of vmap against vmap of grad",
                 evaluate(gradient(vmapped(c.f.scalar()), c.n()), x),
                 evaluate(vmapped(gradient(c.f.scalar(), c.n())), x), 1e-11);
}
std::string checkpoint_changes_nothing(const Case& c) {
  const Fn f = c.f;
  const Arrays value = evaluate(f, c.x()), slope = evaluate(gradient(f, c.n()), c.x());
  auto some = std::make_shared<const SavePolicy>(
      SavePolicy{"products", [](const Primitive& p, Types, Params) { return &p == &mul_p; }});
  for (const auto& policy : {std::shared_ptr<const SavePolicy>(), some}) {
    const Fn kept = [f, policy](Args x, Results& y) {
      checkpoint_flat(flat(f), x, policy, y, Loc::current());
    };
    const std::string name = policy ? "checkpoint with a policy" : "checkpoint";
    auto e = compare(name, evaluate(kept, c.x()), value, 1e-13);
    if (e.empty())
      e = compare("grad of " + name, evaluate(gradient(kept, c.n()), c.x()), slope, 1e-11);
    if (e.empty()) e = check_jit(gradient(kept, c.n()), c.x());
    if (!e.empty()) return e;
  }
  return "";
}
std::string jit_under_transforms(const Case& c) {
  const Fn f = c.f;
  auto cache = std::make_shared<JitCache>();
  const Fn jitted = [f, cache](Args x, Results& y) {
    Arrays in(x.begin(), x.end());
    std::shared_ptr<const void> tree;
    jit_flat(*cache, "f", flat(f), in, {}, &tree, y, false, {}, Loc::current());
  };
  auto e = compare("grad of jit", evaluate(gradient(jitted, c.n()), c.x()),
                   evaluate(gradient(f, c.n()), c.x()), 1e-11);
  if (!e.empty()) return e;
  Random random(4);
  const Arrays u = with_tangents(random, c.x());
  e = compare("jvp of jit", evaluate(pushforward(jitted, c.n()), u),
              evaluate(pushforward(f, c.n()), u), 1e-11);
  if (!e.empty()) return e;
  const Arrays x = batch(c.lanes);
  return compare("vmap of jit", evaluate(vmapped(jitted), x), evaluate(vmapped(f), x), 1e-11);
}
std::string hessian_is_symmetric(const Case& c) {
  const Fn g = gradient(c.f.scalar(), c.n());
  Random random(5);
  Arrays u, v, hu, hv;
  for (auto& a : c.x()) u.push_back(random.like(a));
  for (auto& a : c.x()) v.push_back(random.like(a));
  auto times = [&](const Arrays& w) {
    Arrays in = c.x();
    in.insert(in.end(), w.begin(), w.end());
    return evaluate(pushforward(g, c.n()), in);
  };
  hu = times(u);
  hv = times(v);
  const double a = dot(v, hu), b = dot(u, hv);
  const double scale = std::max({1., std::abs(a), dot(hu, hu), dot(hv, hv)});
  if (std::abs(a - b) <= 1e-10 * scale) return "";
  return "v'Hu = " + std::to_string(a) + ", u'Hv = " + std::to_string(b);
}
std::string text_keeps_the_program(const Case& c) {
  auto e = check_text(c.f, c.x());
  return e.empty() ? check_text(gradient(c.f.scalar(), c.n()), c.x()) : e;
}
// Equations that compute something: a pass may trade them for views, which move nothing by themselves.  A choice counts for
// the comparison and the selections that it may become.
std::size_t computing(const JaxprBody& j) {
  static const std::set<const Primitive*> views = {
      &reshape_p, &squeeze_p, &expand_dims_p,   &broadcast_in_dim_p,    &transpose_p,
      &slice_p,   &rev_p,     &stop_gradient_p, &optimization_barrier_p};
  std::size_t n = 0;
  for (const Equation& e : j.eqns) {
    n += e.prim == &cond_p ? 1 + e.n_out : !views.count(e.prim);
    for (auto& s : sub_jaxprs(e)) n += computing(*s);
  }
  return n;
}
Fn jacobian(Fn f, JacobianMode mode) {
  return [=](Args x, Results& y) {
    jacobian_flat(flat(f), x, mode, {}, y, "jacobian", Loc::current());
  };
}
// Does the pass compute some things twice, so that a backward loop reads less?
bool recomputes(const passes::Pass& pass, const JaxprBody& j) {
  return (pass.name == "residuals" || pass.name == "optimize") &&
         std::any_of(j.eqns.begin(), j.eqns.end(),
                     [](const Equation& e) { return !sub_jaxprs(e).empty(); });
}
// The work before a pass: "lower", which "optimize" contains, writes out what one equation does.
std::size_t work_before(const JaxprBody& j) {
  std::size_t n = computing(j);
  for (auto& pass : passes::all())
    if (pass.name == "lower") n = std::max(n, computing(*pass.run(j)));
  return n;
}
std::string passes_keep_the_values(const Case& c) {
  const Fn slope = gradient(c.f.scalar(), c.n());
  struct Transformed {
    Fn f;
    Arrays x;
    bool jacobian =
        true;  // in which a sum over a matrix may become several operations on its diagonal
  };
  std::vector<Transformed> programs = {
      {Fn(c.f), c.x(), false}, {slope, c.x(), false}, {vmapped(c.f), batch(c.lanes), false}};
  switch (c.f.genes.size() % 4) {  // they take long
    case 0: programs.push_back({jacobian(c.f, JacobianMode::forward), c.x()}); break;
    case 1: programs.push_back({jacobian(c.f, JacobianMode::reverse), c.x()}); break;
    case 2: programs.push_back({jacobian(slope, JacobianMode::forward), c.x()}); break;
    default: break;
  }
  for (auto& [f, x, is_jacobian] : programs) {
    Jaxpr j = make_jaxpr_flat(flat(f), types_of(x), Loc::current());
    Borrowed in(Args{j.consts()});
    in.append(x);
    const Arrays want = evaluate(f, x);
    const std::size_t before = work_before(*j.body());
    for (auto& pass : passes::all()) {
      JaxprPtr after = pass.run(*j.body());
      check_jaxpr(*after);
      const std::string name = "after " + std::string(pass.name);
      if (auto e = compare(name, run(*after, in), want, 1e-12); !e.empty()) return e;
      if (!is_jacobian && !recomputes(pass, *j.body()) && computing(*after) > before)
        return name + ": more work than before";
    }
    JaxprPtr ordered = canonical(*j.body());
    check_jaxpr(*ordered);
    if (auto e = compare("canonical order", run(*ordered, in), want, 1e-12); !e.empty()) return e;
  }
  return "";
}

struct Law {
  const char* name;
  std::string (*check)(const Case&);
};
constexpr Law kLaws[] = {
    {"interpreter = compiler", executors_agree},
    {"eager = jit", eager_is_jit},
    {"jvp = finite differences", jvp_is_differences},
    {"linearize = jvp, <u, Jv> = <J'u, v>", linearize_is_jvp_and_transposes},
    {"vmap = loop", vmap_is_loop},
    {"grad of vmap = vmap of grad", grad_of_vmap_is_vmap_of_grad},
    {"checkpoint(f) = f", checkpoint_changes_nothing},
    {"transforms of jit(f) = transforms of f", jit_under_transforms},
    {"the Hessian is symmetric", hessian_is_symmetric},
    {"print, parse, print", text_keeps_the_program},
    {"passes keep the values", passes_keep_the_values},
};

std::string broken(const Law& law, const Program& p, std::uint64_t seed) {
  return guarded(law.name, [&] {
    Random random(seed);
    std::vector<Arrays> lanes;
    for (int i = 0; i < 3; ++i) lanes.push_back(p.arguments(random));
    return law.check({p, std::move(lanes)});
  });
}

}  // namespace

TEST_CASE("random programs on the emulated GPU", "[property][gpu]") {
  if (!has_emulation()) return;
  const long cases = std::max(1L, setting("JAXPP_FUZZ_CASES", 400) / 20),
             first = setting("JAXPP_FUZZ_SEED", 1);
  for (long seed = first; seed < first + cases; ++seed) {
    const Program p = random_program(std::uint64_t(seed), 3 + int(seed % 14));
    Random random{std::uint64_t(seed)};
    const Arrays x = p.arguments(random);
    const Fn f = value_and_gradient(Fn(p), x.size());
    INFO(p.text());
    CHECK(guarded("seed " + std::to_string(seed), [&] {
            return compare("emulated GPU", run_on(emulated_gpu(), f, x), evaluate(f, x), 1e-11);
          }) == "");
  }
}

TEST_CASE("laws of random programs", "[property]") {
  const long cases = setting("JAXPP_FUZZ_CASES", 400), first = setting("JAXPP_FUZZ_SEED", 1);
  std::vector<bool> failed(std::size(kLaws));  // one report for each law
  for (long seed = first; seed < first + cases; ++seed) {
    const Program p = random_program(std::uint64_t(seed), seed % 20 ? 3 + int(seed % 14) : 40);
    for (std::size_t k = 0; k < std::size(kLaws); ++k) {
      auto fails = [&](const Program& q) { return broken(kLaws[k], q, std::uint64_t(seed)); };
      if (failed[k] || fails(p).empty()) continue;
      failed[k] = true;
      const Program small = shrink(p, fails);
      FAIL_CHECK("seed " << seed << ": " << fails(small) << small.text());
    }
  }
  SUCCEED();
}
