// cse.cc -- common subexpressions: of equations with the same primitive, parameters and operands only the first is kept.
// Equations with effects are not merged.  A nested body is a world of its own, so what checkpoint recomputes inside its
// body is never replaced by the value computed outside.
#include <unordered_map>
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
void mix(std::size_t& h, std::size_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15u + (h >> 29); }

// Large constants are compared by identity, rank-0 ones by value.
bool same_value(const Atom& a, const Atom& b) {
  if (a.is_var() || b.is_var()) return a.is_var() && b.is_var() && a.var() == b.var();
  if (a.is_zero() || b.is_zero() || a.node() == b.node())
    return a.is_zero() == b.is_zero() && a.node() == b.node();
  const Array x = a.value(), y = b.value();
  return x.type() == y.type() && x.ndim() == 0 && x.concrete() && y.concrete() &&
         !std::memcmp(x.data<char>(), y.data<char>(), width(x.dtype()));
}
std::size_t hash(const Atom& a) {
  if (a.is_var()) return std::size_t(a.var()) * 2 + 1;
  if (a.is_zero()) return 0;
  const Array x = a.value();
  std::size_t h = std::hash<const void*>()(x.type());
  if (x.ndim() || !x.concrete()) return h ^ std::hash<const void*>()(a.node());
  for (std::size_t i = 0; i < width(x.dtype()); ++i)
    mix(h, std::size_t(x.data<unsigned char>()[i]));
  return h;
}
// Parameters are compared only among equations with equal operands, so that they need no hash.
struct Key {
  const Equation* e;
  std::size_t h;
  explicit Key(const Equation& eqn) : e(&eqn), h(std::hash<const void*>()(eqn.prim)) {
    for (auto& a : eqn.in) mix(h, hash(a));
  }
  bool operator==(const Key& o) const {
    if (e->prim != o.e->prim || e->n_out != o.e->n_out || e->in.size() != o.e->in.size())
      return false;
    for (std::size_t i = 0; i < e->in.size(); ++i)
      if (!same_value(e->in[i], o.e->in[i])) return false;
    return e->params() == o.e->params();
  }
};
struct KeyHash {
  std::size_t operator()(const Key& k) const { return k.h; }
};
}  // namespace

JaxprPtr cse(const JaxprBody& j) {
  Rewriter r(j);
  r.to.eqns.reserve(j.eqns.size());  // keys point into it
  std::unordered_map<Key, Var, KeyHash> seen;
  for (const Equation& e : j.eqns) {
    r.copy(e, map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested("cse", cse, s); }));
    if (has_effects(e) || e.prim == &optimization_barrier_p) continue;
    const Equation& now = r.to.eqns.back();
    auto [it, fresh] = seen.try_emplace(Key(now), now.out);
    if (fresh) continue;
    for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, Atom::var(it->second + i));
    r.to.types.resize(now.out);
    r.to.eqns.pop_back();
  }
  return r.finish();
}

}  // namespace jaxpp::passes
