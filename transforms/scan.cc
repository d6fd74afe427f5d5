// scan.cc -- a loop with a carry: operands and body are (consts, carry, xs) -> (carry, ys).
//
// Every transform of a scan is a scan of a transformed body.  Which carries are active (have a tangent, are batched) is
// a fixpoint: a carry that comes out active must go in active.
#include <algorithm>
#include "jaxpp/flat.h"
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
ScanParams like(const ScanParams& p, const JaxprPtr& j, std::size_t num_carry,
                std::size_t num_consts, bool reverse) {
  return {j, p.length, std::int64_t(num_carry), std::int64_t(num_consts), reverse, p.unroll};
}

void scan_shape(Types in, Params q, Type* out) {
  auto& p = q.as<ScanParams>();
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
void scan_jvp(JvpRule& r) {
  auto& p = r.params.as<ScanParams>();
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
  Results y =
      call(scan_p, args(operands), like(p, *body, group_sizes[1], group_sizes[0], p.reverse));
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
void scan_linearize(JvpRule& r) {
  auto& p = r.params.as<ScanParams>();
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
  Results out = call(scan_p, r.x, like(p, s->primal, n.carry, n.consts, p.reverse)), hoisted,
          operands;
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
  Results dy = record(r, scan_p, args(operands), like(p, s->tangent, n_carry, n_consts, p.reverse));
  for (std::size_t i = 0, k = 0; i < n_y; ++i)
    if (t->active[i]) r.dy[i] = dy[k++];
}

// The cotangent of operand i up to now, which the loop goes on from.
Array sum_so_far(const TransposeRule& r, std::size_t i) {
  return instantiate(r.into[i] ? std::exchange(r.into[i]->value, Array()) : Array(), r.x_types[i]);
}
// consts: known, linear;  carry: linear;  xs: known, linear.  The cotangents of consts, summed up step by step, and of the
// carry are the new carry, those of ys and the known xs are the new xs; the loop runs the other way.
void scan_transpose(TransposeRule& r) {
  auto& p = r.params.as<ScanParams>();
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
  Results out =
      call(scan_p, args(operands), like(p, *body, n_sums + n.carry, known_consts, !p.reverse));
  for (std::size_t i = 0, k = 0; i < known.size(); ++i)
    if (!known[i]) r.add(i, out[k++]);
}

void scan_batch(BatchRule& b) {
  auto& p = b.params.as<ScanParams>();
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
  Results out = call(scan_p, args(in), like(p, t->jaxpr, n.carry, n.consts, p.reverse));
  for (std::size_t i = 0; i < out.size(); ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = !t->batched[i] ? -1 : i < n.carry ? 0 : 1;
  }
}

}  // namespace

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
