// dce.cc -- dead code elimination that looks into calls and loops.
//
// Backwards over the equations: one is live if it has an effect or a live result.  Calls lose their dead results and the
// operands that only those needed.  A carry of a loop is live if its final value is, or if something live inside the loop
// reads it: a fixpoint.  First it is found what is live, then the program is copied once.
#include <algorithm>
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
using Flags = std::vector<char>;

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
std::int64_t count(const Flags& f, std::size_t from, std::size_t to) {
  return std::count_if(f.begin() + std::ptrdiff_t(from), f.begin() + std::ptrdiff_t(to),
                       [](char c) { return c != 0; });
}
Flags slice(const Flags& f, std::size_t from, std::size_t to) {
  return Flags(f.begin() + std::ptrdiff_t(from), f.begin() + std::ptrdiff_t(to));
}
std::string key(const char* what, const Flags& a, const Flags& b = {}) {
  std::string k = what;
  for (char c : a) k += c ? '1' : '0';
  k += '/';
  for (char c : b) k += c ? '1' : '0';
  return k;
}
template <class P>
const P& as(const Equation& e) {
  return e.params().as<P>();
}

// ---- What is live
Flags inputs_needed(const JaxprBody& j, const Flags& live_outs);

// Equations that may lose operands and results.
bool divisible(const Equation& e) { return nests(e) || e.prim == &optimization_barrier_p; }
// What such an equation keeps, if those results are wanted; a loop may keep more.
struct Kept {
  Flags in, out;
};
Kept kept(const Equation& e, const Flags& wanted) {
  Kept k{Flags(e.in.size(), 1), Flags(e.n_out, 1)};
  if (e.prim == &jit_p || e.prim == &remat_p) {
    const auto& body = e.prim == &jit_p ? as<CallParams>(e).jaxpr : as<RematParams>(e).jaxpr;
    k = {inputs_needed(*body, wanted), wanted};
  } else if (e.prim == &optimization_barrier_p) {
    k = {wanted, wanted};
  } else if (e.prim == &cond_p) {
    k.out = wanted;
    std::fill(k.in.begin() + 1, k.in.end(), 0);
    for (auto& b : as<CondParams>(e).branches) {
      const Flags used = inputs_needed(*b, wanted);
      for (std::size_t i = 0; i < used.size(); ++i) k.in[i + 1] |= used[i];
    }
  } else if (e.prim == &scan_p) {
    const auto& p = as<ScanParams>(e);
    const std::size_t nc = sz(p.num_consts), nk = sz(p.num_carry);
    k.out = wanted;
    for (bool grown = true; grown;) {
      grown = false;
      k.in = inputs_needed(*p.jaxpr, k.out);
      for (std::size_t i = 0; i < nk; ++i)
        if (k.in[nc + i] && !k.out[i]) k.out[i] = grown = true;
    }
    for (std::size_t i = 0; i < nk; ++i) k.in[nc + i] = k.out[i];
  } else if (e.prim == &while_p) {
    const auto& p = as<WhileParams>(e);
    const std::size_t cn = sz(p.cond_nconsts), bn = sz(p.body_nconsts), n = e.n_out;
    const Flags read = inputs_needed(*p.cond_jaxpr, {1});
    k.out = wanted;
    for (std::size_t i = 0; i < n; ++i) k.out[i] |= read[cn + i];
    Flags used;
    for (bool grown = true; grown;) {
      grown = false;
      used = inputs_needed(*p.body_jaxpr, k.out);
      for (std::size_t i = 0; i < n; ++i)
        if (used[bn + i] && !k.out[i]) k.out[i] = grown = true;
    }
    k.in = slice(read, 0, cn);
    k.in.insert(k.in.end(), used.begin(), used.begin() + std::ptrdiff_t(bn));
    k.in.insert(k.in.end(), k.out.begin(), k.out.end());
  }
  return k;
}

struct Liveness {
  Flags vars, eqns;
};
Liveness liveness(const JaxprBody& j, const Flags& live_outs) {
  Liveness l{Flags(j.types.size()), Flags(j.eqns.size())};
  auto use = [&](const Atom& a) {
    if (a.is_var()) l.vars[a.var()] = 1;
  };
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (live_outs[i]) use(j.outs[i]);
  for (std::size_t i = j.eqns.size(); i-- > 0;) {
    const Equation& e = j.eqns[i];
    const auto out = l.vars.begin() + e.out;
    if (std::find(out, out + e.n_out, 1) == out + e.n_out && !effects(e)) continue;
    l.eqns[i] = 1;
    if (!divisible(e)) {
      for (auto& a : e.in) use(a);
      continue;
    }
    const Kept k = kept(e, Flags(out, out + e.n_out));
    for (std::size_t n = 0; n < e.in.size(); ++n)
      if (k.in[n]) use(e.in[n]);
  }
  return l;
}
Flags inputs_needed(const JaxprBody& j, const Flags& live_outs) {
  return *j.memo<Flags>(key("live ", live_outs), [&] {
    const Liveness l = liveness(j, live_outs);
    Flags needed;
    for (Var v : j.invars) needed.push_back(l.vars[v]);
    return needed;
  });
}

// ---- The program without the rest
JaxprPtr pruned_body(const JaxprBody& j, const Flags& live_outs, const Flags& inputs);
// Memoised: a jaxpr that two calls share stays shared.
JaxprPtr pruned(const JaxprBody& j, const Flags& live_outs, const Flags& inputs) {
  return *j.memo<JaxprPtr>(key("dce ", live_outs, inputs),
                           [&] { return pruned_body(j, live_outs, inputs); });
}

std::shared_ptr<const void> pruned_params(const Equation& e, const Kept& k) {
  if (e.prim == &optimization_barrier_p)
    return std::make_shared<ArityParams>(ArityParams{count(k.in, 0, k.in.size())});
  if (e.prim == &jit_p) {
    CallParams p = as<CallParams>(e);
    p.jaxpr = pruned(*p.jaxpr, k.out, k.in);
    return std::make_shared<CallParams>(std::move(p));
  }
  if (e.prim == &remat_p) {
    RematParams p = as<RematParams>(e);
    p.jaxpr = pruned(*p.jaxpr, k.out, k.in);
    return std::make_shared<RematParams>(std::move(p));
  }
  if (e.prim == &cond_p) {
    CondParams p = as<CondParams>(e);
    for (auto& b : p.branches) b = pruned(*b, k.out, slice(k.in, 1, k.in.size()));
    return std::make_shared<CondParams>(std::move(p));
  }
  if (e.prim == &scan_p) {
    ScanParams p = as<ScanParams>(e);
    const std::size_t nc = sz(p.num_consts), nk = sz(p.num_carry);
    p.jaxpr = pruned(*p.jaxpr, k.out, k.in);
    p.num_consts = count(k.in, 0, nc);
    p.num_carry = count(k.in, nc, nc + nk);
    return std::make_shared<ScanParams>(std::move(p));
  }
  if (e.prim == &while_p) {
    WhileParams p = as<WhileParams>(e);
    const std::size_t cn = sz(p.cond_nconsts), bn = sz(p.body_nconsts);
    Flags cond = slice(k.in, 0, cn);
    cond.insert(cond.end(), k.out.begin(), k.out.end());
    p.cond_jaxpr = pruned(*p.cond_jaxpr, {1}, cond);
    p.body_jaxpr = pruned(*p.body_jaxpr, k.out, slice(k.in, cn, k.in.size()));
    p.cond_nconsts = count(k.in, 0, cn);
    p.body_nconsts = count(k.in, cn, cn + bn);
    return std::make_shared<WhileParams>(std::move(p));
  }
  return e.params_data;
}

// inputs: those that stay.
JaxprPtr pruned_body(const JaxprBody& j, const Flags& live_outs, const Flags& inputs) {
  const Liveness l = liveness(j, live_outs);
  auto to = std::make_shared<JaxprBody>();
  to->eqns.reserve(j.eqns.size());
  to->types.reserve(j.types.size());
  std::vector<Atom> env(j.types.size());
  for (std::size_t i = 0; i < j.invars.size(); ++i) {
    if (!inputs[i]) continue;
    const Var v = to->new_var(j.types[j.invars[i]]);
    to->invars.push_back(v);
    env[j.invars[i]] = Atom::var(v);
  }
  auto get = [&](const Atom& a) { return a.is_var() ? env[a.var()] : a; };
  for (std::size_t i = 0; i < j.eqns.size(); ++i) {
    if (!l.eqns[i]) continue;
    const Equation& e = j.eqns[i];
    std::optional<Kept> some;  // none: all operands and results
    if (divisible(e)) some = kept(e, slice(l.vars, e.out, e.out + e.n_out));
    Equation n{e.prim,
               some ? pruned_params(e, *some) : e.params_data,
               e.params_ops,
               {},
               Var(to->types.size()),
               0,
               e.loc};
    for (std::size_t x = 0; x < e.in.size(); ++x)
      if (!some || some->in[x]) n.in.push_back(get(e.in[x]));
    for (std::uint32_t y = 0; y < e.n_out; ++y)
      if (!some || some->out[y]) {
        env[e.out + y] = Atom::var(to->new_var(j.types[e.out + y]));
        ++n.n_out;
      }
    to->eqns.push_back(std::move(n));
  }
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (live_outs[i]) to->outs.push_back(get(j.outs[i]));
  return to;
}
}  // namespace

JaxprPtr dce(const JaxprBody& j) {
  return pruned_body(j, Flags(j.outs.size(), 1), Flags(j.invars.size(), 1));
}

}  // namespace jaxpp::passes
