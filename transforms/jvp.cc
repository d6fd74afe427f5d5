// jvp.cc -- forward mode: dual numbers as a trace.
//
//   jvp f (x, dx) = (f x, D f(x) dx),   one operation at a time.
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/ops/rules.h"
#include "transforms/custom.h"

namespace jaxpp::internal {

Array JvpTrace::dual(const Array& primal, const Array& tangent, const Primitive* maker,
                     Loc loc) const {
  Node* n = node_new(primal.type(), serial);
  retain(primal.node());
  retain(tangent.node());
  n->dual = {primal.node(), tangent.node()};
  n->maker = maker;
  n->loc = loc;
  return Array::adopt(n);
}

namespace {
// Splits operands into primals and tangents (null: zero); true if any has a tangent.
bool unzip(const Trace& t, Args in, Borrowed& x, Borrowed& dx) {
  bool any = false;
  for (const Array& a : in) {
    if (a.defined() && t.owns(a)) {
      x.push(a.node()->dual.primal);
      dx.push(a.node()->dual.tangent);
      any = true;
    } else {
      x.push(a);
      dx.push(nullptr);
    }
  }
  return any;
}
}  // namespace

void JvpTrace::process(const Primitive& p, Args in, Params params, Array* y, Loc loc) {
  Borrowed x, dx;
  if (!unzip(*this, in, x, dx) || !p.differentiable) return bind_in(parent, p, x, params, y, loc);
  JaxprTrace* tangent = tangent_trace();
  auto rule = tangent && p.linearize ? p.linearize : p.jvp;
  if (!rule)
    fail<Error>(
        std::string(p.name) + ": no derivative rule.", user_loc(loc), "E15",
        "Give the function a derivative with custom_jvp or custom_vjp, or use stop_gradient.");
  SmallVec<Array, 2> dy(p.outputs(params));
  {
    const auto belongs = [&] {
      const Origin outer = origin_of(p, x);
      return outer ? outer : Origin(&p, false);
    };
    const DebugOrigin origin(belongs, x);
    Scope scope(rule_trace(), &loc);
    JvpRule r{p, x, dx, params, y, dy.data(), tangent};
    try {
      rule(r);
    } catch (const RuleError& e) {
      fail(e.what(), user_loc(loc), "E11");
    }
  }
  for (std::size_t i = 0; i < dy.size(); ++i)
    if (keep(dy[i]) && has_tangent(y[i].type())) y[i] = dual(y[i], dy[i], &p, user_loc(loc));
}
void JvpTrace::custom_call(const CustomPtr& rule, Args in, Results& out) {
  Borrowed x, dx;
  if (!unzip(*this, in, x, dx)) {
    Scope scope(parent);
    return internal::custom_call(rule, x, out);
  }
  Results y, dy;
  {
    Scope scope(rule_trace());
    custom_jvp_rule(*rule, x, dx, tangent_trace(), y, dy);
  }
  for (std::size_t i = 0; i < y.size(); ++i)
    out.push_back(keep(dy[i]) && has_tangent(y[i].type()) ? dual(y[i], dy[i]) : y[i]);
}

void jvp_flat(FlatFn f, Args x, Args dx, Results& y, Results& dy, Loc loc) {
  TrailFrame frame("jvp", loc);
  JvpTrace trace(context.trace);
  Results in, out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (dx[i].defined() && dx[i].type() != x[i].type())
      fail("jvp: tangent " + std::to_string(i) + " is " + dx[i].type()->str() + ", its primal is " +
               x[i].type()->str() + ".",
           loc, "E16", "Tangents have the dtype and shape of their primals.");
    in.push_back(dx[i].defined() && has_tangent(x[i].type()) ? trace.dual(x[i], dx[i]) : x[i]);
  }
  {
    UserScope scope(&trace);
    f(args(in), out);
  }
  for (const Array& a : out) {
    bool own = a.defined() && trace.owns(a);
    y.push_back(own ? Array::share(a.node()->dual.primal) : a);
    dy.push_back(own ? Array::share(a.node()->dual.tangent) : Array());
  }
}

}  // namespace jaxpp::internal
