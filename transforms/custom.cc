// custom.cc -- functions with a user's derivative.
//
// A rule stays eager C++ until somebody records the call (JaxprTrace::custom_call makes it an equation with the rule as a
// parameter).  A function given as fwd and bwd has forward mode too: its tangent map is custom_lin, whose transpose is
// bwd, and whose value is therefore the transpose of bwd.  A rule of the library may have all of jvp, fwd and bwd: then jvp is
// forward mode, and fwd and bwd are what is linearized.
#include "transforms/custom.h"
#include "jaxpp/flat.h"
#include "transforms/calls.h"

namespace jaxpp {
namespace internal {

namespace {
void check_rule(const CustomRule& rule, const char* part, std::size_t got, std::size_t want) {
  if (got != want)
    rule_error("custom derivative of `" + rule.name + "`: " + part + " returns " +
               std::to_string(got) + " arrays, expected " + std::to_string(want) + ".");
}
void check_type(const CustomRule& rule, const char* part, std::size_t i, Type got, Type want) {
  if (got != want)
    rule_error("custom derivative of `" + rule.name + "`: " + part + " " + std::to_string(i) +
               " is " + got->str() + ", expected " + want->str() + ".");
}
}  // namespace

void custom_jvp_rule(const CustomRule& rule, Args x, Args dx, bool linearizing, Results& y,
                     Results& dy) {
  if (!rule.jvp && !rule.fwd)
    rule_error(
        "custom derivative of `" + rule.name + "`: it has no derivative rule" +
        (rule.dropped.empty() ? std::string(".") : " (dropped on export: " + rule.dropped + ")."));
  Results t;
  for (std::size_t i = 0; i < x.size(); ++i) t.push_back(instantiate(dx[i], x[i].type()));
  UserScope user(context.trace);
  if (rule.jvp && !(linearizing && rule.fwd)) {
    rule.jvp(x, args(t), y, dy);
    check_rule(rule, "the jvp rule", dy.size(), y.size());
    for (std::size_t i = 0; i < y.size(); ++i)
      if (dy[i].defined() && has_tangent(y[i].type()))
        check_type(rule, "tangent", i, dy[i].type(), y[i].type());
    return;
  }
  Results in;
  rule.fwd(x, y, in);
  CustomLinParams p{std::int64_t(in.size()), {}, std::make_shared<const CustomRule>(rule)};
  for (const Array& a : y) p.out_types.push_back(a.type());
  in.append(t.begin(), t.end());
  dy = call(custom_lin_p, args(in), p);
}

CustomPtr batch_custom_rule(const CustomPtr& rule, const AxisList& axes, std::int64_t size,
                            const std::string& axis_name) {
  auto r = std::make_shared<CustomRule>();
  r->name = rule->name;
  r->dropped = rule->dropped;
  auto lanes = [size, axis_name](FlatFn f, Args x, const AxisList& in_axes, Results& y) {
    AxisList a;
    for (int i : in_axes) a.push_back(i < 0 ? kUnmapped : i);
    vmap_flat(f, x, {a.data(), a.size()}, {}, size, axis_name, y, Loc::current());
  };
  r->call = [=](Args x, Results& y) {
    auto f = [&](Args lane, Results& out) { rule->call(lane, out); };
    lanes(flat(f), x, axes, y);
  };
  if (rule->jvp)
    r->jvp = [=](Args x, Args dx, Results& y, Results& dy) {
      auto f = [&](Args z, Results& out) {
        Results d;
        rule->jvp(z.first(x.size()), z.subspan(x.size()), out, d);
        for (std::size_t i = 0; i < d.size(); ++i) out.push_back(instantiate(d[i], out[i].type()));
      };
      Borrowed in(x);
      in.append(dx);
      AxisList both = axes;
      both.append(axes.begin(), axes.end());
      Results out;
      lanes(flat(f), in, both, out);
      y = Results(out.begin(), out.begin() + out.size() / 2);
      dy = Results(out.begin() + out.size() / 2, out.end());
    };
  if (rule->fwd) {
    r->fwd = [=](Args x, Results& y, Results& res) {
      std::size_t n = 0;
      auto f = [&](Args z, Results& out) {
        Results s;
        rule->fwd(z, out, s);
        n = out.size();
        out.append(s.begin(), s.end());
      };
      Results out;
      lanes(flat(f), x, axes, out);
      y = Results(out.begin(), out.begin() + n);
      res = Results(out.begin() + n, out.end());
    };
    r->bwd = [=](Args res, Args ct, Results& x_ct) {  // unmapped inputs get the sum over the batch
      Mask zero;
      auto f = [&](Args z, Results& out) {
        Results g;
        rule->bwd(z.first(res.size()), z.subspan(res.size()), g);
        zero.clear();
        for (const Array& a : g) {
          zero.push_back(!a.defined());
          if (a.defined()) out.push_back(a);
        }
      };
      Borrowed in(res);
      in.append(ct);
      Results out;
      lanes(flat(f), in, AxisList(in.size(), 0), out);
      for (std::size_t i = 0, k = 0; i < zero.size(); ++i) {
        if (zero[i])
          x_ct.push_back(Array());
        else {
          x_ct.push_back(axes[i] < 0 ? lax::reduce_sum(out[k], {0})
                                     : lax::move_axis(out[k], 0, axes[i]));
          ++k;
        }
      }
    };
  }
  return r;
}

}  // namespace internal

namespace {
using namespace internal;

void custom_call_shape(Types in, Params p, Type* out) {
  const JaxprBody& j = *p.as<CustomParams>().call_jaxpr;
  check_inputs("custom derivative", j, in);
  for (auto& a : j.outs) *out++ = j.type(a);
}
void custom_call_jvp(JvpRule& r) {  // what the function closed over has no tangent here
  auto& p = r.params.as<CustomParams>();
  auto n = std::size_t(p.num_consts);
  Results y, dy;
  custom_jvp_rule(*p.rule, r.x.subspan(n), r.dx.subspan(n), r.tangent, y, dy);
  check_rule(*p.rule, "the rule", y.size(), p.call_jaxpr->outs.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    check_type(*p.rule, "value", i, y[i].type(), p.call_jaxpr->type(p.call_jaxpr->outs[i]));
    r.y[i] = y[i];
    r.dy[i] = dy[i];
  }
}
void custom_call_batch(BatchRule& b) {
  auto& p = b.params.as<CustomParams>();
  Mask force(p.call_jaxpr->outs.size(), true);
  auto t = batch_jaxpr(*p.call_jaxpr, b.size, b.axis_name, mapped(b), force);
  Results in = batch_operands(b);
  AxisList axes;
  for (auto i = std::size_t(p.num_consts); i < b.x.size(); ++i)
    axes.push_back(b.axis[i] < 0 ? -1 : 0);
  Results out = call(
      b.prim, args(in),
      CustomParams{t->jaxpr, p.num_consts, batch_custom_rule(p.rule, axes, b.size, b.axis_name)});
  for (std::size_t i = 0; i < out.size(); ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = 0;
  }
}
std::size_t custom_call_outputs(Params p) { return p.as<CustomParams>().call_jaxpr->outs.size(); }
bool custom_call_uses_axis(Params p, const std::string& name) {
  return uses_axis(*p.as<CustomParams>().call_jaxpr, name);
}

// The tangent map of a function with fwd and bwd: (residuals, dx) -> dy, by transposing bwd.
void expand_custom_lin(const CustomLinParams& p, Args in, Results& dy) {
  Args res = in.first(std::size_t(p.num_res)), dx = in.subspan(std::size_t(p.num_res));
  auto f = [&](Args ct, Results& x_ct) {
    Results g;
    p.rule->bwd(res, ct, g);
    check_rule(*p.rule, "bwd", g.size(), dx.size());
    for (std::size_t i = 0; i < g.size(); ++i) x_ct.push_back(instantiate(g[i], dx[i].type()));
  };
  Closed c = trace_to_jaxpr(p.out_types, flat(f));
  Borrowed known(Args{c.consts});
  for (std::size_t i = 0; i < p.out_types.size(); ++i) known.push(nullptr);
  SmallVec<Array, 4> ct(c.jaxpr->invars.size());
  try {
    backward_pass(*c.jaxpr, known, dx, ct.data());
  } catch (const Error& e) {
    fail<Error>("custom derivative of `" + p.rule->name +
                    "`: forward mode transposes bwd, which is not linear in the cotangent:\n" +
                    e.what(),
                user_loc(Loc::current()), "E20", "Make bwd linear, or use custom_jvp.");
  }
  for (std::size_t i = 0; i < p.out_types.size(); ++i)
    dy.push_back(instantiate(ct[c.consts.size() + i], p.out_types[i]));
}
void custom_lin_shape(Types, Params p, Type* out) {
  for (Type t : p.as<CustomLinParams>().out_types) *out++ = t;
}
void custom_lin_jvp(JvpRule& r) {
  auto f = [&](Args in, Results& dy) { expand_custom_lin(r.params.as<CustomLinParams>(), in, dy); };
  Results y, dy;
  jvp_flat(flat(f), r.x, r.dx, y, dy, Loc::current());
  for (std::size_t i = 0; i < y.size(); ++i) {
    r.y[i] = y[i];
    r.dy[i] = dy[i];
  }
}
void custom_lin_transpose(TransposeRule& r) {
  auto& p = r.params.as<CustomLinParams>();
  auto n = std::size_t(p.num_res);
  Results ct, x_ct;
  for (std::size_t i = 0; i < r.ct.size(); ++i) ct.push_back(instantiate(r.ct[i], p.out_types[i]));
  {
    UserScope user(context.trace);
    p.rule->bwd(r.x.first(n), args(ct), x_ct);
  }
  check_rule(*p.rule, "bwd", x_ct.size(), r.x.size() - n);
  for (std::size_t i = 0; i < x_ct.size(); ++i) {
    if (!x_ct[i].defined() || !r.wanted(n + i)) continue;
    check_type(*p.rule, "cotangent", i, x_ct[i].type(), r.x_types[n + i]);
    r.add(n + i, x_ct[i]);
  }
}
void custom_lin_batch(BatchRule& b) {
  auto f = [&](Args in, Results& dy) { expand_custom_lin(b.params.as<CustomLinParams>(), in, dy); };
  AxisList axes;
  for (std::size_t i = 0; i < b.x.size(); ++i)
    axes.push_back(b.axis[i] < 0 ? kUnmapped : b.axis[i]);
  Results y;
  vmap_flat(flat(f), b.x, {axes.data(), axes.size()}, {}, b.size, b.axis_name, y, Loc::current());
  for (std::size_t i = 0; i < y.size(); ++i) {
    b.y[i] = y[i];
    b.y_axis[i] = 0;
  }
}

}  // namespace

namespace internal {
void custom_lin_eval(const CustomLinParams& p, Args in, Results& dy) {
  expand_custom_lin(p, in, dy);
}
}  // namespace internal

const Primitive custom_jvp_call_p = {.name = "custom_jvp_call",
                                     .shape = custom_call_shape,
                                     .jvp = custom_call_jvp,
                                     .batch = custom_call_batch,
                                     .num_outputs = custom_call_outputs,
                                     .params = &params_ops<CustomParams>,
                                     .uses_axis = custom_call_uses_axis};
const Primitive custom_vjp_call_p = {.name = "custom_vjp_call",
                                     .shape = custom_call_shape,
                                     .jvp = custom_call_jvp,
                                     .batch = custom_call_batch,
                                     .num_outputs = custom_call_outputs,
                                     .params = &params_ops<CustomParams>,
                                     .uses_axis = custom_call_uses_axis};
const Primitive custom_lin_p = {
    .name = "custom_lin",
    .shape = custom_lin_shape,
    .jvp = custom_lin_jvp,
    .transpose = custom_lin_transpose,
    .batch = custom_lin_batch,
    .num_outputs = [](Params p) { return p.as<CustomLinParams>().out_types.size(); },
    .params = &params_ops<CustomLinParams>};

}  // namespace jaxpp
