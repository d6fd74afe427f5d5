// fold.cc -- constant folding: an equation whose operands are all rank-0 constants and whose results have rank 0 is
// evaluated now.  Arrays are not folded: what a program captures stays a run-time operand.
#include "backends/passes/local.h"
#include "backends/passes/passes.h"

namespace jaxpp::passes {

bool fold_equation(const Equation& e, std::span<const Type> types, Array* y) {
  if (e.in.empty()) return false;
  for (auto& a : e.in)
    if (a.is_var() || a.is_zero() || a.node()->trace != 0 || !a.node()->type->shape.empty())
      return false;
  for (Type t : types)
    if (!t->shape.empty()) return false;
  if (has_effects(e) || e.prim == &optimization_barrier_p || e.prim == &pure_callback_p ||
      e.prim->uses_axis || nests(e))
    return false;
  std::vector<Array> x;
  for (auto& a : e.in) x.push_back(a.value());
  try {
    Scope now(nullptr);
    e.prim->bind(x, e.params(), y, e.loc);
    return true;
  } catch (const Error&) {  // left to fail when the program runs
    return false;
  }
}

JaxprPtr fold(const JaxprBody& j) { return Local(j, kFold).run(); }

}  // namespace jaxpp::passes
