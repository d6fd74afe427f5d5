// taylor.cc -- Taylor series through a program: every variable has a series, of which coefficients are made when they are asked for.
//
//   y = f(x), y' = J(x) x'   =>   (k + 1) y[k + 1] = (J(x) x')[k],   which asks for y[0..k] only.
//
// So the jvp rule of a primitive, read as a program over series, is its recurrence: rules of exp or tanh mention the result, that of
// sin mentions cos, whose rule mentions sin.  The same operation on the same series is the same series, which closes these
// circles; where they do not close (pow, polygamma) the chain ends after as many links as there are coefficients.  What a rule is made
// of, in the end, are operations that need no recurrence: those that are linear in what varies (seen from their jvp rules: they do not
// mention the point), products (convolved) and quotients.
//
// A loop or a branch becomes one over all coefficients at once.  Nothing here recurses over the length of a program: equations are
// done in order, each to the highest order.
#include "jaxpp/taylor.h"
#include <deque>
#include <unordered_map>
#include "jaxpp/ops/bounded.h"
#include "transforms/calls.h"

namespace jaxpp::internal {
namespace {

struct Operation;
/// Coefficients: null ones are zeros.
struct Series {
  Type type;
  Operation* maker = nullptr;  // null: all coefficients are given
  bool constant = false;       // coefficients above 0 are zeros
  std::vector<Array> c{};
};
using SeriesList = SmallVec<Series*, 4>;

struct Operation {
  enum Kind {
    fixed,   // nothing varies
    affine,  // in what varies
    product,
    quotient,
    shift,  // c[k] = (k + 1) x[k + 1]: the derivative of a series
    recurrence,
    control
  } kind;
  const Primitive* prim;
  std::shared_ptr<const void> params_data;
  const ParamsOps* params_ops;
  SeriesList in, out;
  Mask active;              // operands that vary
  JaxprPtr tangent{};       // (x, dx of active) -> dy of those that vary
  Mask active_out{};        // results that vary
  SeriesList derivative{};  // of the results that vary, once they are wanted
  Params params() const { return {params_data.get(), params_ops}; }
};

/// The tangents of one operation as a program.
struct Tangent {
  JaxprPtr jaxpr;
  Mask active;  // results
  bool affine;  // does not mention the operands that vary
};

/// A program over series: (x, coefficients 1..K of each active input) -> (y, coefficients 1..K of each active output).
struct SeriesJaxpr {
  JaxprPtr jaxpr;
  Mask active;
};
std::shared_ptr<const SeriesJaxpr> series_jaxpr(const JaxprBody& j, const Mask& active,
                                                const Mask& instantiated, std::size_t order);

class SeriesProgram {
 public:
  explicit SeriesProgram(std::size_t order) : order_(order) {}

  Series* given(std::vector<Array> c) {
    Series s{c[0].type()};
    s.constant = true;
    for (std::size_t k = 1; k < c.size(); ++k) s.constant &= !c[k].defined();
    c.resize(order_ + 1);
    s.c = std::move(c);
    return keep(std::move(s));
  }
  /// The results of j, made to the highest order.
  SeriesList run(const JaxprBody& j, const SeriesList& in, bool now) {
    SeriesList env;
    env.resize(j.types.size());
    for (std::size_t i = 0; i < in.size(); ++i) env[j.invars[i]] = in[i];
    const auto read = [&](const Atom& a) { return a.is_var() ? env[a.var()] : literal(a.value()); };
    for (const Equation& e : j.eqns) {
      Scope scope(context.trace, &e.loc);
      SeriesList x;
      for (const Atom& a : e.in) x.push_back(read(a));
      const SeriesList y = apply(e, x, now);
      for (std::size_t i = 0; i < y.size(); ++i) {
        env[e.out + Var(i)] = y[i];
        if (now) coefficient(y[i], order_);
      }
    }
    SeriesList out;
    for (const Atom& a : j.outs) out.push_back(read(a));
    return out;
  }
  const Array& coefficient(Series* s, std::size_t k) {
    if (s->c.size() <= k) {
      if (s->maker && !(s->constant && !s->c.empty()))
        make(*s->maker, k);
      else
        s->c.resize(k + 1);
    }
    return s->c[k];
  }

 private:
  Series* keep(Series s) {
    series_.push_back(std::move(s));
    return &series_.back();
  }
  Series* literal(const Array& a) {
    if (a.ndim() > 0 || !a.concrete() || !a.node()->data) return given({a});
    const std::string key =
        a.type()->str() + std::string(static_cast<const char*>(a.node()->data), width(a.dtype()));
    Series*& s = literals_[key];
    if (!s) s = given({a});
    return s;
  }

  // ---- Making operations
  SeriesList apply(const Equation& e, const SeriesList& x, bool now) {
    if (e.prim == &jit_p) return run(*e.params().as<CallParams>().jaxpr, x, now);
    if (e.prim == &remat_p) return run(*e.params().as<RematParams>().jaxpr, x, now);
    if (e.prim == &bounded_while_p || e.prim == &counted_scan_p) return run(*lowered(e, x), x, now);
    const Operation* found = find(*e.prim, e.params(), x);
    if (found) return found->out;
    Operation op{Operation::fixed, e.prim, e.params_data, e.params_ops, x, {}, {}};
    bool varies = false;
    for (const Series* s : x) {
      op.active.push_back(!s->constant);
      varies |= !s->constant;
    }
    if (varies && e.prim->differentiable && !e.prim->effects) classify(op);
    Operation& kept = place(std::move(op));
    if (kept.active_out.empty()) kept.active_out = Mask(e.n_out, false);
    std::vector<Type> out(e.n_out);
    std::vector<Type> in;
    for (const Series* s : x) in.push_back(s->type);
    e.prim->shape(in, e.params(), out.data());
    for (std::size_t i = 0; i < e.n_out; ++i)
      kept.out.push_back(keep({out[i], &kept, !kept.active_out[i], {}}));
    if (e.n_out == 0 || e.prim->effects) make(kept, 0);
    return kept.out;
  }
  static JaxprPtr lowered(const Equation& e, const SeriesList& x) {
    std::vector<Type> types;
    for (const Series* s : x) types.push_back(s->type);
    const auto f = [&](Args in, Results& y) {
      y.resize(e.n_out);
      e.prim->lower(in, e.params(), y.data());
    };
    return trace_to_jaxpr(types, flat(f), Consts::embed).jaxpr;
  }
  Operation& place(Operation op) {
    operations_.push_back(std::move(op));
    by_operands_.emplace(hash(*operations_.back().prim, operations_.back().in),
                         &operations_.back());
    return operations_.back();
  }
  static std::size_t hash(const Primitive& p, const SeriesList& x) {
    std::size_t h = std::hash<const void*>()(&p);
    for (const Series* s : x) h = h * 1000003 + std::hash<const void*>()(s);
    return h;
  }
  const Operation* find(const Primitive& p, Params params, const SeriesList& x) const {
    if (p.effects) return nullptr;
    const auto [from, to] = by_operands_.equal_range(hash(p, x));
    for (auto it = from; it != to; ++it) {
      const Operation& o = *it->second;
      if (o.prim == &p && std::equal(o.in.begin(), o.in.end(), x.begin(), x.end()) &&
          (!o.params_ops || o.params_ops->equal(o.params_data.get(), params.data)))
        return &o;
    }
    return nullptr;
  }
  void classify(Operation& op) {
    if (op.prim == &scan_p || op.prim == &while_p || op.prim == &cond_p) {
      op.kind = Operation::control;
      op.active_out = control_active(op);
      return;
    }
    const auto t = tangent_of(op);
    op.tangent = t->jaxpr;
    op.active_out = t->active;
    const bool any = std::find(t->active.begin(), t->active.end(), true) != t->active.end();
    if (!any)
      op.kind = Operation::fixed;
    else if (t->affine)
      op.kind = Operation::affine;
    else if (op.prim == &mul_p || op.prim == &dot_general_p || op.prim == &conv_general_dilated_p)
      op.kind = Operation::product;
    else if (op.prim == &div_p)
      op.kind = Operation::quotient;
    else
      op.kind = Operation::recurrence;
  }
  static std::shared_ptr<const Tangent> tangent_of(const Operation& op) {
    std::vector<Type> types;
    for (const Series* s : op.in) types.push_back(s->type);
    const auto f = [&](Args x, Results& y) { y = call(*op.prim, x, op.params()); };
    Scope none(nullptr);
    const JaxprPtr program = trace_to_jaxpr(types, flat(f), Consts::embed).jaxpr;
    const auto t = jvp_jaxpr(*program, op.active, {});
    Tangent r{nullptr, t->active, true};
    std::vector<std::size_t> in, out;
    for (std::size_t i = 0; i < t->jaxpr->invars.size(); ++i) in.push_back(i);
    for (std::size_t i = t->active.size(); i < t->jaxpr->outs.size(); ++i) out.push_back(i);
    r.jaxpr = reorder(*t->jaxpr, in, out);
    std::vector<char> varying(r.jaxpr->types.size());
    for (std::size_t i = 0; i < op.active.size(); ++i)
      if (op.active[i]) varying[r.jaxpr->invars[i]] = true;
    const auto mentions = [&](const Atom& a) { return a.is_var() && varying[a.var()]; };
    for (const Equation& e : r.jaxpr->eqns)
      for (const Atom& a : e.in) r.affine &= !mentions(a);
    for (const Atom& a : r.jaxpr->outs) r.affine &= !mentions(a);
    return std::make_shared<const Tangent>(std::move(r));
  }

  // ---- Making coefficients
  void make(Operation& op, std::size_t k) {
    switch (op.kind) {
      case Operation::shift: return shifted(op, k);
      case Operation::control: return controlled(op, k);
      default: break;
    }
    std::size_t known = k + 1;
    for (Series* s : op.out)
      if (s->c.empty() || !s->constant) known = std::min(known, s->c.size());
    if (known == 0) {
      first(op);
      known = 1;
    }
    for (std::size_t i = known; i <= k; ++i) {
      Results y(op.out.size());
      switch (op.kind) {
        case Operation::affine: pushed(op, i, y); break;
        case Operation::product: y[0] = convolved(op, i); break;
        case Operation::quotient: y[0] = divided(op, i); break;
        case Operation::recurrence: solved(op, i, y); break;
        default: break;
      }
      for (std::size_t o = 0; o < op.out.size(); ++o)
        if (op.out[o]->c.size() <= i) {
          op.out[o]->c.resize(i + 1);
          op.out[o]->c[i] = y[o];
        }
    }
  }
  void first(Operation& op) {
    Results x;
    for (Series* s : op.in) x.push_back(instantiate(coefficient(s, 0), s->type));
    const Results y = call(*op.prim, args(x), op.params());
    for (std::size_t o = 0; o < op.out.size(); ++o)
      if (op.out[o]->c.empty()) op.out[o]->c.push_back(y[o]);
  }
  void pushed(Operation& op, std::size_t k, Results& y) {
    Results in, dx;
    bool any = false;
    for (std::size_t i = 0; i < op.in.size(); ++i) {
      in.push_back(instantiate(coefficient(op.in[i], 0), op.in[i]->type));
      if (!op.active[i]) continue;
      dx.push_back(coefficient(op.in[i], k));
      any |= dx.back().defined();
      dx.back() = instantiate(dx.back(), op.in[i]->type);
    }
    if (!any) return;
    in.append(dx.begin(), dx.end());
    Results dy;
    eval_jaxpr(*op.tangent, args(in), dy);
    for (std::size_t o = 0, d = 0; o < op.out.size(); ++o)
      if (op.active_out[o]) y[o] = dy[d++];
  }
  Array convolved(Operation& op, std::size_t k) {
    Array sum;
    for (std::size_t i = 0; i <= k; ++i) {
      const Array a = coefficient(op.in[0], i), b = coefficient(op.in[1], k - i);
      if (a.defined() && b.defined())
        sum = add_tangents(sum, call(*op.prim, Borrowed(a, b), op.params())[0]);
    }
    return sum;
  }
  // a = b c:   b[0] c[k] = a[k] - b[1] c[k - 1] - ... - b[k] c[0]
  Array divided(Operation& op, std::size_t k) {
    Array sum = coefficient(op.in[0], k);
    for (std::size_t i = 1; i <= k; ++i) {
      const Array b = coefficient(op.in[1], i), c = op.out[0]->c[k - i];
      if (b.defined() && c.defined()) sum = add_tangents(sum, lax::neg(lax::mul(b, c)));
    }
    if (!sum.defined()) return sum;
    return lax::div(sum, coefficient(op.in[1], 0));
  }
  void shifted(Operation& op, std::size_t k) {
    Series& s = *op.out[0];
    for (std::size_t i = s.c.size(); i <= k; ++i) {
      const Array x = coefficient(op.in[0], i + 1);
      s.c.push_back(x.defined() && i > 0 ? lax::mul(x, lax::full_like(x, double(i + 1))) : x);
    }
  }
  void solved(Operation& op, std::size_t k, Results& y) {
    if (op.derivative.empty()) {
      SeriesList in = op.in;
      for (std::size_t i = 0; i < op.in.size(); ++i)
        if (op.active[i]) in.push_back(derivative_of(op.in[i]));
      op.derivative = run(*op.tangent, in, false);
    }
    for (std::size_t o = 0, d = 0; o < op.out.size(); ++o) {
      if (!op.active_out[o]) continue;
      const Array dy = coefficient(op.derivative[d++], k - 1);
      y[o] = dy.defined() && k > 1 ? lax::div(dy, lax::full_like(dy, double(k))) : dy;
    }
  }
  Series* derivative_of(Series* x) {
    Series*& s = derivatives_[x];
    if (s) return s;
    operations_.push_back({Operation::shift, nullptr, nullptr, nullptr, {x}, {}, {}});
    s = keep({x->type, &operations_.back(), false, {}});
    operations_.back().out.push_back(s);
    return s;
  }

  // ---- Loops and branches: programs over all coefficients
  struct Control {
    std::vector<std::pair<std::size_t, std::size_t>> operands;  // (operand, coefficient)
    std::shared_ptr<const void> params;
    Mask active;  // results
  };
  static Mask control_active(const Operation& op) { return control_of(op, 1).active; }
  // The coefficients of a group of operands: constant terms, then 1..K of those that vary.
  static void group(const Mask& active, std::size_t from, std::size_t to, std::size_t order,
                    std::vector<std::pair<std::size_t, std::size_t>>& entries) {
    for (std::size_t i = from; i < to; ++i) entries.emplace_back(i, 0);
    for (std::size_t i = from; i < to; ++i)
      for (std::size_t k = 1; active[i] && k <= order; ++k) entries.emplace_back(i, k);
  }
  // Their positions in the inputs (or outputs) of a SeriesJaxpr.
  static std::vector<std::size_t> positions(
      const Mask& active, std::size_t order,
      const std::vector<std::pair<std::size_t, std::size_t>>& entries) {
    std::vector<std::size_t> begin(active.size()), at;
    for (std::size_t i = 0, next = active.size(); i < active.size(); ++i) {
      begin[i] = next;
      if (active[i]) next += order;
    }
    for (auto [i, k] : entries) at.push_back(k == 0 ? i : begin[i] + k - 1);
    return at;
  }
  static Control control_of(const Operation& op, std::size_t order) {
    if (op.prim == &scan_p) return scan_of(op, order);
    if (op.prim == &while_p) return while_of(op, order);
    return cond_of(op, order);
  }
  static Control scan_of(const Operation& op, std::size_t order) {
    ScanParams p = op.params().as<ScanParams>();
    const auto consts = std::size_t(p.num_consts), carry = std::size_t(p.num_carry);
    Mask active = op.active;
    std::shared_ptr<const SeriesJaxpr> t;
    do t = series_jaxpr(*p.jaxpr, active, part(active, consts, consts + carry), order);
    while (merge(active, t->active, carry, consts));
    Control c;
    c.active = t->active;
    std::size_t ends[3], bounds[] = {0, consts, consts + carry, active.size()};
    for (int g = 0; g < 3; ++g) {
      group(active, bounds[g], bounds[g + 1], order, c.operands);
      ends[g] = c.operands.size();
    }
    std::vector<std::pair<std::size_t, std::size_t>> results;
    group(c.active, 0, carry, order, results);
    group(c.active, carry, c.active.size(), order, results);
    p.jaxpr = reorder(*t->jaxpr, positions(active, order, c.operands),
                      positions(c.active, order, results));
    p.num_consts = std::int64_t(ends[0]);
    p.num_carry = std::int64_t(ends[1] - ends[0]);
    c.params = std::make_shared<const ScanParams>(std::move(p));
    return c;
  }
  static Control while_of(const Operation& op, std::size_t order) {
    WhileParams p = op.params().as<WhileParams>();
    const auto cond = std::size_t(p.cond_nconsts), body = std::size_t(p.body_nconsts);
    Mask active = part(op.active, cond, op.active.size());
    const std::size_t carry = active.size() - body;
    std::shared_ptr<const SeriesJaxpr> t;
    do t = series_jaxpr(*p.body_jaxpr, active, part(active, body, active.size()), order);
    while (merge(active, t->active, carry, body));
    Control c;
    c.active = t->active;
    std::vector<std::pair<std::size_t, std::size_t>> operands, results;
    group(active, 0, body, order, operands);
    p.body_nconsts = std::int64_t(operands.size());
    group(active, body, active.size(), order, operands);
    group(c.active, 0, carry, order, results);
    p.body_jaxpr =
        reorder(*t->jaxpr, positions(active, order, operands), positions(c.active, order, results));
    auto test = std::make_shared<JaxprBody>(p.cond_jaxpr->copy());
    for (std::size_t i = cond + carry; i < cond + results.size(); ++i)
      test->invars.push_back(test->new_var(op.in[cond + body + results[i - cond].first]->type));
    p.cond_jaxpr = test;
    for (std::size_t i = 0; i < cond; ++i) c.operands.emplace_back(i, 0);
    for (auto [i, k] : operands) c.operands.emplace_back(cond + i, k);
    c.params = std::make_shared<const WhileParams>(std::move(p));
    return c;
  }
  static Control cond_of(const Operation& op, std::size_t order) {
    CondParams p = op.params().as<CondParams>();
    const Mask active = part(op.active, 1, op.active.size());
    Mask force(p.branches[0]->outs.size(), false);
    std::vector<JaxprPtr> branches;
    for (bool grew = true; grew;) {
      branches.clear();
      grew = false;
      for (const JaxprPtr& j : p.branches) {
        const auto t = series_jaxpr(*j, active, force, order);
        branches.push_back(t->jaxpr);
        grew |= merge(force, t->active, force.size());
      }
    }
    Control c;
    c.active = force;
    c.operands.emplace_back(0, 0);
    std::vector<std::pair<std::size_t, std::size_t>> operands;
    group(active, 0, active.size(), order, operands);
    for (auto [i, k] : operands) c.operands.emplace_back(1 + i, k);
    p.branches = std::move(branches);
    c.params = std::make_shared<const CondParams>(std::move(p));
    return c;
  }
  void controlled(Operation& op, std::size_t k) {
    const Control c = control_of(op, k);
    Results in;
    for (auto [i, order] : c.operands)
      in.push_back(instantiate(coefficient(op.in[i], order), op.in[i]->type));
    const Results y = call(*op.prim, args(in), Params{c.params.get(), op.params_ops});
    std::vector<std::pair<std::size_t, std::size_t>> results;
    const std::size_t carry =
        op.prim == &scan_p ? std::size_t(op.params().as<ScanParams>().num_carry) : op.out.size();
    group(c.active, 0, carry, k, results);
    group(c.active, carry, op.out.size(), k, results);
    for (Series* s : op.out) s->c.resize(std::max(s->c.size(), k + 1));
    for (std::size_t r = 0; r < y.size(); ++r)
      op.out[results[r].first]->c[results[r].second] = y[r];
  }

  std::size_t order_;
  std::deque<Series> series_;
  std::deque<Operation> operations_;
  std::unordered_multimap<std::size_t, Operation*> by_operands_;
  std::unordered_map<std::string, Series*> literals_;
  std::unordered_map<Series*, Series*> derivatives_;
};

std::shared_ptr<const SeriesJaxpr> series_jaxpr(const JaxprBody& j, const Mask& active,
                                                const Mask& instantiated, std::size_t order) {
  return j.memo<SeriesJaxpr>(mask_key("series", active, instantiated) + std::to_string(order), [&] {
    std::vector<Type> in = j.in_types();
    const std::size_t n = in.size();
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; active[i] && k < order; ++k) in.push_back(in[i]);
    SeriesJaxpr r;
    const auto f = [&](Args x, Results& y) {
      SeriesProgram program(order);
      SeriesList inputs;
      for (std::size_t i = 0, next = n; i < n; ++i) {
        std::vector<Array> c{x[i]};
        for (std::size_t k = 0; active[i] && k < order; ++k) c.push_back(x[next++]);
        inputs.push_back(program.given(std::move(c)));
      }
      const SeriesList out = program.run(j, inputs, true);
      Results higher;
      for (std::size_t o = 0; o < out.size(); ++o) {
        y.push_back(program.coefficient(out[o], 0));
        r.active.push_back(!out[o]->constant || instantiated[o]);
        for (std::size_t k = 1; r.active[o] && k <= order; ++k)
          higher.push_back(instantiate(program.coefficient(out[o], k), out[o]->type));
      }
      y.append(higher.begin(), higher.end());
    };
    Scope none(nullptr);
    r.jaxpr = trace_to_jaxpr(in, flat(f), Consts::embed).jaxpr;
    return r;
  });
}

}  // namespace

void need_coefficients(std::size_t n, Loc loc) {
  if (n == 0)
    fail("taylor_series: there is no coefficient.", loc, "E16", "Give at least the point.");
}
void taylor_flat(FlatFn f, std::span<const Results> in, std::vector<Results>& out, const char* who,
                 Loc loc) {
  TrailFrame frame(who, loc);
  std::vector<Type> types;
  for (const Array& a : in[0]) types.push_back(a.type());
  const Closed c = trace_to_jaxpr(types, f);
  const std::size_t order = in.size() - 1;
  SeriesProgram program(order);
  SeriesList x;
  for (const Array& a : c.consts) x.push_back(program.given({a}));
  for (std::size_t i = 0; i < types.size(); ++i) {
    std::vector<Array> coefficients{in[0][i]};
    for (std::size_t k = 1; k <= order; ++k) {
      const Array& a = in[k][i];
      if (a.defined() && a.type() != types[i])
        fail(std::string(who) + ": coefficient " + std::to_string(k) + " of argument " +
                 std::to_string(i) + " is " + a.type()->str() + ", its value is " +
                 types[i]->str() + ".",
             loc, "E16", "All coefficients of a series have the same dtype and shape.");
      coefficients.push_back(has_tangent(types[i]) ? a : Array());
    }
    x.push_back(program.given(std::move(coefficients)));
  }
  const SeriesList y = program.run(*c.jaxpr, x, true);
  out.assign(order + 1, {});
  for (std::size_t k = 0; k <= order; ++k)
    for (Series* s : y) out[k].push_back(instantiate(program.coefficient(s, k), s->type));
}

}  // namespace jaxpp::internal
