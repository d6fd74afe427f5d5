// schedule.cc -- how loops are run: sizes of locals, coalescing, order and tiles, sums in locals, lanes, packing, unrolling, chunks.
//
// Every pass changes marks, or the tree in a way that keeps what it means: the interpreter ignores marks, and a scheduled
// program gives there what the program before gave.  The one exception is the grouping of floating-point reductions over
// chunks, and that depends on sizes alone: the same bits for any number of threads.
#include "backends/loops/schedule.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include "backends/loops/fusion.h"

namespace jaxpp::loops {

std::vector<Interval> intervals(const Program& p) {
  std::vector<Interval> r(std::size_t(p.next_sym));
  each_node(p.body, [&](const Node& n) {
    if (auto* l = n.as<Loop>()) {
      r[std::size_t(l->var)] = {0, l->extent - 1};
      if (const Marks& m = l->marks; m.chunk != kNone)
        r[std::size_t(m.chunk)] = {0, (l->extent - 1) / m.grain};
    } else if (auto* c = n.as<Clip>()) {
      r[std::size_t(c->sym)] = {c->lo, c->hi};
    }
  });
  return r;
}

Interval interval(const Affine& a, const std::vector<Interval>& symbols) {
  Interval r{a.c, a.c};
  for (auto [s, k] : a.terms) {
    const Interval v = symbols[std::size_t(s)];
    r.lo += k * (k > 0 ? v.lo : v.hi);
    r.hi += k * (k > 0 ? v.hi : v.lo);
  }
  return r;
}

// Every index is  k * var + low + high  with the same k.  Terms of `high` are multiples of m, and terms of `low` with
// coefficients up to |k| move it less than |k|; then k * var + low, less than m apart, tells var.
bool iterations_apart(Sym var, const std::vector<Affine>& indices,
                      const std::vector<Interval>& symbols) {
  if (indices.empty()) return true;
  const std::int64_t step = std::abs(indices.front().coef(var));
  std::int64_t m = 0;  // no term of `high`
  for (const Affine& a : indices) {
    if (a.coef(var) != indices.front().coef(var)) return false;
    for (auto [s, k] : a.terms)
      if (std::abs(k) > step) m = std::gcd(m, k);
  }
  using Limits = std::numeric_limits<std::int64_t>;
  Interval low{Limits::max(), Limits::min()};
  for (const Affine& a : indices) {
    Affine part = m ? (a.c % m + m) % m : a.c;
    for (auto [s, k] : a.terms)
      if (s != var && std::abs(k) <= step) part += Affine::of(s, k);
    const Interval r = interval(part, symbols);
    low = {std::min(low.lo, r.lo), std::max(low.hi, r.hi)};
  }
  const std::int64_t width = low.hi - low.lo, trips = symbols[std::size_t(var)].hi;
  return width < step && (!m || step * trips + width < m);
}

// ---- Coalescing
//
//   parallel i < m          parallel k < m * n         if every index inside has n times as much of i as of j,
//     parallel j < n   ->                              so that i and j appear as n * i + j = k only.
// The order of iterations stays, so serial loops join too.
namespace {
struct Coalesce {
  std::vector<bool> owns;  // by loop variable: locals belong to the loop

  explicit Coalesce(const Program& p) : owns(std::size_t(p.next_sym)) {
    for (const Buffer& b : p.buffers)
      if (b.role == Buffer::Role::local && b.scope != kNone) owns[std::size_t(b.scope)] = true;
  }

  // f(index) for every index of a block.
  template <class B, class F>
  static void each_index(B& block, F f) {
    each_node(block, [&](auto& n) {
      if (auto* i = n.template as<Index>()) f(i->at);
      if (auto* l = n.template as<Load>()) f(l->at);
      if (auto* s = n.template as<Store>()) f(s->at);
      if (auto* c = n.template as<Call>()) {
        for (auto& o : c->in) f(o.at);
        for (auto& o : c->out) f(o.at);
      }
    });
  }

  void block(Block& b) {
    for (Node& n : b) {
      if (auto* l = n.as<Loop>()) {
        block(l->body);
        join(*l);
      } else if (auto* w = n.as<While>()) {
        block(w->cond);
        block(w->body);
      } else if (auto* i = n.as<If>()) {
        block(i->body);
        block(i->otherwise);
      }
    }
  }

  void join(Loop& outer) {
    if (outer.body.empty()) return;
    for (std::size_t i = 0; i + 1 < outer.body.size(); ++i)  // constants can move inside
      if (!outer.body[i].as<Const>()) return;
    Loop* inner = outer.body.back().as<Loop>();
    if (!inner || inner->order != outer.order || !(inner->marks == Marks()) ||
        !(outer.marks == Marks()) || owns[std::size_t(outer.var)])
      return;
    bool as_one = true;
    each_index(inner->body, [&](const Affine& at) {
      as_one &= at.coef(outer.var) == at.coef(inner->var) * inner->extent;
    });
    if (!as_one) return;
    each_index(inner->body, [&](Affine& at) { at = at.subst(outer.var, 0); });
    Loop joined = std::move(*inner);
    joined.extent *= outer.extent;
    outer.body.pop_back();
    joined.body.insert(joined.body.begin(), std::make_move_iterator(outer.body.begin()),
                       std::make_move_iterator(outer.body.end()));
    outer = std::move(joined);
  }
};
}  // namespace

void coalesce(Program& p) { Coalesce(p).block(p.body); }

// ---- Unrolling
namespace {
constexpr double kMaxCode = 2048;  // operations that one unrolled loop may become

struct Unroll {
  const Program& p;
  std::int64_t limit;

  bool in_registers(const Loop& l) const {  // it walks an array that can live in registers
    bool r = false;
    auto see = [&](int buffer, const Affine& at) {
      const Buffer& b = p.buffers[std::size_t(buffer)];
      r |= b.role == Buffer::Role::local && b.size <= limit && at.coef(l.var);
    };
    each_node(l.body, [&](const Node& n) {
      if (auto* load = n.as<Load>()) see(load->buffer, load->at);
      if (auto* store = n.as<Store>()) see(store->buffer, store->at);
    });
    return r;
  }

  // The operations in the code of a block; infinite where a loop stays a loop.
  double block(Block& b, bool in_time) {
    double code = 0;
    for (Node& n : b) {
      if (auto* l = n.as<Loop>()) {
        const bool serial = l->order == Order::serial;
        const double body = block(l->body, in_time || serial || l->marks.lanes > 1);
        const bool wanted = in_registers(*l) || (in_time && !serial);
        const double all = double(l->extent) * body;
        l->marks.unroll = wanted && l->marks.lanes == 1 && l->extent <= limit && all <= kMaxCode;
        code += l->marks.unroll ? all : std::numeric_limits<double>::infinity();
      } else if (auto* w = n.as<While>()) {
        code += block(w->cond, true) + block(w->body, true);
      } else if (auto* i = n.as<If>()) {
        code += block(i->body, in_time) + block(i->otherwise, in_time);
      } else if (auto* let = n.as<Let>()) {
        code += fusion::weight(*let->op);
      } else if (!n.as<Const>()) {
        code += 1;
      }
    }
    return code;
  }
};
}  // namespace

void unroll(Program& p, const Target& t) { Unroll{p, t.max_unroll}.block(p.body, false); }

// ---- All of it
void schedule(Program& p, const Target& t) {
  shrink(p);
  coalesce(p);
  if (t.vector_bytes > 0) tile(p);
  accumulate(p, t);
  Lanes lanes(p, t);
  lanes.choose(p.body);
  std::vector<Loop*> in_lanes;  // packing changes the bodies of these only, and they do not nest
  each_node(p.body, [&](Node& n) {
    if (auto* l = n.as<Loop>(); l && l->marks.lanes > 1) in_lanes.push_back(l);
  });
  for (Loop* l : in_lanes) pack(p, *l);
  unroll(p, t);
  if (t.max_chunks > 0) {
    const std::vector<Sym> added = chunk(p, t, lanes);
    Lanes of_added(p, t);
    each_node(p.body, [&](Node& n) {
      if (auto* l = n.as<Loop>(); l && std::find(added.begin(), added.end(), l->var) != added.end())
        of_added.choose(n);
    });
  }
}

}  // namespace jaxpp::loops
