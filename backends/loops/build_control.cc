// build_control.cc -- loops and branches.
//
// A carry is a value that the loop changes.  It starts as a copy of its operand, and its last state is copied out: then
// what is inside the loop may live in registers, one lane after the other.  But a carry that the body only updates in
// place (chain() finds those) is the operand's own memory, all the way through.  A carry that the body hands on unchanged
// is no carry.
//
// Lanes, that is dimensions which nothing in a loop mixes, become loops around it (Fusion::hoist_lanes).  That is also how
// each lane of a while or cond whose predicate has a dimension stops, or chooses, by itself.  Where lanes are mixed, the
// loop runs while any lane wants to, finished lanes keep their carry by select; and all branches run, and select chooses.
#include <algorithm>
#include "backends/loops/build.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::loops::fusion {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

// ---- Which operand of a jaxpr a result is the updated state of
struct Chain {
  std::ptrdiff_t input = -1;  // -1: none
  bool updated = false;
};
const Equation* producer(const JaxprBody& j,
                         Var v) {  // equations are in the order of their results
  auto it = std::upper_bound(j.eqns.begin(), j.eqns.end(), v,
                             [](Var x, const Equation& e) { return x < e.out; });
  while (it != j.eqns.begin()) {
    --it;
    if (it->out <= v && v < it->out + it->n_out) return &*it;
    if (it->out + it->n_out < v) break;
  }
  return nullptr;
}
Chain chain(const JaxprBody& j, Atom a) {
  Chain c;
  while (a.is_var()) {
    const Var v = a.var();
    const Equation* e = producer(j, v);
    if (!e) {
      c.input = std::find(j.invars.begin(), j.invars.end(), v) - j.invars.begin();
      return c;
    }
    const std::size_t k = v - e->out;
    if (is_update(*e->prim)) {
      c.updated = true;
      a = e->in[0];
    } else if (e->prim == &scan_p || e->prim == &while_p) {
      const bool is_scan = e->prim == &scan_p;
      const JaxprBody& body =
          is_scan ? *e->params().as<ScanParams>().jaxpr : *e->params().as<WhileParams>().body_jaxpr;
      const std::size_t consts = is_scan ? sz(e->params().as<ScanParams>().num_consts)
                                         : sz(e->params().as<WhileParams>().body_nconsts),
                        skipped = is_scan ? 0 : sz(e->params().as<WhileParams>().cond_nconsts);
      if (is_scan && k >= sz(e->params().as<ScanParams>().num_carry)) return {};
      const Chain in_body = chain(body, body.outs[k]);
      if (in_body.input != std::ptrdiff_t(consts + k)) return {};
      c.updated |= in_body.updated;
      a = e->in[skipped + consts + k];
    } else if (e->prim == &cond_p) {
      std::ptrdiff_t operand = -1;
      for (const auto& b : e->params().as<CondParams>().branches) {
        const Chain in_branch = chain(*b, b->outs[k]);
        if (in_branch.input < 0 || (operand >= 0 && operand != in_branch.input)) return {};
        operand = in_branch.input;
        c.updated |= in_branch.updated;
      }
      a = e->in[1 + sz(operand)];
    } else {
      return {};
    }
  }
  return {};
}

}  // namespace

struct Builder::Carry {
  Variable view;   // in the body; in place: outside too
  int value = -1;  // -1: handed on unchanged
  bool in_place = false;
};

// ---- What structured items share
ItemPtr Builder::structured(Item::Kind kind) {
  auto it = std::make_unique<Item>(kind);
  const auto region = [&] {
    auto r = std::make_unique<Region>();
    r->owner = it.get();
    return r;
  };
  if (kind != Item::Kind::if_) it->init = region();
  if (kind == Item::Kind::while_) it->cond = region();
  it->body = region();
  if (kind == Item::Kind::if_) it->otherwise = region();
  return it;
}
// Places an item whose regions are complete, which has some lanes already.  False: the lanes of its predicate are mixed,
// and it was thrown away.
bool Builder::finish(Region& region, ItemPtr it, std::vector<Dim> lanes) {
  if (it->kind != Item::Kind::if_ || depth_ > 0 || !it->pred_dims.empty())
    while (f_.hoist_lanes(*it, lanes)) {
    }
  if (!it->pred_dims.empty()) {
    forget(*it);
    return false;
  }
  place(region, std::move(it), std::move(lanes));
  return true;
}
void Builder::forget(Item& it) {
  if (it.uniform) forget(*it.uniform);
  std::set<int> touched;
  std::set<const Item*> leaves;
  each_access(it, [&](const Access& a) {
    touched.insert(a.value);
    leaves.insert(a.item);
  });
  for (int id : touched) {
    Value& v = f_.values[std::size_t(id)];
    const auto gone = [&](const Item* i) { return leaves.count(i) != 0; };
    std::erase_if(v.readers, gone);
    std::erase_if(v.defs, gone);
    v.settled = v.ordered = 0;  // the last definition may be gone: wait for all that is left
  }
}
// The results of a jaxpr whose equations become some of the region's own.
std::vector<Variable> Builder::inlined(Scope& s, const JaxprBody& j, std::vector<Variable> in) {
  Scope b = open(j, *s.region);
  for (std::size_t i = 0; i < in.size(); ++i) bind(b, j.invars[i], std::move(in[i]));
  equations(b);
  std::vector<Variable> out;
  for (const Atom& a : j.outs) out.push_back(variable(b, a));
  close(b);
  return out;
}

// ---- Carries
// The carries of e: from its operand `operand` on, inputs of the body from `input` on, results from 0 on.
std::vector<Builder::Carry> Builder::carries(Scope& s, const Equation& e, std::size_t operand,
                                             const JaxprBody& body, std::size_t input,
                                             std::size_t n, Region& init, bool in_place) {
  std::vector<Carry> r(n);
  std::vector<Chain> chains(n);
  for (std::size_t i = 0; i < n; ++i) {
    chains[i] = chain(body, body.outs[i]);
    if (chains[i].input != std::ptrdiff_t(input + i)) chains[i] = {};
    if (chains[i].input < 0 || !chains[i].updated || !in_place) continue;
    Target t = writable(s, e, operand + i);
    r[i] = {std::move(t.view), t.value, true};
  }
  for (std::size_t i = 0; i < n; ++i) {  // now that all operands are what they will be
    if (r[i].in_place) continue;
    if (chains[i].input >= 0 && !chains[i].updated) {
      r[i].view = variable(s, e.in[operand + i]);
      continue;
    }
    const Type t = s.jaxpr.type(e.in[operand + i]);
    const int v = value(nullptr, t->dtype, t->shape);
    f_.values[std::size_t(v)].mut = true;
    const Space q = space(t->shape);
    store(init, {.value = v, .at = q.at, .rhs = get(s, e.in[operand + i], q.at), .pinned = true},
          q.dims);
    r[i] = {whole(v), v};
  }
  return r;
}
// Inside.  ours: the body may change it in place.
void Builder::show(Scope& body, Var v, const Carry& c, bool ours) {
  if (c.value >= 0 && ours) owners_[std::size_t(c.value)] = {body.id, {}};
  bind(body, v, c.view);
}
// At the end of the body.  Results that carries still hold are read before any carry changes, so that a swap is a swap.
// finished (or null): where it is false, lanes keep what they have.
void Builder::advance(Scope& body, std::span<const Carry> carries, std::span<const Atom> results,
                      const Variable* running) {
  std::set<int> values;
  for (const Carry& c : carries) values.insert(c.value);
  std::vector<std::pair<const Carry*, Variable>> next;
  for (std::size_t i = 0; i < carries.size(); ++i) {
    const Carry& c = carries[i];
    if (c.value < 0) continue;
    const Space q = space(c.view);
    E e = get(body, results[i], q.at);
    if (same(e, *at(c.view, q.at))) continue;
    bool of_carry = false;
    each_read(e, [&](const Expr& r) { of_carry |= values.count(r.read) != 0; });
    if (of_carry) {
      const int v = value(nullptr, e->dtype, q.shape());
      store(*body.region, {.value = v, .at = q.fine, .rhs = e, .pinned = true}, q.dims);
      e = make_read(v, e->dtype, q.fine);
    }
    next.push_back({&c, {q.params, q.parts, e}});
  }
  for (const auto& [c, result] : next) {
    const Space q = space(c->view);
    const E old = *at(c->view, q.at);
    E e = *at(result, q.at);
    if (running) {
      const Subscripts lane(q.at.begin(), q.at.begin() + std::ptrdiff_t(running->params.size()));
      e = operation(select_n_p, e->dtype, {*at(*running, lane), old, e});
    }
    store(*body.region, {.value = c->value, .at = old->at, .rhs = e, .pinned = true}, q.dims);
  }
}
// Outside, after the loop.
void Builder::leave(Scope& s, Var out, const Carry& c) {
  if (c.in_place) owners_[std::size_t(c.value)] = {s.id, {}};
  if (!used(s, out)) return;
  if (c.value < 0 || c.in_place) return bind(s, out, c.view);
  const Space q = space(c.view);
  const E e = *at(c.view, q.at);
  const int v = value(&s, e->dtype, q.shape());
  store(*s.region, {.value = v, .at = q.fine, .rhs = e, .pinned = true}, q.dims);
  bind(s, out, whole(v));
}

// ---- scan
void Builder::scan(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ScanParams>();
  const JaxprBody& f = *p.jaxpr;
  const std::size_t consts = sz(p.num_consts), carried = sz(p.num_carry), xs = consts + carried;
  if (p.length <= 1) return scan_once(s, e);
  ItemPtr loop = structured(Item::Kind::scan);
  loop->var = fresh(p.length);
  loop->extent = p.length;
  const Affine time =
      p.reverse ? Affine::of(loop->var, -1) + (p.length - 1) : Affine::of(loop->var);
  const auto in_time = [&](Subscripts at) {
    at.insert(at.begin(), time);
    return at;
  };
  const std::vector<Carry> carried_values =
      carries(s, e, consts, f, consts, carried, *loop->init, true);
  ++depth_;
  Scope b = open(f, *loop->body);
  for (std::size_t i = 0; i < f.invars.size(); ++i) {
    if (i < consts) {
      bind(b, f.invars[i], variable(s, e.in[i]));
    } else if (i < xs) {
      show(b, f.invars[i], carried_values[i - consts]);
    } else {
      const Space q = space(b, f.invars[i]);
      bind(b, f.invars[i], {q.params, q.parts, get(s, e.in[i], in_time(q.at))});
    }
  }
  equations(b);
  std::vector<Variable> ys(e.n_out);
  for (std::size_t i = carried; i < e.n_out; ++i) {
    const Type t = s.jaxpr.types[e.out + i];
    if (!used(s, e.out + Var(i)) || t->size == 0) continue;
    const int v = value(&s, t->dtype, t->shape);
    const Space q = space(f.type(f.outs[i])->shape);
    store(*b.region,
          {.value = v, .at = in_time(q.at), .rhs = get(b, f.outs[i], q.at), .pinned = true},
          q.dims);
    ys[i] = whole(v);
  }
  advance(b, carried_values, {f.outs.data(), carried}, nullptr);
  close(b);
  --depth_;
  finish(*s.region, std::move(loop));
  for (std::size_t i = 0; i < e.n_out; ++i) {
    const Type t = s.jaxpr.types[e.out + i];
    if (i < carried)
      leave(s, e.out + Var(i), carried_values[i]);
    else if (t->size == 0)
      bind(s, e.out + Var(i), nothing(t));
    else if (used(s, e.out + Var(i)))
      bind(s, e.out + Var(i), std::move(ys[i]));
  }
}
// At most one step is no loop.
void Builder::scan_once(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ScanParams>();
  const std::size_t consts = sz(p.num_consts), carried = sz(p.num_carry);
  std::vector<Variable> in;
  for (std::size_t i = 0; i < e.in.size(); ++i) {
    if (i < consts + carried || p.length == 0) {
      in.push_back(variable(s, e.in[i]));
      continue;
    }
    const Space q = space(p.jaxpr->types[p.jaxpr->invars[i]]->shape);
    Subscripts at = q.at;
    at.insert(at.begin(), Subscript());
    in.push_back({q.params, q.parts, get(s, e.in[i], at)});
  }
  if (p.length == 0) {
    for (std::size_t i = 0; i < e.n_out; ++i)
      bind(s, e.out + Var(i), i < carried ? in[consts + i] : nothing(s.jaxpr.types[e.out + i]));
    return;
  }
  std::vector<Variable> out = inlined(s, *p.jaxpr, std::move(in));
  for (std::size_t i = 0; i < e.n_out; ++i) {
    if (i >= carried) {
      out[i].params.insert(out[i].params.begin(), Dim{fresh(1), 1});
      if (!out[i].parts.empty()) out[i].parts.insert(out[i].parts.begin(), 1);
    }
    bind(s, e.out + Var(i), std::move(out[i]));
  }
}

// ---- while
void Builder::while_loop(Scope& s, const Equation& e) {
  const auto& p = e.params().as<WhileParams>();
  if (p.cond_jaxpr->type(p.cond_jaxpr->outs[0])->size == 0) {  // no lane
    const std::size_t first = e.in.size() - e.n_out;
    for (std::size_t i = 0; i < e.n_out; ++i) bind(s, e.out + Var(i), variable(s, e.in[first + i]));
  } else if (!while_loop(s, e, false)) {
    while_loop(s, e, true);
  }
}
bool Builder::while_loop(Scope& s, const Equation& e, bool by_select) {
  const auto& p = e.params().as<WhileParams>();
  const JaxprBody &c = *p.cond_jaxpr, &f = *p.body_jaxpr;
  const std::size_t cond_consts = sz(p.cond_nconsts), consts = sz(p.body_nconsts);
  ItemPtr loop = structured(Item::Kind::while_);
  const std::vector<Carry> carried =
      carries(s, e, cond_consts + consts, f, consts, e.n_out, *loop->init, !by_select);
  ++depth_;
  Scope more = open(c, *loop->cond), b = open(f, *loop->body);
  for (std::size_t i = 0; i < cond_consts; ++i) bind(more, c.invars[i], variable(s, e.in[i]));
  for (std::size_t i = 0; i < consts; ++i) bind(b, f.invars[i], variable(s, e.in[cond_consts + i]));
  for (std::size_t i = 0; i < e.n_out; ++i) {
    show(b, f.invars[consts + i], carried[i], !by_select);
    bind(more, c.invars[cond_consts + i], carried[i].view);
  }

  equations(more);
  const Space q = space(c.type(c.outs[0])->shape);
  loop->pred = get(more, c.outs[0], q.at);
  Variable running;
  if (by_select) {
    running = whole(materialise(more, {q.params, q.parts, loop->pred}));
    const int any = value(nullptr, b1, {});
    const Space lanes = space(running);
    store(*loop->cond,
          {.value = any, .at = {}, .rhs = *at(running, lanes.at), .combine = Combine::or_},
          lanes.dims);
    loop->pred = make_read(any, b1, {});
  } else {
    for (const Dim& d : q.dims) loop->pred_dims.push_back(d.sym);
  }
  equations(b);
  advance(b, carried, f.outs, by_select ? &running : nullptr);
  close(more);
  close(b);
  --depth_;
  const bool done = finish(*s.region, std::move(loop));
  for (std::size_t i = 0; i < e.n_out; ++i)
    if (done) {
      leave(s, e.out + Var(i), carried[i]);
    } else if (carried[i].in_place) {
      const Atom& a = e.in[cond_consts + consts + i];
      Owner& o = owners_[std::size_t(carried[i].value)];
      o = {s.id, {}};
      if (reads(s.env[a.var()].e, carried[i].value)) o.shown.push_back(a.var());
    }
  return done;
}

// ---- cond
void Builder::cond(Scope& s, const Equation& e) {
  const auto& branches = e.params().as<CondParams>().branches;
  const auto last = std::int64_t(branches.size()) - 1;
  const Type index = s.jaxpr.type(e.in[0]);
  const E which = index->size == 1 ? get(s, e.in[0], Subscripts(index->shape.size())) : nullptr;
  if (last == 0 || (which && is_constant(which))) {
    const std::int64_t k = last ? std::clamp<std::int64_t>(integer(which), 0, last) : 0;
    std::vector<Variable> in;
    for (std::size_t i = 1; i < e.in.size(); ++i) in.push_back(variable(s, e.in[i]));
    std::vector<Variable> out = inlined(s, *branches[sz(k)], std::move(in));
    for (std::size_t i = 0; i < e.n_out; ++i) bind(s, e.out + Var(i), std::move(out[i]));
  } else if (!choose(s, e)) {
    select(s, e);
  }
}
// A tree of ifs on the index.  False: it has lanes, and a branch mixes them.
bool Builder::choose(Scope& s, const Equation& e) {
  const auto& branches = e.params().as<CondParams>().branches;
  const Shape& lanes = s.jaxpr.type(e.in[0])->shape;
  // Results: an operand; the state of an operand that branches update; or a value that each branch writes.
  std::vector<Carry> results(e.n_out);
  std::vector<std::ptrdiff_t> state(e.n_out, -1);
  for (std::size_t i = 0; i < e.n_out; ++i) {
    if (!used(s, e.out + Var(i))) continue;
    bool updated = false, one = true;
    for (const auto& b : branches) {
      const Chain c = chain(*b, b->outs[i]);
      one &= c.input >= 0 && (state[i] < 0 || state[i] == c.input);
      state[i] = c.input;
      updated |= c.updated;
    }
    if (one && !updated) continue;
    if (one && lanes.empty() &&
        !std::count(state.begin(), state.begin() + std::ptrdiff_t(i), state[i])) {
      Target t = writable(s, e, 1 + sz(state[i]));
      results[i] = {std::move(t.view), t.value, true};
      continue;
    }
    state[i] = -1;
    const Type t = s.jaxpr.types[e.out + i];
    const int v = value(&s, t->dtype, t->shape);
    results[i] = {whole(v), v, false};
  }

  const auto branch = [&](const JaxprBody& f, Region& region) {
    Scope b = open(f, region);
    for (std::size_t i = 0; i < f.invars.size(); ++i)
      bind(b, f.invars[i], variable(s, e.in[1 + i]));
    for (std::size_t i = 0; i < e.n_out; ++i)
      if (results[i].in_place) show(b, f.invars[sz(state[i])], results[i]);
    equations(b);
    std::vector<Carry> states;
    std::vector<Atom> ends;
    for (std::size_t i = 0; i < e.n_out; ++i) {
      if (results[i].value < 0) continue;
      if (results[i].in_place) {
        states.push_back(results[i]);
        ends.push_back(f.outs[i]);
        continue;
      }
      if (f.type(f.outs[i])->size == 0) continue;
      const Space q = space(results[i].view);
      const E y = get(b, f.outs[i], q.at);
      store(region, {.value = results[i].value, .at = q.fine, .rhs = y, .pinned = true}, q.dims);
    }
    advance(b, states, ends, nullptr);
    close(b);
  };
  const auto between = [&](auto& self, std::size_t lo, std::size_t hi, Region& region) -> bool {
    if (hi - lo == 1) {
      branch(*branches[lo], region);
      return true;
    }
    const std::size_t mid = lo + (hi - lo) / 2;
    ItemPtr it = structured(Item::Kind::if_);
    const Space q = space(lanes);
    it->pred = operation(lt_p, b1, {get(s, e.in[0], q.at), nearest(i32, std::int64_t(mid))});
    for (const Dim& d : q.dims) it->pred_dims.push_back(d.sym);
    if (!self(self, lo, mid, *it->body) || !self(self, mid, hi, *it->otherwise)) {
      forget(*it);
      return false;
    }
    return finish(region, std::move(it));
  };
  if (!between(between, 0, branches.size(), *s.region)) return false;
  for (std::size_t i = 0; i < e.n_out; ++i) {
    if (results[i].in_place) owners_[std::size_t(results[i].value)] = {s.id, {}};
    const Var out = e.out + Var(i);
    if (!used(s, out)) continue;
    const Type t = s.jaxpr.types[out];
    if (t->size == 0)
      bind(s, out, nothing(t));
    else
      bind(s, out, results[i].value < 0 ? variable(s, e.in[1 + sz(state[i])]) : results[i].view);
  }
  return true;
}
void Builder::select(Scope& s, const Equation& e) {
  std::vector<std::vector<Variable>> results;
  for (const auto& f : e.params().as<CondParams>().branches) {
    std::vector<Variable> in;
    for (std::size_t i = 1; i < e.in.size(); ++i) in.push_back(variable(s, e.in[i]));
    results.push_back(inlined(s, *f, std::move(in)));
  }
  const std::size_t rank = s.jaxpr.type(e.in[0])->shape.size();
  for (std::size_t i = 0; i < e.n_out; ++i) {
    const Var out = e.out + Var(i);
    const Type t = s.jaxpr.types[out];
    if (!used(s, out)) continue;
    if (t->size == 0) {
      bind(s, out, nothing(t));
      continue;
    }
    const Space q = space(t->shape);
    const E which = get(s, e.in[0], Subscripts(q.at.begin(), q.at.begin() + std::ptrdiff_t(rank)));
    E y = get(s, results[0][i], q.at);
    for (std::size_t k = 1; k < results.size(); ++k)
      y = operation(select_n_p, t->dtype,
                    {operation(ge_p, b1, {which, nearest(i32, std::int64_t(k))}), y,
                     get(s, results[k][i], q.at)});
    define(s, out, q, y);
  }
}

// ---- reduce by a jaxpr of scalars
namespace {
// The reduction that result k is, if it is one operation on accumulator k and element k.
std::optional<Combine> simple(const JaxprBody& j, std::size_t k) {
  const std::size_t n = j.outs.size();
  if (!j.outs[k].is_var()) return {};
  const Equation* e = producer(j, j.outs[k].var());
  if (!e || e->in.size() != 2 || !e->in[0].is_var() || !e->in[1].is_var()) return {};
  const Var a = e->in[0].var(), b = e->in[1].var(), sum = j.invars[k], x = j.invars[n + k];
  if (!(a == sum && b == x) && !(a == x && b == sum)) return {};
  if (is_complex(j.types[x]->dtype) && e->prim != &add_p && e->prim != &mul_p) return {};
  for (Combine c : {Combine::add, Combine::mul, Combine::max, Combine::min, Combine::and_,
                    Combine::or_, Combine::xor_})
    if (combiner(c) == e->prim) return c;
  return {};
}
}  // namespace
void Builder::reduce_by_jaxpr(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ReduceParams>();
  const JaxprBody& f = *p.jaxpr;
  const std::size_t n = e.in.size() / 2;
  const Type all = s.jaxpr.type(e.in[0]);
  const Dims kept = without(all->shape.size(), p.dimensions),
             gone = without(all->shape.size(), kept);
  std::int64_t steps = 1;
  for (auto d : gone) steps *= all->shape[sz(d)];
  if (steps == 0) {
    for (std::size_t k = 0; k < n; ++k)
      define(s, e.out + Var(k), space(s, e.out + Var(k)), get(s, e.in[n + k], {}));
    return;
  }
  std::vector<Combine> combines;
  for (std::size_t k = 0; k < n; ++k)
    if (auto c = simple(f, k)) combines.push_back(*c);
  if (combines.size() == n) {
    for (std::size_t k = 0; k < n; ++k) {
      if (!used(s, e.out + Var(k))) continue;
      const DType d = s.jaxpr.types[e.out + k]->dtype,
                  wide = is_float(d) && width(d) == 2 ? f32 : d;
      const Space q = space(all->shape);
      Variable y;
      for (auto i : kept) y.params.push_back(q.params[sz(i)]);
      y.e = reduced(s, combines[k], convert(get(s, e.in[k], q.at), wide), y.params, q.dims);
      const Space r = space(y);
      const E init = convert(get(s, e.in[n + k], {}), wide);
      define(s, e.out + Var(k), r,
             convert(operation(*combiner(combines[k]), wide, {init, *at(y, r.at)}), d));
    }
    return;
  }
  for (const Equation& x : f.eqns)
    if (!is_elementwise(*x.prim)) return call(s, e);

  // One loop over what is reduced; its body is f on arrays of what is kept.
  JaxprBody lifted = f.copy();
  const Shape row = pick(all->shape, kept);
  for (Type& t : lifted.types) t = make_type(t->dtype, row);
  ItemPtr loop = structured(Item::Kind::scan);
  loop->var = fresh(steps);
  loop->extent = steps;
  std::vector<Carry> sums;
  for (std::size_t k = 0; k < n; ++k) {
    const int v = value(nullptr, f.types[f.invars[k]]->dtype, row);
    f_.values[std::size_t(v)].mut = true;
    const Space q = space(row);
    store(*loop->init, {.value = v, .at = q.at, .rhs = get(s, e.in[n + k], {}), .pinned = true},
          q.dims);
    sums.push_back({whole(v), v});
  }
  ++depth_;
  Scope b = open(lifted, *loop->body);
  for (std::size_t k = 0; k < n; ++k) {
    show(b, lifted.invars[k], sums[k]);
    // What is reduced in front, as one dimension.
    const Space q = space(all->shape);
    Variable x;
    x.e = get(s, e.in[k], q.at);
    for (const Dims* dims : {&gone, &kept})
      for (auto i : *dims) x.params.push_back(q.params[sz(i)]);
    x.parts.assign(kept.size() + 1, 1);
    x.parts[0] = std::uint8_t(gone.size());
    const Space to = space(row);
    Subscripts at = to.at;
    at.insert(at.begin(), Affine::of(loop->var));
    bind(b, lifted.invars[n + k], {to.params, {}, get(s, x, at)});
  }
  equations(b);
  advance(b, sums, lifted.outs, nullptr);
  close(b);
  --depth_;
  finish(*s.region, std::move(loop));
  for (std::size_t k = 0; k < n; ++k) leave(s, e.out + Var(k), sums[k]);
}

}  // namespace jaxpp::loops::fusion
