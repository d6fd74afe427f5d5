// schedule_top.cc -- the top level falls into groups: one parallel loop, one call, or a run of
// anything else, which one block does in order.  Small loops next to each other are a run too: a
// launch costs more than they do.
#include "backends/cuda/schedule_top.h"
#include <algorithm>
#include <unordered_map>
#include "backends/cuda/codegen_scalar.h"

namespace jaxpp::cuda {
namespace {

constexpr std::int64_t kFewest = 32;  // iterations worth moving a loop outside
constexpr double kGuarded =
    4096;  // work of the branches of an If that are worth kernels of their own
constexpr double kSmall = 1 << 14;  // work of a loop that may share a block with others
constexpr double kRun = 1 << 16;    // of all of them

class Top {
 public:
  explicit Top(Program& p) : p_(p) {}
  std::vector<Group> run() {
    std::vector<Group> groups = split(std::exchange(p_.body, {}));
    groups = merged(std::move(groups));
    bring_values(groups);
    locals_to_temps(groups);
    return groups;
  }

 private:
  std::vector<Group> split(Block body) {
    std::vector<Group> groups;
    auto alone = [&](Node n) {
      groups.push_back({});
      groups.back().nodes.push_back(std::move(n));
    };
    auto in_run = [&](Node n) {
      if (groups.empty() || !groups.back().run) groups.push_back({{}, true, {}});
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
        if (!fixed) groups.push_back({{}, true, {}});  // a run of its own: it is for the host
        if (!fixed) {
          groups.back().nodes.push_back(std::move(n));
          groups.push_back({{}, true, {}});
        } else {
          alone(std::move(n));
        }
        continue;
      } else if (auto* i = n.as<If>();
                 i && work(i->body) + work(i->otherwise) > kGuarded && guard(*i, groups)) {
        continue;
      }
      in_run(std::move(n));
    }
    std::erase_if(groups, [](const Group& g) { return g.nodes.empty(); });
    return groups;
  }

  // Small loops and runs that are neighbours become one run.
  std::vector<Group> merged(std::vector<Group> groups) const {
    std::vector<Group> all;
    double sum = 0;  // of the last one; 0: it must stay alone
    for (Group& g : groups) {
      double cost = 0;
      if (obstacle(p_, g.nodes).empty()) {
        for (const Node& n : g.nodes)
          if (auto* l = n.as<Loop>(); l && l->order == Order::parallel)
            cost += double(l->extent) * work(l->body);
        if (!g.run && cost > kSmall) cost = 0;
        if (g.run) cost += 1;
      }
      if (sum > 0 && cost > 0 && sum + cost <= kRun) {
        std::move(g.nodes.begin(), g.nodes.end(), std::back_inserter(all.back().nodes));
        all.back().run = true;
        sum += cost;
      } else {
        all.push_back(std::move(g));
        sum = cost;
      }
    }
    return all;
  }

  //   serial s                     parallel i        if the iterations of i touch elements of their own, for all s
  //     parallel i          ->       serial s
  bool move_outside(Loop& serial) {
    const std::set<int> stored = written(serial.body);
    if (serial.body.empty() || !serial.body.back().as<Loop>()) return false;
    for (std::size_t i = 0; i + 1 < serial.body.size(); ++i)
      if (!is_pure(serial.body[i], stored)) return false;
    const Loop& first = *serial.body.back().as<Loop>();
    if (first.order != Order::parallel || first.extent < kFewest) return false;
    const auto symbols = intervals(with(serial));
    std::map<int, std::vector<Access>> by_buffer;
    bool calls = false;
    each_node(serial.body, [&](const Node& n) { calls |= n.as<Call>() != nullptr; });
    if (calls) return false;
    const std::set<Sym> inside = loops_in(first.body);
    each_access(serial.body, [&](const Access& a) {
      const Buffer& b = p_.buffers[std::size_t(a.buffer)];
      const bool own =
          b.role == Buffer::Role::local && (b.scope == first.var || inside.count(b.scope));
      if (stored.count(a.buffer) && !own) by_buffer[a.buffer].push_back(a);
    });
    for (auto& [b, all] : by_buffer)
      if (!apart(all, {first.var, first.extent}, symbols)) return false;
    Loop parallel = std::move(*serial.body.back().as<Loop>());
    serial.body.pop_back();
    for (Node& n : parallel.body) serial.body.push_back(std::move(n));
    for (Buffer& b :
         p_.buffers)  // one copy an iteration of i serves all s: each s starts by writing it
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
      if (groups.empty() || !groups.back().run) groups.push_back({{}, true, {}});
      return groups.back().nodes;
    };
    const int flag = new_temp(p_, "t_if", DType::b1, 1);
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

  // Values defined in one group and used in another: constants are repeated, others go through
  // memory.
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
          for (int i = 0; i < l->results; ++i)
            defined[l->sym + i] = {g, &n}, types[l->sym + i] = l->dtype;
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
            b->second = new_temp(p_, "t_value", types.at(s), 1);
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
      b.insert(b.begin(), std::make_move_iterator(front[g].begin()),
               std::make_move_iterator(front[g].end()));
      b.insert(b.end(), std::make_move_iterator(back[g].begin()),
               std::make_move_iterator(back[g].end()));
    }
    // A group of constants that nobody is left to use does nothing.
    std::erase_if(groups, [](const Group& g) {
      return g.run && std::all_of(g.nodes.begin(), g.nodes.end(),
                                  [](const Node& n) { return is_pure(n, {}); });
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
        groups[std::size_t(g)].locals.push_back(b);
      else
        buffer.role = Buffer::Role::temp;
    }
  }

  Program& p_;
};

}  // namespace

std::vector<Group> split_top(Program& p) { return Top(p).run(); }

int new_temp(Program& p, const std::string& stem, DType d, std::int64_t size) {
  Buffer b;
  b.name = stem + std::to_string(p.buffers.size());
  b.dtype = d;
  b.size = size;
  p.buffers.push_back(std::move(b));
  return int(p.buffers.size()) - 1;
}

std::string obstacle(const Program& p, const Block& b) {
  std::unordered_map<Sym, DType> types;
  std::string why;
  each_node(b, [&](const Node& n) {
    if (auto* c = n.as<Const>()) types[c->sym] = c->value.dtype;
    if (auto* i = n.as<Index>()) types[i->sym] = i->dtype;
    if (auto* l = n.as<Load>()) types[l->sym] = p.buffers[std::size_t(l->buffer)].dtype;
    if (auto* c = n.as<Call>(); c && why.empty())
      why = std::string(c->prim->name) + ": a call inside of a loop";
    if (auto* l = n.as<Let>()) {
      std::vector<DType> in;
      for (Sym s : l->args) in.push_back(types[s]);
      for (int i = 0; i < l->results; ++i) types[l->sym + i] = l->dtype;
      if (why.empty() && !has_device_form(*l, in))
        why = std::string(l->op->name) + ": no device form for " +
              name(in.empty() ? l->dtype : in[0]);
    }
  });
  return why;
}

}  // namespace jaxpp::cuda
