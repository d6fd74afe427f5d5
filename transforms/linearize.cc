// linearize.cc -- the derivative at a point, recorded once as a linear jaxpr; reverse mode is its transpose.
//
//   linearize f x = (f x, dx -> D f(x) dx);     grad f x = (D f(x))^T 1.
// A jvp rule runs once: its primal half is done by the parent trace at once, its tangent half is recorded.
#include "jaxpp/core/user_functions.h"
#include "jaxpp/flat.h"
#include "jaxpp/ops/rules.h"
#include "jaxpp/ops/zero_maps.h"
#include "jaxpp/safe_gradients.h"
#include "transforms/transforms.h"

namespace jaxpp::internal {

// ---- The split of a rule
bool SplitTrace::owns_operand(Args in) const {
  for (const Array& a : in)
    if (a.defined() && tangent_.owns(a)) return true;
  return false;
}
void SplitTrace::process(const Primitive& p, Args in, Params params, Array* y, Loc loc) {
  if (!owns_operand(in)) return bind_in(parent, p, in, params, y, loc);
  if ((&p == &mul_p || &p == &div_p) && gradients_are_safe()) {
    const bool linear[] = {tangent_.owns(in[0]), tangent_.owns(in[1])};
    if (bind_safely(p, in, linear, y, tangent_, loc)) return;
  }
  if (&p == &custom_jvp_call_p || &p == &custom_vjp_call_p) {  // recorded: as custom_call below
    Scope scope(this, &loc);
    Results out;
    eval_jaxpr(*params.as<CustomParams>().call_jaxpr, in, out);
    std::move(out.begin(), out.end(), y);
    return;
  }
  if (!p.linearize) return tangent_.process(p, in, params, y, loc);
  Results x, dy(p.outputs(params));
  Borrowed dx;
  for (const Array& a : in) {
    bool t = tangent_.owns(a);
    x.push_back(t ? lax::full(a.type(), 0) : a);
    dx.push(t ? a.node() : nullptr);
  }
  Scope scope(this, &loc);
  JvpRule r{p, args(x), dx, params, y, dy.data(), &tangent_};
  p.linearize(r);
  for (std::size_t i = 0; i < dy.size(); ++i)
    if (dy[i].defined()) y[i] = dy[i];
}
void SplitTrace::custom_call(const CustomPtr& rule, Args in, Results& out) {
  if (owns_operand(in))
    return rule->call(in, out);  // linear in the tangents: no other derivative is needed
  Scope scope(parent);
  internal::custom_call(rule, in, out);
}

// ---- On flat functions
namespace {
// The tape of f at x: a linear jaxpr over the active inputs; an output without tangent is a zero Atom.
JaxprBody linearize_flat(FlatFn f, Args x, const Mask& active, Results& y) {
  LinearizeTrace trace(context.trace);
  trace.tangent.body.eqns.reserve(8);
  trace.tangent.body.types.reserve(16);
  Results in, out;
  for (std::size_t i = 0; i < x.size(); ++i)
    in.push_back(active[i] ? trace.dual(x[i], trace.tangent.input(x[i].type())) : x[i]);
  {
    UserScope scope(&trace);
    f(args(in), out);
  }
  for (const Array& a : out) {
    bool own = a.defined() && trace.owns(a);
    y.push_back(own ? Array::share(a.node()->dual.primal) : a);
    trace.tangent.body.outs.push_back(own ? Atom::var(a.node()->dual.tangent->index) : Atom());
  }
  return std::move(trace.tangent.body);
}
}  // namespace

void grad_flat(FlatFn f, Args x, Array& value, Results& aux, Array* grads, const char* who, Loc loc,
               bool holomorphic) {
  TrailFrame frame(who, loc);
  Results y;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!has_tangent(x[i].type()))
      fail(std::string(who) + ": the differentiated argument holds " + x[i].type()->str() +
               "; only floating-point and complex arrays have a derivative.",
           loc, "E14", "Convert it (x.astype(f32)), or pass it as another argument.");
  Mask active(x.size(), true);
  JaxprBody tape = linearize_flat(f, x, active, y);
  if (y[0].ndim() != 0)
    fail(std::string(who) + ": needs a scalar output; the function returned " + y[0].type()->str() +
             ".",
         loc, "E17", "Reduce it (sum, mean), or use jacrev or vjp.");
  if (holomorphic ? !is_complex(y[0].dtype()) : !is_float(y[0].dtype()))
    fail(std::string(who) + ": needs a " + (holomorphic ? "complex" : "real floating-point") +
             " output; the function returned " + y[0].type()->str() + ".",
         loc, "E18", holomorphic ? "" : "Use vjp, or jacrev of a complex function.");
  value = y[0];
  for (std::size_t i = 1; i < y.size(); ++i) aux.push_back(y[i]);
  SmallVec<Array, 4> cts(x.size());
  if (!tape.outs[0].is_zero()) {
    tape.outs.resize(1);
    Array one = lax::full(value.type(), 1);
    backward_pass(tape, {}, {&one, 1}, cts.data());
  }
  for (std::size_t i = 0; i < x.size(); ++i) grads[i] = instantiate(cts[i], x[i].type());
}

// ---- LinearMap
struct LinearMap::State {
  JaxprBody tape;
  std::vector<Type> in, out;
  std::vector<int> slot;  // of each input among the tape's inputs, -1: it has no tangent
  const char* who;
  bool has_known;  // some equations are not linear (linear_transpose of a user's function)
};
std::span<const Type> LinearMap::in_types() const { return state_->in; }
std::span<const Type> LinearMap::out_types() const { return state_->out; }

LinearMap LinearMap::of(FlatFn f, Args x, Results& y, const char* who, Loc loc) {
  TrailFrame frame(who, loc);
  auto s = std::make_shared<State>();
  Mask active;
  int n = 0;
  for (const Array& a : x) {
    active.push_back(has_tangent(a.type()));
    s->in.push_back(a.type());
    s->slot.push_back(active.back() ? n++ : -1);
  }
  s->tape = linearize_flat(f, x, active, y);
  for (const Array& a : y) s->out.push_back(a.defined() ? a.type() : scalar_type(DType::b1));
  s->who = who;
  s->has_known = false;
  LinearMap m;
  m.state_ = std::move(s);
  return m;
}
LinearMap LinearMap::linear(FlatFn f, Types x, Loc loc) {
  TrailFrame frame("linear_transpose", loc);
  auto s = std::make_shared<State>();
  JaxprTrace trace(context.trace);
  Results in, out;
  int n = 0;
  for (Type t : x) {
    if (!has_tangent(t))
      fail("linear_transpose: " + t->str() + " is not a vector space.", loc, "E19");
    in.push_back(trace.input(t));
    s->in.push_back(t);
    s->slot.push_back(n++);
  }
  {
    UserScope scope(&trace);
    f(args(in), out);
  }
  for (const Array& a : out) {
    s->out.push_back(a.type());
    trace.body.outs.push_back(trace.atom(a, loc));
  }
  s->tape = std::move(trace.body);
  s->who = "linear_transpose";
  s->has_known = true;
  LinearMap m;
  m.state_ = std::move(s);
  return m;
}

void LinearMap::push(Args dx, Results& dy, Loc loc) const {
  const State& s = *state_;
  Results in;
  for (std::size_t i = 0; i < s.in.size(); ++i) {
    if (s.slot[i] < 0) continue;
    if (dx[i].defined() && dx[i].type() != s.in[i])
      fail("linearize: tangent " + std::to_string(i) + " is " + dx[i].type()->str() +
               ", its primal was " + s.in[i]->str() + ".",
           loc, "E16");
    in.push_back(instantiate(dx[i], s.in[i]));
  }
  Results out;
  eval_jaxpr(s.tape, args(in), out);
  for (std::size_t i = 0; i < out.size(); ++i) dy.push_back(instantiate(out[i], s.out[i]));
}
void LinearMap::pull(Args ct, Results& x_ct, Loc loc) const {
  const State& s = *state_;
  for (std::size_t i = 0; i < s.out.size(); ++i)
    if (ct[i].defined() && ct[i].type() != s.out[i])
      fail(std::string(s.who) + ": cotangent " + std::to_string(i) + " is " + ct[i].type()->str() +
               ", the output it belongs to is " + s.out[i]->str() + ".",
           loc, "E16");
  TrailFrame frame(s.who, loc);
  Results g(s.tape.invars.size()), known(s.has_known ? s.tape.invars.size() : 0);
  Results cts;
  for (std::size_t i = 0; i < s.out.size(); ++i)
    cts.push_back(s.tape.outs[i].is_zero() ? Array() : ct[i]);
  if (s.has_known)
    for (const Atom& a : s.tape.outs)
      if (!a.is_var() && !a.is_zero())
        fail(
            "linear_transpose: an output does not depend on the input: the function is not linear.",
            loc, "E19");
  backward_pass(s.tape, args(known), args(cts), g.data());
  for (std::size_t i = 0; i < s.in.size(); ++i)
    x_ct.push_back(instantiate(s.slot[i] < 0 ? Array() : g[std::size_t(s.slot[i])], s.in[i]));
}

void basis(Types t, Results& rows) {
  std::int64_t n = 0;
  for (Type x : t) n += x->size;
  std::int64_t at = 0;
  for (Type x : t) {
    Shape flat{n, x->size}, full{n};
    full.append(x->shape.begin(), x->shape.end());
    Array r = lax::iota(DType::i64, flat, 0), c = lax::iota(DType::i64, flat, 1);
    Array hit = lax::eq(r, lax::add(c, Array(at)));
    rows.push_back(lax::reshape(lax::convert_element_type(hit, x->dtype), full));
    at += x->size;
  }
}

}  // namespace jaxpp::internal
