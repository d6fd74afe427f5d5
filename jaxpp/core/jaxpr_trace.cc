// jaxpr_trace.cc -- recording equations, closing a recorded program, and small surgery on jaxprs.
//
// While a trace records, constants of any kind sit in the equations: nothing is looked up or hoisted on the hot path.
// close() drops dead equations and turns the constants that are not literals into leading inputs.
#include <algorithm>
#include <unordered_map>
#include "jaxpp/core/ignoring_visitor.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/flat.h"
#include "jaxpp/ops/params.h"

namespace jaxpp::internal {

// ---- Recording
Array JaxprTrace::tracer(Type t, Var v, const Primitive* maker, Loc loc) {
  Node* n = node_new(t, serial);
  n->index = v;
  n->dual.primal = n->dual.tangent = nullptr;
  n->maker = maker;
  n->loc = loc;
  return Array::adopt(n);
}
Array JaxprTrace::input(Type t) {
  Var v = body.new_var(t);
  body.invars.push_back(v);
  return tracer(t, v, nullptr, {});
}
Atom JaxprTrace::atom(const Array& a, Loc loc) const {
  if (!a.defined()) fail("jit: a result of the traced function is a null array.", loc, "E04");
  if (owns(a)) return Atom::var(a.node()->index);
  if (!a.concrete()) {
    const Trace* t = parent;
    while (t && !t->owns(a)) t = t->parent;
    if (!t) throw_leak(a.node(), loc);
  }
  return Atom(a);
}
void JaxprTrace::process(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  loc = user_loc(loc);
  SmallVec<Type, 6> in_types;
  Equation e{&p, nullptr, params.ops, {}, Var(body.types.size()), std::uint32_t(p.outputs(params)),
             loc};
  e.origin = origin_of(p, x);
  for (const Array& a : x) {
    if (!a.defined()) [[unlikely]]
      fail(std::string(p.name) + ": an operand is null.", loc, "E04");
    in_types.push_back(a.type());
    e.in.push_back(atom(a, loc));
  }
  SmallVec<Type, 4> out_types(e.n_out);
  try {
    p.shape({in_types.data(), in_types.size()}, params, out_types.data());
  } catch (const RuleError& err) {
    fail(err.what(), loc, "E11");
  }
  if (params.ops) e.params_data = params.ops->clone(params.data);
  for (std::uint32_t i = 0; i < e.n_out; ++i) {
    y[i] = tracer(out_types[i], e.out + i, &p, loc);
    body.types.push_back(out_types[i]);
  }
  body.eqns.push_back(std::move(e));
}
void JaxprTrace::custom_call(const CustomPtr& rule, Args x, Results& y) {
  std::vector<Type> types;
  for (const Array& a : x) types.push_back(a.type());
  auto f = [&](Args in, Results& out) { rule->call(in, out); };
  Closed c = trace_to_jaxpr(types, flat(f));
  Borrowed in(Args{c.consts});
  in.append(x);
  const Primitive& p = *find_primitive(rule->jvp ? "custom_jvp_call" : "custom_vjp_call");
  std::size_t at = y.size();
  y.resize(at + c.jaxpr->outs.size());
  p.bind(in, CustomParams{c.jaxpr, std::int64_t(c.consts.size()), rule}, y.data() + at,
         Loc::current());
}

// ---- Closing
Closed JaxprTrace::close(Args outs, Consts mode) {
  std::vector<Atom> atoms;
  for (const Array& a : outs) atoms.push_back(atom(a, Loc::current()));
  return close_atoms(std::move(atoms), mode);
}
Closed JaxprTrace::close_atoms(std::vector<Atom> outs, Consts mode) {
  body.outs = std::move(outs);
  dce(body);
  std::vector<Array> consts;
  std::vector<Var> vars;
  std::unordered_map<Node*, Var> seen;
  auto hoist = [&](Atom& a) {
    if (a.is_var() || a.is_zero()) return;
    Node* n = a.node();
    if (n->trace == 0 && (n->type->shape.empty() || mode == Consts::embed)) return;
    auto [it, fresh] = seen.try_emplace(n, Var(body.types.size()));
    if (fresh) {
      body.types.push_back(n->type);
      vars.push_back(it->second);
      consts.push_back(Array::share(n));
    }
    a = Atom::var(it->second);
  };
  for (auto& e : body.eqns)
    for (auto& a : e.in) hoist(a);
  for (auto& a : body.outs) hoist(a);
  body.invars.insert(body.invars.begin(), vars.begin(), vars.end());
  auto jaxpr = std::make_shared<const JaxprBody>(std::move(body));
#ifdef JAXPP_CHECKS
  check_jaxpr(*jaxpr);
#endif
  return {jaxpr, std::move(consts)};
}

Closed trace_to_jaxpr(Types in, FlatFn f, Consts mode) {
  JaxprTrace trace(context.trace);
  Results x, y;
  for (Type t : in) x.push_back(trace.input(t));
  {
    UserScope scope(&trace);
    f(args(x), y);
  }
  return trace.close(args(y), mode);
}
Jaxpr make_jaxpr_flat(FlatFn f, Types in, Loc loc) {
  TrailFrame frame("make_jaxpr", loc);
  Closed c = trace_to_jaxpr(in, f);
  return Jaxpr(c.jaxpr, std::move(c.consts));
}

// ---- Looking inside parameters
namespace {
struct JaxprCollector final : IgnoringVisitor {
  using IgnoringVisitor::field;
  std::vector<JaxprPtr> found;
  void field(const char*, JaxprPtr& j) override { found.push_back(j); }
  void field(const char*, std::vector<JaxprPtr>& v) override {
    found.insert(found.end(), v.begin(), v.end());
  }
};
}  // namespace

std::vector<JaxprPtr> sub_jaxprs(const Equation& e) {
  if (!e.params_ops) return {};
  JaxprCollector c;
  e.params_ops->visit(e.params_data.get(), c);
  std::erase(c.found, nullptr);
  return std::move(c.found);
}
bool has_effects(const Equation& e) {
  if (e.prim->effects) return true;
  if (!e.params_ops) return false;
  for (auto& j : sub_jaxprs(e))
    if (*j->memo<bool>("effects",
                       [&] { return std::any_of(j->eqns.begin(), j->eqns.end(), has_effects); }))
      return true;
  return false;
}
bool uses_axis(const JaxprBody& j, const std::string& name) {
  return *j.memo<bool>("axis " + name, [&] {
    return std::any_of(j.eqns.begin(), j.eqns.end(), [&](const Equation& e) {
      return e.prim->uses_axis && e.prim->uses_axis(e.params(), name);
    });
  });
}
std::size_t count_equations(const JaxprBody& j) {
  std::size_t n = j.eqns.size();
  for (auto& e : j.eqns)
    for (auto& s : sub_jaxprs(e)) n += count_equations(*s);
  return n;
}

// ---- Surgery
void dce(JaxprBody& j) {
  std::vector<char> live(j.types.size());
  auto use = [&](const Atom& a) {
    if (a.is_var()) live[a.var()] = 1;
  };
  for (auto& a : j.outs) use(a);
  std::vector<char> keep(j.eqns.size());
  for (std::size_t i = j.eqns.size(); i-- > 0;) {
    auto& e = j.eqns[i];
    for (Var v = e.out; v < e.out + e.n_out; ++v) keep[i] |= live[v];
    if (!keep[i] && has_effects(e)) keep[i] = 1;
    if (keep[i])
      for (auto& a : e.in) use(a);
  }
  std::size_t n = 0;
  for (std::size_t i = 0; i < keep.size(); ++i)
    if (keep[i]) {
      if (n != i) j.eqns[n] = std::move(j.eqns[i]);
      ++n;
    }
  j.eqns.erase(j.eqns.begin() + std::ptrdiff_t(n), j.eqns.end());
}
JaxprPtr reorder(const JaxprBody& j, std::span<const std::size_t> in,
                 std::span<const std::size_t> out) {
  auto r = std::make_shared<JaxprBody>();
  r->types = j.types;
  r->eqns = j.eqns;
  for (auto i : in) r->invars.push_back(j.invars[i]);
  for (auto o : out) r->outs.push_back(j.outs[o]);
  dce(*r);
  return r;
}

// ---- Memoisation
std::shared_ptr<const void> JaxprBody::memo_find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  auto it = memo_.find(key);
  return it == memo_.end() ? nullptr : it->second;
}
std::shared_ptr<const void> JaxprBody::memo_insert(const std::string& key,
                                                   std::shared_ptr<const void> value) const {
  std::lock_guard lock(mutex_);
  return memo_.try_emplace(key, std::move(value)).first->second;
}

}  // namespace jaxpp::internal
