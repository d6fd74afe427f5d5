// hoist.cc -- loop-invariant code: equations of a loop's body that read constants alone move in front of the loop, and
// their results become constants.  From inside out: what leaves an inner loop may then leave the outer one.
//
// Not moved: effects, host callbacks, collectives, and optimization_barrier with all that depends on it (what checkpoint
// recomputes in a loop, it is to recompute in the loop).
// A view (iota, broadcast, transpose, ...) costs nothing where it is used, so it moves only for the sake of others; the
// loop keeps a copy if it needs one.  A value that would live through the whole loop may not be much larger than what it
// is made of, unless it is expensive: an outer product is cheaper made again than read again.
// The body of a while may never run.  Operations are total, so running one for nothing is safe; all that it can lose is
// its time, once, against that time in every iteration.  Only what need not end (a while) or may throw (primitives of
// users) stays.
#include <algorithm>
#include "backends/passes/local.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/rewrite.h"

namespace jaxpp::passes {
namespace {

constexpr std::int64_t kSmall = 4096;  // bytes that may be kept whatever they are made of

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
std::int64_t bytes(Type t) { return t->size * std::int64_t(width(t->dtype)); }
constexpr const Primitive* kTotal[] = {&reduce_sum_p,
                                       &reduce_max_p,
                                       &reduce_min_p,
                                       &reduce_prod_p,
                                       &reduce_and_p,
                                       &reduce_or_p,
                                       &reduce_xor_p,
                                       &argmax_p,
                                       &argmin_p,
                                       &reduce_p,
                                       &cumsum_p,
                                       &cumprod_p,
                                       &cummax_p,
                                       &cummin_p,
                                       &cumlogsumexp_p,
                                       &sort_p,
                                       &top_k_p,
                                       &dot_general_p,
                                       &scatter_p,
                                       &scatter_add_p,
                                       &scatter_sub_p,
                                       &scatter_mul_p,
                                       &scatter_min_p,
                                       &scatter_max_p,
                                       &cholesky_p,
                                       &lu_p,
                                       &triangular_solve_p,
                                       &threefry2x32_p,
                                       &iota_2x32_shape_p,
                                       &bitcast_convert_type_p,
                                       &jit_p,
                                       &remat_p,
                                       &scan_p,
                                       &cond_p,
                                       &custom_jvp_call_p,
                                       &custom_vjp_call_p,
                                       &name_p,
                                       &lu_pivots_to_permutation_p};

/// How many bytes a value may take for each byte of what it is made of, to be kept through a loop.
std::int64_t growth(const Primitive& p) {
  const int w = weight(p);
  return w >= kMuch ? std::int64_t(1) << 20 : w > 1 ? 16 : 2;
}
/// Does e end, without an error, for any operands?
bool total(const Equation& e) {
  if (weight(*e.prim) < kMuch) return true;
  if (std::find(std::begin(kTotal), std::end(kTotal), e.prim) == std::end(kTotal)) return false;
  for (auto& j : sub_jaxprs(e))
    if (!*j->memo<bool>("total",
                        [&] { return std::all_of(j->eqns.begin(), j->eqns.end(), total); }))
      return false;
  return true;
}
/// Does e give the same result wherever it runs?
bool movable(const Equation& e) {
  if (e.prim == &optimization_barrier_p || e.prim == &pure_callback_p || e.prim->effects)
    return false;
  if (!nests(e)) return !e.prim->uses_axis;
  if (has_effects(e)) return false;
  for (auto& j : sub_jaxprs(e))
    if (!*j->memo<bool>("movable",
                        [&] { return std::all_of(j->eqns.begin(), j->eqns.end(), movable); }))
      return false;
  return true;
}

// What is constant in a body whose leading inputs are.
class Invariants {
 public:
  /// ys: the outputs from this one on are stacked, so that a constant one may as well be stacked outside.
  Invariants(const JaxprBody& j, std::size_t consts, std::size_t ys, bool speculative);
  /// Results that the loop shall get as constants.
  std::vector<Var> crossing;
  /// Emits into r what they need; consts: the constants in r's program.  Their values there.
  std::vector<Atom> move(Rewriter& r, std::span<const Atom> consts) const;
  /// The body without them: constants, crossing ones, the other inputs.
  JaxprPtr rest() const;

 private:
  const JaxprBody& j_;
  const std::size_t consts_;
  std::vector<char> outside_, stays_;  // of each equation: moved; needed in the loop all the same
};

Invariants::Invariants(const JaxprBody& j, std::size_t consts, std::size_t ys, bool speculative)
    : j_(j), consts_(consts), outside_(j.eqns.size()), stays_(j.eqns.size(), 1) {
  constexpr std::int64_t kVaries = -1;
  std::vector<std::int64_t> made_of(j.types.size(),
                                    kVaries);  // bytes that a constant value is made of
  for (std::size_t i = 0; i < consts; ++i) made_of[j.invars[i]] = bytes(j.types[j.invars[i]]);
  std::vector<char> constant(j.eqns.size()), in_loop(j.types.size());
  bool any = false;
  for (std::size_t i = 0; i < j.eqns.size(); ++i) {
    const Equation& e = j.eqns[i];
    std::int64_t size = 0;
    bool c = movable(e) && (!speculative || total(e));
    for (auto& a : e.in) {
      if (!a.is_var()) continue;
      c = c && made_of[a.var()] != kVaries;
      size += std::max<std::int64_t>(made_of[a.var()], 0);
    }
    constant[i] = c;
    any |= c;
    if (!c) {
      for (auto& a : e.in)
        if (a.is_var()) in_loop[a.var()] = 1;
      continue;
    }
    for (Var v = e.out; v < e.out + e.n_out; ++v)
      made_of[v] = is_view(*e.prim) ? size : std::max(size, bytes(j.types[v]));
  }
  if (!any) return;
  std::vector<char> stacked(j.types.size());
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (j.outs[i].is_var()) (i < ys ? in_loop : stacked)[j.outs[i].var()] = 1;
  std::vector<char> wanted(j.types.size());  // outside
  for (std::size_t i = j.eqns.size(); i-- > 0;) {
    if (!constant[i]) continue;
    stays_[i] = 0;
    const Equation& e = j.eqns[i];
    std::int64_t from = 0, to = 0;
    bool inside = false, as_y = false, out = false;
    for (auto& a : e.in)
      if (a.is_var()) from += made_of[a.var()];
    for (Var v = e.out; v < e.out + e.n_out; ++v) {
      if (in_loop[v]) to += bytes(j.types[v]);
      inside = inside || in_loop[v];
      as_y = as_y || stacked[v];
      out = out || wanted[v];
    }
    const bool worth = !is_view(*e.prim) &&
                       to <= std::max(kSmall, growth(*e.prim) * std::max<std::int64_t>(from, 8));
    if (as_y || (inside && worth)) {
      for (Var v = e.out; v < e.out + e.n_out; ++v)
        if (stacked[v] || in_loop[v]) crossing.push_back(v);
      out = true;
    } else if (inside) {
      stays_[i] = 1;
      for (auto& a : e.in)
        if (a.is_var()) in_loop[a.var()] = 1;
    }
    if (out) {
      outside_[i] = 1;
      for (auto& a : e.in)
        if (a.is_var()) wanted[a.var()] = 1;
    }
  }
  std::reverse(crossing.begin(), crossing.end());
}

std::vector<Atom> Invariants::move(Rewriter& r, std::span<const Atom> consts) const {
  std::vector<Atom> env(j_.types.size());
  for (std::size_t i = 0; i < consts_; ++i) env[j_.invars[i]] = consts[i];
  for (std::size_t i = 0; i < j_.eqns.size(); ++i) {
    if (!outside_[i]) continue;
    const Equation& e = j_.eqns[i];
    Operands in;
    for (auto& a : e.in) in.push_back(a.is_var() ? env[a.var()] : a);
    const Var v =
        r.emit(*e.prim, e.params_data, std::move(in), {j_.types.data() + e.out, e.n_out}, e.loc);
    for (std::uint32_t k = 0; k < e.n_out; ++k) env[e.out + k] = Atom::var(v + k);
  }
  std::vector<Atom> values;
  for (Var v : crossing) values.push_back(env[v]);
  return values;
}

JaxprPtr Invariants::rest() const {
  Rewriter r(j_, Rewriter::NoInputs());
  auto input = [&](Var v) { r.set(v, Atom::var(r.input(j_.types[v]))); };
  for (std::size_t i = 0; i < consts_; ++i) input(j_.invars[i]);
  for (Var v : crossing) input(v);
  for (std::size_t i = consts_; i < j_.invars.size(); ++i) input(j_.invars[i]);
  for (std::size_t i = 0; i < j_.eqns.size(); ++i)
    if (stays_[i]) r.copy(j_.eqns[i], j_.eqns[i].params_data);
  return r.finish();
}

Operands with(std::span<const Atom> head, std::span<const Atom> more) {
  Operands in(head.begin(), head.end());
  in.append(more.begin(), more.end());
  return in;
}

void hoist_scan(Rewriter& r, const Equation& e, ScanParams p, std::span<const Atom> in) {
  const std::size_t n = sz(p.num_consts);
  const JaxprPtr body = p.jaxpr;
  const Invariants inv(*body, n, sz(p.num_carry), false);
  Operands operands = with(in.first(n), inv.move(r, in.first(n)));
  operands.append(in.begin() + std::ptrdiff_t(n), in.end());
  if (!inv.crossing.empty()) p.jaxpr = inv.rest();
  p.num_consts += std::int64_t(inv.crossing.size());
  const Var v = r.emit(scan_p, std::make_shared<ScanParams>(std::move(p)), std::move(operands),
                       r.old_types(e), e.loc);
  for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, Atom::var(v + i));
}

void hoist_while(Rewriter& r, const Equation& e, WhileParams p, std::span<const Atom> in) {
  const std::size_t cn = sz(p.cond_nconsts), bn = sz(p.body_nconsts);
  const JaxprPtr body_jaxpr = p.body_jaxpr, cond_jaxpr = p.cond_jaxpr;
  const Invariants cond(*cond_jaxpr, cn, cond_jaxpr->outs.size(), true),
      body(*body_jaxpr, bn, body_jaxpr->outs.size(), true);
  Operands operands = with(in.first(cn), cond.move(r, in.first(cn)));
  const Operands rest = with(in.subspan(cn, bn), body.move(r, in.subspan(cn, bn)));
  operands.append(rest.begin(), rest.end());
  operands.append(in.begin() + std::ptrdiff_t(cn + bn), in.end());
  if (!cond.crossing.empty()) p.cond_jaxpr = cond.rest();
  if (!body.crossing.empty()) p.body_jaxpr = body.rest();
  p.cond_nconsts += std::int64_t(cond.crossing.size());
  p.body_nconsts += std::int64_t(body.crossing.size());
  const Var v = r.emit(while_p, std::make_shared<WhileParams>(std::move(p)), std::move(operands),
                       r.old_types(e), e.loc);
  for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, Atom::var(v + i));
}
}  // namespace

JaxprPtr hoist(const JaxprBody& j) {
  Rewriter r(j);
  std::vector<Atom> in;
  for (const Equation& e : j.eqns) {
    if (!nests(e)) {
      r.copy(e, e.params_data);
      continue;
    }
    const auto params =
        map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested("hoist", hoist, s); });
    in.clear();
    for (auto& a : e.in) in.push_back(r.get(a));
    if (e.prim == &scan_p && static_cast<const ScanParams*>(params.get())->length > 0)
      hoist_scan(r, e, *static_cast<const ScanParams*>(params.get()), in);
    else if (e.prim == &while_p)
      hoist_while(r, e, *static_cast<const WhileParams*>(params.get()), in);
    else
      r.copy(e, params);
  }
  return r.finish();
}

}  // namespace jaxpp::passes
