// rules_test.cc -- every primitive has its rules, and every rule is right.
//
// The first test walks the registry: a primitive without a rule, a kernel or a sample fails unless it is listed here with
// the reason.  The others run all checks of checks.h on the samples: jvp against finite differences, <u, Jv> = <J'u, v>,
// vmap against a loop for all subsets of operands and positions of the axis, jit against eager, text and JSON there and
// back; then the same for the derivatives (order 2).
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <set>
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"
#include "rule_samples.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using namespace jaxpp::testing;

namespace {

// What a primitive lacks on purpose, and why.
const std::map<std::string, const char*> kNoBatch = {
    {"iota", "no operands"},
    {"iota_2x32_shape", "no operands"},
    {"empty", "no operands"},
};
const std::map<std::string, const char*> kNoJvp = {
    {"iota", "no operands"},
    {"iota_2x32_shape", "no operands"},
    {"empty", "no operands"},
};
const std::map<std::string, const char*> kNoSample = {
    {"rng_bit_generator", "a batch is no loop over keys, as in JAX: the corpus has it"},
    {"custom_lin", "arises inside the derivative of custom_vjp_call, whose samples cover it"},
};

Array cast(const Array& a, DType real, DType complex) {
  return is_complex(a.dtype()) ? a.astype(complex) : is_float(a.dtype()) ? a.astype(real) : a;
}
Arrays single(Arrays x) {
  for (Array& a : x) a = cast(a, DType::f32, DType::c64);
  return x;
}
Arrays doubled(Arrays x) {
  for (Array& a : x) a = cast(a, DType::f64, DType::c128);
  return x;
}

void run(const std::vector<Sample>& samples) {
  for (auto& s : samples) {
    std::string error = guarded(s.name, [&] {
      const std::vector<Arrays> lanes = lanes_of(s);
      const std::string e = check_same(s, lanes[0]);
      return e.empty() ? check_function(s.f, lanes, s.options) : e;
    });
    CHECK(error == "");
  }
}

}  // namespace

TEST_CASE("every primitive has rules, a kernel and a sample", "[rules]") {
  (void)lax::add(Array(1.), Array(2.)).item();  // the backend installs its kernels at first use
  std::set<const Primitive*> sampled;
  for (auto& s : all_samples()) sampled.insert(s.covers.begin(), s.covers.end());
  std::set<std::string> names;
  for (const Primitive* p : all_primitives()) {
    if (of_a_test(*p)) continue;
    const std::string name = p->name;
    INFO(name);
    CHECK(names.insert(name).second);
    CHECK(find_primitive(name) == p);
    CHECK(p->shape != nullptr);
    CHECK((p->kernel.load() != nullptr || p->lower != nullptr));
    CHECK((p->batch != nullptr || kNoBatch.count(name)));
    CHECK(
        (p->jvp != nullptr || p->linearize != nullptr || !p->differentiable || kNoJvp.count(name)));
    CHECK((sampled.count(p) || kNoSample.count(name)));
  }
  CHECK(names.size() > 130);
}

TEST_CASE("rules of elementwise primitives", "[rules]") { run(elementwise_samples()); }
TEST_CASE("rules of structural primitives", "[rules]") { run(structural_samples()); }
TEST_CASE("rules of convolutions, windows, transforms, decompositions", "[rules]") {
  run(analysis_samples());
}
TEST_CASE("rules of calls, callbacks and collectives", "[rules]") { run(call_samples()); }

TEST_CASE("rules of third order", "[rules]") {
  for (auto& s : all_samples()) {
    const Options& o = s.options;
    if (o.order < 2 || !o.derivatives || !o.reverse) continue;
    const std::string error = guarded(s.name, [&] {
      Random random(seed_of(s.name));
      const Arrays x = lanes_of(s)[0];
      const Fn pull = pullback(s.f, x.size(), o);
      const Arrays ct = with_cotangents(random, x, evaluate(s.f, x));
      Options wide = o;
      wide.tolerance *= 100;
      return check_derivatives(pushforward(pull, ct.size(), o), {with_tangents(random, ct, o)},
                               wide);
    });
    CHECK(error == "");
  }
}

// f32 and c64 give what f64 and c128 give, in their own type, and so do the derivatives.
TEST_CASE("rules in single precision", "[rules]") {
  for (auto& s : all_samples()) {
    const Options& o = s.options;
    const Arrays x = lanes_of(s)[0];
    if (o.double_only || !std::any_of(x.begin(), x.end(), [](const Array& a) {
          return a.dtype() == DType::f64 || a.dtype() == DType::c128;
        }))
      continue;
    auto same = [&](const char* what, const Fn& f, const Arrays& in) {
      const Arrays low = single(in);
      const auto e = compare(what, evaluate(f, low), single(evaluate(f, doubled(low))), 2e-5);
      return e.empty() ? check_jit(f, low) : std::string(what) + ": " + e;
    };
    const std::string error = guarded(s.name, [&] {
      std::string e = same("values", s.f, x);
      const Arrays y = evaluate(s.f, x);
      if (!e.empty() || !has_derivatives(o, x, y)) return e;
      Random random(seed_of(s.name));
      e = same("jvp", pushforward(s.f, x.size(), o), with_tangents(random, x, o));
      if (e.empty() && o.reverse)
        e = same("vjp", pullback(s.f, x.size(), o), with_cotangents(random, x, y));
      return e;
    });
    CHECK(error == "");
  }
}
