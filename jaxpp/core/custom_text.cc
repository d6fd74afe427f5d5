// custom_text.cc -- a user's derivative rules become jaxprs by tracing them, and jaxprs become rules by evaluating them.
// Arrays that a rule closes over are embedded; a rule that closes over traced values has no text.
#include "jaxpp/core/custom_text.h"

namespace jaxpp::internal {
namespace {
Array zeros(Type t) {
  Array z = Array::make(t);
  std::memset(z.data<char>(), 0, std::size_t(t->size) * width(t->dtype));
  return z;
}
template <class F>
JaxprPtr trace(std::vector<Type> in, F f) {
  Scope alone(nullptr);
  Closed c = trace_to_jaxpr(in, flat(f), Consts::embed);
  if (!c.consts.empty()) throw Error("the rule closes over traced values");
  return c.jaxpr;
}
void need_count(std::size_t got, std::size_t want, const char* what) {
  if (got != want)
    throw Error(std::string("custom derivative: ") + what + ": " + std::to_string(got) +
                " instead of " + std::to_string(want));
}
std::size_t at(const Dims& d, std::size_t i) { return static_cast<std::size_t>(d[i]); }
void append(std::vector<Type>& to, Types from, const Dims& which) {
  for (auto i : which) to.push_back(from[std::size_t(i)]);
}
JaxprPtr trace_bwd_of(const CustomRule& r, Types residuals, Types y, const Dims& diff_y, Types x,
                      const Dims& diff_x) {
  std::vector<Type> in(residuals.begin(), residuals.end());
  append(in, y, diff_y);
  return trace(std::move(in), [&](Args a, Results& out) {
    Results ct(y.size()), x_ct;
    for (std::size_t k = 0; k < diff_y.size(); ++k) ct[at(diff_y, k)] = a[residuals.size() + k];
    r.bwd(a.first(residuals.size()), args(ct), x_ct);
    need_count(x_ct.size(), x.size(), "cotangents of the backward rule");
    for (auto i : diff_x) {
      const Array& g = x_ct[std::size_t(i)];
      out.push_back(g.defined() ? g : zeros(x[std::size_t(i)]));
    }
  });
}
}  // namespace

Dims inexact_positions(Types t) {
  Dims d;
  for (std::size_t i = 0; i < t.size(); ++i)
    if (is_inexact(t[i]->dtype)) d.push_back(std::int64_t(i));
  return d;
}

RuleJaxprs trace_rule(const CustomRule& r, Types x, Types y) {
  RuleJaxprs j;
  j.diff_inputs = inexact_positions(x);
  j.diff_outputs = inexact_positions(y);
  j.dropped = r.dropped;
  if (!j.dropped.empty()) return j;
  try {
    if (r.jvp) {
      std::vector<Type> in(x.begin(), x.end());
      append(in, x, j.diff_inputs);
      j.jvp = trace(std::move(in), [&](Args a, Results& out) {
        Results dx(x.size()), dy;
        for (std::size_t k = 0; k < j.diff_inputs.size(); ++k)
          dx[at(j.diff_inputs, k)] = a[x.size() + k];
        r.jvp(a.first(x.size()), args(dx), out, dy);
        need_count(out.size(), y.size(), "results of the jvp rule");
        need_count(dy.size(), y.size(), "tangents of the jvp rule");
        for (auto i : j.diff_outputs) {
          const Array& t = dy[std::size_t(i)];
          out.push_back(t.defined() ? t : zeros(y[std::size_t(i)]));
        }
      });
    } else if (r.fwd && r.bwd) {
      j.fwd = trace({x.begin(), x.end()}, [&](Args a, Results& out) {
        Results residuals;
        r.fwd(a, out, residuals);
        need_count(out.size(), y.size(), "results of the forward rule");
        for (const Array& v : residuals) out.push_back(v);
      });
      const auto all = j.fwd->out_types();
      const Types residuals = Types(all).subspan(y.size());
      j.num_residuals = std::int64_t(residuals.size());
      j.bwd = trace_bwd_of(r, residuals, y, j.diff_outputs, x, j.diff_inputs);
    } else {
      j.dropped = "no rule";
    }
  } catch (const Error& e) {
    j.jvp = j.fwd = j.bwd = nullptr;
    j.dropped = e.what();
  }
  return j;
}

JaxprPtr trace_bwd(const CustomRule& r, Types residuals, Types y, Types dx) {
  return trace_bwd_of(r, residuals, y, inexact_positions(y), dx, inexact_positions(dx));
}

CustomPtr rule_from_jaxprs(const std::string& name, const JaxprPtr& call, std::int64_t num_consts,
                           RuleJaxprs j) {
  if (num_consts < 0 || (call && std::size_t(num_consts) > call->invars.size()))
    throw Error("custom derivative: bad num_consts");
  if (j.num_residuals < 0) throw Error("custom derivative: bad num_residuals");
  auto r = std::make_shared<CustomRule>();
  r->name = name;
  r->dropped = j.dropped;
  const std::size_t nx = call ? call->invars.size() - std::size_t(num_consts) : 0,
                    ny = call ? call->outs.size() : 0;
  auto in_range = [](const Dims& d, std::size_t n, const char* what) {
    std::int64_t last = -1;
    for (auto i : d) {
      if (i <= last || std::size_t(i) >= n)
        throw Error(std::string("custom derivative: bad ") + what);
      last = i;
    }
  };
  if (call) {
    in_range(j.diff_inputs, nx, "diff_inputs");
    in_range(j.diff_outputs, ny, "diff_outputs");
    if (num_consts == 0) r->call = [call](Args x, Results& y) { eval_jaxpr(*call, x, y); };
  }
  if (j.jvp) {
    if (!call) throw Error("custom derivative: a jvp rule without the function");
    need_count(j.jvp->invars.size(), nx + j.diff_inputs.size(), "inputs of jvp_jaxpr");
    need_count(j.jvp->outs.size(), ny + j.diff_outputs.size(), "outputs of jvp_jaxpr");
    r->jvp = [jvp = j.jvp, in = j.diff_inputs, out = j.diff_outputs, ny](Args x, Args dx,
                                                                         Results& y, Results& dy) {
      Results z(x.begin(), x.end()), all;
      for (auto i : in)
        z.push_back(dx[std::size_t(i)].defined() ? dx[std::size_t(i)]
                                                 : zeros(x[std::size_t(i)].type()));
      eval_jaxpr(*jvp, args(z), all);
      for (std::size_t i = 0; i < ny; ++i) y.push_back(all[i]);
      dy.resize(ny);
      for (std::size_t k = 0; k < out.size(); ++k) dy[at(out, k)] = all[ny + k];
    };
  }
  if (j.fwd) {
    if (!call) throw Error("custom derivative: a forward rule without the function");
    need_count(j.fwd->invars.size(), nx, "inputs of fwd_jaxpr");
    need_count(j.fwd->outs.size(), ny + std::size_t(j.num_residuals), "outputs of fwd_jaxpr");
    r->fwd = [fwd = j.fwd, ny](Args x, Results& y, Results& residuals) {
      Results all;
      eval_jaxpr(*fwd, x, all);
      for (std::size_t i = 0; i < all.size(); ++i) (i < ny ? y : residuals).push_back(all[i]);
    };
  }
  if (j.bwd) {
    need_count(j.bwd->invars.size(), std::size_t(j.num_residuals) + j.diff_outputs.size(),
               "inputs of bwd_jaxpr");
    need_count(j.bwd->outs.size(), j.diff_inputs.size(), "outputs of bwd_jaxpr");
    const std::size_t n = call ? nx : j.diff_inputs.size();
    r->bwd = [bwd = j.bwd, in = j.diff_inputs, out = j.diff_outputs, n](Args residuals, Args ct,
                                                                        Results& x_ct) {
      Results z(residuals.begin(), residuals.end()), g;
      for (std::size_t k = 0; k < out.size(); ++k) {
        const Array& c = ct[at(out, k)];
        z.push_back(c.defined() ? c : zeros(bwd->types[bwd->invars[residuals.size() + k]]));
      }
      eval_jaxpr(*bwd, args(z), g);
      x_ct.resize(n);
      for (std::size_t k = 0; k < in.size(); ++k) x_ct[at(in, k)] = g[k];
    };
  }
  return r;
}

// The inner rule refers to the outer one weakly: the outer one's jaxprs contain it.
void OpenRules::complete(CustomRule& rule, const JaxprPtr& call, bool forward) const {
  if (rule.dropped != "depth") return;
  const std::string text = to_string(*call, 0, {});
  for (std::size_t i = entries.size(); i-- > 0;) {
    if (to_string(*entries[i].call, 0, {}) != text) continue;
    auto outer = [weak = std::weak_ptr<CustomRule>(entries[i].rule)] {
      auto r = weak.lock();
      if (!r) throw Error("custom derivative: the program that this rule was read with is gone");
      return r;
    };
    rule.dropped.clear();
    if (forward) {
      rule.jvp = [outer](Args x, Args dx, Results& y, Results& dy) { outer()->jvp(x, dx, y, dy); };
    } else {
      rule.fwd = [outer](Args x, Results& y, Results& res) { outer()->fwd(x, y, res); };
      rule.bwd = [outer](Args res, Args ct, Results& x_ct) { outer()->bwd(res, ct, x_ct); };
    }
    return;
  }
}

}  // namespace jaxpp::internal
