// interpret_blocks.cc -- which loops run in blocks, by an estimate of the time of each choice, in nanoseconds.
//
// An instruction has a price, and each element it works on has one.  Elements next to each other are cheap; blocks over
// a long contiguous loop win where there is one.  A loop whose body has loops over time wins as a block if it has enough
// iterations, though its own elements lie apart.
//
// A serial loop can be a block too if no iteration reads what another one writes, and one instruction alone writes to each
// memory: that one takes the lanes in order.
#include <algorithm>
#include "backends/loops/interpret_facts.h"

namespace jaxpp::loops::interpret {

constexpr std::int64_t kFewestLanes = 64;
constexpr std::int64_t kFirstCache = 40 << 10;  // bytes for the values of a block
constexpr std::int64_t kCache =
    384 << 10;  // and for all of it where loops pass over it again and again
constexpr std::int64_t kMostMemory = 256 << 20;  // and at the very most
constexpr double kScalar = 4, kIns = 8;          // an instruction on one element, on a row
constexpr double kElement = 0.3,
                 kFar = 0.9;   // an element of a row, one that is not next to its neighbour
constexpr double kTurns = 20;  // of a while loop
constexpr double kNever = 1e100;

class BlockChoice {
 public:
  explicit BlockChoice(Facts& f)
      : f_(f), varying_(f.symbols.size(), 0), last_(f.symbols.size(), 0) {}
  double best(const Block& nodes, bool apply) {
    double t = 0;
    for (const Node& n : nodes) t += best(n, apply);
    return t;
  }

 private:
  struct Lanes {
    Sym var;
    int begin;
    std::int64_t n;    // at a time
    double local = 0;  // price of an element of a local
  };
  double best(const Node& n, bool apply) {
    if (auto* l = n.as<Loop>()) return best(*l, apply);
    if (auto* w = n.as<While>()) return kTurns * (best(w->cond, apply) + best(w->body, apply));
    if (auto* i = n.as<If>()) return kScalar + best(i->body, apply) + best(i->otherwise, apply);
    if (n.as<Load>()) return 1;
    return n.as<Call>() ? 0 : kScalar;
  }
  double best(const Loop& l, bool apply) {
    if (l.extent == 0) return 0;
    const int at = f_[l.var].def;
    Lanes lanes{l.var, at, 0};
    double blocked = kNever;
    if ((l.order == Order::parallel || only_ordered(l)) && size(l, lanes)) {
      const std::int64_t blocks = (l.extent + lanes.n - 1) / lanes.n;
      // The time of a block of the mean size: what instructions cost, and what elements cost.
      const std::int64_t n = lanes.n;
      lanes.n = (l.extent + blocks - 1) / blocks;
      blocked = double(blocks) * (kScalar + cost(l.body, lanes));
      lanes.n = n;
    }
    const double inner = double(l.extent) * (2 + best(l.body, false));
    if (apply) {
      if (blocked <= inner && blocked < kNever)
        f_.lanes[std::size_t(at)] = int(lanes.n);
      else
        best(l.body, true);
    }
    return std::min(blocked, inner);
  }

  // A serial loop of which only the order of single stores matters.
  bool only_ordered(const Loop& l) const {
    SmallVec<int, 8> loaded, stored;  // memory that iterations share
    bool once = true;
    auto shared = [&](int buffer) {
      const Buffer& b = f_.program.buffers[std::size_t(buffer)];
      return b.role != Buffer::Role::local || b.scope == kNone || f_[b.scope].def < f_[l.var].def;
    };
    auto has = [](const auto& v, int x) { return std::find(v.begin(), v.end(), x) != v.end(); };
    auto see = [&](const Node& n, bool again) {
      if (auto* r = n.as<Load>(); r && shared(r->buffer)) loaded.push_back(f_.group(r->buffer));
      if (auto* s = n.as<Store>(); s && shared(s->buffer)) {
        once &= !again && !has(stored, f_.group(s->buffer));
        stored.push_back(f_.group(s->buffer));
      }
      once &= !n.as<Call>() && stored.size() + loaded.size() < 64;
    };
    auto walk = [&](const Block& nodes, bool again, auto& self) -> void {
      for (const Node& n : nodes) {
        if (!once) return;
        see(n, again);
        if (auto* inner = n.as<Loop>()) self(inner->body, true, self);
        if (auto* w = n.as<While>()) self(w->cond, true, self), self(w->body, true, self);
        if (auto* i = n.as<If>()) self(i->body, again, self), self(i->otherwise, again, self);
      }
    };
    walk(l.body, false, walk);
    return once &&
           std::none_of(stored.begin(), stored.end(), [&](int g) { return has(loaded, g); });
  }
  // The most bytes of computed values that are needed at a time, of one lane.
  std::int64_t live(const Loop& l) {
    int at = 0;
    auto each_arg = [](const Node& n, auto f) {
      if (auto* let = n.as<Let>())
        for (Sym a : let->args) f(a);
      else if (auto* s = n.as<Store>())
        f(s->value);
    };
    each_node(l.body, [&](const Node& n) {
      ++at;
      each_arg(n, [&](Sym a) { last_[std::size_t(f_.root(a))] = at; });
    });
    at = 0;
    std::int64_t now = 0, most = 0;
    each_node(l.body, [&](const Node& n) {
      ++at;
      each_arg(n, [&](Sym a) {
        const Sym s = f_.root(a);
        if (last_[std::size_t(s)] != at) return;
        last_[std::size_t(s)] = -1;
        if (f_[s].computed && f_[s].def > f_[l.var].def) now -= std::int64_t(width(f_[s].dtype));
      });
      if (auto* let = n.as<Let>(); let && f_[let->sym].same == kNone)
        for (int i = 0; i < let->results; ++i)
          if (last_[std::size_t(let->sym + i)] > at) now += std::int64_t(width(let->dtype));
      most = std::max(most, now);
    });
    return most;
  }
  // How many iterations a block has, so that what all of them need stays in the cache.
  bool size(const Loop& l, Lanes& lanes) {
    std::int64_t bytes = 0;  // of the locals of one lane
    bool in_time = false, possible = true;
    auto locals = [&](Sym var) {
      f_.each_local(var, [&](int b) {
        const Buffer& x = f_.program.buffers[std::size_t(b)];
        possible &= x.size <= kMostMemory;
        if (possible) bytes += x.size * std::int64_t(width(x.dtype));
      });
    };
    locals(l.var);
    each_node(l.body, [&](const Node& n) {
      if (auto* inside = n.as<Loop>()) {
        locals(inside->var);
        in_time = true;
      } else if (n.as<While>()) {
        in_time = true;
      } else if (n.as<Call>()) {
        possible = false;
      }
    });
    if (!possible || kFewestLanes * bytes > kMostMemory) return false;
    const std::int64_t values = live(l) + 8;
    const std::int64_t most = std::clamp(in_time ? kCache / (bytes + values) : kFirstCache / values,
                                         kFewestLanes, kMostLanes) /
                              16 * 16;
    if (most * bytes > 2 * kCache) lanes.local = kFar;
    if (l.marks.chunk != kNone) {  // a block lies in one chunk
      lanes.n = std::min(most, l.marks.grain);
      while (l.marks.grain % lanes.n) --lanes.n;
      return true;
    }
    // Blocks of one size, of whole cache lines.
    const std::int64_t blocks = (l.extent + most - 1) / most;
    lanes.n = ((l.extent + blocks - 1) / blocks + 15) / 16 * 16;
    return true;
  }

  bool varies(Sym s, const Lanes& l) const {
    s = f_.root(s);
    return s == l.var || (f_[s].def > l.begin && varying_[std::size_t(s)]);
  }
  bool varies(const Affine& a, const Lanes& l) const {
    return std::any_of(a.terms.begin(), a.terms.end(),
                       [&](const Affine::Term& t) { return varies(t.sym, l); });
  }
  double apply(Sym s, bool varying, const Lanes& l) {
    varying_[std::size_t(s)] = varying;
    return varying ? kIns + double(l.n) * kElement : kScalar;
  }
  // An element of a buffer for every lane.  Sets whether that differs between them.
  double reach(int buffer, const Affine& at, const Lanes& l, bool& varying, bool& row) const {
    const Buffer& b = f_.program.buffers[std::size_t(buffer)];
    const bool own =
        b.role == Buffer::Role::local && b.scope != kNone && f_[b.scope].def >= l.begin;
    const bool indexed = varies(at, l);
    varying = own || indexed;
    row = own ? !indexed : indexed && at.coef(l.var) == 1;
    for (const Affine::Term& t : at.terms) row &= t.sym == l.var || !varies(t.sym, l);
    if (row || !varying) return own ? double(l.n) * l.local : 0;
    return kIns + double(l.n) * (kFar + (own ? l.local : 0));
  }
  double cost(const Block& nodes, const Lanes& l) {
    double t = 0;
    for (const Node& n : nodes) t += cost(n, l);
    return t;
  }
  double cost(const Node& n, const Lanes& l) {
    if (auto* let = n.as<Let>()) {
      bool varying = false;
      for (Sym a : let->args) varying |= varies(a, l);
      for (int i = 1; i < let->results; ++i) varying_[std::size_t(let->sym + i)] = varying;
      return apply(let->sym, varying, l);
    }
    if (auto* c = n.as<Const>()) {
      varying_[std::size_t(c->sym)] = false;
      return 0;
    }
    if (auto* i = n.as<Index>()) return apply(i->sym, varies(i->at, l), l);
    if (auto* c = n.as<Clip>()) return apply(c->sym, varies(c->arg, l), l);
    bool varying, row;
    if (auto* r = n.as<Load>()) {
      const double t = reach(r->buffer, r->at, l, varying, row);
      varying_[std::size_t(r->sym)] = varying;
      return 1 + t;
    }
    if (auto* s = n.as<Store>()) {
      const double t = reach(s->buffer, s->at, l, varying, row);
      if (!varying && !varies(s->value, l)) return kScalar;
      if (!varying) return 2 * kIns + double(l.n) * kElement / 2;  // a fold
      if (s->combine == Combine::set) return row ? kIns / 2 + t + double(l.n) * kElement / 3 : t;
      return row ? kIns + t + double(l.n) * kElement : 3 * t;
    }
    if (auto* loop = n.as<Loop>()) {
      varying_[std::size_t(loop->var)] = false;
      return double(loop->extent) * (2 + cost(loop->body, l));
    }
    if (auto* w = n.as<While>()) return kTurns * (cost(w->cond, l) + cost(w->body, l) + kIns);
    if (auto* i = n.as<If>()) return 2 * kIns + cost(i->body, l) + cost(i->otherwise, l);
    return kNever;  // a call
  }

  Facts& f_;
  std::vector<char> varying_;
  std::vector<int> last_;
};

void choose_blocks(Facts& f) { BlockChoice(f).best(f.program.body, true); }

}  // namespace jaxpp::loops::interpret
