// optimize.cc -- the usual pipeline, and the list of passes by name.
#include "backends/passes/local.h"
#include "backends/passes/passes.h"

namespace jaxpp::passes {

JaxprPtr optimize(const internal::JaxprBody& j) {
  JaxprPtr p = inline_calls(j);
  return Local(*p, kFold | kSimplify | kMerge).run();
}

std::span<const Pass> all() {
  static constexpr Pass passes[] = {
      {"dce", "drop what no output needs, in loops and calls too", dce},
      {"cse", "compute equal equations once", cse},
      {"fold", "evaluate rank-0 constants", fold},
      {"simplify", "algebraic identities that are exact", simplify},
      {"inline", "replace jit by its body", inline_calls},
      {"lower", "replace every call by its body", lower},
      {"optimize", "inline, fold, simplify, cse, dce", optimize},
  };
  return passes;
}

}  // namespace jaxpp::passes
