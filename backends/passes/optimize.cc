// optimize.cc -- the pipeline in front of compilation, and the list of passes by name.
#include "backends/passes/local.h"
#include "backends/passes/passes.h"

namespace jaxpp::passes {
namespace {

constexpr int kRounds = 4;  // usual programs need two
constexpr unsigned kAll = kFold | kSimplify | kMerge;

// The sizes of a program and of the jaxprs inside, as one number: what hoist and cleanup do shows in it.
std::size_t size_of(const JaxprBody& j) {
  std::size_t h = 0;
  const auto mix = [&](std::size_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15u + (h >> 29); };
  mix(j.eqns.size());
  mix(j.invars.size());
  mix(j.outs.size());
  for (const Equation& e : j.eqns) {
    if (!nests(e)) continue;
    mix(e.in.size());
    for (auto& s : sub_jaxprs(e)) mix(*s->memo<std::size_t>("size", [&] { return size_of(*s); }));
  }
  return h;
}
JaxprPtr walk(const JaxprBody& j) { return dce(*Local(j, kAll).run()); }

// Straight-line programs are done after one walk.  Loops and choices: what leaves a body, or goes into one, makes room for
// the walk again.
JaxprPtr rewritten(const internal::JaxprBody& j) {
  JaxprPtr p = walk(*lower(j));
  if (std::none_of(p->eqns.begin(), p->eqns.end(), nests)) return p;
  for (int round = 0; round < kRounds; ++round) {
    const JaxprPtr q = cleanup(*hoist(*p));
    if (size_of(*q) == size_of(*p)) break;
    p = walk(*q);
  }
  // Last: what is computed twice on purpose is not to be taken for an equal expression.
  const JaxprPtr q = products(*residuals(*p));
  return size_of(*q) == size_of(*p) ? p : walk(*cleanup(*q));
}
}  // namespace

JaxprPtr optimize(const internal::JaxprBody& j) {
  const JaxprPtr p = rewritten(j);
  // What is made of an identity is an array of numbers, to the patterns; so it comes last.
  return compares_indices(*p) ? diagonals(*p) : p;
}

std::span<const Pass> all() {
  static constexpr Pass passes[] = {
      {"dce", "drop what no output needs, in loops and calls too", dce},
      {"cse", "compute equal equations once", cse},
      {"fold", "evaluate rank-0 constants", fold},
      {"simplify", "algebraic identities that are exact", simplify},
      {"hoist", "move loop-invariant equations in front of loops", hoist},
      {"cleanup", "drop what scan, while and cond carry around for nothing", cleanup},
      {"residuals", "compute again in a backward loop what is cheaper than storing it", residuals},
      {"products", "take sums of products of matrices out of loops", products},
      {"diagonals", "make what is one value off some diagonals from those", diagonals},
      {"inline", "replace jit by its body", inline_calls},
      {"lower", "replace every call by its body", lower},
      {"optimize", "all of them, as compilation does", optimize},
  };
  return passes;
}

}  // namespace jaxpp::passes
