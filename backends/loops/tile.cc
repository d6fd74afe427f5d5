// tile.cc -- the order of two nested loops, and tiles where no order is good.
//
//   parallel i < n                              parallel j < m
//     parallel j < m                    ->        parallel i < n
//       y[i+n*j] = x[i+n*j]                         y[i+n*j] = x[i+n*j]
//
// Memory is contiguous along one variable; that loop has to be the inner one.  In a transpose, y[m*i+j] = x[i+n*j], each
// order has an array that it walks in large steps: a cache line is fetched for one element, and steps of a power of two
// meet in few lines of the cache.  There blocks of what is loaded in large steps are copied first, in the order in which
// they lie in memory, to a tile that fits the first level of the cache:
//
//   parallel I < n/64
//     parallel J < m/64
//       local x_tile: f32[64*64]
//       parallel b < 64
//         parallel a < 64
//           x_tile[64*b+a] = x[64*I+a+n*(64*J+b)]
//       parallel a < 64
//         parallel b < 64
//           y[m*(64*I+a)+64*J+b] = x_tile[64*b+a]
//
// and what n and m leave over is walked as before.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include "backends/loops/fusion.h"
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {

constexpr std::int64_t kTileBytes = 256;  // of a row of a tile: some cache lines
constexpr std::int64_t kLargeBytes =
    1 << 16;                  // of an array that is worth tiles: more than the first level holds
constexpr double kCheap = 8;  // operations that may move into the inner loop
constexpr std::int64_t kApart = 8;  // elements between neighbours that share no line, or few

class Tile {
 public:
  explicit Tile(Program& p) : p_(p), owns_(std::size_t(p.next_sym)) {
    for (const Buffer& b : p.buffers)
      if (b.role == Buffer::Role::local && b.scope != kNone) owns_[std::size_t(b.scope)] = true;
  }

  void block(Block& b) {
    for (std::size_t i = 0; i < b.size(); ++i) {
      if (auto* l = b[i].as<Loop>()) {
        if (Loop* inner = nest(*l)) {
          Block rest = order(*l, *inner);
          b.insert(b.begin() + std::ptrdiff_t(i) + 1, std::make_move_iterator(rest.begin()),
                   std::make_move_iterator(rest.end()));
          i += rest.size();
        } else {
          block(l->body);
        }
      } else if (auto* w = b[i].as<While>()) {
        block(w->cond);
        block(w->body);
      } else if (auto* c = b[i].as<If>()) {
        block(c->body);
        block(c->otherwise);
      }
    }
  }

 private:
  // The loop inside, if there is nothing else, and only straight code in it.
  Loop* nest(Loop& l) const {
    Loop* inner = l.body.empty() ? nullptr : l.body.back().as<Loop>();
    if (!inner || l.order != Order::parallel || inner->order != Order::parallel ||
        owns_[std::size_t(l.var)] || owns_[std::size_t(inner->var)])
      return nullptr;
    std::vector<int> stored;
    for (const Node& n : inner->body) {
      if (n.as<Loop>() || n.as<While>() || n.as<If>() || n.as<Call>()) return nullptr;
      if (auto* s = n.as<Store>()) stored.push_back(s->buffer);
    }
    // What is computed in front of the inner loop may be computed in it.
    double work = 0;
    for (std::size_t i = 0; i + 1 < l.body.size(); ++i) {
      const Node& n = l.body[i];
      const auto* load = n.as<Load>();
      const auto* let = n.as<Let>();
      if (!load && !let && !n.as<Const>() && !n.as<Index>()) return nullptr;
      if (load && std::count(stored.begin(), stored.end(), load->buffer)) return nullptr;
      if (let) work += fusion::weight(*let->op);
    }
    return work <= kCheap ? inner : nullptr;
  }
  static void sink(Loop& outer, Loop& inner) {
    inner.body.insert(inner.body.begin(), std::make_move_iterator(outer.body.begin()),
                      std::make_move_iterator(outer.body.end() - 1));
    Node loop = std::move(outer.body.back());
    outer.body.clear();
    outer.body.push_back(std::move(loop));
  }
  // What does not depend on the inner loop is computed in front of it.
  static void hoist(Loop& outer, Loop& inner) {
    std::set<Sym> inside{inner.var};
    std::set<int> stored;
    for (const Node& n : inner.body)
      if (auto* s = n.as<Store>()) stored.insert(s->buffer);
    Block before, rest;
    const auto varies = [&](const Affine& at) {
      return std::any_of(at.terms.begin(), at.terms.end(),
                         [&](auto& t) { return inside.count(t.sym) > 0; });
    };
    for (Node& n : inner.body) {
      bool stays = false;
      if (auto* i = n.as<Index>()) {
        if ((stays = varies(i->at))) inside.insert(i->sym);
      } else if (auto* l = n.as<Load>()) {
        if ((stays = varies(l->at) || stored.count(l->buffer))) inside.insert(l->sym);
      } else if (auto* let = n.as<Let>()) {
        stays = std::any_of(let->args.begin(), let->args.end(),
                            [&](Sym a) { return inside.count(a) > 0; });
        for (int r = 0; stays && r < let->results; ++r) inside.insert(let->sym + r);
      } else if (auto* c = n.as<Clip>()) {
        if ((stays = inside.count(c->arg) > 0)) inside.insert(c->sym);
      } else {
        stays = !n.as<Const>();
      }
      (stays ? rest : before).push_back(std::move(n));
    }
    inner.body = std::move(rest);
    outer.body.insert(outer.body.begin(), std::make_move_iterator(before.begin()),
                      std::make_move_iterator(before.end()));
  }

  struct Access {
    int buffer;
    const Affine* at;
    bool store;
  };
  static std::vector<Access> accesses(const Loop& l) {
    std::vector<Access> r;
    for (const Node& n : l.body) {
      if (auto* load = n.as<Load>()) r.push_back({load->buffer, &load->at, false});
      if (auto* s = n.as<Store>()) r.push_back({s->buffer, &s->at, true});
    }
    return r;
  }
  static bool far(const Affine& at, Sym s) { return std::abs(at.coef(s)) >= kApart; }

  // Puts the loops in order.  What is left over by tiles stands behind them.
  Block order(Loop& outer, Loop& inner) {
    const std::vector<Access> all = accesses(inner);
    const auto steps = [&](Sym s) {  // large ones, if that loop is the inner one
      double r = 0;
      for (const Access& a : all) r += far(*a.at, s) ? (a.store ? 2 : 1) : 0;
      return r;
    };
    const double now = steps(inner.var), swapped = steps(outer.var);
    if (now == 0) return {};
    sink(outer, inner);
    Loop& in = *outer.body.back().as<Loop>();
    if (swapped < now) {
      std::swap(outer.var, in.var);
      std::swap(outer.extent, in.extent);
    }
    Block rest;
    if (swapped == 0 || !tile(outer, in, rest)) hoist(outer, in);
    return rest;
  }

  bool tile(Loop& outer, Loop& inner, Block& rest) {
    // Loads that go in large steps along the inner loop, but in small ones along the outer.
    std::vector<int> stored, tiled;
    bool plain = true;
    for (const Node& n : inner.body)
      if (auto* s = n.as<Store>()) {
        stored.push_back(s->buffer);
        plain &= s->combine == Combine::set && !far(s->at, inner.var);
      }
    std::size_t widest = 1;
    const auto wanted = [&](const Load& l) {
      return far(l.at, inner.var) && l.at.coef(outer.var) == 1 &&
             std::find(stored.begin(), stored.end(), l.buffer) == stored.end() &&
             std::all_of(l.at.terms.begin(), l.at.terms.end(), [&](auto& t) {
               return t.sym == inner.var || t.sym == outer.var || !defined_inside(t.sym, inner);
             });
    };
    for (const Node& n : inner.body)
      if (auto* l = n.as<Load>(); l && wanted(*l)) {
        tiled.push_back(l->buffer);
        widest = std::max(widest, width(p_.buffers[std::size_t(l->buffer)].dtype));
      }
    const std::int64_t t = kTileBytes / std::int64_t(widest);
    if (!plain || tiled.empty() || outer.extent < t || inner.extent < t ||
        outer.extent * inner.extent * std::int64_t(widest) < kLargeBytes)
      return false;

    const std::int64_t rows = outer.extent / t * t, columns = inner.extent / t * t;
    if (rows < outer.extent)
      rest.push_back(part(outer, inner, rows, outer.extent - rows, 0, inner.extent));
    if (columns < inner.extent)
      rest.push_back(part(outer, inner, 0, rows, columns, inner.extent - columns));

    Loop I = new_loop(outer.extent / t), J = new_loop(inner.extent / t);
    const bool swap = J.extent > I.extent;
    Loop &first = swap ? J : I, &second = swap ? I : J;
    const Affine row = Affine::of(I.var, t), column = Affine::of(J.var, t);
    for (Node& n : inner.body) {
      auto* l = n.as<Load>();
      if (!l || !wanted(*l)) continue;
      Buffer b;
      b.role = Buffer::Role::local;
      b.name =
          p_.buffers[std::size_t(l->buffer)].name + "_tile" + std::to_string(p_.buffers.size());
      b.dtype = p_.buffers[std::size_t(l->buffer)].dtype;
      b.size = t * t;
      b.scope = second.var;
      Loop along = new_loop(t), across = new_loop(t);
      const Sym element = p_.next_sym++;
      Affine from = l->at.subst(outer.var, row + Affine::of(along.var));
      from = from.subst(inner.var, column + Affine::of(across.var));
      along.body.push_back(Load{element, l->buffer, std::move(from)});
      along.body.push_back(Store{int(p_.buffers.size()),
                                 Affine::of(across.var, t) + Affine::of(along.var), Combine::set,
                                 element});
      across.body.push_back(std::move(along));
      second.body.push_back(std::move(across));
      l->buffer = int(p_.buffers.size());
      l->at = Affine::of(inner.var, t) + Affine::of(outer.var);
      p_.buffers.push_back(std::move(b));
    }
    // The code itself, on a tile.
    for (Node& n : inner.body)
      if (Affine* at = index_of(n); at && !in_tile(n)) {
        *at = at->subst(outer.var, row + Affine::of(outer.var));
        *at = at->subst(inner.var, column + Affine::of(inner.var));
      }
    outer.extent = inner.extent = t;
    second.body.push_back(std::move(outer));
    first.body.push_back(std::move(second));
    outer = std::move(first);
    return true;
  }
  static Affine* index_of(Node& n) {
    if (auto* l = n.as<Load>()) return &l->at;
    if (auto* s = n.as<Store>()) return &s->at;
    if (auto* i = n.as<Index>()) return &i->at;
    return nullptr;
  }
  bool in_tile(const Node& n) const {
    auto* l = n.as<Load>();
    return l && std::size_t(l->buffer) >= known_;
  }
  static bool defined_inside(Sym s, const Loop& l) {
    return std::any_of(l.body.begin(), l.body.end(), [&](const Node& n) {
      auto* c = n.as<Clip>();
      return c && c->sym == s;
    });
  }
  Loop new_loop(std::int64_t extent) {
    Loop l;
    l.var = p_.next_sym++;
    l.extent = extent;
    return l;
  }

  // A copy of the nest for `rows` iterations of the outer loop from `row` on, and so on.
  Loop part(const Loop& outer, const Loop& inner, std::int64_t row, std::int64_t rows,
            std::int64_t column, std::int64_t columns) {
    std::map<Sym, Sym> to;
    Loop i = new_loop(rows), j = new_loop(columns);
    const auto rename = [&](Sym s) {
      const auto it = to.find(s);
      return it == to.end() ? s : it->second;
    };
    const auto define = [&](Sym& s, int results = 1) {
      for (int r = 0; r < results; ++r) to[s + r] = p_.next_sym + r;
      s = p_.next_sym;
      p_.next_sym += results;
    };
    const auto copy = [&](Node n) {
      if (Affine* at = index_of(n)) {
        Affine r = at->subst(outer.var, Affine::of(i.var) + row);
        r = r.subst(inner.var, Affine::of(j.var) + column);
        const Affine before = r;
        for (const Affine::Term& t : before.terms)
          if (rename(t.sym) != t.sym) r = r.subst(t.sym, Affine::of(rename(t.sym)));
        *at = std::move(r);
      }
      if (auto* c = n.as<Const>()) {
        define(c->sym);
      } else if (auto* x = n.as<Index>()) {
        define(x->sym);
      } else if (auto* l = n.as<Load>()) {
        define(l->sym);
      } else if (auto* s = n.as<Store>()) {
        s->value = rename(s->value);
      } else if (auto* let = n.as<Let>()) {
        for (Sym& a : let->args) a = rename(a);
        define(let->sym, let->results);
      } else if (auto* clip = n.as<Clip>()) {
        clip->arg = rename(clip->arg);
        define(clip->sym);
      }
      return n;
    };
    for (const Node& n : inner.body) j.body.push_back(copy(n));
    i.body.push_back(std::move(j));
    return i;
  }

  Program& p_;
  std::vector<bool> owns_;  // by loop variable: locals belong to the loop
  std::size_t known_ = p_.buffers.size();
};
}  // namespace

void tile(Program& p) { Tile(p).block(p.body); }

}  // namespace jaxpp::loops
