// residuals.cc -- what the backward loop of a scan reads from its forward loop, and what it computes again.
//
//   forward:  c, ..., r1, r2, ... = scan(body)         backward:  ... = scan(reads r1, r2, ... step by step)
//
// Linearization stacks every value that the derivative mentions.  Most are cheap functions of others: here the backward
// loop gets fewer stacks and a copy of the equations that make the rest from them.  A value is stored or computed again,
// whichever is cheaper on the whole, where a loop stores and loads bytes and computes elements: that is a minimum cut.
//
//   source -> v            a value that the backward loop needs                       infinite
//   v -> maker of v        storing it: v there, its equation not                      bytes
//   equation -> sink       computing it again                                         work
//   equation -> operand    which needs its operands                                   infinite
//
// Constants of the forward loop cost nothing and its xs are there to be read.  The carry is stored as it comes into a
// step; what leaves a step then enters the next one, so that a backward loop that runs the other way hands it on in a
// carry of its own.
#include <algorithm>
#include <map>
#include <numeric>
#include "backends/passes/kinds.h"
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
bool reverse(const Equation& e) { return e.params().as<ScanParams>().reverse; }
std::int64_t bytes(Type t) { return t->size * std::int64_t(width(t->dtype)); }

// ---- Costs, in operations on one element of a vector
constexpr std::int64_t kInfinite = std::int64_t(1) << 52;
constexpr std::int64_t kLanes = 8;  // operations on a scalar cost as much as on this many elements
constexpr std::int64_t kAccess = 16;          // the least that a load costs, or a store
constexpr std::int64_t kCache = 1 << 20;      // tapes up to this size stay close to the core
constexpr std::size_t kMaxEquations = 20000;  // beyond, the cut would take longer than it saves

std::int64_t times(std::int64_t a, std::int64_t b) {
  return a > 0 && b > kInfinite / a ? kInfinite : a * b;
}

std::int64_t work(const JaxprBody& j);
std::int64_t work(const JaxprBody& j, const Equation& e) {
  static constexpr const Primitive* kSweeps[] = {
      &reduce_sum_p, &reduce_max_p, &reduce_min_p, &reduce_prod_p, &reduce_and_p,
      &reduce_or_p,  &reduce_xor_p, &argmax_p,     &argmin_p,      &cumsum_p,
      &cumprod_p,    &cummax_p,     &cummin_p};
  std::int64_t in = kLanes, out = kLanes;
  for (auto& a : e.in) in = std::max(in, j.type(a)->size);
  for (Var v = e.out; v < e.out + e.n_out; ++v) out = std::max(out, j.types[v]->size);
  if (effects(e) || (e.prim->uses_axis && !nests(e))) return kInfinite;
  if (e.prim == &optimization_barrier_p) return 0;
  if (e.prim == &scan_p) {
    auto& p = e.params().as<ScanParams>();
    return times(p.length, work(*p.jaxpr));
  }
  if (e.prim == &cond_p) {
    std::int64_t w = kAccess;
    for (auto& b : e.params().as<CondParams>().branches) w += work(*b);
    return std::min(w, kInfinite);
  }
  if (e.prim == &dot_general_p) {
    std::int64_t terms = 1;
    for (auto d : e.params().as<DotParams>().dimension_numbers.lhs_contracting)
      terms *= j.type(e.in[0])->shape[sz(d)];
    return times(out, terms);
  }
  if (e.prim == &threefry2x32_p) return times(64, out);
  if (std::find(std::begin(kSweeps), std::end(kSweeps), e.prim) != std::end(kSweeps)) return in;
  return weight(*e.prim) >= kMuch ? kInfinite : times(weight(*e.prim), out);
}
std::int64_t work(const JaxprBody& j) {
  return *j.memo<std::int64_t>("work", [&] {
    std::int64_t w = 0;
    for (auto& e : j.eqns) w = std::min(w + work(j, e), kInfinite);
    return w;
  });
}

// ---- The cut: a maximum flow by shortest augmenting levels (Dinic), without recursion
class Cut {
 public:
  explicit Cut(std::size_t nodes) : first_(nodes, -1) {}
  void edge(std::size_t from, std::size_t to, std::int64_t capacity) {
    half(from, to, capacity);
    half(to, from, 0);
  }
  /// The least capacity that separates sink from source.  Then inside() tells the source's side, as small as can be.
  std::int64_t run(std::size_t source, std::size_t sink) {
    std::int64_t flow = 0;
    while (find_levels(source), level_[sink] >= 0) {
      next_ = first_;
      while (const std::int64_t f = augment(source, sink)) flow = std::min(flow + f, kInfinite);
    }
    return flow;
  }
  bool inside(std::size_t node) const { return level_[node] >= 0; }

 private:
  struct Half {
    std::size_t to;
    std::int64_t left;
    int next;
  };
  void half(std::size_t from, std::size_t to, std::int64_t capacity) {
    halves_.push_back({to, capacity, first_[from]});
    first_[from] = int(halves_.size()) - 1;
  }
  void find_levels(std::size_t source) {
    level_.assign(first_.size(), -1);
    level_[source] = 0;
    std::vector<std::size_t> queue{source};
    for (std::size_t i = 0; i < queue.size(); ++i)
      for (int h = first_[queue[i]]; h >= 0; h = halves_[std::size_t(h)].next) {
        const Half& e = halves_[std::size_t(h)];
        if (e.left == 0 || level_[e.to] >= 0) continue;
        level_[e.to] = level_[queue[i]] + 1;
        queue.push_back(e.to);
      }
  }
  // One path from source to sink along rising levels; what flows through it.
  std::int64_t augment(std::size_t source, std::size_t sink) {
    std::vector<int> path;
    for (std::size_t at = source; at != sink;) {
      int& h = next_[at];
      while (h >= 0 && (halves_[std::size_t(h)].left == 0 ||
                        level_[halves_[std::size_t(h)].to] != level_[at] + 1))
        h = halves_[std::size_t(h)].next;
      if (h >= 0) {
        path.push_back(h);
        at = halves_[std::size_t(h)].to;
      } else {
        if (path.empty()) return 0;
        level_[at] = -2;  // a dead end
        at = halves_[std::size_t(path.back() ^ 1)].to;
        path.pop_back();
      }
    }
    std::int64_t f = kInfinite;
    for (int h : path) f = std::min(f, halves_[std::size_t(h)].left);
    for (int h : path) {
      halves_[std::size_t(h)].left -= f;
      halves_[std::size_t(h ^ 1)].left += f;
    }
    return f;
  }
  std::vector<int> first_, next_, level_;  // first and next half-edge of each node
  std::vector<Half> halves_;               // the reverse of number i is number i ^ 1
};

// ---- The choice for one forward loop
// Where a backward loop finds a value of the forward body.
enum class From : char { nowhere, input, stack, handed_on, equation };

class Choice {
 public:
  /// What needs no storing: results of the forward loop that others read, xs that every backward loop reads.
  enum Where : char { not_there, stacked, at_hand };
  using Given = std::vector<Where>;
  /// needed: variables of the body that backward loops read.  hand_on: all of these run the other way.
  Choice(const ScanParams& p, const std::vector<Var>& needed, const Given& given, bool hand_on);
  /// Where the backward loops find each variable of the body; `equation`: they compute it again.
  std::vector<From> from;
  /// Of a variable that is handed on: its number among the carries.
  std::map<Var, std::size_t> carry_of;

 private:
  std::int64_t load(Var v) const { return std::max(kAccess, bytes(body_.types[v]) * price_ / 2); }
  std::int64_t cost(Var v) const {
    if (carry_of.count(v)) return kLanes + bytes(body_.types[v]) / 2;
    return given_[v] == at_hand ? 0 : given_[v] == Choice::stacked ? load(v) : 2 * load(v);
  }
  std::size_t node(Var v) const { return 2 + v; }
  std::size_t node_of_equation(std::size_t i) const { return 2 + body_.types.size() + i; }
  std::int64_t solve();

  const JaxprBody& body_;
  const std::size_t consts_, carry_;
  const std::vector<Var>& needed_;
  const Given& given_;
  std::int64_t price_;              // of a byte that is stored and loaded
  std::vector<std::size_t> maker_;  // of each variable: index of its equation + 1, 0: an input
  std::vector<Var> held_;           // carries that are stored, whose next values are handed on
};

Choice::Choice(const ScanParams& p, const std::vector<Var>& needed, const Given& given,
               bool hand_on)
    : body_(*p.jaxpr),
      consts_(sz(p.num_consts)),
      carry_(sz(p.num_carry)),
      needed_(needed),
      given_(given),
      maker_(body_.types.size()) {
  std::int64_t tape = 0;
  for (Var v : needed) tape += times(p.length, bytes(body_.types[v]));
  price_ = tape > kCache ? 8 : 1;
  for (std::size_t i = 0; i < body_.eqns.size(); ++i)
    for (Var v = body_.eqns[i].out; v < body_.eqns[i].out + body_.eqns[i].n_out; ++v)
      maker_[v] = i + 1;
  const std::int64_t without = solve();
  if (!hand_on) return;
  std::map<Var, std::size_t> next;  // what leaves a step, and the carry that it is
  for (std::size_t i = 0; i < carry_; ++i) {
    const Atom& out = body_.outs[i];
    const Var in = body_.invars[consts_ + i];
    if (from[in] != From::stack || !out.is_var() || !maker_[out.var()]) continue;
    if (from[out.var()] == From::nowhere || given_[out.var()]) continue;
    held_.push_back(in);
    next.emplace(out.var(), i);
  }
  if (next.empty()) return;
  const auto before = from;
  carry_of = next;
  if (solve() < without) return;
  from = before;
  carry_of.clear();
}

std::int64_t Choice::solve() {
  constexpr std::size_t source = 0, sink = 1;
  Cut cut(2 + body_.types.size() + body_.eqns.size());
  for (Var v : needed_) cut.edge(source, node(v), kInfinite);
  for (Var v : held_) cut.edge(source, node(v), kInfinite);
  for (std::size_t i = consts_; i < body_.invars.size(); ++i) {
    const Var v = body_.invars[i];
    cut.edge(node(v), sink, i < consts_ + carry_ ? cost(v) : std::min(cost(v), load(v)));
  }
  for (std::size_t i = 0; i < body_.eqns.size(); ++i) {
    const Equation& e = body_.eqns[i];
    const std::size_t again = node_of_equation(i);
    cut.edge(again, sink, work(body_, e));
    for (Var v = e.out; v < e.out + e.n_out; ++v) cut.edge(node(v), again, cost(v));
    for (auto& a : e.in)
      if (a.is_var()) cut.edge(again, node(a.var()), kInfinite);
  }
  const std::int64_t total = cut.run(source, sink);
  from.assign(body_.types.size(), From::nowhere);
  for (Var v = 0; v < body_.types.size(); ++v) {
    if (!cut.inside(node(v))) continue;
    if (maker_[v])
      from[v] = cut.inside(node_of_equation(maker_[v] - 1)) ? From::equation
                : carry_of.count(v)                         ? From::handed_on
                                                            : From::stack;
  }
  for (std::size_t i = 0; i < body_.invars.size(); ++i) {
    const Var v = body_.invars[i];
    const bool is_carry = i >= consts_ && i < consts_ + carry_;
    from[v] = !is_carry ? From::input : cut.inside(node(v)) ? From::stack : From::nowhere;
  }
  return total;
}

// ---- The program
class Residuals {
 public:
  explicit Residuals(const JaxprBody& j) : to_(j.copy()), now_(j.types.size()) {
    std::iota(now_.begin(), now_.end(), Var(0));
  }
  JaxprPtr run();

 private:
  struct Reader {  // a backward loop
    std::size_t equation;
    std::vector<std::pair<std::size_t, Var>> reads;  // operand, variable of the forward body
  };
  void forward(std::size_t a);
  void backward(const Reader&, const Equation& a, const Choice&,
                const std::vector<std::size_t>& stack);
  Atom get(const Atom& x) const { return x.is_var() ? Atom::var(now_[x.var()]) : x; }

  JaxprBody to_;
  std::vector<Var> now_;  // the variables of equations that got more results have other numbers
};

// Looks at equation a, a scan, as a forward loop.
void Residuals::forward(std::size_t a) {
  const auto params = std::static_pointer_cast<const ScanParams>(to_.eqns[a].params_data);
  const JaxprBody& body = *params->jaxpr;
  const std::size_t nk = sz(params->num_carry), n_out = to_.eqns[a].n_out;
  if (nk == n_out || body.eqns.size() > kMaxEquations) return;
  const Var first = to_.eqns[a].out;
  const auto result = [&](const Atom& x) -> std::optional<std::size_t> {
    if (!x.is_var() || now_[x.var()] < first || now_[x.var()] >= first + n_out) return {};
    return now_[x.var()] - first;
  };
  // Residuals: stacks that only scans read, step by step.
  std::vector<char> kept(n_out);
  std::vector<Reader> readers;
  for (auto& x : to_.outs)
    if (auto k = result(x)) kept[*k] = 1;
  for (std::size_t b = a + 1; b < to_.eqns.size(); ++b) {
    const Equation& e = to_.eqns[b];
    std::size_t xs = e.in.size();
    if (e.prim == &scan_p) {
      auto& p = e.params().as<ScanParams>();
      xs = sz(p.num_consts + p.num_carry);
    }
    Reader r{b, {}};
    for (std::size_t i = 0; i < e.in.size(); ++i)
      if (auto k = result(e.in[i])) {
        if (i < xs)
          kept[*k] = 1;
        else if (*k >= nk && body.outs[*k].is_var())
          r.reads.emplace_back(i, body.outs[*k].var());
      }
    if (!r.reads.empty()) readers.push_back(std::move(r));
  }
  Choice::Given given(body.types.size(), Choice::not_there);
  std::vector<Var> needed;
  for (std::size_t k = nk; k < n_out; ++k)
    if (kept[k] && body.outs[k].is_var()) given[body.outs[k].var()] = Choice::stacked;
  bool other_way = true;
  for (auto& r : readers) {
    other_way = other_way && reverse(to_.eqns[r.equation]) != params->reverse;
    for (auto& [i, v] : r.reads) needed.push_back(v);
  }
  if (needed.empty()) return;
  std::sort(needed.begin(), needed.end());
  needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
  for (std::size_t i = sz(params->num_consts) + nk; i < body.invars.size(); ++i) {
    const Atom& x = to_.eqns[a].in[i];
    const auto reads_it = [&](const Reader& r) {
      const Equation& e = to_.eqns[r.equation];
      return std::any_of(e.in.begin(), e.in.end(), [&](const Atom& y) {
        return x.is_var() && y.is_var() && now_[x.var()] == now_[y.var()];
      });
    };
    if (std::all_of(readers.begin(), readers.end(), reads_it))
      given[body.invars[i]] = Choice::at_hand;
  }
  const Choice choice(*params, needed, given, other_way);
  if (std::all_of(needed.begin(), needed.end(),
                  [&](Var v) { return choice.from[v] == From::stack; }))
    return;

  // The stack of each variable that is to be read: a result that is there, or a new one.
  constexpr std::size_t none = std::size_t(-1);
  std::vector<std::size_t> stack(body.types.size(), none);
  for (std::size_t k = nk; k < n_out; ++k)
    if (body.outs[k].is_var()) stack[body.outs[k].var()] = k;
  auto longer = std::make_shared<JaxprBody>(body.copy());
  std::vector<Type> types(to_.types.begin() + first, to_.types.begin() + first + n_out);
  for (Var v = 0; v < body.types.size(); ++v) {
    if (choice.from[v] != From::stack || stack[v] != none) continue;
    stack[v] = longer->outs.size();
    longer->outs.push_back(Atom::var(v));
    Shape s = body.types[v]->shape;
    s.insert(0, params->length);
    types.push_back(make_type(body.types[v]->dtype, s));
  }
  const Var moved = Var(to_.types.size());
  for (Type t : types) now_.push_back(to_.new_var(t));
  for (Var& v : now_)
    if (v >= first && v < first + n_out) v = moved + (v - first);
  auto p = std::make_shared<ScanParams>(*params);
  p->jaxpr = std::move(longer);
  to_.eqns[a].params_data = std::move(p);
  to_.eqns[a].out = moved;
  to_.eqns[a].n_out = std::uint32_t(types.size());
  for (auto& r : readers) backward(r, to_.eqns[a], choice, stack);
}

// Gives a backward loop of a the values that are chosen, and the equations that make of them what it reads.
void Residuals::backward(const Reader& reader, const Equation& a, const Choice& choice,
                         const std::vector<std::size_t>& stack) {
  Equation& e = to_.eqns[reader.equation];
  const auto &of = a.params().as<ScanParams>(), &old = e.params().as<ScanParams>();
  const JaxprBody &from = *of.jaxpr, &body = *old.jaxpr;
  const std::size_t consts = sz(old.num_consts), carry = sz(old.num_carry);
  std::vector<char> wanted(from.types.size()), again(from.eqns.size());
  for (auto& [i, v] : reader.reads) wanted[v] = 1;
  for (std::size_t i = from.eqns.size(); i-- > 0;) {
    const Equation& q = from.eqns[i];
    for (Var v = q.out; v < q.out + q.n_out; ++v)
      again[i] |= wanted[v] && choice.from[v] == From::equation;
    if (!again[i]) continue;
    for (auto& x : q.in)
      if (x.is_var()) wanted[x.var()] = 1;
  }
  for (auto& [v, i] : choice.carry_of)
    if (wanted[v]) wanted[from.invars[sz(of.num_consts) + i]] = 1;

  Rewriter r(body, Rewriter::NoInputs());
  std::vector<Atom> env(from.types.size()), next;
  SmallVec<Atom, 2> operands;
  const auto input = [&](Var v, const Atom& operand) {
    operands.push_back(operand);
    env[v] = Atom::var(r.input(from.types[v]));
  };
  const auto old_input = [&](std::size_t i) {
    operands.push_back(e.in[i]);
    r.set(body.invars[i], Atom::var(r.input(body.types[body.invars[i]])));
  };
  for (std::size_t i = 0; i < consts; ++i) old_input(i);
  for (std::size_t i = 0; i < sz(of.num_consts); ++i)
    if (wanted[from.invars[i]]) input(from.invars[i], a.in[i]);
  const std::size_t new_consts = operands.size();
  for (std::size_t i = consts; i < consts + carry; ++i) old_input(i);
  for (auto& [v, i] : choice.carry_of)
    if (wanted[v]) input(v, Atom::var(a.out + Var(i)));
  const std::size_t new_carry = operands.size() - new_consts;
  std::vector<char> residual(e.in.size());
  for (auto& [i, v] : reader.reads) residual[i] = 1;
  for (std::size_t i = consts + carry; i < e.in.size(); ++i)
    if (!residual[i]) old_input(i);
  for (std::size_t i = sz(of.num_consts + of.num_carry); i < from.invars.size(); ++i)
    if (wanted[from.invars[i]]) input(from.invars[i], a.in[i]);
  for (Var v = 0; v < wanted.size(); ++v)
    if (wanted[v] && choice.from[v] == From::stack) input(v, Atom::var(a.out + Var(stack[v])));
  for (std::size_t i = 0; i < from.eqns.size(); ++i) {
    if (!again[i]) continue;
    const Equation& q = from.eqns[i];
    SmallVec<Atom, 2> in;
    for (auto& x : q.in) in.push_back(x.is_var() ? env[x.var()] : x);
    const Var v =
        r.emit(*q.prim, q.params_data, std::move(in), {from.types.data() + q.out, q.n_out}, q.loc);
    for (std::uint32_t k = 0; k < q.n_out; ++k)
      if (choice.from[q.out + k] != From::stack) env[q.out + k] = Atom::var(v + k);
  }
  for (auto& [i, v] : reader.reads) r.set(body.invars[i], env[v]);
  for (auto& q : body.eqns) r.copy(q, q.params_data);
  std::vector<Atom> outs;
  for (std::size_t i = 0; i < carry; ++i) outs.push_back(r.get(body.outs[i]));
  for (auto& [v, i] : choice.carry_of)
    if (wanted[v]) outs.push_back(env[from.invars[sz(of.num_consts) + i]]);
  for (std::size_t i = carry; i < body.outs.size(); ++i) outs.push_back(r.get(body.outs[i]));

  ScanParams p = old;
  p.jaxpr = r.finish(std::move(outs));
  p.num_consts = std::int64_t(new_consts);
  p.num_carry = std::int64_t(new_carry);
  // The new carries are results too; nobody reads them.
  std::vector<Type> types;
  for (std::size_t k = 0; k < p.jaxpr->outs.size(); ++k) {
    const Type t = p.jaxpr->type(p.jaxpr->outs[k]);
    Shape s = t->shape;
    if (k >= new_carry) s.insert(0, p.length);
    types.push_back(make_type(t->dtype, s));
  }
  const Var moved = Var(to_.types.size()), first = e.out;
  const std::uint32_t n_out = e.n_out;
  for (Type t : types) now_.push_back(to_.new_var(t));
  for (Var& v : now_)
    if (v >= first && v < first + n_out)
      v = moved + (v - first) + (v - first < carry ? 0 : Var(new_carry - carry));
  e.in = std::move(operands);
  e.params_data = std::make_shared<ScanParams>(std::move(p));
  e.out = moved;
  e.n_out = std::uint32_t(types.size());
}

JaxprPtr Residuals::run() {
  for (std::size_t a = 0; a < to_.eqns.size(); ++a)
    if (to_.eqns[a].prim == &scan_p) forward(a);
  // Then the loops inside: what is computed again in a backward loop may be the forward loop of another one there.
  for (Equation& e : to_.eqns) {
    for (auto& x : e.in) x = get(x);
    if (nests(e))
      e.params_data =
          map_sub_jaxprs(e, [](const JaxprPtr& s) { return on_nested("residuals", residuals, s); });
  }
  for (auto& x : to_.outs) x = get(x);
  return std::make_shared<const JaxprBody>(std::move(to_));
}
}  // namespace

JaxprPtr residuals(const JaxprBody& j) { return dce(*Residuals(j).run()); }

}  // namespace jaxpp::passes
