// scan.cc -- a loop with a carry: operands and body are (consts, carry, xs) -> (carry, ys).
//
// Every transform of a scan is a scan of a transformed body.  Which carries are active (have a tangent, are batched) is
// a fixpoint: a carry that comes out active must go in active.
//
// counted_scan is a scan of which only the first `count` steps run (of those that xs has; reverse: from step count - 1 to
// step 0), operand 0; rows of ys beyond are zero.  Its rules are those of scan over the other operands, so that a loop
// whose number of steps is known only when it has run has a reverse mode that costs as many steps.  Executors see a while.
#include <algorithm>
#include "jaxpp/flat.h"
#include "jaxpp/ops/bounded.h"
#include "transforms/calls.h"

namespace jaxpp {
namespace {
using namespace internal;

struct Sizes {
  std::size_t consts, carry, xs, ys;
};
Sizes sizes(const ScanParams& p) {
  auto c = std::size_t(p.num_consts), k = std::size_t(p.num_carry);
  return {c, k, p.jaxpr->invars.size() - c - k, p.jaxpr->outs.size() - k};
}
template <class Step>
Mask carry_fixpoint(const Sizes& n, Mask start, Step step) {
  while (merge(start, step(start, part(start, n.consts, n.consts + n.carry)), n.carry, n.consts)) {
  }
  return start;
}
/// The kind of loop that a rule works on: a scan, or one of so many steps.
struct Loop {
  Array count{};  // null: scan

  Results operator()(Args in, const ScanParams& p) const {
    if (!count.defined()) return call(scan_p, in, p);
    return call(counted_scan_p, counted(in), counted(p));
  }
  Results recorded(const JvpRule& r, Args in, const ScanParams& p) const {
    if (!count.defined()) return record(r, scan_p, in, p);
    return record(r, counted_scan_p, counted(in), counted(p));
  }

 private:
  Borrowed counted(Args in) const {
    Borrowed all(count);
    all.append(in);
    return all;
  }
  static CountedScanParams counted(const ScanParams& p) {
    return {p.jaxpr, p.length, p.num_carry, p.num_consts, p.reverse};
  }
};
ScanParams like(const ScanParams& p, const JaxprPtr& j, std::size_t num_carry,
                std::size_t num_consts, bool reverse) {
  return {j, p.length, std::int64_t(num_carry), std::int64_t(num_consts), reverse, p.unroll};
}

void loop_shape(Types in, const ScanParams& p, Type* out) {
  const JaxprBody& j = *p.jaxpr;
  need(p.length >= 0 && p.num_consts >= 0 && p.num_carry >= 0 &&
           std::size_t(p.num_consts + p.num_carry) <= j.invars.size() &&
           std::size_t(p.num_carry) <= j.outs.size(),
       "scan", "length, num_consts and num_carry do not fit the body.");
  auto n = sizes(p);
  check(in.size() == j.invars.size(), "scan", [&] {
    return "the body takes " + std::to_string(j.invars.size()) + " operands, got " +
           std::to_string(in.size()) + ".";
  });
  for (std::size_t i = 0; i < in.size(); ++i) {
    Type t = j.types[j.invars[i]], want = i < n.consts + n.carry ? t : stacked(t, p.length);
    if (in[i] != want)
      rule_error("scan: operand " + std::to_string(i) + " is " + in[i]->str() +
                 ", the loop takes " + want->str() + ".");
  }
  for (std::size_t i = 0; i < j.outs.size(); ++i) {
    Type t = j.type(j.outs[i]);
    if (i < n.carry && t != j.types[j.invars[n.consts + i]])
      rule_error("scan: carry " + std::to_string(i) + " goes in as " +
                 j.types[j.invars[n.consts + i]]->str() + " and comes out as " + t->str() + ".");
    *out++ = i < n.carry ? t : stacked(t, p.length);
  }
}

// Body inputs and outputs are regrouped: (x, dx) -> consts, dconsts | carry, dcarry | xs, dxs.
void loop_jvp(JvpRule& r, const ScanParams& p, const Loop& loop) {
  auto n = sizes(p);
  std::shared_ptr<const JvpJaxpr> t;
  Mask active = carry_fixpoint(n, defined(r.dx), [&](const Mask& m, const Mask& carry) {
    t = jvp_jaxpr(*p.jaxpr, m, carry);
    return t->active;
  });
  std::vector<std::size_t> tangent(active.size()), in, out;
  for (std::size_t i = 0, k = active.size(); i < active.size(); ++i)
    if (active[i]) tangent[i] = k++;
  Results operands;
  std::size_t group_sizes[3] = {}, bounds[] = {0, n.consts, n.consts + n.carry, active.size()};
  for (int g = 0; g < 3; ++g) {
    std::size_t before = in.size();
    for (std::size_t i = bounds[g]; i < bounds[g + 1]; ++i) {
      in.push_back(i);
      operands.push_back(r.x[i]);
    }
    for (std::size_t i = bounds[g]; i < bounds[g + 1]; ++i)
      if (active[i]) {
        in.push_back(tangent[i]);
        operands.push_back(instantiate(r.dx[i], r.x[i].type()));
      }
    group_sizes[g] = in.size() - before;
  }
  std::vector<std::size_t> dy_at(t->active.size());
  for (std::size_t i = 0, k = t->active.size(); i < t->active.size(); ++i)
    if (t->active[i]) dy_at[i] = k++;
  std::size_t out_bounds[] = {0, n.carry, t->active.size()};
  std::vector<std::pair<bool, std::size_t>> place;  // (is a tangent, index)
  for (int g = 0; g < 2; ++g) {
    for (std::size_t i = out_bounds[g]; i < out_bounds[g + 1]; ++i) {
      out.push_back(i);
      place.emplace_back(false, i);
    }
    for (std::size_t i = out_bounds[g]; i < out_bounds[g + 1]; ++i)
      if (t->active[i]) {
        out.push_back(dy_at[i]);
        place.emplace_back(true, i);
      }
  }
  auto body = t->jaxpr->memo<JaxprPtr>(
      "scan jvp" + std::to_string(n.consts) + "," + std::to_string(n.carry),
      [&] { return reorder(*t->jaxpr, in, out); });
  Results y = loop(args(operands), like(p, *body, group_sizes[1], group_sizes[0], p.reverse));
  for (std::size_t i = 0; i < y.size(); ++i) (place[i].first ? r.dy : r.y)[place[i].second] = y[i];
}

// ---- Linearization: the primal scan stacks residuals, the tangent scan reads them
// Where a residual of the body comes from, seen from outside the loop.
struct Residual {
  enum Kind { operand, stacked_output, invariant } kind;
  std::size_t
      index;      // operand of the scan; output of the primal scan; output of the hoisted program
  bool constant;  // the same in every iteration
};
struct LinearScan {
  JaxprPtr primal, tangent;
  JaxprPtr hoisted;  // consts -> loop-invariant residuals
  std::vector<Residual> residuals;
};
LinearScan split_scan(const Sizes& n, const LinearJaxpr& t, const Mask& active) {
  LinearScan s;
  const JaxprBody& j = *t.primal;
  const std::size_t n_in = active.size(), n_y = t.active.size();
  // Variables that depend on constants alone: their residuals are computed once, before the loop.
  std::vector<char> invariant(j.types.size());
  for (std::size_t i = 0; i < n.consts; ++i) invariant[j.invars[i]] = 1;
  for (auto& e : j.eqns) {
    bool inv = !has_effects(e);
    for (auto& a : e.in) inv &= !a.is_var() || invariant[a.var()];
    for (Var v = e.out; v < e.out + e.n_out; ++v) invariant[v] = inv;
  }
  std::vector<Atom> extra;
  std::vector<std::size_t> hoisted;
  for (int k : t.residuals) {
    auto i = std::size_t(k);
    if (i < n.consts) {
      s.residuals.push_back({Residual::operand, i, true});
    } else if (i >= n.consts + n.carry && i < n_in) {
      s.residuals.push_back({Residual::operand, i, false});
    } else if (i < n_in) {  // a carry: its value at the start of each iteration
      s.residuals.push_back({Residual::stacked_output, n_y + extra.size(), false});
      extra.push_back(Atom::var(j.invars[i]));
    } else {
      const Atom& a = j.outs[i - n_in];
      if (!a.is_var() || invariant[a.var()]) {
        s.residuals.push_back({Residual::invariant, hoisted.size(), true});
        hoisted.push_back(i - n_in);
      } else if (i >= n_in + n.carry && i < n_in + n_y) {
        s.residuals.push_back({Residual::stacked_output, i - n_in, false});
      } else {
        s.residuals.push_back({Residual::stacked_output, n_y + extra.size(), false});
        extra.push_back(a);
      }
    }
  }
  std::vector<std::size_t> const_inputs(n.consts);
  for (std::size_t i = 0; i < n.consts; ++i) const_inputs[i] = i;
  if (!hoisted.empty()) s.hoisted = reorder(j, const_inputs, hoisted);
  auto primal = std::make_shared<JaxprBody>();
  primal->types = j.types;
  primal->invars = j.invars;
  primal->eqns = j.eqns;
  primal->outs.assign(j.outs.begin(), j.outs.begin() + std::ptrdiff_t(n_y));
  primal->outs.insert(primal->outs.end(), extra.begin(), extra.end());
  dce(*primal);
  s.primal = primal;
  // tangent body: constant residuals, dconsts | dcarry | other residuals, dxs
  std::vector<std::size_t> in, out;
  std::size_t m = s.residuals.size(), d_consts = 0, d_carry = 0, d_xs = 0;
  for (std::size_t i = 0; i < n_in; ++i)
    if (active[i]) (i < n.consts ? d_consts : i < n.consts + n.carry ? d_carry : d_xs)++;
  for (std::size_t k = 0; k < m; ++k)
    if (s.residuals[k].constant) in.push_back(k);
  for (std::size_t k = 0; k < d_consts + d_carry; ++k) in.push_back(m + k);
  for (std::size_t k = 0; k < m; ++k)
    if (!s.residuals[k].constant) in.push_back(k);
  for (std::size_t k = 0; k < d_xs; ++k) in.push_back(m + d_consts + d_carry + k);
  for (std::size_t k = 0; k < t.tangent->outs.size(); ++k) out.push_back(k);
  s.tangent = reorder(*t.tangent, in, out);
  return s;
}
void loop_linearize(JvpRule& r, const ScanParams& p, const Loop& loop) {
  auto n = sizes(p);
  std::shared_ptr<const LinearJaxpr> t;
  Mask active = carry_fixpoint(n, defined(r.dx), [&](const Mask& m, const Mask& carry) {
    t = linearize_jaxpr(*p.jaxpr, m, carry);
    return t->active;
  });
  auto s = t->primal->memo<LinearScan>(
      mask_key("scan linear", active) + std::to_string(n.consts) + "," + std::to_string(n.carry),
      [&] { return split_scan(n, *t, active); });
  const std::size_t n_in = active.size(), n_y = t->active.size();
  Results out = loop(r.x, like(p, s->primal, n.carry, n.consts, p.reverse)), hoisted, operands;
  if (s->hoisted) eval_jaxpr(*s->hoisted, r.x.first(n.consts), hoisted);
  for (std::size_t i = 0; i < n_y; ++i) r.y[i] = out[i];
  auto residuals = [&](bool constant) {
    for (auto& res : s->residuals)
      if (res.constant == constant)
        operands.push_back(res.kind == Residual::operand     ? r.x[res.index]
                           : res.kind == Residual::invariant ? hoisted[res.index]
                                                             : out[res.index]);
  };
  auto tangents = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i)
      if (active[i]) operands.push_back(instantiate(r.dx[i], r.x[i].type()));
  };
  residuals(true);
  tangents(0, n.consts);
  std::size_t n_consts = operands.size();
  tangents(n.consts, n.consts + n.carry);
  std::size_t n_carry = operands.size() - n_consts;
  residuals(false);
  tangents(n.consts + n.carry, n_in);
  Results dy = loop.recorded(r, args(operands), like(p, s->tangent, n_carry, n_consts, p.reverse));
  for (std::size_t i = 0, k = 0; i < n_y; ++i)
    if (t->active[i]) r.dy[i] = dy[k++];
}

// The cotangent of operand i up to now, which the loop goes on from.
Array sum_so_far(const TransposeRule& r, std::size_t i) {
  return instantiate(r.into[i] ? std::exchange(r.into[i]->value, Array()) : Array(), r.x_types[i]);
}
// consts: known, linear;  carry: linear;  xs: known, linear.  The cotangents of consts, summed up step by step, and of the
// carry are the new carry, those of ys and the known xs are the new xs; the loop runs the other way.
void loop_transpose(TransposeRule& r, const ScanParams& p, const Loop& loop) {
  auto n = sizes(p);
  Mask known = defined(r.x);
  for (std::size_t i = n.consts; i < n.consts + n.carry; ++i)
    known[i] = false;  // an instantiated zero tangent looks known
  Mask sums(known.size(), false);
  std::size_t known_consts = 0, known_xs = 0;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i]) (i < n.consts ? known_consts : known_xs)++;
    sums[i] = i < n.consts && !known[i];
  }
  Mask ct_there(n.carry, true);
  std::size_t n_ys = 0;  // those that have a cotangent
  for (std::size_t i = n.carry; i < n.carry + n.ys; ++i) {
    ct_there.push_back(r.ct[i].defined());
    n_ys += ct_there.back();
  }
  const std::size_t n_sums = n.consts - known_consts;
  auto t = transpose_jaxpr(*p.jaxpr, known, ct_there, true, sums);
  // known consts, known xs, ct of carry, ct of ys, sums  ->  known consts | sums, ct of carry | known xs, ct of ys
  auto body = t->jaxpr->memo<JaxprPtr>(mask_key("scan T", known) + std::to_string(n.carry), [&] {
    std::vector<std::size_t> in, out;
    const auto range = [](std::vector<std::size_t>& to, std::size_t from, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) to.push_back(from + i);
    };
    const std::size_t ct = known_consts + known_xs;
    range(in, 0, known_consts);
    range(in, ct + n.carry + n_ys, n_sums);
    range(in, ct, n.carry);
    range(in, known_consts, known_xs);
    range(in, ct + n.carry, n_ys);
    range(out, 0, t->jaxpr->outs.size());
    return reorder(*t->jaxpr, in, out);
  });
  Results operands;
  for (std::size_t i = 0; i < n.consts; ++i)
    if (known[i]) operands.push_back(r.x[i]);
  for (std::size_t i = 0; i < n.consts; ++i)
    if (!known[i]) operands.push_back(sum_so_far(r, i));
  for (std::size_t i = 0; i < n.carry; ++i)
    operands.push_back(instantiate(r.ct[i], r.x_types[n.consts + i]));
  for (std::size_t i = n.consts + n.carry; i < known.size(); ++i)
    if (known[i]) operands.push_back(r.x[i]);
  for (std::size_t i = n.carry; i < n.carry + n.ys; ++i)
    if (r.ct[i].defined()) operands.push_back(r.ct[i]);
  Results out = loop(args(operands), like(p, *body, n_sums + n.carry, known_consts, !p.reverse));
  for (std::size_t i = 0, k = 0; i < known.size(); ++i)
    if (!known[i]) r.add(i, out[k++]);
}

void loop_batch(BatchRule& b, const ScanParams& p, const Loop& loop) {
  auto n = sizes(p);
  std::shared_ptr<const BatchedJaxpr> t;
  Mask batched = carry_fixpoint(n, mapped(b), [&](const Mask& m, const Mask& carry) {
    t = batch_jaxpr(*p.jaxpr, b.size, b.axis_name, m, carry);
    return t->batched;
  });
  Results in;
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    if (!batched[i])
      in.push_back(b.x[i]);
    else if (i < n.consts + n.carry)
      in.push_back(lax::batch_to_front(b.x[i], b.axis[i], b.size));
    else
      in.push_back(lax::move_axis(b.x[i], b.axis[i], 1));
  }
  Results out = loop(args(in), like(p, t->jaxpr, n.carry, n.consts, p.reverse));
  for (std::size_t i = 0; i < out.size(); ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = !t->batched[i] ? -1 : i < n.carry ? 0 : 1;
  }
}

void scan_shape(Types in, Params p, Type* out) { loop_shape(in, p.as<ScanParams>(), out); }
void scan_jvp(JvpRule& r) { loop_jvp(r, r.params.as<ScanParams>(), {}); }
void scan_linearize(JvpRule& r) { loop_linearize(r, r.params.as<ScanParams>(), {}); }
void scan_transpose(TransposeRule& r) { loop_transpose(r, r.params.as<ScanParams>(), {}); }
void scan_batch(BatchRule& b) { loop_batch(b, b.params.as<ScanParams>(), {}); }

// ---- counted_scan: the same without operand 0
ScanParams steps(Params q) {
  auto& p = q.as<CountedScanParams>();
  return {p.jaxpr, p.length, p.num_carry, p.num_consts, p.reverse, 1};
}
void counted_shape(Types in, Params p, Type* out) {
  need(!in.empty() && in[0] == scalar_type(DType::i32), "counted_scan",
       "the number of steps must be i32[].");
  loop_shape(in.subspan(1), steps(p), out);
}
template <void (*rule)(JvpRule&, const ScanParams&, const Loop&)>
void counted_jvp(JvpRule& r) {
  JvpRule rest{r.prim, r.x.subspan(1), r.dx.subspan(1), r.params, r.y, r.dy, r.tangent};
  rule(rest, steps(r.params), Loop{r.x[0]});
}
void counted_transpose(TransposeRule& r) {
  TransposeRule rest{r.prim,   r.x.subspan(1),       r.ct,
                     r.params, r.x_types.subspan(1), r.into.subspan(1)};
  loop_transpose(rest, steps(r.params), Loop{r.x[0]});
}
// Lanes that take different numbers of steps: all take the greatest, those that are done hold their carry.
void counted_batch(BatchRule& b) {
  const ScanParams p = steps(b.params);
  BatchRule rest{b.prim, b.x.subspan(1), b.axis + 1, b.size, b.axis_name, b.params, b.y, b.y_axis};
  if (b.axis[0] < 0) return loop_batch(rest, p, Loop{b.x[0]});
  const Array step = lax::iota(DType::i32, {p.length}, 0),
              most = lax::reduce_max(
                  lax::concatenate(std::array{b.x[0], lax::full(make_type(DType::i32, {1}), 0)}, 0),
                  {0});
  Results x{b.x[0]};
  x.append(b.x.begin() + 1, b.x.end());
  x.push_back(step);
  SmallVec<int, 8> axis;
  axis.push_back(b.axis[0]);
  for (std::size_t i = 1; i < b.x.size(); ++i) axis.push_back(b.axis[i]);
  axis.push_back(-1);
  const ScanParams q{
      held_when_done(p.jaxpr, std::size_t(p.num_consts), std::size_t(p.num_carry), {}),
      p.length,
      p.num_carry,
      p.num_consts + 1,
      p.reverse,
      1};
  BatchRule held{b.prim, args(x), axis.data(), b.size, b.axis_name, b.params, b.y, b.y_axis};
  loop_batch(held, q, Loop{most});
}
struct While {
  JaxprPtr cond, body;
};
// The loop over (step, carry, ys so far); its constants are the scan's, and xs.
While as_while(const ScanParams& p) {
  const Sizes n = sizes(p);
  const std::vector<Type> in = p.jaxpr->in_types(), out = p.jaxpr->out_types();
  std::vector<Type> state{scalar_type(DType::i32)}, types, more{state[0]};
  state.insert(state.end(), out.begin(), out.begin() + std::ptrdiff_t(n.carry));
  for (std::size_t i = n.carry; i < out.size(); ++i) state.push_back(stacked(out[i], p.length));
  for (std::size_t i = 0; i < in.size(); ++i)
    if (i < n.consts || i >= n.consts + n.carry)
      types.push_back(i < n.consts ? in[i] : stacked(in[i], p.length));
  types.insert(types.end(), state.begin(), state.end());
  more.insert(more.end(), state.begin(), state.end());
  const auto test = [&](Args x, Results& y) {
    y.push_back(p.reverse ? lax::gt(x[1], Array(0)) : lax::lt(x[1], x[0]));
  };
  const auto step = [&](Args x, Results& y) {
    const Args now = x.subspan(n.consts + n.xs);
    const Array next = lax::add(now[0], Array(p.reverse ? -1 : 1)), at = p.reverse ? next : now[0];
    const auto starts = [&](std::size_t rank) {
      Results s{at};
      while (s.size() < rank) s.push_back(Array(0));
      return s;
    };
    Borrowed operands(x.first(n.consts));
    operands.append(now.subspan(1, n.carry));
    Results rows, r;
    for (std::size_t i = 0; i < n.xs; ++i) {
      const Array& all = x[n.consts + i];
      Shape one = all.shape();
      one[0] = 1;
      const Array row = lax::dynamic_slice(all, args(starts(one.size())), one);
      rows.push_back(lax::reshape(row, in[n.consts + n.carry + i]->shape));
    }
    operands.append(args(rows));
    eval_jaxpr(*p.jaxpr, operands, r);
    y.push_back(next);
    for (std::size_t i = 0; i < r.size(); ++i) {
      if (i < n.carry) {
        y.push_back(r[i]);
        continue;
      }
      Shape one = r[i].shape();
      one.insert(0, 1);
      const Array& all = now[1 + i];
      y.push_back(
          lax::dynamic_update_slice(all, lax::reshape(r[i], one), args(starts(one.size()))));
    }
  };
  Scope none(nullptr);
  return {trace_to_jaxpr(more, flat(test), Consts::embed).jaxpr,
          trace_to_jaxpr(types, flat(step), Consts::embed).jaxpr};
}
void counted_lower(Args x, Params q, Array* y) {
  const ScanParams p = steps(q);
  const Sizes n = sizes(p);
  const std::vector<Type> out = p.jaxpr->out_types();
  const Args operands = x.subspan(1);
  Results empty;  // ys
  for (std::size_t i = n.carry; i < out.size(); ++i)
    empty.push_back(lax::full(stacked(out[i], p.length), 0));
  if (p.length == 0) {
    for (std::size_t i = 0; i < n.carry; ++i) y[i] = operands[n.consts + i];
    for (std::size_t i = 0; i < n.ys; ++i) y[n.carry + i] = empty[i];
    return;
  }
  const auto loop = p.jaxpr->memo<While>("counted scan as while" + std::to_string(p.length) + "," +
                                             std::to_string(n.consts) + "," +
                                             std::to_string(n.carry) + (p.reverse ? "r" : ""),
                                         [&] { return as_while(p); });
  const Array zero(0), count = lax::clamp(zero, x[0], Array(std::int32_t(p.length)));
  Borrowed in(count);
  in.append(operands.first(n.consts));
  in.append(operands.subspan(n.consts + n.carry));
  in.push(p.reverse ? count : zero);
  in.append(operands.subspan(n.consts, n.carry));
  in.append(args(empty));
  const Results r =
      call(while_p, in, WhileParams{loop->body, std::int64_t(n.consts + n.xs), loop->cond, 1});
  for (std::size_t i = 1; i < r.size(); ++i) y[i - 1] = r[i];
}

}  // namespace

// Lanes that are done give the body no gradient, so that its NaNs stay inside it.
JaxprPtr internal::held_when_done(const JaxprPtr& body, std::size_t n_consts, std::size_t n_carry,
                                  const Shape& lanes) {
  const std::string key = "held when done" + make_type(DType::i32, lanes)->str() +
                          std::to_string(n_consts) + "," + std::to_string(n_carry);
  return *body->memo<JaxprPtr>(key, [&] {
    std::vector<Type> in = body->in_types();
    const std::size_t n = in.size();
    in.insert(in.begin(), make_type(DType::i32, lanes));
    in.push_back(scalar_type(DType::i32));
    const auto step = [&](Args x, Results& y) {
      const Array running =
          lax::lt(lanes.empty() ? x[n + 1] : lax::broadcast_in_dim(x[n + 1], lanes, {}), x[0]);
      const auto choose = [&](const Array& now, const Array& then) {
        return lax::select(lax::broadcast_in_dim(running, now.shape(), iota_dims(lanes.size())),
                           now, then);
      };
      Results operands, r;
      for (std::size_t i = 0; i < n; ++i) {
        const bool carried = i >= n_consts && i < n_consts + n_carry;
        operands.push_back(carried && has_tangent(x[i + 1].type())
                               ? choose(x[i + 1], lax::stop_gradient(x[i + 1]))
                               : x[i + 1]);
      }
      eval_jaxpr(*body, args(operands), r);
      for (std::size_t i = 0; i < r.size(); ++i)
        y.push_back(choose(r[i], i < n_carry ? x[1 + n_consts + i] : lax::zeros_like(r[i])));
    };
    Scope none(nullptr);
    return trace_to_jaxpr(in, flat(step), Consts::embed).jaxpr;
  });
}

const Primitive counted_scan_p = {
    .name = "counted_scan",
    .shape = counted_shape,
    .jvp = counted_jvp<loop_jvp>,
    .linearize = counted_jvp<loop_linearize>,
    .transpose = counted_transpose,
    .batch = counted_batch,
    .lower = counted_lower,
    .num_outputs = [](Params p) { return p.as<CountedScanParams>().jaxpr->outs.size(); },
    .params = &params_ops<CountedScanParams>,
    .uses_axis =
        [](Params p, const std::string& name) {
          return uses_axis(*p.as<CountedScanParams>().jaxpr, name);
        }};

const Primitive scan_p = {
    .name = "scan",
    .shape = scan_shape,
    .jvp = scan_jvp,
    .linearize = scan_linearize,
    .transpose = scan_transpose,
    .batch = scan_batch,
    .num_outputs = [](Params p) { return p.as<ScanParams>().jaxpr->outs.size(); },
    .params = &params_ops<ScanParams>,
    .uses_axis =
        [](Params p, const std::string& name) {
          return uses_axis(*p.as<ScanParams>().jaxpr, name);
        }};

void internal::scan_flat(FlatFn f, Args init, Args xs, std::int64_t length, bool reverse,
                         std::int64_t unroll, Results& out, Loc loc) {
  TrailFrame frame("scan", loc);
  std::vector<Type> types;
  for (const Array& a : init) types.push_back(a.type());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const Array& a = xs[i];
    if (a.ndim() == 0)
      fail("scan: xs " + std::to_string(i) + " is " + a.type()->str() +
               "; it needs a leading axis to loop over.",
           loc, "E30");
    if (length >= 0 && a.shape()[0] != length)
      fail("scan: xs " + std::to_string(i) + " is " + a.type()->str() + "; the loop has " +
               std::to_string(length) + " iterations.",
           loc, "E30", "All leading axes, and length if given, must agree.");
    length = a.shape()[0];
    types.push_back(make_type(a.dtype(), Shape(a.shape().begin() + 1, a.shape().end())));
  }
  if (length < 0)
    fail("scan: the number of iterations is unknown.", loc, "E30", "Give xs, or {.length = n}.");
  Closed c = trace_to_jaxpr(types, f);
  const JaxprBody& j = *c.jaxpr;
  if (j.outs.size() < init.size())
    fail("scan: the carry has " + std::to_string(init.size()) + " arrays, the body returns " +
             std::to_string(j.outs.size()) + ".",
         loc, "E31");
  for (std::size_t i = 0; i < init.size(); ++i)
    if (j.type(j.outs[i]) != init[i].type())
      fail("scan: carry " + std::to_string(i) + " goes in as " + init[i].type()->str() +
               " and comes out as " + j.type(j.outs[i])->str() + ".",
           loc, "E31", "The body must return a carry of the types it was given.");
  Borrowed in(Args{c.consts});
  in.append(init);
  in.append(xs);
  ScanParams p{c.jaxpr, length, std::int64_t(init.size()), std::int64_t(c.consts.size()),
               reverse, unroll};
  std::size_t at = out.size();
  out.resize(at + j.outs.size());
  scan_p.bind(in, p, out.data() + at, loc);
}

}  // namespace jaxpp
