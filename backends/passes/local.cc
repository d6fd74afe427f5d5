// local.cc -- the walk of local.h: fold, else simplify, else merge, else append; and the views that patterns make.
#include "backends/passes/local.h"
#include <unordered_map>
#include "backends/passes/passes.h"
#include "jaxpp/core/ignoring_visitor.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/lax.h"

namespace jaxpp::passes {
namespace {
constexpr int kMaxDepth =
    24;  // no table known needs more than a few; a loop between patterns would

using Table = std::unordered_map<const Primitive*, std::vector<const Pattern*>>;
const Table& patterns() {
  static const Table table = [] {
    Table t;
    for (auto rows : {contraction_patterns(), algebra_patterns(), view_patterns()})
      for (const Pattern& p : rows) {
        if (p.prim) {
          t[p.prim].push_back(&p);
          continue;
        }
        for (const Primitive* e : all_primitives())
          if (is_elementwise(*e)) t[e].push_back(&p);
      }
    return t;
  }();
  return table;
}

// The name under which results on nested jaxprs are remembered, and the pass that makes them.
template <unsigned S>
JaxprPtr run_steps(const JaxprBody& j) {
  return Local(j, S).run();
}
JaxprPtr nested(unsigned steps, const JaxprPtr& j) {
  switch (steps) {
    case kFold: return on_nested("fold", run_steps<kFold>, j);
    case kMerge: return on_nested("cse", run_steps<kMerge>, j);
    case kSimplify: return on_nested("simplify", run_steps<kSimplify>, j);
    default: return on_nested("local", run_steps<kFold | kSimplify | kMerge>, j);
  }
}
}  // namespace

bool nests(const Equation& e) {
  struct Finder final : IgnoringVisitor {
    using IgnoringVisitor::field;
    bool found = false;
    void field(const char*, JaxprPtr&) override { found = true; }
    void field(const char*, std::vector<JaxprPtr>&) override { found = true; }
  };
  if (!e.params_ops) return false;
  // By kind of parameters; a kind lives as long as the program.
  thread_local std::unordered_map<const ParamsOps*, bool> kinds;
  auto [it, fresh] = kinds.try_emplace(e.params_ops, false);
  if (fresh) {
    Finder f;
    e.params_ops->visit(e.params_ops->make().get(), f);
    it->second = f.found;
  }
  return it->second;
}

Local::Local(const JaxprBody& from, unsigned steps)
    : Rewriter(from),
      from_(from),
      steps_(steps),
      merger_(to.eqns, steps & kMerge ? from.eqns.size() : 0),
      maker_(to.types.size()),
      old_uses_(from.types.size()),
      uses_(to.types.size(), 2) {
  to.eqns.reserve(from.eqns.size());
  to.types.reserve(from.types.size());
  const auto count = [&](const Atom& a) {
    if (a.is_var()) ++old_uses_[a.var()];
  };
  for (const Equation& e : from.eqns)
    for (auto& a : e.in) count(a);
  for (auto& a : from.outs) count(a);
}

void Local::give(Var old, Atom now) {
  if (now.is_var()) uses_[now.var()] += old_uses_[old];
  set(old, std::move(now));
}

JaxprPtr Local::run() {
  for (const Equation& e : from_.eqns) step(e);
  return finish();
}
void Local::step(const Equation& e) {
  loc_ = e.loc;
  const std::span<const Type> types(from_.types.data() + e.out, e.n_out);
  Equation n{e.prim, e.params_data, e.params_ops, {}, 0, e.n_out, e.loc};
  for (auto& a : e.in) n.in.push_back(get(a));
  if (steps_ & kFold) {
    folded_.assign(e.n_out, Array());
    if (fold_equation(n, types, folded_.data())) {
      for (std::uint32_t i = 0; i < e.n_out; ++i) give(e.out + i, Atom(folded_[i]));
      return;
    }
  }
  if (nests(e))
    n.params_data = map_sub_jaxprs(e, [&](const JaxprPtr& s) { return nested(steps_, s); });
  if (e.n_out == 1)
    if (Result found = simplified(n, types[0])) return give(e.out, std::move(*found));
  if (e.n_out > 1 && (steps_ & kSimplify)) {
    pieces_.assign(e.n_out, Atom());
    if (forward_pieces(*this, n, pieces_.data())) {
      for (std::uint32_t i = 0; i < e.n_out; ++i) give(e.out + i, std::move(pieces_[i]));
      return;
    }
  }
  const bool mergeable = !effects(n) && n.prim != &optimization_barrier_p;
  const Var v = push(std::move(n), types, mergeable);
  for (std::uint32_t i = 0; i < e.n_out; ++i) give(e.out + i, Atom::var(v + i));
}

Result Local::simplified(const Equation& e, Type t) {
  if (!(steps_ & kSimplify) || depth_ > kMaxDepth) return {};
  const auto it = patterns().find(e.prim);
  if (it == patterns().end()) return {};
  ++depth_;
  Result found;
  const Match m{*this, e, t};
  for (const Pattern* p : it->second)
    if ((found = p->apply(m))) break;
  --depth_;
  return found;
}

Var Local::push(Equation&& e, std::span<const Type> types, bool mergeable) {
  e.out = Var(to.types.size());
  to.eqns.push_back(std::move(e));
  if ((steps_ & kMerge) && mergeable) {
    const std::size_t now = to.eqns.size() - 1, first = merger_.first_equal(now);
    if (first != now) {
      to.eqns.pop_back();
      return to.eqns[first].out;
    }
  }
  to.types.insert(to.types.end(), types.begin(), types.end());
  maker_.resize(to.types.size(), std::uint32_t(to.eqns.size()));
  uses_.resize(to.types.size());
  return to.eqns.back().out;
}

Atom Local::add(const Primitive& p, std::shared_ptr<const void> params, Operands in) {
  SmallVec<Type, 4> in_types;
  for (auto& a : in) in_types.push_back(type(a));
  Equation e{&p, std::move(params), p.params, std::move(in), 0, 1, loc_};
  Type t = nullptr;
  p.shape({in_types.data(), in_types.size()}, e.params(), &t);
  Array y;
  if (fold_equation(e, {&t, 1}, &y)) return Atom(y);
  if (Result found = simplified(e, t)) return std::move(*found);
  return Atom::var(push(std::move(e), {&t, 1}, true));
}

}  // namespace jaxpp::passes
