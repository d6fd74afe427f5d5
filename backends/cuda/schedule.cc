// schedule.cc -- every top-level node becomes a unit of some form; see schedule.h.
#include "backends/cuda/schedule.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>
#include "backends/cuda/codegen_scalar.h"

namespace jaxpp::cuda {
namespace {

// From extents only, never from a device: results must not depend on it.
constexpr std::int64_t kBlocks = 528;        // enough to fill a large device
constexpr std::int64_t kBlockPoints = 16384; // of a sum: fewer are not worth a second kernel
constexpr double kVectorWork = 160;          // operations of a thread, times elements at once
constexpr double kMostSequential = 1e6;      // steps of one thread; the host is faster beyond
constexpr std::int64_t kRow = 32;            // iterations worth a warp

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t product(const std::vector<Level>& levels) {
  std::int64_t n = 1;
  for (const Level& l : levels) n *= l.extent;
  return n;
}
bool has(const std::vector<Level>& levels, Sym s) {
  return std::any_of(levels.begin(), levels.end(), [&](const Level& l) { return l.var == s; });
}
Marks bound(Marks::Bind b) {
  Marks m;
  m.bind = b;
  return m;
}
// Row-major position among the levels.
Affine position(const std::vector<Level>& levels) {
  Affine a;
  for (const Level& l : levels) (a *= l.extent) += Affine::of(l.var);
  return a;
}
bool straight(const Block& b) {
  return std::none_of(b.begin(), b.end(), [](const Node& n) { return n.as<Loop>() || n.as<While>() || n.as<If>(); });
}

class Scheduler {
 public:
  explicit Scheduler(Program p) : p_(std::move(p)) {}

  Scheduled run() {
    std::vector<Group> groups = split(std::exchange(p_.body, {}));
    bring_values(groups);
    locals_to_temps(groups);
    for (Group& g : groups) {
      if (g.run) {
        single(std::move(g.nodes));
      } else if (auto* c = g.nodes[0].as<Call>()) {
        call(std::move(*c));
      } else {
        nest(std::move(*g.nodes[0].as<Loop>()));
      }
    }
    start_from_nothing();
    Scheduled s;
    p_.body = std::move(out_);
    s.program = std::move(p_);
    s.units = std::move(units_);
    return s;
  }

 private:
  struct Group {
    Block nodes;
    bool run = false;  // what is not one parallel loop or one call
  };

  // ---- The top level
  std::vector<Group> split(Block body) {
    std::vector<Group> groups;
    auto alone = [&](Node n) {
      groups.push_back({});
      groups.back().nodes.push_back(std::move(n));
    };
    auto in_run = [&](Node n) {
      if (groups.empty() || !groups.back().run) groups.push_back({{}, true});
      groups.back().nodes.push_back(std::move(n));
    };
    for (Node& n : body) {
      if (auto* l = n.as<Loop>()) {
        if (l->order == Order::parallel || move_outside(*l)) {
          alone(std::move(n));
          continue;
        }
      } else if (auto* c = n.as<Call>()) {
        bool fixed = true;
        for (auto& o : c->in) fixed &= o.at.constant();
        for (auto& o : c->out) fixed &= o.at.constant();
        if (!fixed) groups.push_back({{}, true});  // a run of its own: it is for the host
        if (!fixed) {
          groups.back().nodes.push_back(std::move(n));
          groups.push_back({{}, true});
        } else {
          alone(std::move(n));
        }
        continue;
      } else if (auto* i = n.as<If>(); i && work(i->body) + work(i->otherwise) > 4096 && guard(*i, groups)) {
        continue;
      }
      in_run(std::move(n));
    }
    std::erase_if(groups, [](const Group& g) { return g.nodes.empty(); });
    return groups;
  }

  //   serial s                     parallel i        if the iterations of i touch elements of their own, for all s
  //     parallel i          ->       serial s
  bool move_outside(Loop& serial) {
    const std::set<int> stored = written(serial.body);
    if (serial.body.empty() || !serial.body.back().as<Loop>()) return false;
    for (std::size_t i = 0; i + 1 < serial.body.size(); ++i)
      if (!is_pure(serial.body[i], stored)) return false;
    const Loop& first = *serial.body.back().as<Loop>();
    if (first.order != Order::parallel || first.extent < kRow) return false;
    const auto symbols = intervals(with(serial));
    std::map<int, std::vector<Access>> by_buffer;
    bool calls = false;
    each_node(serial.body, [&](const Node& n) { calls |= n.as<Call>() != nullptr; });
    if (calls) return false;
    const std::set<Sym> inside = loops_in(first.body);
    each_access(serial.body, [&](const Access& a) {
      const Buffer& b = p_.buffers[std::size_t(a.buffer)];
      const bool own = b.role == Buffer::Role::local && (b.scope == first.var || inside.count(b.scope));
      if (stored.count(a.buffer) && !own) by_buffer[a.buffer].push_back(a);
    });
    for (auto& [b, all] : by_buffer)
      if (!apart(all, {first.var, first.extent}, symbols)) return false;
    Loop parallel = std::move(*serial.body.back().as<Loop>());
    serial.body.pop_back();
    for (Node& n : parallel.body) serial.body.push_back(std::move(n));
    for (Buffer& b : p_.buffers)  // one copy an iteration of i serves all s: each s starts by writing it
      if (b.role == Buffer::Role::local && b.scope == serial.var) b.scope = parallel.var;
    parallel.body.clear();
    parallel.body.push_back(std::move(serial));
    serial = std::move(parallel);
    return true;
  }
  // A program with one loop in it, for questions about symbols.
  Program with(const Loop& l) const {
    Program q;
    q.next_sym = p_.next_sym;
    q.body.push_back(l);
    return q;
  }

  //   if p            parallel i
  //     parallel i  ->   if p            for every loop of the branches; p is kept in memory
  bool guard(If& i, std::vector<Group>& groups) {
    auto possible = [](const Block& b) {
      return std::all_of(b.begin(), b.end(), [](const Node& n) {
        auto* l = n.as<Loop>();
        return (l && l->order == Order::parallel) || n.as<Store>() || is_pure(n, {});
      });
    };
    if (!possible(i.body) || !possible(i.otherwise)) return false;
    // Loads of the branches must see what stands before them.
    auto run = [&]() -> Block& {
      if (groups.empty() || !groups.back().run) groups.push_back({{}, true});
      return groups.back().nodes;
    };
    const int flag = temp("t_if", DType::b1, 1);
    run().push_back(Store{flag, 0, Combine::set, i.pred});
    auto guarded = [&](bool on, Block inside) {
      Block r;
      const Sym v = p_.next_sym++;
      r.push_back(Load{v, flag, 0});
      If f;
      f.pred = v;
      (on ? f.body : f.otherwise) = std::move(inside);
      r.push_back(std::move(f));
      return r;
    };
    for (bool on : {true, false})
      for (Node& n : on ? i.body : i.otherwise) {
        if (auto* l = n.as<Loop>()) {
          Nest nest = peel(p_, std::move(*l));
          nest.leaf = guarded(on, std::move(nest.leaf));
          groups.push_back({});
          groups.back().nodes.push_back(assemble(p_, std::move(nest)));
        } else if (n.as<Store>()) {
          Block one;
          one.push_back(std::move(n));
          for (Node& m : guarded(on, std::move(one))) run().push_back(std::move(m));
        } else {
          run().push_back(std::move(n));
        }
      }
    return true;
  }

  int temp(const std::string& stem, DType d, std::int64_t size) {
    Buffer b;
    b.name = stem + std::to_string(p_.buffers.size());
    b.dtype = d;
    b.size = size;
    p_.buffers.push_back(std::move(b));
    return int(p_.buffers.size()) - 1;
  }

  // Values defined in one group and used in another: constants are repeated, others go through memory.
  void bring_values(std::vector<Group>& groups) {
    struct Definition {
      std::size_t group;
      const Node* node;
    };
    std::unordered_map<Sym, Definition> defined;
    std::unordered_map<Sym, DType> types;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (!groups[g].run) continue;
      for (const Node& n : groups[g].nodes) {
        if (auto* l = n.as<Let>())
          for (int i = 0; i < l->results; ++i) defined[l->sym + i] = {g, &n}, types[l->sym + i] = l->dtype;
        if (auto* c = n.as<Const>()) defined[c->sym] = {g, &n}, types[c->sym] = c->value.dtype;
        if (auto* i = n.as<Index>()) defined[i->sym] = {g, &n}, types[i->sym] = i->dtype;
        if (auto* c = n.as<Clip>()) defined[c->sym] = {g, &n};
        if (auto* l = n.as<Load>())
          defined[l->sym] = {g, &n}, types[l->sym] = p_.buffers[std::size_t(l->buffer)].dtype;
      }
    }
    std::unordered_map<Sym, int> saved;  // the buffer that keeps a value
    std::vector<Block> front(groups.size()), back(groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (!groups[g].run) continue;
      std::unordered_map<Sym, Sym> renamed;
      auto bring = [&](auto&& self, Sym s) -> Sym {
        auto it = defined.find(s);
        if (it == defined.end() || it->second.group == g) return s;
        if (auto r = renamed.find(s); r != renamed.end()) return r->second;
        const Node& n = *it->second.node;
        const Sym now = p_.next_sym++;
        if (auto* c = n.as<Const>()) {
          front[g].push_back(Const{now, c->value});
        } else if (auto* c2 = n.as<Clip>()) {
          const Sym arg = self(self, c2->arg);
          front[g].push_back(Clip{now, arg, c2->lo, c2->hi});
        } else {
          auto [b, fresh] = saved.try_emplace(s, -1);
          if (fresh) {
            b->second = temp("t_value", types.at(s), 1);
            back[it->second.group].push_back(Store{b->second, 0, Combine::set, s});
          }
          front[g].push_back(Load{now, b->second, 0});
        }
        renamed[s] = now;
        return now;
      };
      auto use = [&](Sym& s) {
        if (s != kNone) s = bring(bring, s);
      };
      auto index = [&](Affine& at) {
        const Affine old = at;
        for (auto& t : old.terms)
          if (const Sym s = bring(bring, t.sym); s != t.sym) at = at.subst(t.sym, Affine::of(s));
      };
      each_node(groups[g].nodes, [&](Node& n) {
        if (auto* l = n.as<Let>())
          for (Sym& s : l->args) use(s);
        if (auto* c = n.as<Clip>()) use(c->arg);
        if (auto* s = n.as<Store>()) use(s->value);
        if (auto* i = n.as<If>()) use(i->pred);
        if (auto* w = n.as<While>()) use(w->pred);
      });
      each_affine(groups[g].nodes, index);
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      Block& b = groups[g].nodes;
      b.insert(b.begin(), std::make_move_iterator(front[g].begin()), std::make_move_iterator(front[g].end()));
      b.insert(b.end(), std::make_move_iterator(back[g].begin()), std::make_move_iterator(back[g].end()));
    }
    // A group of constants that nobody is left to use does nothing.
    std::erase_if(groups, [](const Group& g) {
      return g.run && std::all_of(g.nodes.begin(), g.nodes.end(), [](const Node& n) { return is_pure(n, {}); });
    });
  }

  // Kernels share nothing but memory.
  void locals_to_temps(std::vector<Group>& groups) {
    std::unordered_map<int, int> seen;  // by buffer: the one group that uses it, or -1
    for (std::size_t g = 0; g < groups.size(); ++g) {
      auto see = [&](int b) {
        auto [it, fresh] = seen.try_emplace(b, int(g));
        if (!fresh && it->second != int(g)) it->second = -1;
      };
      each_access(groups[g].nodes, [&](const Access& a) { see(a.buffer); });
      each_node(groups[g].nodes, [&](const Node& n) {
        if (auto* c = n.as<Call>()) {
          for (auto& o : c->in) seen[o.buffer] = -1;
          for (auto& o : c->out) seen[o.buffer] = -1;
        }
      });
    }
    for (auto [b, g] : seen) {
      Buffer& buffer = p_.buffers[std::size_t(b)];
      if (buffer.role != Buffer::Role::local || buffer.scope != kNone) continue;
      if (g >= 0 && groups[std::size_t(g)].run)
        own_[g].push_back(b);
      else
        buffer.role = Buffer::Role::temp;
    }
    run_ = -1;
    for (std::size_t g = 0; g < groups.size(); ++g)
      if (groups[g].run) runs_.push_back(int(g));
  }

  // ---- Units
  void finish(Node n, Unit u) {
    out_.push_back(std::move(n));
    units_.push_back(std::move(u));
  }
  void host(Node n, std::string why) {
    Unit u;
    u.form = Form::host;
    u.why = std::move(why);
    each_node(n_block(n), [](Node& m) {
      if (auto* l = m.as<Loop>()) l->marks = {};
    });
    finish(std::move(n), std::move(u));
  }
  static Block& n_block(Node& n) {
    static thread_local Block empty;
    auto* l = n.as<Loop>();
    if (!l) return empty = {};
    l->marks = {};
    return l->body;
  }

  // Why the device cannot run a block; empty: it can.
  std::string obstacle(const Block& b) const {
    std::unordered_map<Sym, DType> types;
    std::string why;
    each_node(b, [&](const Node& n) {
      if (auto* c = n.as<Const>()) types[c->sym] = c->value.dtype;
      if (auto* i = n.as<Index>()) types[i->sym] = i->dtype;
      if (auto* l = n.as<Load>()) types[l->sym] = p_.buffers[std::size_t(l->buffer)].dtype;
      if (auto* c = n.as<Call>(); c && why.empty())
        why = std::string(c->prim->name) + ": a call inside of a loop";
      if (auto* l = n.as<Let>()) {
        std::vector<DType> in;
        for (Sym s : l->args) in.push_back(types[s]);
        for (int i = 0; i < l->results; ++i) types[l->sym + i] = l->dtype;
        if (why.empty() && !has_device_form(*l, in))
          why = std::string(l->op->name) + ": no device form for " + name(in.empty() ? l->dtype : in[0]);
      }
    });
    return why;
  }

  void call(Call c) {
    Product product = as_gemm(c);
    Unit u;
    u.form = product.why.empty() ? Form::gemm : Form::host;
    u.why = product.why;
    u.gemm = product.gemm;
    u.a = product.a;
    u.b = product.b;
    u.c = product.c;
    finish(std::move(c), std::move(u));
  }

  // What is no nest: one row.
  void single(Block nodes) {
    Loop l = make_loop(p_, 1);
    const int run = runs_[std::size_t(++run_)];
    l.body = std::move(nodes);
    for (int b : own_[run]) p_.buffers[std::size_t(b)].scope = l.var;
    if (std::string why = obstacle(l.body); !why.empty()) return host(std::move(l), std::move(why));
    l.marks = bound(Marks::Bind::block);
    bind_threads(p_, l.body);
    row(std::move(l), 1);
  }

  struct Combined {  // a store into something outside of a nest
    Access access;
    std::set<Sym> missing;  // levels over which it combines
  };

  void nest(Loop l) {
    if (std::string why = obstacle(l.body); !why.empty()) return host(std::move(l), std::move(why));
    Nest n = peel(p_, std::move(l));
    std::vector<Combined> combined;
    if (!combinations(n, combined)) {
      const double steps = double(n.points()) * work(n.leaf);
      Node whole = assemble(p_, std::move(n));
      if (steps > kMostSequential) return host(std::move(whole), "scatter: several updates may meet in one element");
      Loop one = make_loop(p_, 1);
      each_node(one_block(whole), [](Node& m) {
        if (auto* inner = m.as<Loop>()) inner->order = Order::serial;
      });
      one.body.push_back(std::move(whole));
      one.marks = bound(Marks::Bind::block);
      return row(std::move(one), 1);
    }
    std::set<Sym> all, common;
    for (std::size_t i = 0; i < combined.size(); ++i) {
      all.insert(combined[i].missing.begin(), combined[i].missing.end());
      if (i == 0)
        common = combined[i].missing;
      else
        std::erase_if(common, [&](Sym s) { return !combined[i].missing.count(s); });
    }
    if (rowish(n)) return rows(std::move(n), std::move(combined));
    if (all.empty()) return loop(std::move(n));
    if (common.size() == n.levels.size() && small_results(n, combined, kMaxRegisters)) return sum(std::move(n), std::move(combined));
    const Sym along = contiguous(n);
    std::vector<Level> kept, reduced;
    for (const Level& v : n.levels) (common.count(v.var) ? reduced : kept).push_back(v);
    const bool few = product(reduced) < kRow && product(kept) >= 1024;
    if (!common.empty() && !kept.empty() && small_results(n, combined, 1) && (!common.count(along) || few))
      return columns(std::move(n), std::move(combined), kept, reduced);
    // The contiguous loop runs in the threads of a row.
    Nest row, inner;
    inner.leaf = std::move(n.leaf);
    inner_scope(n.levels, along);
    Marks thread = bound(Marks::Bind::thread);
    for (const Level& v : n.levels)
      if (v.var == along) inner.levels.push_back(v);
    std::vector<Level> outer;
    for (const Level& v : n.levels)
      if (v.var != along) outer.push_back(v);
    if (outer.empty()) outer.push_back({p_.next_sym++, 1});
    // Reduced levels other than the contiguous one run in the row, one after another.
    std::vector<Level> blocks, serial;
    for (const Level& v : outer) (common.count(v.var) && common.count(along) ? serial : blocks).push_back(v);
    if (blocks.empty()) std::swap(blocks, serial);
    row.leaf.push_back(assemble(p_, std::move(inner), {thread}));
    for (std::size_t i = serial.size(); i-- > 0;) {
      Loop u;
      u.var = serial[i].var;
      u.extent = serial[i].extent;
      u.body = std::move(row.leaf);
      row.leaf.clear();
      row.leaf.push_back(std::move(u));
    }
    row.levels = blocks;
    for (Combined& c : combined) std::erase_if(c.missing, [&](Sym s) { return !has(blocks, s); });
    rows(std::move(row), std::move(combined));
  }
  static Block& one_block(Node& n) {
    Loop& l = *n.as<Loop>();
    l.order = Order::serial;
    return l.body;
  }

  // The stores that combine into something outside.  Levels on which the place depends by data run one after another,
  // inside of the others.  False: the nest must run as one thread would.
  bool combinations(Nest& n, std::vector<Combined>& all) {
    std::set<Sym> inside = loops_in(n.leaf);
    for (const Level& l : n.levels) inside.insert(l.var);
    const Depends depends(n.leaf, n.levels);
    const auto symbols = nest_intervals(n);
    std::map<int, std::vector<Access>> outside;
    each_access(n.leaf, [&](const Access& a) {
      if (!is_inside(p_, a.buffer, inside)) outside[a.buffer].push_back(a);
    });
    std::set<Sym> in_order;
    for (auto& [b, list] : outside)
      for (const Access& a : list) {
        if (!a.combines()) continue;
        Combined c{a, {}};
        for (const Level& l : n.levels) {
          if (depends.on_data(*a.at, l.var))
            in_order.insert(l.var);
          else if (a.at->coef(l.var) == 0)
            c.missing.insert(l.var);
          else if (!apart(list, l, symbols))
            in_order.insert(l.var);
        }
        all.push_back(std::move(c));
      }
    if (in_order.empty()) return true;
    if (in_order.size() == n.levels.size()) return false;
    for (Combined& c : all) {
      if (!std::all_of(c.missing.begin(), c.missing.end(), [&](Sym s) { return in_order.count(s); })) return false;
      c.missing.clear();
    }
    Nest inner;
    std::vector<Level> outer;
    for (const Level& l : n.levels) (in_order.count(l.var) ? inner.levels : outer).push_back(l);
    inner.leaf = std::move(n.leaf);
    Node serial = assemble(p_, std::move(inner));
    for (Node* m = &serial; m && m->as<Loop>() && in_order.count(m->as<Loop>()->var);) {
      Loop& l = *m->as<Loop>();
      l.order = Order::serial;
      m = l.body.size() == 1 ? &l.body[0] : nullptr;
    }
    n.leaf.clear();
    n.leaf.push_back(std::move(serial));
    n.levels = std::move(outer);
    all.clear();  // pointers into the old leaf
    return true;
  }
  std::vector<Interval> nest_intervals(const Nest& n) const {
    Program q;
    q.next_sym = p_.next_sym;
    Block body = n.leaf;
    for (std::size_t i = n.levels.size(); i-- > 0;) {
      Loop l;
      l.var = n.levels[i].var;
      l.extent = n.levels[i].extent;
      l.body = std::move(body);
      body.clear();
      body.push_back(std::move(l));
    }
    q.body = std::move(body);
    return intervals(q);
  }

  // How often memory is walked contiguously along a loop; stores count double.
  int contiguity(const Block& b, Sym var) const {
    int n = 0;
    each_access(b, [&](const Access& a) {
      const std::int64_t k = a.at->coef(var);
      if (p_.buffers[std::size_t(a.buffer)].role != Buffer::Role::local && (k == 1 || k == -1)) n += a.load ? 1 : 2;
    });
    return n;
  }
  Sym contiguous(const Nest& n) const {
    Sym best = n.levels.back().var;
    for (const Level& l : n.levels)
      if (contiguity(n.leaf, l.var) > contiguity(n.leaf, best)) best = l.var;
    return best;
  }
  // Whether a thread can keep its part of every result.
  bool small_results(const Nest& n, const std::vector<Combined>& combined, std::int64_t most) const {
    const std::set<Sym> inner = loops_in(n.leaf);
    for (const Combined& c : combined) {
      bool walks = false;
      for (auto& t : c.access.at->terms) {
        if (!inner.count(t.sym) && !has(n.levels, t.sym)) return false;  // a place from data
        walks |= inner.count(t.sym) > 0;
      }
      if (walks && p_.buffers[std::size_t(c.access.buffer)].size > most) return false;
    }
    return true;
  }
  // Whether there is a warp's work, or more, inside of one iteration, along memory.
  bool rowish(const Nest& n) const {
    std::int64_t most = 1;
    int inner = 0, outer = 0;
    auto walk = [&](auto&& self, const Block& b, std::int64_t around) -> void {
      for (const Node& m : b) {
        if (auto* l = m.as<Loop>()) {
          const bool parallel = l->order == Order::parallel;
          const std::int64_t points = parallel ? around * l->extent : around;
          if (parallel) {
            most = std::max(most, points);
            inner = std::max(inner, contiguity(l->body, l->var));
          }
          self(self, l->body, points);
        } else if (auto* w = m.as<While>()) {
          self(self, w->cond, around);
          self(self, w->body, around);
        } else if (auto* i = m.as<If>()) {
          self(self, i->body, around);
          self(self, i->otherwise, around);
        }
      }
    };
    walk(walk, n.leaf, 1);
    for (const Level& l : n.levels) outer = std::max(outer, contiguity(n.leaf, l.var));
    return most >= kRow && (inner >= outer || (n.points() < 4096 && most >= 8 * kRow));
  }

  // ---- Forms
  void loop(Nest n) {
    // Stores decide what is contiguous; other loads then go through tiles, if there are any.
    auto stores = [&](Sym var) {
      int k = 0;
      each_access(n.leaf, [&](const Access& a) {
        if (!a.load && p_.buffers[std::size_t(a.buffer)].role != Buffer::Role::local && a.at->coef(var) == 1) ++k;
      });
      return k;
    };
    auto better = [&](const Level& a, const Level& b) {
      return std::pair(stores(a.var), contiguity(n.leaf, a.var)) < std::pair(stores(b.var), contiguity(n.leaf, b.var));
    };
    auto best = n.levels.end() - 1;
    for (auto it = n.levels.begin(); it != n.levels.end(); ++it)
      if (better(*best, *it)) best = it;
    std::rotate(best, best + 1, n.levels.end());
    Unit u;
    u.vector = vector_width(p_, n.levels, n.leaf);
    if (const Sym other = transposed(n); other != kNone) {
      u.form = Form::transpose;
      u.vector = 1;
      const auto it = std::find_if(n.levels.begin(), n.levels.end(), [&](const Level& l) { return l.var == other; });
      std::rotate(it, it + 1, n.levels.end() - 1);  // next to the innermost
    }
    const std::int64_t threads = ceil_div(n.points(), u.vector);
    u.threads = int(std::min<std::int64_t>(256, ceil_div(threads, 32) * 32));
    if (u.form == Form::transpose) u.threads = 256;
    const std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::grid));
    finish(assemble(p_, std::move(n), marks), std::move(u));
  }
  // The loop along which loads are contiguous where the innermost one is not.
  Sym transposed(const Nest& n) const {
    const Level a = n.levels.back();
    if (!straight(n.leaf) || a.extent < 16) return kNone;
    std::map<Sym, std::int64_t> bytes;
    const std::set<int> stored = written(n.leaf);
    for (const Node& m : n.leaf) {
      auto* l = m.as<Load>();
      if (!l || stored.count(l->buffer)) continue;
      const std::int64_t k = l->at.coef(a.var);
      if (k > -16 && k < 16) continue;
      for (auto& t : l->at.terms)
        if (t.k == 1 && has(n.levels, t.sym)) bytes[t.sym] += std::int64_t(width(p_.buffers[std::size_t(l->buffer)].dtype));
    }
    for (const Level& l : n.levels)
      if (auto it = bytes.find(l.var); it != bytes.end() && l.var != a.var && l.extent >= 16 &&
                                       it->second * kTile * (kTile + 1) <= kSharedBytes)
        return l.var;
    return kNone;
  }

  // Partial results: parts[(chunk, position among the kept levels)], and the nest that combines them.
  //
  //   parallel i ... chunk c { y[at] += v }   ->   parallel i ... chunk c { parts[n c + position] += v }
  //                                                parallel k < chunks { parallel kept { y[at] += parts[n k + position] } }
  Node split_store(Store& s, Sym chunk, std::int64_t chunks, const std::vector<Level>& kept, std::set<int>& parts) {
    const Buffer target = p_.buffers[std::size_t(s.buffer)];
    std::int64_t n = product(kept);
    const Affine inside = s.at;
    const bool walks = kept.empty() && !s.at.constant();  // loops of the leaf walk a small array
    if (walks) n = target.size;
    const int part = temp(target.name + "_parts", target.dtype, n * chunks);
    parts.insert(part);
    Nest combine;
    Level k{p_.next_sym++, chunks};
    combine.levels.push_back(k);
    Affine at = s.at;
    std::vector<Level> fresh;
    for (const Level& l : kept) {
      fresh.push_back({p_.next_sym++, l.extent});
      at = at.subst(l.var, Affine::of(fresh.back().var));
    }
    if (walks) {
      fresh.push_back({p_.next_sym++, n});
      at = Affine::of(fresh.back().var);
    }
    combine.levels.insert(combine.levels.end(), fresh.begin(), fresh.end());
    const Sym v = p_.next_sym++;
    combine.leaf.push_back(Load{v, part, Affine::of(k.var, n) + position(fresh)});
    combine.leaf.push_back(Store{s.buffer, at, s.combine, v});
    s.buffer = part;
    s.at = Affine::of(chunk, n) + (walks ? inside : position(kept));
    return assemble(p_, std::move(combine));
  }
  void fill(int buffer, Combine c) {
    Loop l = make_loop(p_, p_.buffers[std::size_t(buffer)].size);
    const Sym v = p_.next_sym++;
    l.marks = bound(Marks::Bind::grid);
    l.body.push_back(Const{v, identity(c, p_.buffers[std::size_t(buffer)].dtype)});
    l.body.push_back(Store{buffer, Affine::of(l.var), Combine::set, v});
    Unit u;
    u.skips.insert(buffer);
    finish(std::move(l), std::move(u));
  }

  void sum(Nest n, std::vector<Combined> combined) {
    const Sym along = contiguous(n);
    auto it = std::find_if(n.levels.begin(), n.levels.end(), [&](const Level& l) { return l.var == along; });
    std::rotate(it, it + 1, n.levels.end());
    auto longest = std::max_element(n.levels.begin(), n.levels.end(), [](auto& a, auto& b) { return a.extent < b.extent; });
    if (n.levels[0].extent < 64) std::rotate(n.levels.begin(), longest, longest + 1);
    Unit u;
    u.form = Form::sum;
    const std::int64_t per_block = std::max<std::int64_t>(256, std::int64_t(double(kBlockPoints) * 4 / (4 + work(n.leaf))));
    std::int64_t chunks = std::clamp<std::int64_t>(ceil_div(n.points(), per_block), 1, 1024);
    Level& outer = n.levels[0];
    chunks = std::min(chunks, outer.extent);
    std::int64_t grain = ceil_div(outer.extent, chunks);
    if (n.levels.size() == 1 && chunks > 1) grain = ceil_div(grain, 16) * 16;  // chunks start at vectors
    chunks = ceil_div(outer.extent, grain);
    std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::grid));
    Block after;
    marks[0].grain = grain;
    if (chunks > 1) {
      marks[0].chunk = p_.next_sym++;
      for (Combined& c : combined) after.push_back(split_store(store_of(c), marks[0].chunk, chunks, {}, u.assigns));
      for (Combined& c : combined) fill(store_of(c).buffer, store_of(c).combine);
    }
    u.vector = vector_width(p_, n.levels, n.leaf);
    if (grain % u.vector && n.levels.size() == 1) u.vector = 1;
    const std::int64_t block_points = n.points() / outer.extent * grain;
    u.threads = int(std::clamp<std::int64_t>(std::int64_t(std::bit_ceil(std::uint64_t(ceil_div(block_points, u.vector)))), 32,
                                             chunks > 1 ? 256 : 1024));
    finish(assemble(p_, std::move(n), marks), std::move(u));
    for (Node& m : after) nest(std::move(*m.as<Loop>()));
  }
  static Store& store_of(Combined& c) { return *const_cast<Node*>(c.access.node)->as<Store>(); }

  void columns(Nest n, std::vector<Combined> combined, std::vector<Level> kept, std::vector<Level> reduced) {
    // Contiguous columns innermost; the longest of the others is walked by several threads, and in chunks.
    Nest order = std::move(n);
    std::vector<Level>::iterator best = kept.end() - 1;
    for (auto it = kept.begin(); it != kept.end(); ++it)
      if (contiguity(order.leaf, it->var) > contiguity(order.leaf, best->var)) best = it;
    std::rotate(best, best + 1, kept.end());
    const auto longest =
        std::max_element(reduced.begin(), reduced.end(), [](auto& a, auto& b) { return a.extent < b.extent; });
    std::rotate(reduced.begin(), longest, longest + 1);
    Unit u;
    u.form = Form::columns;
    u.vector = vector_width(p_, kept, order.leaf);
    const std::int64_t rows = reduced[0].extent, columns = product(kept) / u.vector;
    u.across = int(std::min<std::int64_t>(32, std::int64_t(std::bit_ceil(std::uint64_t(columns)))));
    const std::int64_t blocks = ceil_div(columns, u.across);
    const bool few = rows <= 1024 && blocks < kBlocks / 2;  // not worth chunks, and a second unit
    int down = (few ? 1024 : 256) / u.across;
    while (down > 1 && down * 4 > rows) down /= 2;
    if (u.across * down < 32) u.across = 32 / down;
    u.threads = u.across * down;
    std::int64_t chunks = few ? 1
                              : std::clamp<std::int64_t>(ceil_div(kBlocks, blocks), 1,
                                                         std::clamp<std::int64_t>(rows / (8 * down), 1, 1024));
    const std::int64_t grain = ceil_div(rows, chunks);
    chunks = ceil_div(rows, grain);
    bool wider = false;  // a store that combines over columns too needs a second unit anyway
    for (Combined& c : combined) wider |= c.missing.size() > reduced.size();
    Marks walk;
    Block after;
    if (chunks > 1 || wider) {
      walk.grain = grain;
      walk.chunk = p_.next_sym++;
      for (Combined& c : combined) after.push_back(split_store(store_of(c), walk.chunk, chunks, kept, u.assigns));
      for (Combined& c : combined) fill(store_of(c).buffer, store_of(c).combine);
    }
    std::vector<Marks> marks(kept.size(), bound(Marks::Bind::grid));
    marks.push_back(walk);
    order.levels = kept;
    order.levels.insert(order.levels.end(), reduced.begin(), reduced.end());
    finish(assemble(p_, std::move(order), marks), std::move(u));
    for (Node& m : after) nest(std::move(*m.as<Loop>()));
  }

  // A block or a warp for every iteration of the levels.  If stores combine over some of them, those are walked by a block
  // in chunks, into an array of its own:
  //
  //   parallel r { y[at] += v }  ->  parallel c < chunks { local sum = 0; serial q { r = grain c + q: sum[at] += v }
  //                                                        parts[c] = sum }
  //                                  parallel k < chunks { y[at] += parts[k] }
  void rows(Nest n, std::vector<Combined> combined) {
    std::erase_if(combined, [](const Combined& c) { return c.missing.empty(); });
    if (combined.empty()) {
      const std::int64_t count = n.points();
      const std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::block));
      bind_unbound(n.leaf);
      return row(std::move(*assemble(p_, std::move(n), marks).as<Loop>()), count);
    }
    std::set<Sym> all, common = combined[0].missing;
    for (Combined& c : combined) {
      all.insert(c.missing.begin(), c.missing.end());
      std::erase_if(common, [&](Sym s) { return !c.missing.count(s); });
      for (auto& t : c.access.at->terms)
        if (!has(n.levels, t.sym) && !loops_in(n.leaf).count(t.sym)) common.clear();  // a place from data
    }
    if (common.empty())
      return host(assemble(p_, std::move(n)), "reductions over different loops around rows");
    std::vector<Level> blocks, serial;
    Level walked;
    for (const Level& l : n.levels) {
      if (!all.count(l.var)) {
        blocks.push_back(l);
      } else if (common.count(l.var) && l.extent > walked.extent) {
        if (walked.var != kNone) serial.push_back(walked);
        walked = l;
      } else {
        serial.push_back(l);
      }
    }
    if (walked.var == kNone) {  // all of extent 1
      walked = {*common.begin(), 1};
      std::erase_if(serial, [&](const Level& l) { return l.var == walked.var; });
    }
    // Results, each with the part of its index that varies inside.
    struct Result {
      int buffer, local;
      Combine combine;
      Affine outer;  // of the levels that are blocks
      Interval range;
      std::vector<Store*> stores;
    };
    std::vector<Result> results;
    const auto symbols = nest_intervals(n);
    std::int64_t elements = 0;
    for (Combined& c : combined) {
      Affine outer, inner = c.access.at->c;
      for (auto& t : c.access.at->terms) (has(blocks, t.sym) ? outer : inner) += Affine::of(t.sym, t.k);
      const Interval range = interval(inner, symbols);
      auto it = std::find_if(results.begin(), results.end(), [&](Result& r) { return r.buffer == c.access.buffer; });
      if (it == results.end()) {
        results.push_back({c.access.buffer, -1, c.access.combine, outer, range, {&store_of(c)}});
        continue;
      }
      if (!(it->outer == outer) || it->combine != c.access.combine)
        return host(assemble(p_, std::move(n)), "reductions of several kinds into one array");
      it->range = {std::min(it->range.lo, range.lo), std::max(it->range.hi, range.hi)};
      it->stores.push_back(&store_of(c));
    }
    for (Result& r : results) elements += r.range.hi - r.range.lo + 1;
    const double all_work = double(walked.extent * product(serial)) * (work(n.leaf) + 1);
    std::int64_t chunks = std::clamp<std::int64_t>(ceil_div(2 * kBlocks, product(blocks)), 1, walked.extent);
    chunks = std::clamp<std::int64_t>(std::int64_t(all_work / (64 * double(elements))), 1, chunks);
    const std::int64_t grain = ceil_div(walked.extent, chunks);
    chunks = ceil_div(walked.extent, grain);
    const Level chunk{p_.next_sym++, chunks};

    // The inside of a chunk.
    Block body, last;
    Block after;
    for (Result& r : results) {
      const std::int64_t size = r.range.hi - r.range.lo + 1;
      const Buffer target = p_.buffers[std::size_t(r.buffer)];
      Buffer local;
      local.role = Buffer::Role::local;
      local.name = target.name + "_sum" + std::to_string(p_.buffers.size());
      local.dtype = target.dtype;
      local.size = size;
      local.scope = chunk.var;
      r.local = int(p_.buffers.size());
      p_.buffers.push_back(std::move(local));
      for (Store* s : r.stores) {
        Affine at = s->at + Affine(-r.range.lo) + r.outer * -1;
        s->buffer = r.local;
        s->at = at;
      }
      // For every element; without a loop if there is one.
      Loop start = make_loop(p_, size), end = make_loop(p_, size);
      const Affine at_start = size > 1 ? Affine::of(start.var) : Affine(), at_end = size > 1 ? Affine::of(end.var) : Affine();
      const Sym none = p_.next_sym++;
      start.body.push_back(Const{none, identity(r.combine, target.dtype)});
      start.body.push_back(Store{r.local, at_start, Combine::set, none});
      const Sym v = p_.next_sym++;
      end.body.push_back(Load{v, r.local, at_end});
      if (chunks == 1) {
        end.body.push_back(Store{r.buffer, r.outer + at_end + Affine(r.range.lo), r.combine, v});
      } else {
        const int part = temp(target.name + "_parts", target.dtype, product(blocks) * chunks * size);
        std::vector<Level> fresh;
        Affine outer = r.outer;
        for (const Level& l : blocks) {
          fresh.push_back({p_.next_sym++, l.extent});
          outer = outer.subst(l.var, Affine::of(fresh.back().var));
        }
        auto place = [&](const std::vector<Level>& around, Sym c, const Affine& e) {
          return (position(around) * chunks + Affine::of(c)) * size + e;
        };
        end.body.push_back(Store{part, place(blocks, chunk.var, at_end), Combine::set, v});
        Nest combine;
        const Level k{p_.next_sym++, chunks}, e{p_.next_sym++, size};
        combine.levels = fresh;
        combine.levels.push_back(k);
        combine.levels.push_back(e);
        const Sym w = p_.next_sym++;
        combine.leaf.push_back(Load{w, part, place(fresh, k.var, Affine::of(e.var))});
        combine.leaf.push_back(Store{r.buffer, outer + Affine::of(e.var) + Affine(r.range.lo), r.combine, w});
        after.push_back(assemble(p_, std::move(combine)));
      }
      auto add = [&](Block& to, Loop& l) {
        if (size > 1)
          to.push_back(std::move(l));
        else
          std::move(l.body.begin(), l.body.end(), std::back_inserter(to));
      };
      add(body, start);
      add(last, end);
    }
    // Its rows, one after another.
    Loop q = make_loop(p_, grain, Order::serial);
    inner_scope(n.levels, q.var);
    Block leaf = std::move(n.leaf);
    for (std::size_t i = serial.size(); i-- > 0;) {
      Loop l;
      l.var = serial[i].var;
      l.extent = serial[i].extent;
      l.order = Order::serial;
      if (i + 1 == serial.size())
        for (Buffer& b : p_.buffers)
          if (b.role == Buffer::Role::local && b.scope == q.var) b.scope = l.var;
      l.body = std::move(leaf);
      leaf.clear();
      leaf.push_back(std::move(l));
    }
    const Affine row_number = Affine::of(chunk.var, grain) + Affine::of(q.var);
    if (grain * chunks == walked.extent) {
      each_affine(leaf, [&](Affine& at) { at = at.subst(walked.var, row_number); });
      q.body = std::move(leaf);
    } else {  // the last chunk is shorter
      const Sym number = p_.next_sym++, end = p_.next_sym++, inside = p_.next_sym++, clipped = p_.next_sym++;
      q.body.push_back(Index{number, DType::i64, row_number});
      q.body.push_back(Const{end, Element::of(DType::i64, double(walked.extent))});
      Let less;
      less.sym = inside;
      less.op = less_than();
      less.dtype = DType::b1;
      less.args = {number, end};
      q.body.push_back(std::move(less));
      If some;
      some.pred = inside;
      some.body.push_back(Clip{clipped, number, 0, walked.extent - 1});
      each_affine(leaf, [&](Affine& at) { at = at.subst(walked.var, Affine::of(clipped)); });
      for (Node& m : leaf) some.body.push_back(std::move(m));
      q.body.push_back(std::move(some));
    }
    body.push_back(std::move(q));
    for (Node& m : last) body.push_back(std::move(m));
    Nest outer;
    outer.levels = blocks;
    outer.levels.push_back(chunk);
    outer.leaf = std::move(body);
    bind_unbound(outer.leaf);
    const std::int64_t count = outer.points();
    const std::vector<Marks> marks(outer.levels.size(), bound(Marks::Bind::block));
    row(std::move(*assemble(p_, std::move(outer), marks).as<Loop>()), count);
    for (Node& m : after) nest(std::move(*m.as<Loop>()));
  }
  static const Primitive* less_than();
  // Locals of the levels become locals of `to`.
  void inner_scope(const std::vector<Level>& levels, Sym to) {
    for (Buffer& b : p_.buffers)
      if (b.role == Buffer::Role::local && has(levels, b.scope)) b.scope = to;
  }
  void bind_unbound(Block& b) {
    bool done = false;
    each_node(b, [&](const Node& n) {
      if (auto* l = n.as<Loop>()) done |= l->marks.bind == Marks::Bind::thread;
    });
    if (!done) {
      bind_threads(p_, b);
      return;
    }
    for (Node& n : b)  // parts of it were bound when it was made
      if (auto* l = n.as<Loop>(); l && l->marks.bind == Marks::Bind::none) {
        Block one;
        bool inside = false;
        each_node(l->body, [&](const Node& m) {
          if (auto* k = m.as<Loop>()) inside |= k->marks.bind == Marks::Bind::thread;
        });
        if (inside) continue;
        one.push_back(std::move(n));
        bind_threads(p_, one);
        n = std::move(one[0]);
      }
  }

  // The last of it: how many threads, and what does not fit into shared memory goes to global memory.
  void row(Loop l, std::int64_t count) {
    Unit u;
    u.form = Form::rows;
    std::int64_t most = 1;
    for (const ThreadNest& t : thread_nests(l.body)) {
      const int v = vector_width(p_, t.levels, *t.leaf);
      u.vectors[t.levels.back().var] = v;
      most = std::max(most, t.points() / v);
    }
    auto round = [](std::int64_t n) { return std::clamp<std::int64_t>(ceil_div(n, 32) * 32, 32, 1024); };
    if (most == 1)
      u.group = 1;
    else if (count >= 1024 && most <= 256)
      u.group = 32;
    else
      u.group = int(count >= kBlocks ? round(ceil_div(most, 4)) : round(most));
    for (const ThreadNest& t : thread_nests(l.body))  // rather one element for every thread than four for some
      for (int& v = u.vectors[t.levels.back().var]; v > 1 && t.points() / v < u.group;) v /= 2;
    settle_vectors(l, u);
    u.threads = u.group == 32 ? int(32 * std::clamp<std::int64_t>(count / kBlocks, 1, 8)) : u.group;
    if (u.group == 1) u.threads = int(std::min<std::int64_t>(256, count));
    const std::int64_t room = kSharedBytes - 2048;
    for (;;) {
      const RowFacts facts = row_facts(p_, l, u);
      const std::int64_t each = shared_bytes(p_, facts), rows_of_block = u.threads / u.group;
      if (each * rows_of_block <= room) break;
      if (rows_of_block > 1) {
        u.threads = int(std::max<std::int64_t>(1, room / std::max<std::int64_t>(each, 1))) * u.group;
        continue;
      }
      int largest = -1;
      for (auto [b, s] : facts.storage)
        if (s == Storage::shared && (largest < 0 || p_.buffers[std::size_t(b)].size > p_.buffers[std::size_t(largest)].size))
          largest = b;
      to_global(l, largest);
    }
    if (count == 1)
      if (const double steps = sequential_work(l.body, u.group); steps > kMostSequential)
        return host(std::move(l), "a long loop over time: " + std::to_string(std::int64_t(steps)) + " steps of one block");
    finish(std::move(l), std::move(u));
  }
  // Loops that walk one local do so by equal vectors: then an element stays with one thread.
  void settle_vectors(const Loop& l, Unit& u) {
    std::map<int, std::set<Sym>> walkers;
    for (const ThreadNest& t : thread_nests(l.body))
      each_access(*t.leaf, [&](const Access& a) {
        if (p_.buffers[std::size_t(a.buffer)].role == Buffer::Role::local && a.at->coef(t.levels.back().var))
          walkers[a.buffer].insert(t.levels.back().var);
      });
    for (bool again = true; again;) {
      again = false;
      for (auto& [b, loops] : walkers) {
        int least = 16;
        for (Sym s : loops) least = std::min(least, u.vectors[s]);
        for (Sym s : loops)
          if (u.vectors[s] != least) {
            u.vectors[s] = least;
            again = true;
          }
      }
    }
  }
  // A local of a row becomes its part of an array in memory.
  void to_global(Loop& l, int buffer) {
    std::vector<Level> around;
    Loop* at = &l;
    for (;;) {
      around.push_back({at->var, at->extent});
      Loop* next = at->body.size() == 1 ? at->body[0].as<Loop>() : nullptr;
      if (!next || next->marks.bind != Marks::Bind::block) break;
      at = next;
    }
    Buffer& b = p_.buffers[std::size_t(buffer)];
    const Affine shift = position(around) * b.size;
    each_node(l.body, [&](Node& n) {
      if (auto* load = n.as<Load>(); load && load->buffer == buffer) load->at += shift;
      if (auto* s = n.as<Store>(); s && s->buffer == buffer) s->at += shift;
    });
    b.role = Buffer::Role::temp;
    b.scope = kNone;
    b.size *= product(around);
  }

  // ---- Fills that need not be: whatever combines into all of a buffer right after it was filled can start from nothing.
  void start_from_nothing() {
    struct Fill {
      std::size_t unit = 0;
      Element value;
      bool valid = false;
    };
    std::unordered_map<int, Fill> filled;
    for (std::size_t i = 0; i < out_.size(); ++i) {
      Unit& u = units_[i];
      auto* l = out_[i].as<Loop>();
      if (!l) {
        auto* c = out_[i].as<Call>();
        for (auto& o : c->in) filled.erase(o.buffer);
        for (auto& o : c->out) filled.erase(o.buffer);
        continue;
      }
      std::map<int, std::vector<Access>> by_buffer;
      each_access(l->body, [&](const Access& a) { by_buffer[a.buffer].push_back(a); });
      for (auto& [b, all] : by_buffer) {
        if (p_.buffers[std::size_t(b)].role == Buffer::Role::local) continue;
        auto it = filled.find(b);
        if (it != filled.end() && it->second.valid && all.size() == 1 && all[0].combines() &&
            it->second.value == identity(all[0].combine, p_.buffers[std::size_t(b)].dtype) && combines_once(*l, u, all[0], b)) {
          u.assigns.insert(b);
          units_[it->second.unit].skips.insert(b);
        }
        filled.erase(b);
        if (all.size() == 1 && u.form != Form::host) note_fill(*l, all[0], b, i, filled);
      }
    }
  }
  template <class Map>
  void note_fill(const Loop& l, const Access& a, int b, std::size_t unit, Map& filled) const {
    if (a.load || a.combines()) return;
    // Directly in the unit, under no condition, of a constant.
    const Store& s = *a.node->as<Store>();
    const Block* body = &l.body;
    std::vector<Level> levels{{l.var, l.extent}};
    for (;;) {
      const bool here = std::any_of(body->begin(), body->end(), [&](const Node& n) { return &n == a.node; });
      if (here) break;
      const Loop* next = nullptr;
      for (const Node& n : *body)
        if (auto* inner = n.as<Loop>()) {
          bool contains = false;
          each_node(inner->body, [&](const Node& m) { contains |= &m == a.node; });
          if (contains) next = inner;
        }
      if (!next) return;
      levels.push_back({next->var, next->extent});
      body = &next->body;
    }
    for (const Node& n : *body)
      if (auto* c = n.as<Const>(); c && c->sym == s.value)
        if (covered(levels, s.at) == p_.buffers[std::size_t(b)].size) filled[b] = {unit, c->value, true};
  }
  // How many different elements an index names, if it is row-major in some order of the levels; else 0.
  static std::int64_t covered(const std::vector<Level>& levels, const Affine& at) {
    std::vector<std::pair<std::int64_t, std::int64_t>> steps;  // coefficient, extent
    std::int64_t n = 1;
    for (auto& t : at.terms) {
      auto it = std::find_if(levels.begin(), levels.end(), [&](const Level& l) { return l.var == t.sym; });
      if (it == levels.end() || t.k < 0) return 0;
      steps.push_back({t.k, it->extent});
    }
    std::sort(steps.begin(), steps.end());
    for (auto [k, extent] : steps) {
      if (k != n) return 0;
      n *= extent;
    }
    return at.c == 0 ? n : 0;
  }
  // Whether a unit combines one partial result into every element of a buffer, the last thing it does with it.
  bool combines_once(const Loop& l, const Unit& u, const Access& a, int b) const {
    std::vector<Level> levels;
    const Loop* at = &l;
    for (;;) {
      levels.push_back({at->var, at->extent});
      const Loop* next = at->body.size() == 1 ? at->body[0].as<Loop>() : nullptr;
      if (!next || (u.form == Form::rows && next->marks.bind != Marks::Bind::block)) break;
      at = next;
    }
    if (covered(levels, *a.at) != p_.buffers[std::size_t(b)].size) return false;
    if (u.form == Form::sum || u.form == Form::columns) return true;
    if (u.form != Form::rows) return false;
    const RowFacts facts = row_facts(p_, l, u);
    auto after = facts.reduced_after.find(a.node);
    return after != facts.reduced_after.end() &&
           std::any_of(at->body.begin(), at->body.end(), [&](const Node& n) { return n.as<Loop>() == after->second; });
  }

  Program p_;
  Block out_;
  std::vector<Unit> units_;
  std::map<int, std::vector<int>> own_;  // by group: locals of its own
  std::vector<int> runs_;                // groups that are runs
  int run_ = -1;
};

const Primitive* Scheduler::less_than() {
  static const Primitive* p = find_primitive("lt");
  return p;
}

}  // namespace

int vector_width(const Program& p, const std::vector<Level>& levels, const Block& leaf) {
  const Level v = levels.back();
  if (!straight(leaf)) return 1;
  const Depends depends(leaf, levels);
  std::size_t widest = 1;
  bool vectors = true, any = false;
  const std::set<int> stored = written(leaf);
  std::vector<const Affine*> places;
  std::set<int> seen;
  each_access(leaf, [&](const Access& a) {
    const Buffer& b = p.buffers[std::size_t(a.buffer)];
    if (b.role == Buffer::Role::local && b.scope == v.var) return;
    if (a.at->coef(v.var) == 0 && !depends.on_data(*a.at, v.var)) {
      vectors &= !a.load || !stored.count(a.buffer);
      return;
    }
    if (a.at->coef(v.var) != 1 || depends.on_data(*a.at, v.var)) vectors = false;
    if (a.load && stored.count(a.buffer)) vectors = false;
    if (a.combines()) return;  // element by element
    widest = std::max(widest, width(b.dtype));
    places.push_back(a.at);
    any = true;
  });
  if (!vectors || !any) return 1;
  std::int64_t n = std::max<std::int64_t>(1, 16 / std::int64_t(widest));
  n = std::min<std::int64_t>(n, 8);
  const double cost = std::max(1.0, work(leaf));
  while (n > 1) {
    bool fits = v.extent % n == 0 && cost * double(n) <= kVectorWork;
    for (const Affine* at : places) {
      fits &= at->c % n == 0;
      for (auto& t : at->terms) fits &= t.sym == v.var || t.k % n == 0;
    }
    if (fits) break;
    n /= 2;
  }
  return int(n);
}

Scheduled schedule_for_device(Program p) { return Scheduler(std::move(p)).run(); }

}  // namespace jaxpp::cuda
