// fold.cc -- constant folding: an equation whose operands are all rank-0 constants and whose results have rank 0 is
// evaluated now.  Arrays are not folded: what a program captures stays a run-time operand.
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
bool foldable(const JaxprBody& j, const Equation& e, const Rewriter& r) {
  if (e.in.empty() || e.prim->effects || e.prim == &optimization_barrier_p ||
      e.prim == &pure_callback_p || e.prim->uses_axis || !sub_jaxprs(e).empty())
    return false;
  for (auto& a : e.in) {
    const Atom now = r.get(a);
    if (now.is_var() || now.is_zero() || now.node()->trace != 0 || !now.node()->type->shape.empty())
      return false;
  }
  for (Var v = e.out; v < e.out + e.n_out; ++v)
    if (!j.types[v]->shape.empty()) return false;
  return true;
}
}  // namespace

JaxprPtr fold(const JaxprBody& j) {
  Rewriter r(j);
  for (const Equation& e : j.eqns) {
    if (foldable(j, e, r)) {
      std::vector<Array> x, y(e.n_out);
      for (auto& a : e.in) x.push_back(r.get(a).value());
      try {
        Scope now(nullptr);
        e.prim->bind(x, e.params(), y.data(), e.loc);
        for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, Atom(y[i]));
        continue;
      } catch (const Error&) {  // left to fail when the program runs
      }
    }
    r.copy(e, map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested("fold", fold, s); }));
  }
  return r.finish();
}

}  // namespace jaxpp::passes
