// schedule_rows.cc -- the inside of a row: which loops its threads share, and where locals live.
//
// What is not in a shared loop is done by every thread alike: scalars cost nothing that way, and
// nothing has to be broadcast.  A loop is shared if its iterations touch elements of their own, or
// combine into places that do not depend on the loop: then every thread combines its part, and the
// parts are combined in a fixed order.
#include <algorithm>
#include "backends/cuda/schedule.h"

namespace jaxpp::cuda {
namespace {

constexpr std::int64_t kWarp = 32;
constexpr std::int64_t kShared = 16;  // fewer iterations are done by every thread
constexpr std::int64_t kCopies = 64;  // elements of an array of which every thread has a copy

// The most iterations of parallel loops around one point of a block.
std::int64_t parallel_points(const Block& b) {
  std::int64_t most = 1;
  for (const Node& n : b) {
    if (auto* l = n.as<Loop>()) {
      const std::int64_t inside = parallel_points(l->body);
      most = std::max(most, l->order == Order::parallel ? l->extent * inside : inside);
    } else if (auto* w = n.as<While>()) {
      most = std::max({most, parallel_points(w->cond), parallel_points(w->body)});
    } else if (auto* i = n.as<If>()) {
      most = std::max({most, parallel_points(i->body), parallel_points(i->otherwise)});
    }
  }
  return most;
}

std::int64_t product(const std::vector<Level>& levels) {
  std::int64_t n = 1;
  for (const Level& l : levels) n *= l.extent;
  return n;
}

// How often memory is walked contiguously by a loop.
int contiguity(const Program& p, const Block& b, Sym var) {
  int n = 0;
  each_access(b, [&](const Access& a) {
    const std::int64_t k = a.at->coef(var);
    if (p.buffers[std::size_t(a.buffer)].role != Buffer::Role::local) n += k == 1 || k == -1;
  });
  return n;
}

class Binder {
 public:
  explicit Binder(Program& p) : p_(p) {}

  void block(Block& b) {
    for (Node& n : b) {
      if (auto* l = n.as<Loop>()) {
        if (l->order == Order::serial)
          block(l->body);
        else
          n = nest(peel(p_, std::move(*l)));
      } else if (auto* w = n.as<While>()) {
        block(w->cond);
        block(w->body);
      } else if (auto* i = n.as<If>()) {
        block(i->body);
        block(i->otherwise);
      }
    }
  }

 private:
  using Levels = std::vector<Level>;

  Node nest(Nest n) {
    // What each level means to the stores that combine into something outside.
    const auto symbols = intervals(p_, n);
    const Depends depends(n.leaf, n.levels);
    std::set<Sym> inside = loops_in(n.leaf);
    for (const Level& l : n.levels) inside.insert(l.var);
    std::map<int, std::vector<Access>> outside;
    std::vector<Access> combining;
    each_access(n.leaf, [&](const Access& a) {
      if (is_inside(p_, a.buffer, inside)) return;
      outside[a.buffer].push_back(a);
      if (a.combines()) combining.push_back(a);
    });
    Levels bad, kept, reduced;  // must stay in order; every store walks it; some store lacks it
    for (const Level& l : n.levels) {
      bool is_bad = false, is_reduced = false;
      for (const Access& a : combining) {
        is_bad |= depends.on_data(*a.at, l.var);
        if (a.at->coef(l.var) == 0)
          is_reduced = true;
        else
          is_bad |= !apart(outside[a.buffer], l, symbols);
      }
      (is_bad ? bad : is_reduced ? reduced : kept).push_back(l);
    }
    Levels shared;
    if (!choose(n, combining, kept, reduced, shared)) {
      const std::size_t levels = n.levels.size();
      Node r = assemble(p_, std::move(n));
      Loop* innermost = r.as<Loop>();
      for (std::size_t i = 1; i < levels; ++i) innermost = innermost->body[0].as<Loop>();
      block(innermost->body);
      return r;
    }
    std::vector<Marks> marks;
    Levels order;
    auto is_shared = [&](const Level& l) {
      return std::any_of(shared.begin(), shared.end(),
                         [&](const Level& s) { return s.var == l.var; });
    };
    const bool over_reduced = !reduced.empty() && is_shared(shared.front()) &&
                              std::any_of(reduced.begin(), reduced.end(), is_shared);
    for (const Level& l : n.levels)  // in every thread, one after another
      if (!is_shared(l) && (over_reduced ? !in(reduced, l) : in(bad, l))) order.push_back(l);
    marks.resize(order.size());
    Marks thread;
    thread.bind = Marks::Bind::thread;
    for (const Level& l : shared) order.push_back(l);
    marks.resize(order.size(), thread);
    for (const Level& l : n.levels)  // inside
      if (!in(order, l)) order.push_back(l);
    n.levels = std::move(order);
    return assemble(p_, std::move(n), marks);
  }
  static bool in(const Levels& v, const Level& l) {
    return std::any_of(v.begin(), v.end(), [&](const Level& x) { return x.var == l.var; });
  }

  // Which levels the threads share, the innermost contiguous in memory.  False: none.
  bool choose(const Nest& n, const std::vector<Access>& combining, Levels kept, Levels reduced,
              Levels& shared) const {
    const std::int64_t points = product(kept) * product(reduced), inner = parallel_points(n.leaf);
    if (inner >= kWarp && (points < kWarp || inner >= 4 * points)) return false;
    const std::int64_t k = product(kept), r = product(reduced);
    if (!kept.empty() && (reduced.empty() || (k >= kWarp && (k >= 4 * kWarp || k >= r)))) {
      shared = kept;
    } else if (!reduced.empty()) {
      // All that every store lacks, or the largest.
      for (const Level& l : reduced)
        if (std::all_of(combining.begin(), combining.end(),
                        [&](const Access& a) { return a.at->coef(l.var) == 0; }))
          shared.push_back(l);
      if (shared.empty())
        shared = {*std::max_element(reduced.begin(), reduced.end(),
                                    [](auto& a, auto& b) { return a.extent < b.extent; })};
      if (!reducible(n, combining, shared)) return false;
    }
    if (product(shared) < kShared) return false;
    // The most contiguous one innermost.
    const auto best =
        std::max_element(shared.begin(), shared.end(), [&](const Level& a, const Level& b) {
          return contiguity(p_, n.leaf, a.var) < contiguity(p_, n.leaf, b.var);
        });
    if (best != shared.end() &&
        contiguity(p_, n.leaf, best->var) > contiguity(p_, n.leaf, shared.back().var))
      std::rotate(best, best + 1, shared.end());
    return true;
  }
  // A thread keeps its part of every result: one element, or a small array that loops inside walk.
  bool reducible(const Nest& n, const std::vector<Access>& combining, const Levels& shared) const {
    const std::set<Sym> inner = loops_in(n.leaf);
    for (const Access& a : combining) {
      if (a.at->coef(shared[0].var)) continue;
      bool walks = false, other = false;
      for (auto& t : a.at->terms) (inner.count(t.sym) ? walks : other) = true;
      if (walks && (other || p_.buffers[std::size_t(a.buffer)].size > kMaxRegisters)) return false;
    }
    return true;
  }

  Program& p_;
};

}  // namespace

void bind_threads(Program& p, Block& row) { Binder(p).block(row); }

namespace {

bool shared_by_threads(const Node& n) {
  auto* l = n.as<Loop>();
  return l && l->marks.bind == Marks::Bind::thread;
}
ThreadNest nest_of(const Loop& outer) {
  ThreadNest t{&outer, {}, nullptr};
  for (const Loop* l = &outer;;) {
    t.levels.push_back({l->var, l->extent});
    t.leaf = &l->body;
    if (l->body.size() != 1 || !shared_by_threads(l->body[0])) return t;
    l = l->body[0].as<Loop>();
  }
}
// f(nest, loops around it inside the row; null where an If or While is between)
template <class F>
void each_thread_nest(const Block& b, std::vector<const Loop*>& around, F& f) {
  for (const Node& n : b) {
    if (shared_by_threads(n)) {
      f(nest_of(*n.as<Loop>()), around);
    } else if (auto* l = n.as<Loop>()) {
      around.push_back(l);
      each_thread_nest(l->body, around, f);
      around.pop_back();
    } else if (auto* w = n.as<While>()) {
      around.push_back(nullptr);
      each_thread_nest(w->cond, around, f);
      each_thread_nest(w->body, around, f);
      around.pop_back();
    } else if (auto* i = n.as<If>()) {
      around.push_back(nullptr);
      each_thread_nest(i->body, around, f);
      each_thread_nest(i->otherwise, around, f);
      around.pop_back();
    }
  }
}

}  // namespace

std::vector<ThreadNest> thread_nests(const Block& row) {
  std::vector<ThreadNest> all;
  std::vector<const Loop*> around;
  auto see = [&](const ThreadNest& t, auto&) { all.push_back(t); };
  each_thread_nest(row, around, see);
  return all;
}

RowFacts row_facts(const Program& p, const Loop& unit, const Unit& u) {
  RowFacts facts;
  struct Site {
    Access access;
    int nest;  // -1: outside of the shared loops
    bool lacks;
  };
  std::vector<ThreadNest> nests;
  std::vector<std::vector<const Loop*>> around_nest;
  std::map<const Node*, Site> sites;
  std::set<Sym> in_threads;
  std::vector<const Loop*> around;
  auto see = [&](const ThreadNest& t, const std::vector<const Loop*>& outer) {
    for (const Level& l : t.levels) in_threads.insert(l.var);
    for (Sym s : loops_in(*t.leaf)) in_threads.insert(s);
    each_access(*t.leaf, [&](const Access& a) {
      bool lacks = a.combines();
      for (const Level& l : t.levels) lacks &= a.at->coef(l.var) == 0;
      sites[a.node] = {a, int(nests.size()), lacks};
    });
    nests.push_back(t);
    around_nest.push_back(outer);
  };
  each_thread_nest(unit.body, around, see);
  each_access(unit.body, [&](const Access& a) { sites.try_emplace(a.node, Site{a, -1, false}); });

  // ---- Where locals live
  std::map<int, std::vector<const Site*>> by_buffer;
  for (auto& [node, s] : sites) by_buffer[s.access.buffer].push_back(&s);
  for (auto& [buffer, all] : by_buffer) {
    const Buffer& b = p.buffers[std::size_t(buffer)];
    if (b.role != Buffer::Role::local) continue;
    if (in_threads.count(b.scope) || u.group == 1) {
      facts.storage[buffer] = Storage::thread;
      continue;
    }
    bool stored_in_threads = false, own = true;
    std::int64_t points = 0;
    int vector = 0;
    for (const Site* s : all) {
      stored_in_threads |= s->nest >= 0 && !s->access.load && !s->lacks;
      if (s->nest < 0) {
        own = false;
        continue;
      }
      const ThreadNest& t = nests[std::size_t(s->nest)];
      Affine flat;  // the number of the iteration
      for (const Level& l : t.levels) (flat *= l.extent) += Affine::of(l.var);
      const auto v = u.vectors.find(t.levels.back().var);
      const int width = v == u.vectors.end() ? 1 : v->second;
      own &= *s->access.at == flat && (points == 0 || (points == t.points() && vector == width));
      points = t.points();
      vector = width;
    }
    const std::int64_t step = std::int64_t(std::max(u.group, 1)) * std::max(vector, 1);
    own &= points > 0 && (points + step - 1) / step * vector <= kMaxRegisters;
    facts.storage[buffer] = !stored_in_threads && b.size <= kCopies ? Storage::copies
                            : stored_in_threads && own              ? Storage::registers
                                                                    : Storage::shared;
  }

  // ---- Reductions over threads
  for (auto& [node, s] : sites) {
    if (s.nest < 0 || !s.lacks || is_inside(p, s.access.buffer, in_threads)) continue;
    const Loop* after = nests[std::size_t(s.nest)].outer;
    const auto& outer = around_nest[std::size_t(s.nest)];
    for (std::size_t i = outer.size(); i-- > 0 && outer[i];) {
      const Loop& l = *outer[i];
      if (l.marks.bind == Marks::Bind::block) break;
      std::set<Sym> inside = loops_in(l.body);
      inside.insert(l.var);
      bool fixed = !is_inside(p, s.access.buffer, inside);
      each_node(l.body, [&](const Node& n) {
        if (auto* c = n.as<Clip>()) inside.insert(c->sym);
      });
      for (auto& t : s.access.at->terms) fixed &= !inside.count(t.sym) || in_threads.count(t.sym);
      each_access(l.body, [&](const Access& a) {
        if (a.buffer == s.access.buffer)
          fixed &= sites.at(a.node).lacks && a.combine == s.access.combine;
      });
      if (!fixed) break;
      after = &l;
    }
    facts.reduced_after[node] = after;
  }
  return facts;
}

std::int64_t shared_bytes(const Program& p, const RowFacts& f) {
  std::int64_t n = 0;
  for (auto [buffer, s] : f.storage) {
    const Buffer& b = p.buffers[std::size_t(buffer)];
    if (s == Storage::shared) n += (b.size * std::int64_t(width(b.dtype)) + 15) / 16 * 16;
  }
  return n;
}

double sequential_work(const Block& row, int threads) {
  double sum = 0;
  for (const Node& n : row) {
    if (shared_by_threads(n)) {
      const ThreadNest t = nest_of(*n.as<Loop>());
      sum += double((t.points() + threads - 1) / threads) * work(*t.leaf) + 10;
    } else if (auto* l = n.as<Loop>()) {
      sum += double(l->extent) * sequential_work(l->body, threads);
    } else if (auto* w = n.as<While>()) {
      sum += kWhileTrips * (sequential_work(w->cond, threads) + sequential_work(w->body, threads));
    } else if (auto* i = n.as<If>()) {
      sum += sequential_work(i->body, threads) + sequential_work(i->otherwise, threads);
    } else {
      sum += 1;
    }
  }
  return sum;
}

}  // namespace jaxpp::cuda
