// cleanup.cc -- what a scan, while or cond carries around for nothing.
//
//   operands      numbers and equal operands go inside once; an xs that is the same in every step becomes a constant
//   carries       one that never changes becomes a constant; two that are always equal become one
//   results       one that every branch, or every step, hands through is taken from outside
//   whole loops   of no step, of one step, with a condition that is false: no loops;  a known or needless choice: the branch
//
// That a carry never changes, or that two are equal, is a greatest fixpoint: assume it of all, drop those for which the body
// does not keep the assumption, until it keeps all that are left.
#include <algorithm>
#include <numeric>
#include <unordered_map>
#include "backends/passes/local.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {
namespace {

using Atoms = std::vector<Atom>;
using Rows = std::vector<std::size_t>;
std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

// An input of a body, before it has a variable: what the loop or the choice is given for it.
bool is_literal(const Atom& a) {
  return !a.is_var() && !a.is_zero() && a.node()->trace == 0 && a.node()->type->shape.empty();
}

// A body with other inputs: each old one is an input of the new body, or a literal.
class NewBody {
 public:
  explicit NewBody(const JaxprBody& from) : r_(from, Rewriter::NoInputs()), from_(from) {}
  Atom input(Type t) { return Atom::var(r_.input(t)); }
  void set(std::size_t old_input, const Atom& a) { r_.set(from_.invars[old_input], a); }
  /// Copies the equations, once all inputs are set.  The outputs of the old body in the new one.
  Atoms equations() {
    for (const Equation& e : from_.eqns) r_.copy(e, e.params_data);
    Atoms outs;
    for (auto& a : from_.outs) outs.push_back(r_.get(a));
    return outs;
  }
  JaxprPtr finish(Atoms outs) { return r_.finish(std::move(outs)); }

 private:
  Rewriter r_;
  const JaxprBody& from_;
};

// A list in which equal values share a place.
class Shared {
 public:
  /// The place of a value; `fresh` if it is the first of its kind.
  std::size_t place(const Atom& a, bool& fresh) {
    const auto [it, first] = places_.try_emplace(a, places_.size());
    fresh = first;
    return it->second;
  }
  /// The place of a value that is there, or -1.
  std::ptrdiff_t find(const Atom& a) const {
    const auto it = places_.find(a);
    return it == places_.end() ? -1 : std::ptrdiff_t(it->second);
  }

 private:
  struct Hash {
    std::size_t operator()(const Atom& a) const { return hash_value(a); }
  };
  struct Equal {
    bool operator()(const Atom& a, const Atom& b) const { return same_value(a, b); }
  };
  std::unordered_map<Atom, std::size_t, Hash, Equal> places_;
};

class Cleaner : public Rewriter {
 public:
  explicit Cleaner(const JaxprBody& from) : Rewriter(from), from_(from) {}
  JaxprPtr run();

 private:
  void scan(const Equation& e, ScanParams p, Atoms in);
  void loop(const Equation& e, WhileParams p, Atoms in);
  void choice(const Equation& e, const CondParams& p, Atoms in);
  void one_step(const Equation& e, const ScanParams& p, const Atoms& in);
  bool as_select(const Equation& e, const CondParams& p, const Atoms& in);

  // The results of a body's equations, for these inputs, as part of this program.
  Atoms inlined(const JaxprBody& body, std::span<const Atom> in);
  void give(const Equation& e, std::span<const Atom> results) {
    for (std::uint32_t i = 0; i < e.n_out; ++i) set(e.out + i, results[i]);
  }
  template <class P>
  Atom view(const Primitive& p, P params, const Atom& x, const Shape& shape, Loc loc) {
    const Type t = make_type(to.type(x)->dtype, shape);
    Operands in;
    in.push_back(x);
    return Atom::var(emit(p, std::make_shared<P>(std::move(params)), std::move(in), {&t, 1}, loc));
  }
  /// x in every step, stacked.
  Atom repeated(const Atom& x, std::int64_t n, Loc loc) {
    Shape s = to.type(x)->shape;
    Dims dims;
    for (std::size_t i = 0; i < s.size(); ++i) dims.push_back(std::int64_t(i) + 1);
    s.insert(0, n);
    return view(broadcast_in_dim_p, BroadcastParams{dims, s}, x, s, loc);
  }
  const Equation* maker(const Atom& a);
  std::optional<Atom> same_in_every_step(const Atom& xs, Loc loc);

  const JaxprBody& from_;
  std::vector<std::uint32_t> makers_;  // of each variable: index of its equation + 1
  std::size_t known_ = 0;              // equations that makers_ knows
};

const Equation* Cleaner::maker(const Atom& a) {
  makers_.resize(to.types.size());
  for (; known_ < to.eqns.size(); ++known_)
    for (Var v = to.eqns[known_].out; v < to.eqns[known_].out + to.eqns[known_].n_out; ++v)
      makers_[v] = std::uint32_t(known_ + 1);
  return a.is_var() && makers_[a.var()] ? &to.eqns[makers_[a.var()] - 1] : nullptr;
}

Atoms Cleaner::inlined(const JaxprBody& body, std::span<const Atom> in) {
  Atoms env(body.types.size());
  for (std::size_t i = 0; i < in.size(); ++i) env[body.invars[i]] = in[i];
  auto get = [&](const Atom& a) { return a.is_var() ? env[a.var()] : a; };
  for (const Equation& b : body.eqns) {
    Operands x;
    for (auto& a : b.in) x.push_back(get(a));
    const Var v =
        emit(*b.prim, b.params_data, std::move(x), {body.types.data() + b.out, b.n_out}, b.loc);
    for (std::uint32_t i = 0; i < b.n_out; ++i) env[b.out + i] = Atom::var(v + i);
  }
  Atoms outs;
  for (auto& a : body.outs) outs.push_back(get(a));
  return outs;
}

// The value of xs in each step if it is the same in all: what is broadcast along the leading axis.
std::optional<Atom> Cleaner::same_in_every_step(const Atom& xs, Loc loc) {
  const Equation* d = maker(xs);
  if (!d || d->prim != &broadcast_in_dim_p) return {};
  BroadcastParams p = d->params().as<BroadcastParams>();
  Atom x = d->in[0];
  if (!p.broadcast_dimensions.empty() && p.broadcast_dimensions[0] == 0) {
    Shape s = to.type(x)->shape;
    if (s[0] != 1) return {};
    s.erase(0);
    x = view(squeeze_p, DimensionsParams{{0}}, x, s, loc);
    p.broadcast_dimensions.erase(0);
  }
  for (auto& i : p.broadcast_dimensions) --i;
  p.shape.erase(0);
  const Shape shape = p.shape;
  if (to.type(x)->shape == shape) return x;
  return view(broadcast_in_dim_p, std::move(p), x, shape, loc);
}

// ---- Carries
// What is known of the carry: unchanged[i]: it stays what it was given; like[i]: the first carry that always equals it.
struct Carries {
  std::vector<char> unchanged;
  Rows like;
};
// init: the values given for the consts and the carry.  The body's inputs begin with both, its outputs with the carry.
Carries study_carry(const JaxprBody& body, std::span<const Atom> consts,
                    std::span<const Atom> init) {
  const std::size_t n = init.size(), nc = consts.size();
  std::vector<std::size_t> input(body.types.size(), std::size_t(-1));  // of each variable
  for (std::size_t i = 0; i < body.invars.size(); ++i) input[body.invars[i]] = i;
  Carries c{std::vector<char>(n, 1), Rows(n)};
  const auto keeps = [&](std::size_t i) {
    const Atom& out = body.outs[i];
    if (!out.is_var()) return same_value(out, init[i]);
    const std::size_t from = input[out.var()];
    if (from < nc) return same_value(consts[from], init[i]);
    return from < nc + n && c.unchanged[from - nc] && same_value(init[from - nc], init[i]);
  };
  for (bool dropped = true; dropped;) {
    dropped = false;
    for (std::size_t i = 0; i < n; ++i)
      if (c.unchanged[i] && !keeps(i)) {
        c.unchanged[i] = 0;
        dropped = true;
      }
  }
  // Carries that start equal: are they still after a step, if they were before it?
  bool candidates = false;
  Shared values;
  Rows firsts;
  for (std::size_t i = 0; i < n; ++i) {
    c.like[i] = i;
    bool fresh = true;
    if (c.unchanged[i]) continue;
    const std::size_t at = values.place(init[i], fresh);
    if (fresh)
      firsts.push_back(i);
    else
      c.like[i] = firsts[at];
    candidates |= !fresh;
  }
  while (candidates) {
    NewBody assumed(body);
    Shared constants;
    Atoms vars, of_constants;
    for (std::size_t i = 0; i < body.invars.size(); ++i)
      vars.push_back(assumed.input(body.types[body.invars[i]]));
    for (std::size_t i = 0; i < vars.size(); ++i) {
      const bool is_carry = i >= nc && i < nc + n;
      if (i < nc || (is_carry && c.unchanged[i - nc])) {
        bool fresh = false;
        const std::size_t at = constants.place(i < nc ? consts[i] : init[i - nc], fresh);
        if (fresh) of_constants.push_back(vars[i]);
        assumed.set(i, of_constants[at]);
      } else {
        assumed.set(i, is_carry ? vars[nc + c.like[i - nc]] : vars[i]);
      }
    }
    const JaxprPtr merged = cse(*assumed.finish(assumed.equations()));
    candidates = false;
    const Rows before = c.like;
    for (std::size_t i = 0; i < n; ++i) {
      if (before[i] == i || same_value(merged->outs[i], merged->outs[before[i]])) continue;
      c.like[i] = i;  // or the first of those that were set apart with it
      for (std::size_t k = 0; k < i; ++k)
        if (before[k] == before[i] && c.like[k] == k && k != before[i] &&
            same_value(merged->outs[i], merged->outs[k])) {
          c.like[i] = k;
          break;
        }
      candidates = true;
    }
  }
  return c;
}

// ---- scan
void Cleaner::one_step(const Equation& e, const ScanParams& p, const Atoms& in) {
  Atoms x = in;
  for (std::size_t i = sz(p.num_consts + p.num_carry); i < x.size(); ++i)
    x[i] = view(squeeze_p, DimensionsParams{{0}}, x[i], p.jaxpr->types[p.jaxpr->invars[i]]->shape,
                e.loc);
  Atoms y = inlined(*p.jaxpr, x);
  for (std::size_t i = sz(p.num_carry); i < y.size(); ++i) y[i] = repeated(y[i], 1, e.loc);
  give(e, y);
}

void Cleaner::scan(const Equation& e, ScanParams p, Atoms in) {
  const JaxprBody& body = *p.jaxpr;
  const std::size_t nc = sz(p.num_consts), nk = sz(p.num_carry), n = in.size();
  if (p.length == 0) {
    for (std::size_t i = 0; i < nk; ++i) set(e.out + Var(i), in[nc + i]);
    for (std::size_t i = nk; i < e.n_out; ++i) {
      const Type t = from_.types[e.out + i];
      Scope now(nullptr);
      const Atom zero(lax::full(scalar_type(t->dtype), 0));
      set(e.out + Var(i),
          view(broadcast_in_dim_p, BroadcastParams{{}, t->shape}, zero, t->shape, e.loc));
    }
    return;
  }
  if (p.length == 1) return one_step(e, p, in);

  const std::span<const Atom> given(in);
  const Carries carries = study_carry(body, given.first(nc), given.subspan(nc, nk));
  NewBody now(body);
  // Constants: those that were, carries that do not change, xs that are the same in every step.
  Operands operands;
  std::vector<std::pair<std::size_t, Atom>> consts;  // input of the old body, its value
  for (std::size_t i = 0; i < nc; ++i) consts.emplace_back(i, in[i]);
  for (std::size_t i = 0; i < nk; ++i)
    if (carries.unchanged[i]) consts.emplace_back(nc + i, in[nc + i]);
  Rows xs;
  for (std::size_t i = nc + nk; i < n; ++i)
    if (auto same = same_in_every_step(in[i], e.loc))
      consts.emplace_back(i, *same);
    else
      xs.push_back(i);
  Shared kept, inside;  // by their values; by their variables in the new body
  Atoms const_vars;
  for (auto& [i, value] : consts) {
    bool fresh = false;
    if (is_literal(value)) {
      now.set(i, value);
      continue;
    }
    const std::size_t at = kept.place(value, fresh);
    if (fresh) {
      operands.push_back(value);
      const_vars.push_back(now.input(body.types[body.invars[i]]));
      inside.place(const_vars.back(), fresh);
    }
    now.set(i, const_vars[at]);
  }
  const std::size_t new_consts = operands.size();
  Atoms carry_vars(nk);
  Rows carry;
  for (std::size_t i = 0; i < nk; ++i) {
    if (carries.unchanged[i]) continue;
    if (carries.like[i] == i) {
      carry.push_back(i);
      operands.push_back(in[nc + i]);
      carry_vars[i] = now.input(body.types[body.invars[nc + i]]);
    }
    now.set(nc + i, carry_vars[carries.like[i]]);
  }
  Shared kept_xs, xs_inside;
  Atoms xs_vars;
  std::vector<Atom> xs_values;
  for (std::size_t i : xs) {
    bool fresh = false;
    const std::size_t at = kept_xs.place(in[i], fresh);
    if (fresh) {
      operands.push_back(in[i]);
      xs_values.push_back(in[i]);
      xs_vars.push_back(now.input(body.types[body.invars[i]]));
      xs_inside.place(xs_vars.back(), fresh);
    }
    now.set(i, xs_vars[at]);
  }
  const Atoms outs = now.equations();
  // What the body hands through is known outside.
  const auto constant = [&](const Atom& a) -> std::optional<Atom> {
    if (!a.is_var()) return a;
    const auto k = inside.find(a);
    return k < 0 ? std::optional<Atom>() : operands[std::size_t(k)];
  };
  Atoms results(e.n_out), new_outs;
  std::vector<std::pair<std::size_t, std::size_t>> from_loop;  // result, output of the new scan
  for (std::size_t i = 0; i < nk; ++i) {
    if (carries.unchanged[i]) {
      results[i] = in[nc + i];
      continue;
    }
    const std::size_t k =
        sz(std::lower_bound(carry.begin(), carry.end(), carries.like[i]) - carry.begin());
    from_loop.emplace_back(i, k);
    if (auto c = constant(outs[i])) {
      results[i] = *c;
      from_loop.pop_back();
    }
  }
  for (std::size_t i : carry) new_outs.push_back(outs[i]);
  Shared kept_ys;
  for (std::size_t i = nk; i < e.n_out; ++i) {
    if (auto c = constant(outs[i])) {
      results[i] = repeated(*c, p.length, e.loc);
      continue;
    }
    if (const auto k = xs_inside.find(outs[i]); k >= 0) {
      results[i] = xs_values[std::size_t(k)];
      continue;
    }
    bool fresh = false;
    const std::size_t at = kept_ys.place(outs[i], fresh);
    if (fresh) new_outs.push_back(outs[i]);
    from_loop.emplace_back(i, carry.size() + at);
  }
  p.jaxpr = now.finish(std::move(new_outs));
  p.num_consts = std::int64_t(new_consts);
  p.num_carry = std::int64_t(carry.size());
  std::vector<Type> types = p.jaxpr->out_types();
  for (std::size_t i = carry.size(); i < types.size(); ++i) {
    Shape s = types[i]->shape;
    s.insert(0, p.length);
    types[i] = make_type(types[i]->dtype, s);
  }
  const Var v =
      emit(scan_p, std::make_shared<ScanParams>(std::move(p)), std::move(operands), types, e.loc);
  for (auto [i, k] : from_loop) results[i] = Atom::var(v + Var(k));
  give(e, results);
}

// ---- while
void Cleaner::loop(const Equation& e, WhileParams p, Atoms in) {
  const JaxprBody &body = *p.body_jaxpr, &cond = *p.cond_jaxpr;
  const std::size_t cn = sz(p.cond_nconsts), bn = sz(p.body_nconsts), n = e.n_out, first = cn + bn;
  const Atom& pred = cond.outs[0];
  if (is_literal(pred) && !pred.value().item<bool>())
    return give(e, std::span<const Atom>(in).subspan(first));
  const std::span<const Atom> given(in);
  const Carries carries = study_carry(body, given.subspan(cn, bn), given.subspan(first, n));
  // The inputs of the condition and of the body: constants, then the carries that are left.
  Rows carry;
  for (std::size_t i = 0; i < n; ++i)
    if (!carries.unchanged[i] && carries.like[i] == i) carry.push_back(i);
  Operands operands;
  const auto rebuild = [&](const JaxprBody& j, std::span<const Atom> own, std::int64_t& count,
                           bool outs_are_carry) {
    NewBody now(j);
    Shared kept;
    Atoms vars, carry_vars(n);
    const std::size_t before = operands.size();
    const auto constant = [&](std::size_t i, const Atom& value) {
      bool fresh = false;
      if (is_literal(value)) return now.set(i, value);
      const std::size_t at = kept.place(value, fresh);
      if (fresh) {
        operands.push_back(value);
        vars.push_back(now.input(j.types[j.invars[i]]));
      }
      now.set(i, vars[at]);
    };
    for (std::size_t i = 0; i < own.size(); ++i) constant(i, own[i]);
    for (std::size_t i = 0; i < n; ++i)
      if (carries.unchanged[i]) constant(own.size() + i, in[first + i]);
    count = std::int64_t(operands.size() - before);
    for (std::size_t i : carry) carry_vars[i] = now.input(j.types[j.invars[own.size() + i]]);
    for (std::size_t i = 0; i < n; ++i)
      if (!carries.unchanged[i]) now.set(own.size() + i, carry_vars[carries.like[i]]);
    Atoms outs = now.equations(), chosen;
    if (!outs_are_carry) return now.finish(std::move(outs));
    for (std::size_t i : carry) chosen.push_back(outs[i]);
    return now.finish(std::move(chosen));
  };
  p.cond_jaxpr = rebuild(cond, given.first(cn), p.cond_nconsts, false);
  p.body_jaxpr = rebuild(body, given.subspan(cn, bn), p.body_nconsts, true);
  std::vector<Type> types;
  for (std::size_t i : carry) {
    operands.push_back(in[first + i]);
    types.push_back(to.type(in[first + i]));
  }
  const Var v =
      emit(while_p, std::make_shared<WhileParams>(std::move(p)), std::move(operands), types, e.loc);
  Atoms results(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t k =
        sz(std::lower_bound(carry.begin(), carry.end(), carries.like[i]) - carry.begin());
    results[i] = carries.unchanged[i] ? in[first + i] : Atom::var(v + Var(k));
  }
  give(e, results);
}

// ---- cond
bool same_program(const JaxprBody& a, const JaxprBody& b) {
  if (&a == &b) return true;
  if (a.invars.size() != b.invars.size() || a.eqns.size() != b.eqns.size() ||
      a.outs.size() != b.outs.size())
    return false;
  std::vector<Var> of(a.types.size(), Var(-1));  // variable of b for each of a
  const auto same = [&](const Atom& x, const Atom& y) {
    return x.is_var() ? y.is_var() && of[x.var()] == y.var() : same_value(x, y);
  };
  for (std::size_t i = 0; i < a.invars.size(); ++i) of[a.invars[i]] = b.invars[i];
  for (std::size_t i = 0; i < a.eqns.size(); ++i) {
    const Equation &e = a.eqns[i], &f = b.eqns[i];
    if (e.prim != f.prim || e.n_out != f.n_out || e.in.size() != f.in.size() ||
        !std::equal(e.in.begin(), e.in.end(), f.in.begin(), same) || !(e.params() == f.params()))
      return false;
    for (std::uint32_t k = 0; k < e.n_out; ++k) {
      if (a.types[e.out + k] != b.types[f.out + k]) return false;
      of[e.out + k] = f.out + k;
    }
  }
  return std::equal(a.outs.begin(), a.outs.end(), b.outs.begin(), same);
}

// Branches of a few elementwise operations, all computed, cost less than a jump: on scalars, and for many lanes.
bool Cleaner::as_select(const Equation& e, const CondParams& p, const Atoms& in) {
  const Shape lanes = to.type(in[0])->shape;
  const std::int64_t n = std::max<std::int64_t>(to.type(in[0])->size, 1),
                     limit = lanes.empty() ? 12 : 128;
  std::int64_t cost = 0;  // for each lane
  const auto count = [&](Type t, std::int64_t each) {
    cost += each * ((t->size + n - 1) / n);
    return cost <= limit && (!lanes.empty() || t->size == 1);
  };
  for (auto& b : p.branches) {
    for (auto& q : b->eqns) {
      if (!is_elementwise(*q.prim) && !is_view(*q.prim)) return false;
      for (Var v = q.out; v < q.out + q.n_out; ++v)
        if (!count(b->types[v], weight(*q.prim))) return false;
    }
    for (auto& a : b->outs)
      if (!count(b->type(a), 1)) return false;
  }
  std::vector<Atoms> y;
  for (auto& b : p.branches) y.push_back(inlined(*b, std::span<const Atom>(in).subspan(1)));
  const auto add = [&](const Primitive& q, Operands x, Type t) {
    return Atom::var(emit(q, nullptr, std::move(x), {&t, 1}, e.loc));
  };
  Scope now(nullptr);
  const int last = int(p.branches.size()) - 1;
  const Atom which = last == 1
                         ? add(gt_p, {in[0], Atom(Array(0))}, make_type(DType::b1, lanes))
                         : add(clamp_p, {Atom(Array(0)), in[0], Atom(Array(last))}, to.type(in[0]));
  Atoms results;
  for (std::size_t i = 0; i < e.n_out; ++i) {
    const Type t = from_.types[e.out + i];
    Operands x;
    x.push_back(lanes == t->shape || lanes.empty()
                    ? which
                    : view(broadcast_in_dim_p, BroadcastParams{iota_dims(lanes.size()), t->shape},
                           which, t->shape, e.loc));
    for (auto& branch : y) x.push_back(branch[i]);
    results.push_back(add(select_n_p, std::move(x), t));
  }
  give(e, results);
  return true;
}

void Cleaner::choice(const Equation& e, const CondParams& p, Atoms in) {
  const auto& branches = p.branches;
  const std::span<const Atom> operands(in);
  if (is_literal(in[0])) {
    const auto k = std::clamp<std::int64_t>(in[0].value().item<std::int64_t>(), 0,
                                            std::int64_t(branches.size()) - 1);
    return give(e, inlined(*branches[sz(k)], operands.subspan(1)));
  }
  if (std::all_of(branches.begin(), branches.end(),
                  [&](const JaxprPtr& b) { return same_program(*branches[0], *b); }))
    return give(e, inlined(*branches[0], operands.subspan(1)));
  if (as_select(e, p, in)) return;

  CondParams q;
  Operands rest;
  rest.push_back(in[0]);
  Shared kept;
  Rows place(in.size());  // of each operand that is not a literal, among those that are left
  Rows firsts;
  for (std::size_t i = 1; i < in.size(); ++i) {
    bool fresh = false;
    if (is_literal(in[i])) continue;
    place[i] = kept.place(in[i], fresh);
    if (!fresh) continue;
    rest.push_back(in[i]);
    firsts.push_back(i);
  }
  std::vector<NewBody> bodies;
  std::vector<Atoms> vars, outs;
  for (auto& b : branches) {
    NewBody& now = bodies.emplace_back(*b);
    Atoms& v = vars.emplace_back();
    for (std::size_t i : firsts) v.push_back(now.input(b->types[b->invars[i - 1]]));
    for (std::size_t i = 1; i < in.size(); ++i)
      now.set(i - 1, is_literal(in[i]) ? in[i] : v[place[i]]);
    outs.push_back(now.equations());
  }
  // Results that no branch changes, and results that are equal in every branch.
  Shared first_inputs;
  for (auto& v : vars[0]) {
    bool fresh = false;
    first_inputs.place(v, fresh);
  }
  Atoms results(e.n_out);
  Rows chosen;
  std::vector<std::pair<std::size_t, std::size_t>> from_choice;
  for (std::size_t i = 0; i < e.n_out; ++i) {
    const Atom& first = outs[0][i];
    const auto everywhere = [&](auto holds) {
      for (std::size_t k = 0; k < outs.size(); ++k)
        if (!holds(k)) return false;
      return true;
    };
    if (!first.is_var() &&
        everywhere([&](std::size_t k) { return same_value(outs[k][i], first); })) {
      results[i] = first;
      continue;
    }
    if (const auto found = first_inputs.find(first); found >= 0) {
      const auto k = std::size_t(found);
      if (everywhere([&](std::size_t b) { return same_value(outs[b][i], vars[b][k]); })) {
        results[i] = rest[k + 1];
        continue;
      }
    }
    std::size_t at = 0;
    while (at < chosen.size() &&
           !everywhere([&](std::size_t k) { return same_value(outs[k][i], outs[k][chosen[at]]); }))
      ++at;
    if (at == chosen.size()) chosen.push_back(i);
    from_choice.emplace_back(i, at);
  }
  for (std::size_t k = 0; k < bodies.size(); ++k) {
    Atoms left;
    for (std::size_t i : chosen) left.push_back(outs[k][i]);
    q.branches.push_back(bodies[k].finish(std::move(left)));
  }
  const std::vector<Type> types = q.branches[0]->out_types();
  const Var v =
      emit(cond_p, std::make_shared<CondParams>(std::move(q)), std::move(rest), types, e.loc);
  for (auto [i, k] : from_choice) results[i] = Atom::var(v + Var(k));
  give(e, results);
}

JaxprPtr cleaned(const JaxprBody& j) { return Cleaner(j).run(); }

JaxprPtr Cleaner::run() {
  for (const Equation& e : from_.eqns) {
    if (!nests(e)) {
      copy(e, e.params_data);
      continue;
    }
    const auto params =
        map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested("cleanup", cleaned, s); });
    Atoms in;
    for (auto& a : e.in) in.push_back(get(a));
    if (e.prim == &scan_p)
      scan(e, *static_cast<const ScanParams*>(params.get()), std::move(in));
    else if (e.prim == &while_p)
      loop(e, *static_cast<const WhileParams*>(params.get()), std::move(in));
    else if (e.prim == &cond_p)
      choice(e, *static_cast<const CondParams*>(params.get()), std::move(in));
    else
      copy(e, params);
  }
  return finish();
}
}  // namespace

JaxprPtr cleanup(const JaxprBody& j) { return dce(*cleaned(j)); }

}  // namespace jaxpp::passes
