// mutation_test.cc -- the checks of the rules are sharp: a wrong sign in any derivative rule fails one.
//
// A mutant is a rule of a primitive with the sign of its derivative flipped in one operand; it is put into the registry,
// and the samples that cover the primitive (then all others) are checked as in rules_test.cc until one fails.  A mutant
// that survives is a rule that nothing tests.
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <set>
#include "jaxpp/lax.h"
#include "rule_samples.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using namespace jaxpp::testing;

namespace {

// The rules that are flipped, and their places in a primitive.
enum class Kind { jvp, linearize, transpose };
const char* const kKinds[] = {"jvp", "linearize", "transpose"};

struct Original {
  void (*jvp)(JvpRule&);
  void (*linearize)(JvpRule&);
  void (*transpose)(TransposeRule&);
};
std::map<const Primitive*, Original> originals;

// Operands beyond these count as the last: the rule of a call treats them alike.
constexpr std::size_t kOperands = 4;
struct Mutant {
  const Primitive* primitive;
  Kind kind;
  std::size_t operand;
  auto operator<=>(const Mutant&) const = default;
};
std::string str(const Mutant& m) {
  return std::string(m.primitive->name) + " " + kKinds[int(m.kind)] + " operand " +
         std::to_string(m.operand);
}
std::set<Mutant> met;          // what ran with a derivative in that operand
const Mutant* flip = nullptr;  // the mutant that is active

bool flips(const Primitive& p, Kind kind, std::size_t operand) {
  const Mutant m{&p, kind, std::min(operand, kOperands - 1)};
  met.insert(m);
  return flip && *flip == m;
}
template <Kind kind>
void forward(JvpRule& r) {
  Results dx;
  for (std::size_t i = 0; i < r.dx.size(); ++i)
    dx.push_back(r.dx[i].defined() && flips(r.prim, kind, i) ? lax::neg(r.dx[i]) : r.dx[i]);
  JvpRule same{r.prim, r.x, args(dx), r.params, r.y, r.dy, r.tangent};
  const Original& rules = originals.at(&r.prim);
  (kind == Kind::jvp ? rules.jvp : rules.linearize)(same);
}
void backward(TransposeRule& r) {
  bool negative = false;
  for (std::size_t i = 0; i < r.x.size(); ++i)
    if (r.linear(i) && r.wanted(i) && flips(r.prim, Kind::transpose, i)) negative = true;
  Results ct;
  for (const Array& c : r.ct) ct.push_back(negative && c.defined() ? lax::neg(c) : c);
  TransposeRule same{r.prim, r.x, args(ct), r.params, r.x_types, r.into};
  originals.at(&r.prim).transpose(same);
}

// The registry with our rules in it; the old ones come back at the end.
class Wrapped {
 public:
  Wrapped() {
    for (const Primitive* p : all_primitives()) {
      originals[p] = {p->jvp, p->linearize, p->transpose};
      if (p->jvp) p->jvp = forward<Kind::jvp>;
      if (p->linearize) p->linearize = forward<Kind::linearize>;
      if (p->transpose) p->transpose = backward;
    }
  }
  ~Wrapped() {
    for (auto& [p, rules] : originals) {
      p->jvp = rules.jvp;
      p->linearize = rules.linearize;
      p->transpose = rules.transpose;
    }
    flip = nullptr;
  }
};

// What a wrong derivative shows in: of first order, and of the derivatives themselves.
std::string check(const Sample& s) {
  return guarded(s.name, [&] {
    const std::vector<Arrays> lanes = lanes_of(s);
    const std::string e = check_same(s, lanes[0]);
    return e.empty() ? check_derivatives(s.f, lanes, s.options) : e;
  });
}
std::string check_second(const Sample& s) {
  const Options& o = s.options;
  if (o.order < 2 || !o.derivatives || !o.reverse) return "";
  return guarded(s.name, [&] {
    Random random(seed_of(s.name));
    const Arrays x = lanes_of(s)[0];
    const Arrays dx = with_tangents(random, x, o);
    const Arrays ct = with_cotangents(random, x, evaluate(s.f, x));
    const std::string e = check_derivatives(pushforward(s.f, x.size(), o), {dx}, o);
    return e.empty() ? check_derivatives(pullback(s.f, x.size(), o), {ct}, o) : e;
  });
}

// Rules of which no sign can be wrong, and why.
const std::map<std::string, const char*> kNoSign = {
    {"zeta jvp", "an error: no derivative is known"},
    {"igamma_grad_a jvp", "an error: no derivative is known"},
    {"random_gamma_grad jvp", "an error: no derivative is known"},
    {"pure_callback jvp", "an error: a host function has no derivative"},
    {"bounded_while transpose", "an error: linearized, it is a counted scan"},
    {"while transpose", "an error: the number of steps has no bound"},
    {"io_callback jvp", "an error: a host function has no derivative"},
    {"geqrf jvp", "an error: no derivative is known"},
    {"schur jvp", "an error: it is not unique"},
    {"nextafter jvp", "an error: no derivative is known"},
    {"select_and_gather_add jvp operand 1", "a small change of it chooses the same elements"},
    {"select_and_scatter_add jvp operand 1", "a small change of it chooses the same elements"},
    {"custom_linear_solve jvp operand 1", "the solution does not depend on how it was solved"},
    {"custom_linear_solve jvp operand 2", "the solution does not depend on how it was solved"},
};

}  // namespace

TEST_CASE("a wrong sign in any derivative rule fails a check", "[rules][mutations]") {
  const Wrapped wrapped;
  // The mutants: what the samples reach.  Nothing may fail yet.
  for (const Sample& s : all_samples()) {
    CHECK(check(s) == "");
    CHECK(check_second(s) == "");
  }
  const std::set<Mutant> mutants = met;
  CHECK(mutants.size() > 250);
  for (auto& [p, rules] : originals)
    for (Kind kind : {Kind::jvp, Kind::linearize, Kind::transpose}) {
      const bool has = kind == Kind::jvp         ? rules.jvp != nullptr
                       : kind == Kind::linearize ? rules.linearize != nullptr
                                                 : rules.transpose != nullptr;
      const std::string rule = std::string(p->name) + " " + kKinds[int(kind)];
      if (!has || !p->differentiable || of_a_test(*p) || kNoSign.count(rule)) continue;
      INFO(rule << ": no sample runs it");
      CHECK(std::any_of(mutants.begin(), mutants.end(),
                        [&](const Mutant& m) { return m.primitive == p && m.kind == kind; }));
    }
  for (const Mutant& m : mutants) {
    if (kNoSign.count(str(m)) || of_a_test(*m.primitive)) continue;
    flip = &m;
    const std::vector<Sample> samples = all_samples();  // anew: programs remember their derivatives
    auto found_by = [&](bool covering, auto failure) {
      return std::any_of(samples.begin(), samples.end(), [&](const Sample& s) {
        const bool covers =
            std::find(s.covers.begin(), s.covers.end(), m.primitive) != s.covers.end();
        return covers == covering && failure(s) != "";
      });
    };
    INFO(str(m) << " survives with its sign flipped");
    CHECK((found_by(true, check) || found_by(true, check_second) || found_by(false, check) ||
           found_by(false, check_second)));
    flip = nullptr;
  }
}
