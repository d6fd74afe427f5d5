// while.cc -- a loop that runs while a condition holds: operands are (cond consts, body consts, carry).
//
// Forward mode and batching are fixpoints over the carry, as for scan.  There is no transpose: the number of iterations,
// and so the memory for residuals, is unknown before the loop has run.
//
// bounded_while stops after max_steps iterations, and so has a reverse mode: linearized, it runs once to count its steps
// and goes on as a counted_scan of as many, which keeps the carry of every step and computes the rest of a step again.
// Executors see a while with a counter.
//
// vmap leaves a condition that differs from lane to lane as it is: bool[n], after a second vmap bool[m,n], a prefix of the
// shape of every carry.  The loop runs while any element is true; after each iteration, carries keep their old values
// where the condition was false.  Where the body does not mix lanes, this means that each lane stops by itself, which is
// what executors make of it: lowering it to any and select here would lose that.
#include "jaxpp/flat.h"
#include "jaxpp/ops/bounded.h"
#include "transforms/calls.h"

namespace jaxpp {
namespace {
using namespace internal;

struct Sizes {
  std::size_t cond, body, carry;
};
Sizes sizes(const WhileParams& p) {
  return {std::size_t(p.cond_nconsts), std::size_t(p.body_nconsts), p.body_jaxpr->outs.size()};
}
/// The kind of loop that a rule works on.
struct Loop {
  std::int64_t max_steps = 0;  // 0: no bound
  Results operator()(Args in, const WhileParams& p) const {
    if (max_steps == 0) return call(while_p, in, p);
    return call(
        bounded_while_p, in,
        BoundedWhileParams{p.body_jaxpr, p.body_nconsts, p.cond_jaxpr, p.cond_nconsts, max_steps});
  }
};
bool scalar_bool(Type t) { return t == scalar_type(DType::b1); }
bool is_prefix(const Shape& s, const Shape& of) {
  return s.size() <= of.size() && std::equal(s.begin(), s.end(), of.begin());
}

void loop_shape(Types in, const WhileParams& p, Type* out) {
  auto n = sizes(p);
  const JaxprBody &c = *p.cond_jaxpr, &b = *p.body_jaxpr;
  need(p.cond_nconsts >= 0 && p.body_nconsts >= 0 && in.size() == n.cond + n.body + n.carry &&
           c.invars.size() == n.cond + n.carry && b.invars.size() == n.body + n.carry,
       "while", "the numbers of operands do not fit the condition and the body.");
  need(c.outs.size() == 1 && c.type(c.outs[0])->dtype == DType::b1, "while",
       "the condition must return one array of bool.");
  const Type pred = c.type(c.outs[0]);
  for (std::size_t i = 0; i < in.size(); ++i) {
    Type t = i < n.cond ? c.types[c.invars[i]] : b.types[b.invars[i - n.cond]];
    if (in[i] != t)
      rule_error("while: operand " + std::to_string(i) + " is " + in[i]->str() +
                 ", the loop takes " + t->str() + ".");
  }
  for (std::size_t i = 0; i < n.carry; ++i) {
    Type t = in[n.cond + n.body + i];
    check(c.types[c.invars[n.cond + i]] == t && b.type(b.outs[i]) == t, "while", [&] {
      return "carry " + std::to_string(i) + " goes in as " + t->str() + " and comes out as " +
             b.type(b.outs[i])->str() + ".";
    });
    check(is_prefix(pred->shape, t->shape), "while", [&] {
      return "the condition returns " + pred->str() +
             ", whose shape is no prefix of that of carry " + std::to_string(i) + ", " + t->str() +
             ".";
    });
    *out++ = t;
  }
}

// Operands and parameters of the loop over (carry, dcarry); dy_at: where the tangent of each carry comes out, or 0.
struct JvpLoop {
  Results operands;
  WhileParams params;
  std::vector<std::size_t> dy_at;
};
JvpLoop jvp_loop(const JvpRule& r, const WhileParams& p) {
  auto n = sizes(p);
  Mask active = part(defined(r.dx), n.cond, r.x.size());  // of the body's operands
  std::shared_ptr<const JvpJaxpr> t;
  do t = jvp_jaxpr(*p.body_jaxpr, active, part(active, n.body, active.size()));
  while (merge(active, t->active, n.carry, n.body));
  // Body inputs (consts, carry, d...) regrouped: consts, dconsts, carry, dcarry.
  std::vector<std::size_t> tangent(active.size()), in, out;
  for (std::size_t i = 0, k = active.size(); i < active.size(); ++i)
    if (active[i]) tangent[i] = k++;
  JvpLoop l;
  for (std::size_t i = 0; i < n.cond; ++i) l.operands.push_back(r.x[i]);
  std::size_t d_consts = 0, d_carry = 0;
  for (std::size_t i = 0; i < n.body; ++i) {
    in.push_back(i);
    l.operands.push_back(r.x[n.cond + i]);
  }
  auto tangents = [&](std::size_t from, std::size_t to, std::size_t& count) {
    for (std::size_t i = from; i < to; ++i)
      if (active[i]) {
        in.push_back(tangent[i]);
        l.operands.push_back(instantiate(r.dx[n.cond + i], r.x[n.cond + i].type()));
        ++count;
      }
  };
  tangents(0, n.body, d_consts);
  for (std::size_t i = n.body; i < active.size(); ++i) {
    in.push_back(i);
    l.operands.push_back(r.x[n.cond + i]);
  }
  tangents(n.body, active.size(), d_carry);
  l.dy_at.assign(n.carry, 0);
  for (std::size_t i = 0; i < n.carry; ++i) out.push_back(i);
  for (std::size_t i = 0, k = n.carry; i < n.carry; ++i)
    if (t->active[i]) {
      l.dy_at[i] = out.size();
      out.push_back(k++);
    }
  auto body = t->jaxpr->memo<JaxprPtr>("while jvp" + std::to_string(n.body),
                                       [&] { return reorder(*t->jaxpr, in, out); });
  // The condition ignores the tangents.
  auto cond =
      p.cond_jaxpr->memo<JaxprPtr>(mask_key("while jvp", part(active, n.body, active.size())), [&] {
        auto c = std::make_shared<JaxprBody>(p.cond_jaxpr->copy());
        for (std::size_t i = n.body; i < active.size(); ++i)
          if (active[i]) c->invars.push_back(c->new_var(r.x[n.cond + i].type()));
        return JaxprPtr(c);
      });
  l.params = {*body, std::int64_t(n.body + d_consts), *cond, p.cond_nconsts};
  return l;
}
void loop_jvp(JvpRule& r, const WhileParams& p, const Loop& loop) {
  JvpLoop l = jvp_loop(r, p);
  Results y = loop(args(l.operands), l.params);
  for (std::size_t i = 0; i < l.dy_at.size(); ++i) {
    r.y[i] = y[i];
    if (l.dy_at[i]) r.dy[i] = y[l.dy_at[i]];
  }
}
// The tangent map is the whole loop over (carry, dcarry): linear in dx, so it may be recorded and pushed forward.
void while_linearize(JvpRule& r) {
  Results y = call(while_p, r.x, r.params);
  for (std::size_t i = 0; i < y.size(); ++i) r.y[i] = y[i];
  JvpLoop l = jvp_loop(r, r.params.as<WhileParams>());
  Results t = record(r, while_p, args(l.operands), l.params);
  for (std::size_t i = 0; i < l.dy_at.size(); ++i)
    if (l.dy_at[i]) r.dy[i] = t[l.dy_at[i]];
}
void while_transpose(TransposeRule&) {
  rule_error(
      "while_loop: reverse-mode differentiation needs a bound on the number of iterations.  Use "
      "scan, a fori_loop "
      "with integer bounds, or while_loop(..., {.max_steps = n}); forward mode (jvp, jacfwd) works "
      "as it is.");
}

// A condition that is mapped, or was before, is bool[n, ...]: then every carry is mapped too.
void loop_batch(BatchRule& b, const WhileParams& p, const Loop& loop) {
  auto n = sizes(p);
  const Mask all = mapped(b);
  Mask body = part(all, n.cond, all.size());
  const bool lanes = !p.cond_jaxpr->type(p.cond_jaxpr->outs[0])->shape.empty();
  std::shared_ptr<const BatchedJaxpr> t, c;
  for (;;) {
    do t = batch_jaxpr(*p.body_jaxpr, b.size, b.axis_name, body, part(body, n.body, body.size()));
    while (merge(body, t->batched, n.carry, n.body));
    Mask cond = part(all, 0, n.cond);
    cond.append(body.begin() + n.body, body.end());
    c = batch_jaxpr(*p.cond_jaxpr, b.size, b.axis_name, cond, Mask(1, lanes));
    if (!c->batched[0] || !merge(body, Mask(n.carry, true), n.carry, n.body)) break;
  }
  Results in;
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    const bool mapped = i < n.cond ? all[i] : body[i - n.cond];
    in.push_back(mapped ? lax::batch_to_front(b.x[i], b.axis[i], b.size) : b.x[i]);
  }
  Results out = loop(args(in), WhileParams{t->jaxpr, p.body_nconsts, c->jaxpr, p.cond_nconsts});
  for (std::size_t i = 0; i < n.carry; ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = body[n.body + i] ? 0 : -1;
  }
}

void while_shape(Types in, Params p, Type* out) { loop_shape(in, p.as<WhileParams>(), out); }
void while_jvp(JvpRule& r) { loop_jvp(r, r.params.as<WhileParams>(), {}); }
void while_batch(BatchRule& b) { loop_batch(b, b.params.as<WhileParams>(), {}); }

// ---- bounded_while
const BoundedWhileParams& bounded(Params p) { return p.as<BoundedWhileParams>(); }
WhileParams unbounded(Params q) {
  auto& p = bounded(q);
  return {p.body_jaxpr, p.body_nconsts, p.cond_jaxpr, p.cond_nconsts};
}
void bounded_shape(Types in, Params p, Type* out) {
  need(bounded(p).max_steps > 0 && bounded(p).max_steps < (std::int64_t(1) << 31), "bounded_while",
       "max_steps must be positive, and less than 2^31.");
  loop_shape(in, unbounded(p), out);
}
void bounded_jvp(JvpRule& r) { loop_jvp(r, unbounded(r.params), {bounded(r.params).max_steps}); }
void bounded_batch(BatchRule& b) {
  loop_batch(b, unbounded(b.params), {bounded(b.params).max_steps});
}
const Shape& lanes_of(const WhileParams& p) {
  return p.cond_jaxpr->type(p.cond_jaxpr->outs[0])->shape;
}
// The loop with the number of steps taken as its first carry, for every lane of the condition.
Results run_counting(Args x, const WhileParams& p, std::int64_t max_steps) {
  const auto n = sizes(p);
  const Type count = make_type(DType::i32, lanes_of(p));
  const auto cond = p.cond_jaxpr->memo<JaxprPtr>("counting" + std::to_string(max_steps), [&] {
    std::vector<Type> in = p.cond_jaxpr->in_types();
    in.insert(in.begin() + std::ptrdiff_t(n.cond), count);
    const auto test = [&](Args z, Results& y) {
      Borrowed operands(z.first(n.cond));
      operands.append(z.subspan(n.cond + 1));
      eval_jaxpr(*p.cond_jaxpr, operands, y);
      y[0] = lax::bitwise_and(y[0], lax::lt(z[n.cond], lax::full(count, double(max_steps))));
    };
    Scope none(nullptr);
    return trace_to_jaxpr(in, flat(test), Consts::embed).jaxpr;
  });
  const auto body = p.body_jaxpr->memo<JaxprPtr>("counting" + count->str(), [&] {
    std::vector<Type> in = p.body_jaxpr->in_types();
    in.insert(in.begin() + std::ptrdiff_t(n.body), count);
    const auto step = [&](Args z, Results& y) {
      y.push_back(lax::add(z[n.body], lax::full(count, 1)));
      Borrowed operands(z.first(n.body));
      operands.append(z.subspan(n.body + 1));
      eval_jaxpr(*p.body_jaxpr, operands, y);
    };
    Scope none(nullptr);
    return trace_to_jaxpr(in, flat(step), Consts::embed).jaxpr;
  });
  const Array zero = lax::full(count, 0);
  Borrowed in(x.first(n.cond + n.body));
  in.push(zero);
  in.append(x.subspan(n.cond + n.body));
  return call(while_p, in, WhileParams{*body, p.body_nconsts, *cond, p.cond_nconsts});
}
void bounded_lower(Args x, Params p, Array* y) {
  const Results r = run_counting(x, unbounded(p), bounded(p).max_steps);
  for (std::size_t i = 1; i < r.size(); ++i) y[i - 1] = r[i];
}
// The body as a checkpointed call: what a step keeps is its carry.
JaxprPtr recomputed(const JaxprPtr& body) {
  return *body->memo<JaxprPtr>("recomputed", [&] {
    const auto step = [&](Args x, Results& y) {
      const Results r = call(remat_p, x, RematParams{body, {}});
      y.append(r.begin(), r.end());
    };
    Scope none(nullptr);
    return trace_to_jaxpr(body->in_types(), flat(step), Consts::embed).jaxpr;
  });
}
void bounded_linearize(JvpRule& r) {
  const WhileParams p = unbounded(r.params);
  const std::int64_t max_steps = bounded(r.params).max_steps;
  const auto n = sizes(p);
  const Shape& lanes = lanes_of(p);
  const Array counts = run_counting(r.x, p, max_steps)[0];
  CountedScanParams q{recomputed(p.body_jaxpr), max_steps, std::int64_t(n.carry), p.body_nconsts,
                      false};
  Results x;
  Borrowed dx;
  if (lanes.empty()) {
    x.push_back(counts);
  } else {  // as many steps as the last lane takes
    const Array none = lax::full(make_type(DType::i32, {1}), 0);
    x.push_back(lax::reduce_max(
        lax::concatenate(
            std::array{lax::reshape(counts, {std::int64_t(counts.type()->size)}), none}, 0),
        {0}));
    x.push_back(counts);
    dx.push(nullptr);
    q.jaxpr = held_when_done(q.jaxpr, n.body, n.carry, lanes);
    ++q.num_consts;
  }
  dx.push(nullptr);
  x.append(r.x.begin() + std::ptrdiff_t(n.cond), r.x.end());
  dx.append(r.dx.subspan(n.cond));
  if (!lanes.empty()) {
    x.push_back(lax::iota(DType::i32, {max_steps}, 0));
    dx.push(nullptr);
  }
  JvpRule scan{counted_scan_p, args(x), dx, q, r.y, r.dy, r.tangent};
  counted_scan_p.linearize(scan);
}

}  // namespace

const Primitive bounded_while_p = {
    .name = "bounded_while",
    .shape = bounded_shape,
    .jvp = bounded_jvp,
    .linearize = bounded_linearize,
    .transpose = while_transpose,
    .batch = bounded_batch,
    .lower = bounded_lower,
    .num_outputs = [](Params p) { return bounded(p).body_jaxpr->outs.size(); },
    .params = &params_ops<BoundedWhileParams>,
    .uses_axis =
        [](Params p, const std::string& name) {
          return uses_axis(*bounded(p).body_jaxpr, name) || uses_axis(*bounded(p).cond_jaxpr, name);
        }};

const Primitive while_p = {
    .name = "while",
    .shape = while_shape,
    .jvp = while_jvp,
    .linearize = while_linearize,
    .transpose = while_transpose,
    .batch = while_batch,
    .num_outputs = [](Params p) { return p.as<WhileParams>().body_jaxpr->outs.size(); },
    .params = &params_ops<WhileParams>,
    .uses_axis =
        [](Params p, const std::string& name) {
          auto& w = p.as<WhileParams>();
          return uses_axis(*w.body_jaxpr, name) || uses_axis(*w.cond_jaxpr, name);
        }};

void internal::while_flat(FlatFn cond, FlatFn body, Args init, Results& out, Loc loc,
                          std::int64_t max_steps) {
  TrailFrame frame("while_loop", loc);
  std::vector<Type> types;
  for (const Array& a : init) types.push_back(a.type());
  Closed c = trace_to_jaxpr(types, cond), b = trace_to_jaxpr(types, body);
  const JaxprBody &cj = *c.jaxpr, &bj = *b.jaxpr;
  if (cj.outs.size() != 1 || !scalar_bool(cj.type(cj.outs[0])))
    fail("while_loop: the condition must return one bool[], it returns " +
             (cj.outs.empty() ? std::string("nothing") : cj.type(cj.outs[0])->str()) + ".",
         loc, "E32");
  if (bj.outs.size() != init.size())
    fail("while_loop: the carry has " + std::to_string(init.size()) + " arrays, the body returns " +
             std::to_string(bj.outs.size()) + ".",
         loc, "E31");
  for (std::size_t i = 0; i < init.size(); ++i)
    if (bj.type(bj.outs[i]) != init[i].type())
      fail("while_loop: carry " + std::to_string(i) + " goes in as " + init[i].type()->str() +
               " and comes out as " + bj.type(bj.outs[i])->str() + ".",
           loc, "E31", "The body must return a carry of the types it was given.");
  Borrowed in(Args{c.consts});
  in.append(Args{b.consts});
  in.append(init);
  WhileParams p{b.jaxpr, std::int64_t(b.consts.size()), c.jaxpr, std::int64_t(c.consts.size())};
  std::size_t at = out.size();
  out.resize(at + init.size());
  if (max_steps > 0)
    bounded_while_p.bind(
        in,
        BoundedWhileParams{p.body_jaxpr, p.body_nconsts, p.cond_jaxpr, p.cond_nconsts, max_steps},
        out.data() + at, loc);
  else
    while_p.bind(in, p, out.data() + at, loc);
}

}  // namespace jaxpp
