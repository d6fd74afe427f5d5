// passes.h -- passes over jaxprs: each is a function jaxpr -> jaxpr that means the same, exactly in IEEE terms.
// A pass works on nested jaxprs too and gives an equal result for an equal program: jaxpp-opt runs them by name, and their
// tests are text in, text out.
#pragma once
#include <functional>
#include <string_view>
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::passes {

/// Drops what no output needs: equations, results of calls, carries of loops that feed only themselves.
JaxprPtr dce(const internal::JaxprBody&);
/// Computes equal equations once.  Effects stay; a checkpointed body is not merged with what is outside it.
JaxprPtr cse(const internal::JaxprBody&);
/// Evaluates equations whose operands are all rank-0 constants.
JaxprPtr fold(const internal::JaxprBody&);
/// Algebraic identities (simplify.cc has the table).
JaxprPtr simplify(const internal::JaxprBody&);
/// Moves what a loop computes from constants alone in front of the loop.
JaxprPtr hoist(const internal::JaxprBody&);
/// Takes out of scan, while and cond what they carry around for nothing, and loops and choices that are none.
JaxprPtr cleanup(const internal::JaxprBody&);
/// Lets backward loops compute again what is cheaper to compute than to store: fewer values of a scan are stacked.
JaxprPtr residuals(const internal::JaxprBody&);
/// Lets a loop that sums up shallow products of matrices leave them to one deep product after it.
JaxprPtr products(const internal::JaxprBody&);
/// Makes arrays that are one value off some diagonals and another on each from those: Jacobians of local functions.
JaxprPtr diagonals(const internal::JaxprBody&);
/// Are there comparisons of integer arrays, which diagonals() starts from?
bool compares_indices(const internal::JaxprBody&);
/// Replaces jit by its body.
JaxprPtr inline_calls(const internal::JaxprBody&);
/// Replaces every call by its body: jit, checkpoint (its operands behind a barrier, so that cse keeps the recomputation),
/// custom derivatives.  What is left can no longer be differentiated as its author meant.
JaxprPtr lower(const internal::JaxprBody&);
/// inline_calls, fold, simplify, cse, dce, in an order that needs no second round on usual programs.
JaxprPtr optimize(const internal::JaxprBody&);

struct Pass {
  std::string_view name, what;
  JaxprPtr (*run)(const internal::JaxprBody&);
};
/// All of them, by name.
std::span<const Pass> all();

}  // namespace jaxpp::passes
