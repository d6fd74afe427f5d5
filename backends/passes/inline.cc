// inline.cc -- replaces calls by the equations of their bodies.
//
// inline_calls does it for jit, which has no meaning of its own.  lower does it for all calls: the body of a checkpoint
// reads its operands through optimization_barrier, so that cse does not replace the recomputation by saved values.  It
// writes out the primitives that are defined by others (Primitive::lower) and factorisations of small matrices, and drops
// the identities that mean something to transforms only.
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "backends/passes/small_linalg.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
constexpr std::size_t kMaxEquations = std::size_t(1)
                                      << 20;  // shared bodies nest: inlining may grow exponentially

// A primitive without kernels, as a program of others.
JaxprPtr lowered(const Equation& e, const JaxprBody& in) {
  std::vector<Type> types;
  for (const Atom& a : e.in) types.push_back(in.type(a));
  const auto body = [&](Args x, Results& y) {
    y.resize(e.n_out);
    e.prim->lower(x, e.params(), y.data());
  };
  return trace_to_jaxpr(types, flat(body), Consts::embed).jaxpr;
}

JaxprPtr callee(const Equation& e, const JaxprBody& in, bool all) {
  if (e.prim == &jit_p) return e.params().as<CallParams>().jaxpr;
  if (!all) return nullptr;
  if (e.prim == &remat_p) return e.params().as<RematParams>().jaxpr;
  if (e.prim == &custom_jvp_call_p || e.prim == &custom_vjp_call_p)
    return e.params().as<CustomParams>().call_jaxpr;
  if (e.prim->lower) return lowered(e, in);
  return small_linalg(e, in);
}

// All variables among the operands, by one equation.
void put_behind_barrier(Rewriter& r, SmallVec<Atom, 2>& operands, Loc loc) {
  SmallVec<Atom, 2> in;
  std::vector<Type> types;
  for (auto& a : operands)
    if (a.is_var()) {
      in.push_back(a);
      types.push_back(r.to.type(a));
    }
  if (in.empty()) return;
  auto arity = std::make_shared<ArityParams>(ArityParams{std::int64_t(in.size())});
  Var v = r.emit(optimization_barrier_p, std::move(arity), std::move(in), types, loc);
  for (auto& a : operands)
    if (a.is_var()) a = Atom::var(v++);
}

template <bool All>
JaxprPtr inlined(const JaxprBody& j) {
  constexpr const char* name = All ? "lower" : "inline";
  constexpr auto pass = inlined<All>;
  Rewriter r(j);
  for (const Equation& e : j.eqns) {
    if (All && (e.prim == &stop_gradient_p || e.prim == &name_p)) {
      r.set(e.out, r.get(e.in[0]));
      continue;
    }
    const JaxprPtr call = callee(e, j, All);
    if (!call || r.to.eqns.size() > kMaxEquations) {
      r.copy(e, map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested(name, pass, s); }));
      continue;
    }
    const JaxprPtr body = on_nested(name, pass, call);
    Rewriter inner(*body);  // only its map from variables is used; equations go to r
    SmallVec<Atom, 2> operands;
    for (auto& a : e.in) operands.push_back(r.get(a));
    if (e.prim == &remat_p) put_behind_barrier(r, operands, e.loc);
    for (std::size_t i = 0; i < operands.size(); ++i)
      inner.set(body->invars[i], std::move(operands[i]));
    for (const Equation& b : body->eqns) {
      SmallVec<Atom, 2> in;
      for (auto& a : b.in) in.push_back(inner.get(a));
      const Var v = r.emit(*b.prim, b.params_data, std::move(in),
                           {body->types.data() + b.out, b.n_out}, b.loc);
      for (std::uint32_t i = 0; i < b.n_out; ++i) inner.set(b.out + i, Atom::var(v + i));
    }
    for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, inner.get(body->outs[i]));
  }
  return r.finish();
}
}  // namespace

JaxprPtr inline_calls(const JaxprBody& j) { return inlined<false>(j); }
JaxprPtr lower(const JaxprBody& j) { return inlined<true>(j); }

}  // namespace jaxpp::passes
