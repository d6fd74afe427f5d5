// dce.cc -- dead code elimination that looks into calls and loops.
//
// Backwards over the equations: one is live if it has an effect or a live result.  Calls lose their dead results and the
// operands that only those needed.  A carry of a loop is live if its final value is, or if something live inside the loop
// reads it: a fixpoint.
#include <algorithm>
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
using Flags = std::vector<char>;

struct Pruned {
  JaxprPtr jaxpr;
  Flags used;  // inputs of the original that are left
};
Pruned prune_body(const JaxprBody& j, const Flags& live_outs, const Flags& keep_inputs);
// Memoised: a jaxpr that two calls share stays shared.
Pruned prune(const JaxprBody& j, const Flags& live_outs, const Flags& keep_inputs) {
  std::string key = "dce ";
  for (char c : live_outs) key += c ? '1' : '0';
  key += '/';
  for (char c : keep_inputs) key += c ? '1' : '0';
  return *j.memo<Pruned>(key, [&] { return prune_body(j, live_outs, keep_inputs); });
}

// An equation with fewer operands or results; empty params_data: as it was.
struct Change {
  std::shared_ptr<const void> params;
  Flags in, out;
  bool live = false;
};

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
std::int64_t count(const Flags& f, std::size_t from, std::size_t to) {
  return std::count_if(f.begin() + std::ptrdiff_t(from), f.begin() + std::ptrdiff_t(to),
                       [](char c) { return c != 0; });
}
Flags slice(const Flags& f, std::size_t from, std::size_t to) {
  return Flags(f.begin() + std::ptrdiff_t(from), f.begin() + std::ptrdiff_t(to));
}

Change call_change(const Equation& e, const Flags& live) {
  auto data = e.params_ops->clone(e.params_data.get());
  auto& jaxpr = e.prim == &remat_p
                    ? const_cast<RematParams*>(static_cast<const RematParams*>(data.get()))->jaxpr
                    : const_cast<CallParams*>(static_cast<const CallParams*>(data.get()))->jaxpr;
  Pruned p = prune(*jaxpr, live, {});
  jaxpr = p.jaxpr;
  return {data, p.used, live, true};
}
Change cond_change(const Equation& e, const Flags& live) {
  CondParams c = e.params().as<CondParams>();
  Flags used(e.in.size() - 1);
  for (auto& b : c.branches) {
    const Flags u = prune(*b, live, {}).used;
    for (std::size_t i = 0; i < used.size(); ++i) used[i] |= u[i];
  }
  for (auto& b : c.branches) b = prune(*b, live, used).jaxpr;
  used.insert(used.begin(), 1);
  return {std::make_shared<CondParams>(std::move(c)), used, live, true};
}
// Carries first become live by their final values, then by what the live part of the body reads.
Change scan_change(const Equation& e, const Flags& live) {
  ScanParams s = e.params().as<ScanParams>();
  const std::size_t nc = sz(s.num_consts), nk = sz(s.num_carry);
  Flags outs = live;
  for (;;) {
    const Flags used = prune(*s.jaxpr, outs, {}).used;
    bool grown = false;
    for (std::size_t i = 0; i < nk; ++i)
      if (used[nc + i] && !outs[i]) outs[i] = grown = true;
    if (!grown) break;
  }
  Flags keep(e.in.size());
  for (std::size_t i = 0; i < nk; ++i) keep[nc + i] = outs[i];
  Pruned p = prune(*s.jaxpr, outs, keep);
  s.jaxpr = p.jaxpr;
  s.num_consts = count(p.used, 0, nc);
  s.num_carry = count(p.used, nc, nc + nk);
  return {std::make_shared<ScanParams>(std::move(s)), p.used, outs, true};
}
Change while_change(const Equation& e, const Flags& live) {
  WhileParams w = e.params().as<WhileParams>();
  const std::size_t cn = sz(w.cond_nconsts), bn = sz(w.body_nconsts), n = e.n_out;
  Flags outs = live;
  const Flags read = prune(*w.cond_jaxpr, {1}, {}).used;
  for (std::size_t i = 0; i < n; ++i) outs[i] |= read[cn + i];
  for (;;) {
    const Flags used = prune(*w.body_jaxpr, outs, {}).used;
    bool grown = false;
    for (std::size_t i = 0; i < n; ++i)
      if (used[bn + i] && !outs[i]) outs[i] = grown = true;
    if (!grown) break;
  }
  Flags keep_body(bn + n), keep_cond(cn + n);
  for (std::size_t i = 0; i < n; ++i) keep_body[bn + i] = keep_cond[cn + i] = outs[i];
  Pruned body = prune(*w.body_jaxpr, outs, keep_body), cond = prune(*w.cond_jaxpr, {1}, keep_cond);
  w.body_jaxpr = body.jaxpr;
  w.cond_jaxpr = cond.jaxpr;
  w.body_nconsts = count(body.used, 0, bn);
  w.cond_nconsts = count(cond.used, 0, cn);
  Flags in = slice(cond.used, 0, cn);
  for (std::size_t i = 0; i < bn + n; ++i) in.push_back(body.used[i]);
  return {std::make_shared<WhileParams>(std::move(w)), in, outs, true};
}

// keep_inputs (or empty): inputs that stay whether they are used or not.
Pruned prune_body(const JaxprBody& j, const Flags& live_outs, const Flags& keep_inputs) {
  Flags live(j.types.size());
  auto use = [&](const Atom& a) {
    if (a.is_var()) live[a.var()] = 1;
  };
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (live_outs[i]) use(j.outs[i]);
  std::vector<Change> changes(j.eqns.size());
  for (std::size_t i = j.eqns.size(); i-- > 0;) {
    const Equation& e = j.eqns[i];
    const Flags out(live.begin() + e.out, live.begin() + e.out + e.n_out);
    const bool any = std::any_of(out.begin(), out.end(), [](char c) { return c != 0; });
    if (!any && !has_effects(e)) continue;
    Change& c = changes[i];
    if (e.prim == &jit_p || e.prim == &remat_p)
      c = call_change(e, out);
    else if (e.prim == &scan_p)
      c = scan_change(e, out);
    else if (e.prim == &while_p)
      c = while_change(e, out);
    else if (e.prim == &cond_p)
      c = cond_change(e, out);
    else
      c = {e.params_data, Flags(e.in.size(), 1), Flags(e.n_out, 1), true};
    for (std::size_t k = 0; k < e.in.size(); ++k)
      if (c.in[k]) use(e.in[k]);
  }
  Pruned p;
  auto to = std::make_shared<JaxprBody>();
  std::vector<Atom> env(j.types.size());
  for (std::size_t i = 0; i < j.invars.size(); ++i) {
    const Var v = j.invars[i];
    p.used.push_back(live[v] || (!keep_inputs.empty() && keep_inputs[i]));
    if (!p.used.back()) continue;
    const Var n = to->new_var(j.types[v]);
    to->invars.push_back(n);
    env[v] = Atom::var(n);
  }
  auto get = [&](const Atom& a) { return a.is_var() ? env[a.var()] : a; };
  for (std::size_t i = 0; i < j.eqns.size(); ++i) {
    const Change& c = changes[i];
    if (!c.live) continue;
    const Equation& e = j.eqns[i];
    Equation n{e.prim, c.params, e.params_ops, {}, Var(to->types.size()), 0, e.loc};
    for (std::size_t k = 0; k < e.in.size(); ++k)
      if (c.in[k]) n.in.push_back(get(e.in[k]));
    for (std::uint32_t k = 0; k < e.n_out; ++k)
      if (c.out[k]) {
        env[e.out + k] = Atom::var(to->new_var(j.types[e.out + k]));
        ++n.n_out;
      }
    to->eqns.push_back(std::move(n));
  }
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (live_outs[i]) to->outs.push_back(get(j.outs[i]));
  p.jaxpr = std::move(to);
  return p;
}
}  // namespace

JaxprPtr dce(const JaxprBody& j) {
  return prune_body(j, Flags(j.outs.size(), 1), Flags(j.invars.size(), 1)).jaxpr;
}

}  // namespace jaxpp::passes
