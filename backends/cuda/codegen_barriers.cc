// codegen_barriers.cc -- where the threads of a row wait for each other.
//
// One walk over what all threads do alike, with the accesses since the last barrier.  An access
// belongs to all threads (a load), to the first one (a store), or, inside a shared loop, to the
// thread that its index says.  Two accesses to one memory, of which one writes, need a barrier
// between them unless the same thread does both to every element.  Loops are walked again with what
// their end leaves to their beginning, until nothing new is found.
#include <algorithm>
#include <limits>
#include "backends/cuda/codegen_kernel.h"

namespace jaxpp::cuda {
namespace {

struct Owner {
  enum class Kind : std::uint8_t { all, first, walker, unknown } kind = Kind::all;
  // walker: the thread that runs iteration `flat` of `points`, taken by vectors; the element is
  // step flat + rest + window
  std::int64_t points = 0, vector = 1, step = 0;
  Affine rest;
  std::int64_t lo = 0, hi = 0;
  bool operator==(const Owner&) const = default;
};
bool same_thread(const Owner& a, const Owner& b) {
  if (a.kind != b.kind || a.kind == Owner::Kind::all || a.kind == Owner::Kind::unknown)
    return false;
  if (a.kind == Owner::Kind::first) return true;
  const std::int64_t step = a.step < 0 ? -a.step : a.step;
  return a.points == b.points && a.vector == b.vector && a.step == b.step && a.rest == b.rest &&
         std::max(a.hi, b.hi) - std::min(a.lo, b.lo) < step;
}
struct Touch {
  int buffer;
  bool write;
  Owner owner;
  bool operator==(const Touch&) const = default;
};
using State = std::vector<Touch>;

class Walk {
 public:
  Walk(const Facts& f, const Loop& unit, const Unit& u, const RowFacts& r) : f_(f), u_(u), r_(r) {
    stored_ = written(unit.body);
    State s;
    block(unit.body, s);
  }
  std::set<const Node*> found;
  std::set<const Loop*> found_behind;

 private:
  // Memory that several threads see and that somebody writes.
  bool matters(int b) const {
    if (f_.buffer(b).role == Buffer::Role::local) {
      auto it = r_.storage.find(b);
      return it != r_.storage.end() && it->second == Storage::shared;
    }
    return std::any_of(stored_.begin(), stored_.end(),
                       [&](int s) { return s == b || f_.may_alias(s, b); });
  }
  bool one_memory(int a, int b) const { return a == b || f_.may_alias(a, b); }
  bool conflict(const Touch& a, const Touch& b) const {
    if ((!a.write && !b.write) || !one_memory(a.buffer, b.buffer)) return false;
    return a.buffer != b.buffer || !same_thread(a.owner, b.owner);
  }

  // node comes next, with these accesses.
  void meet(const Node& n, const State& next, State& s) {
    bool wait = found.count(&n) > 0;
    for (const Touch& t : next)
      for (const Touch& before : s) wait = wait || conflict(before, t);
    if (wait) {
      found.insert(&n);
      s.clear();
    }
    join(s, next);
  }
  static void join(State& s, const State& more) {
    for (const Touch& t : more)
      if (std::find(s.begin(), s.end(), t) == s.end()) s.push_back(t);
  }

  void block(const Block& b, State& s) {
    for (const Node& n : b) node(n, s);
  }
  void node(const Node& n, State& s) {
    if (auto* l = n.as<Loop>()) {
      if (l->marks.bind == Marks::Bind::thread) {
        meet(n, inside(*l), s);
      } else {
        for (bool again = true; again;) {
          const std::size_t before = found.size() + found_behind.size();
          State body = s;
          block(l->body, body);
          again = found.size() + found_behind.size() != before;
          State all = s;
          join(all, body);
          again |= all.size() != s.size();
          s = std::move(all);
          if (!again) s = std::move(body);
        }
      }
      results(*l, s);
    } else if (auto* w = n.as<While>()) {
      for (bool again = true; again;) {
        const std::size_t before = found.size() + found_behind.size(), size = s.size();
        State t = s;
        block(w->cond, t);
        const State leave = t;
        block(w->body, t);
        join(s, t);
        again = found.size() + found_behind.size() != before || s.size() != size;
        if (!again) s = leave;
      }
    } else if (auto* i = n.as<If>()) {
      State other = s;
      block(i->body, s);
      block(i->otherwise, other);
      join(s, other);
    } else if (auto* l2 = n.as<Load>()) {
      if (matters(l2->buffer)) meet(n, {{l2->buffer, false, {}}}, s);
    } else if (auto* st = n.as<Store>()) {
      if (matters(st->buffer) && !u_.skips.count(st->buffer)) meet(n, by_first(*st), s);
    }
  }
  static State by_first(const Store& st) {
    Owner first;
    first.kind = Owner::Kind::first;
    return {{st.buffer, true, first}};
  }
  // The reductions behind a loop, whose results the first thread stores.  A block has waited when
  // they are done.
  void results(const Loop& l, State& s) {
    State next;
    bool reduces = false;
    for (auto& [store, after] : r_.reduced_after) {
      if (after != &l) continue;
      reduces = true;
      if (matters(store->as<Store>()->buffer)) join(next, by_first(*store->as<Store>()));
    }
    if (reduces && u_.group > 32) s.clear();
    bool wait = found_behind.count(&l) > 0;
    for (const Touch& t : next)
      for (const Touch& before : s) wait = wait || conflict(before, t);
    if (wait) {
      found_behind.insert(&l);
      s.clear();
    }
    join(s, next);
  }

  // The accesses of a loop that threads share.
  State inside(const Loop& l) {
    ThreadNest t{&l, {}, nullptr};
    for (const Loop* k = &l;;) {
      t.levels.push_back({k->var, k->extent});
      t.leaf = &k->body;
      const Loop* next = k->body.size() == 1 ? k->body[0].as<Loop>() : nullptr;
      if (!next || next->marks.bind != Marks::Bind::thread) break;
      k = next;
    }
    const std::set<Sym> loops = loops_in(*t.leaf);
    std::set<Sym> clips;
    each_node(*t.leaf, [&](const Node& n) {
      if (auto* c = n.as<Clip>()) clips.insert(c->sym);
    });
    const auto v = u_.vectors.find(t.levels.back().var);
    State s;
    each_access(*t.leaf, [&](const Access& a) {
      if (!matters(a.buffer) || r_.reduced_after.count(a.node) || u_.skips.count(a.buffer)) return;
      Owner o;
      o.kind = Owner::Kind::walker;
      o.points = t.points();
      o.vector = v == u_.vectors.end() ? 1 : v->second;
      o.step = a.at->coef(t.levels.back().var);
      Affine rest = *a.at;
      std::int64_t expected = o.step;
      for (std::size_t i = t.levels.size(); i-- > 0;) {
        if (a.at->coef(t.levels[i].var) != expected) o.kind = Owner::Kind::unknown;
        expected *= t.levels[i].extent;
        rest = rest.subst(t.levels[i].var, 0);
      }
      if (o.step == 0) o.kind = a.load ? Owner::Kind::all : Owner::Kind::unknown;
      // What varies inside stays within one step; what varies around moves by all steps.
      Affine window = rest.c;
      rest.c = 0;
      for (auto& [sym, k] : Affine(rest).terms) {
        if (clips.count(sym)) o.kind = Owner::Kind::unknown;
        if (loops.count(sym)) {
          window += Affine::of(sym, k);
          rest = rest.subst(sym, 0);
        } else if (o.kind == Owner::Kind::walker && k % (o.step * o.points) != 0) {
          o.kind = Owner::Kind::unknown;
        }
      }
      const Interval w = interval(window, f_.symbols);
      o.lo = w.lo;
      o.hi = w.hi;
      o.rest = rest;
      if (o.kind != Owner::Kind::walker) {
        const Owner::Kind kind = o.kind;
        o = {};
        o.kind = kind;
      }
      const Touch touch{a.buffer, !a.load, o};
      if (std::find(s.begin(), s.end(), touch) == s.end()) s.push_back(touch);
    });
    return s;
  }

  const Facts& f_;
  const Unit& u_;
  const RowFacts& r_;
  std::set<int> stored_;
};

}  // namespace

Barriers barriers(const Facts& f, const Loop& unit, const Unit& u, const RowFacts& r) {
  if (u.group <= 1) return {};
  Walk w(f, unit, u, r);
  return {std::move(w.found), std::move(w.found_behind)};
}

}  // namespace jaxpp::cuda
