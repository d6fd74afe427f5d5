// calls.cc -- jit and checkpoint as primitives: every transform of a call is a call of the transformed jaxpr.
#include "transforms/calls.h"
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/flat.h"
#include "jaxpp/safe_gradients.h"

namespace jaxpp {
namespace internal {

std::string mask_key(const char* what, const Mask& a, const Mask& b) {
  std::string s = what;
  for (bool v : a) s += v ? '1' : '0';
  s += '|';
  for (bool v : b) s += v ? '1' : '0';
  return s;
}
void check_inputs(const char* op, const JaxprBody& j, Types in) {
  check(in.size() == j.invars.size(), op, [&] {
    return "its jaxpr takes " + std::to_string(j.invars.size()) + " operands, got " +
           std::to_string(in.size()) + ".";
  });
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i] != j.types[j.invars[i]])
      rule_error(std::string(op) + ": operand " + std::to_string(i) + " is " + in[i]->str() +
                 ", its jaxpr takes " + j.types[j.invars[i]]->str() + ".");
}
void unpack_jvp(JvpRule& r, const Results& out, const Mask& active) {
  for (std::size_t i = 0, k = active.size(); i < active.size(); ++i) {
    r.y[i] = out[i];
    if (active[i]) r.dy[i] = out[k++];
  }
}
Type stacked(Type t, std::int64_t n) {
  Shape s = t->shape;
  s.insert(0, n);
  return make_type(t->dtype, s);
}

}  // namespace internal

namespace {
using namespace internal;

// Rules shared by jit (CallParams) and remat2 (RematParams).
template <class P>
P with_jaxpr(P p, const JaxprPtr& j) {
  p.jaxpr = j;
  return p;
}
template <class P>
std::size_t call_outputs(Params p) {
  return p.as<P>().jaxpr->outs.size();
}
template <class P>
void call_shape(Types in, Params p, Type* out) {
  const JaxprBody& j = *p.as<P>().jaxpr;
  check_inputs("jit", j, in);
  for (auto& a : j.outs) *out++ = j.type(a);
}
template <class P>
void call_jvp(JvpRule& r) {
  auto& p = r.params.as<P>();
  auto t = jvp_jaxpr(*p.jaxpr, defined(r.dx), {});
  Borrowed in(r.x);
  push_defined(in, r.dx);
  unpack_jvp(r, call(r.prim, in, with_jaxpr(p, t->jaxpr)), t->active);
}
template <class P>
void call_transpose(TransposeRule& r) {
  auto& p = r.params.as<P>();
  auto t = transpose_jaxpr(*p.jaxpr, defined(r.x), defined(r.ct), false);
  Borrowed in;
  push_defined(in, r.x);
  push_defined(in, r.ct);
  Results out = call(r.prim, in, with_jaxpr(p, t->jaxpr));
  for (std::size_t i = 0, l = 0, k = 0; i < r.x.size(); ++i)
    if (r.linear(i) && t->active[l++]) r.add(i, out[k++]);
}
template <class P>
void call_batch(BatchRule& b) {
  auto& p = b.params.as<P>();
  auto t = batch_jaxpr(*p.jaxpr, b.size, b.axis_name, mapped(b), {});
  Results in = batch_operands(b), out = call(b.prim, args(in), with_jaxpr(p, t->jaxpr));
  for (std::size_t i = 0; i < out.size(); ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = t->batched[i] ? 0 : -1;
  }
}
template <class P>
bool call_uses_axis(Params p, const std::string& name) {
  return uses_axis(*p.as<P>().jaxpr, name);
}

// One jit that also returns residuals, one linear jit that takes them.
void jit_linearize(JvpRule& r) {
  auto& p = r.params.as<CallParams>();
  auto t = linearize_jaxpr(*p.jaxpr, defined(r.dx), {});
  Results out = call(jit_p, r.x, CallParams{t->primal, p.name});
  std::size_t n = t->active.size(), n_in = r.x.size();
  for (std::size_t i = 0; i < n; ++i) r.y[i] = out[i];
  Borrowed in;
  for (int k : t->residuals)
    in.push(std::size_t(k) < n_in ? r.x[std::size_t(k)] : out[std::size_t(k) - n_in]);
  push_defined(in, r.dx);
  Results dy = record(r, jit_p, in, CallParams{t->tangent, p.name});
  for (std::size_t i = 0, k = 0; i < n; ++i)
    if (t->active[i]) r.dy[i] = dy[k++];
}

// ---- checkpoint
// What a checkpointed function keeps: `primal` gives (y..., saved...), `tangent` takes (x..., saved..., dx) and
// recomputes everything else.
struct RematSplit {
  JaxprPtr primal, tangent;
  Mask active;
  std::shared_ptr<const void> policy;  // keeps the address in the memo's key from being reused
};
// Evaluates j under `trace`, calls inlined; keep(e) decides whether the results of an equation are saved, and
// saved(value) is called with each of them as an operand of the trace.
template <class Keep, class Saved>
void eval_saving(const JaxprBody& j, Args in, Results& out, Keep keep, Saved saved) {
  std::vector<Array> env(j.types.size());
  for (std::size_t i = 0; i < in.size(); ++i) env[j.invars[i]] = in[i];
  for (const auto& e : j.eqns) {
    Borrowed x;
    for (auto& a : e.in) x.push(a.is_var() ? env[a.var()].node() : a.node());
    if (e.prim == &jit_p) {
      Results y;
      eval_saving(*e.params().as<CallParams>().jaxpr, x, y, keep, saved);
      for (std::size_t i = 0; i < y.size(); ++i) env[e.out + i] = y[i];
      continue;
    }
    const DebugOrigin origin([&] { return e.origin; });
    e.prim->bind(x, e.params(), e.n_out ? &env[e.out] : nullptr, e.loc);
    SmallVec<Type, 4> types;
    for (const Array& a : Args(x)) types.push_back(a.type());
    if (keep(*e.prim, Types(types.data(), types.size()), e.params()))
      for (Var v = e.out; v < e.out + e.n_out; ++v) saved(env[v]);
  }
  for (auto& a : j.outs) out.push_back(a.is_var() ? env[a.var()] : a.value());
}
RematSplit split_remat(const JaxprBody& j, const SavePolicy* policy, const Mask& active) {
  RematSplit s;
  Scope none(nullptr);
  std::vector<Type> in = j.in_types();
  auto keep = [&](const Primitive& p, Types t, Params q) {
    return policy && policy->save(p, t, q);
  };
  std::vector<Type> kept;
  auto primal = [&](Args x, Results& y) {
    Results extra;
    eval_saving(j, x, y, keep, [&](const Array& v) { extra.push_back(v); });
    for (const Array& v : extra) {
      y.push_back(v);
      kept.push_back(v.type());
    }
  };
  s.primal = trace_to_jaxpr(in, flat(primal), Consts::embed).jaxpr;
  // The derivative of f at recomputed values, in which each saved value is replaced by an operand: the equations that
  // made it then are dead.  Linearized, not jvp'd: a call inside f must be split into a known and a linear part.
  JaxprTrace trace(nullptr);
  Results x, saved, dx;
  for (Type t : in) x.push_back(trace.input(t));
  for (Type t : kept) saved.push_back(trace.input(t));
  std::vector<std::pair<Var, Var>> replace;  // recorded variable -> saved input
  std::vector<Atom> outs;
  {
    Scope recording(&trace);
    LinearizeTrace lin(&trace);
    Results duals, y;
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (active[i]) dx.push_back(trace.input(in[i]));
      bool dual = active[i] && has_tangent(in[i]);
      duals.push_back(dual ? lin.dual(x[i], lin.tangent.input(in[i])) : x[i]);
    }
    {
      UserScope user(&lin);
      std::size_t k = 0;
      eval_saving(j, args(duals), y, keep, [&](const Array& v) {
        const Node* n = lin.owns(v) ? v.node()->dual.primal : v.node();
        if (trace.owns(n)) replace.emplace_back(n->index, saved[k].node()->index);
        ++k;
      });
    }
    std::vector<Atom> tangents;
    for (const Array& a : y) {
      s.active.push_back(lin.owns(a));
      if (lin.owns(a)) tangents.push_back(Atom::var(a.node()->dual.tangent->index));
    }
    Closed c = lin.tangent.close_atoms(std::move(tangents), Consts::embed);
    Borrowed operands(Args{c.consts});
    operands.append(args(dx));
    Results dy;
    eval_jaxpr(*c.jaxpr, operands, dy);
    for (const Array& a : dy) outs.push_back(trace.atom(a, Loc::current()));
  }
  std::vector<Var> to(trace.body.types.size());
  for (Var v = 0; v < to.size(); ++v) to[v] = v;
  for (auto [from, by] : replace) to[from] = by;
  auto substitute = [&](Atom& a) {
    if (a.is_var()) a = Atom::var(to[a.var()]);
  };
  for (auto& e : trace.body.eqns)
    for (auto& a : e.in) substitute(a);
  for (auto& a : outs) substitute(a);
  s.tangent = trace.close_atoms(std::move(outs), Consts::embed).jaxpr;
  return s;
}
// Residuals are the inputs and what the policy keeps: the recorded tangent call recomputes the rest.
void remat_linearize(JvpRule& r) {
  auto& p = r.params.as<RematParams>();
  auto* policy = static_cast<const SavePolicy*>(p.policy.value.get());
  Mask active = defined(r.dx);
  std::string k = mask_key(gradients_are_safe() ? "safe remat" : "remat", active) +
                  std::to_string(reinterpret_cast<std::uintptr_t>(policy));
  auto s = p.jaxpr->memo<RematSplit>(k, [&] {
    RematSplit split = split_remat(*p.jaxpr, policy, active);
    split.policy = p.policy.value;
    return split;
  });
  RematParams primal = p, tangent = p;
  primal.jaxpr = s->primal;
  tangent.jaxpr = s->tangent;
  Results out = call(remat_p, r.x, primal);
  const std::size_t n = s->active.size();
  for (std::size_t i = 0; i < n; ++i) r.y[i] = out[i];
  Borrowed in(r.x);
  for (std::size_t i = n; i < out.size(); ++i) in.push(out[i]);
  push_defined(in, r.dx);
  Results dy = record(r, remat_p, in, tangent);
  for (std::size_t i = 0, l = 0; i < n; ++i)
    if (s->active[i]) r.dy[i] = dy[l++];
}

}  // namespace

const Primitive jit_p = {.name = "jit",
                         .shape = call_shape<CallParams>,
                         .jvp = call_jvp<CallParams>,
                         .linearize = jit_linearize,
                         .transpose = call_transpose<CallParams>,
                         .batch = call_batch<CallParams>,
                         .num_outputs = call_outputs<CallParams>,
                         .params = &params_ops<CallParams>,
                         .uses_axis = call_uses_axis<CallParams>};

const Primitive remat_p = {.name = "remat2",
                           .shape = call_shape<RematParams>,
                           .jvp = call_jvp<RematParams>,
                           .linearize = remat_linearize,
                           .transpose = call_transpose<RematParams>,
                           .batch = call_batch<RematParams>,
                           .num_outputs = call_outputs<RematParams>,
                           .params = &params_ops<RematParams>,
                           .uses_axis = call_uses_axis<RematParams>};

namespace internal {
void checkpoint_flat(FlatFn f, Args x, std::shared_ptr<const SavePolicy> policy, Results& y,
                     Loc loc) {
  TrailFrame frame("checkpoint", loc);
  SmallVec<Type, 4> types;
  for (const Array& a : x) types.push_back(a.type());
  Closed c = trace_to_jaxpr({types.data(), types.size()}, f);
  Borrowed in(Args{c.consts});
  in.append(x);
  Opaque opaque;
  if (policy) opaque = {policy->name, policy};
  RematParams p{c.jaxpr, opaque};
  std::size_t at = y.size();
  y.resize(at + c.jaxpr->outs.size());
  remat_p.bind(in, p, y.data() + at, loc);
}
}  // namespace internal
}  // namespace jaxpp
