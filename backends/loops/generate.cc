// generate.cc -- from the tree of statements to the loop program: what is needed, where values are kept, the code.
//
// Storage.  The home of a value is the innermost region that contains its definitions and all its uses; its dimensions
// that are loops around the home vanish.  Nothing left and one plain definition in the home: a scalar, no memory at all.
//
// Code.  One walk in the order of the tree.  Every scalar is emitted in the outermost block that has its operands (this
// is all there is of loop-invariant code motion), and once (common subexpressions).  A load moves and is shared only
// where its buffer does not change.
#include <algorithm>
#include <stdexcept>
#include <unordered_set>
#include "backends/loops/fusion.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops::fusion {
namespace {

constexpr std::int64_t kSmall = 512;  // bytes that are local rather than temp where either would do

// What a symbol is the result of; equal keys are equal values.
struct Key {
  enum Kind : std::int64_t { constant, index, clip, load, apply };
  SmallVec<std::int64_t, 12> words;
  Params params;

  Key(Kind k, std::int64_t a, std::int64_t b = 0) : words{k, a, b} {}
  void add(std::int64_t w) { words.push_back(w); }
  void add(const Affine& a) {
    words.push_back(a.c);
    for (auto& t : a.terms) {
      words.push_back(t.sym);
      words.push_back(t.k);
    }
  }
  bool operator==(const Key& o) const { return words == o.words && params == o.params; }
};
struct KeyHash {
  std::size_t operator()(const Key& k) const {
    std::uint64_t h = 0;
    for (std::int64_t w : k.words) h = (h ^ std::uint64_t(w)) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    return h;
  }
};

class Generator {
 public:
  Generator(Fusion& f, int inputs, int outputs) : f_(f) {
    p_.inputs = inputs;
    p_.outputs = outputs;
    p_.next_sym = f.next_sym;
  }

  Program run() {
    index();
    remove_dead();
    index();
    std::uint64_t segment = 0;  // of the top: what no loop separates
    for (auto& it : f_.top.items) {
      if (start(*it) == it.get()) ++segment;
      it->order = segment;
      if (it->kind != Item::Kind::statement) ++segment;
    }
    for (std::size_t i = 0; i < f_.values.size(); ++i) store(int(i));
    versions_.resize(p_.buffers.size());
    frames_.emplace_back();
    region(f_.top);
    p_.body = std::move(frames_[0].nodes);
    tidy_buffers();
    return std::move(p_);
  }

 private:
  using Kind = Item::Kind;

  Value& value_of(int id) { return f_.values[std::size_t(id)]; }

  // ---- Liveness
  void index() {
    for (Value& v : f_.values) {
      v.defs.clear();
      v.readers.clear();
    }
    for (auto& it : f_.top.items)
      each_access(*it, [&](const Access& a) {
        auto& list = a.write ? value_of(a.value).defs : value_of(a.value).readers;
        if (list.empty() || list.back() != a.item) list.push_back(a.item);
      });
  }
  // A value is needed if it is a result, or if something needed reads it; then all its definitions are, and what is
  // around them.
  void remove_dead() {
    constexpr std::uint64_t needed = ~std::uint64_t(0);
    std::vector<bool> live(f_.values.size());
    std::vector<int> todo;
    auto need = [&](int v) {
      if (live[std::size_t(v)]) return;
      live[std::size_t(v)] = true;
      todo.push_back(v);
    };
    for (std::size_t i = 0; i < f_.values.size(); ++i)
      if (f_.values[i].out >= 0 || int(i) == f_.world) need(int(i));
    while (!todo.empty()) {
      const int v = todo.back();
      todo.pop_back();
      for (Item* d : value_of(v).defs)
        for (Item* i = d; i && i->visit != needed; i = i->parent->owner) {
          i->visit = needed;
          each_own_access(*i, [&](const Access& a) {
            if (!a.write || i->kind == Kind::statement) need(a.value);
          });
        }
    }
    auto sweep = [&](auto& self, Region& r) -> void {
      r.items.remove_if([&](const ItemPtr& it) { return it->visit != needed; });
      for (auto& it : r.items)
        for (Region* inner : it->regions()) self(self, *inner);
    };
    sweep(sweep, f_.top);
  }

  // ---- Storage
  // f(loop) for the loops around a region, the innermost first.  What runs before a scan is not in its loop.
  template <class F>
  static void each_loop(const Region& home, F f) {
    for (const Region* r = &home; r->owner; r = r->owner->parent)
      if (const Item& o = *r->owner;
          o.kind == Kind::nest || (o.kind == Kind::scan && o.body.get() == r))
        f(o);
  }
  static bool computed(const Item& s) {
    return std::any_of(s.at.begin(), s.at.end(), [](auto& a) { return bool(a.dynamic); });
  }
  // A reduction starts from the identity: before which item?  The outermost loop that it reduces over; itself, if it
  // stores at a computed index; null for what is an assignment.
  Item* start(Item& s) const {
    if (s.kind != Kind::statement || s.combine == Combine::set || s.onto) return nullptr;
    Item* r = computed(s) ? &s : nullptr;
    for (Item* o = s.parent->owner; o && o->kind == Kind::nest; o = o->parent->owner)
      if (std::none_of(s.at.begin(), s.at.end(), [&](auto& a) { return a.at.coef(o->var) != 0; }))
        r = o;
    return r;
  }
  std::unordered_map<const Item*, std::vector<Item*>>
      fills_;  // reductions that start before an item

  void store(int id) {
    Value& v = value_of(id);
    const bool unused = v.readers.empty() && v.defs.empty() && v.arg < 0 && v.out < 0;
    if (id == f_.world || unused) return;
    Buffer b;
    b.dtype = v.dtype;
    v.dropped.assign(v.shape.size(), false);
    if (v.arg >= 0) {
      b.role = Buffer::Role::input;
      b.index = v.arg;
    } else if (v.constant.defined()) {
      b.role = Buffer::Role::constant;
      b.value = v.constant;
    } else {
      find_home(v);
      if (v.out >= 0) {
        b.role = Buffer::Role::output;
        b.index = v.out;
      } else if (v.defs.empty()) {
        throw std::logic_error("loops: a value is read but never written.");
      } else if (!place_value(v, b)) {
        return;
      }
    }
    b.size = 1;
    for (std::size_t k = 0; k < v.shape.size(); ++k)
      if (!v.dropped[k]) b.size *= v.shape[k];
    if (b.role == Buffer::Role::temp && !v.whole && b.size * std::int64_t(width(b.dtype)) <= kSmall)
      b.role = Buffer::Role::local;
    if (b.role == Buffer::Role::local)
      each_loop(*v.home, [&](const Item& o) {
        if (b.scope == kNone) b.scope = o.var;
      });
    v.buffer = int(p_.buffers.size());
    p_.buffers.push_back(std::move(b));
  }
  void find_home(Value& v) {
    Region* home = nullptr;
    auto widen = [&](Region* r) {
      if (!home) home = r;
      while (!encloses(home, r)) home = home->owner->parent;
    };
    for (Item* d : v.defs) {
      widen(d->parent);
      if (Item* s = start(*d)) {
        fills_[s].push_back(d);
        widen(s->parent);
      }
      v.whole |= d->kind == Kind::call;
    }
    for (Item* r : v.readers) {
      widen(r->kind == Kind::while_ ? r->cond.get() : r->parent);
      v.whole |= r->kind == Kind::call;
    }
    v.home = home;
  }
  // Drops dimensions.  False: no memory is needed.
  bool place_value(Value& v, Buffer& b) {
    bool in_kernel = false;
    if (!v.whole)
      for (std::size_t k = 0; k < v.shape.size(); ++k) v.dropped[k] = v.shape[k] == 1;
    each_loop(*v.home, [&](const Item& o) {
      in_kernel |= o.kind == Kind::nest;
      for (std::size_t k = 0; k < v.shape.size() && !v.whole; ++k)
        if (std::all_of(v.defs.begin(), v.defs.end(), [&](Item* d) { return d->at[k].is(o.var); }))
          v.dropped[k] = true;
    });
    b.role = in_kernel ? Buffer::Role::local : Buffer::Role::temp;
    return !is_scalar(v);
  }
  bool is_scalar(const Value& v) {
    const Item& d = *v.defs[0];
    if (v.whole || v.mut || v.defs.size() > 1 || d.combine != Combine::set || d.guard ||
        d.parent != v.home)
      return false;
    for (bool dropped : v.dropped)
      if (!dropped) return false;
    // Loops at the top are kernels: nothing but memory crosses them.
    if (v.home->owner) return v.home->owner->init.get() != v.home;
    for (Item* r : v.readers)
      if (r->parent != v.home || r->order != d.order ||
          (r->kind != Kind::statement && r->kind != Kind::if_))
        return false;
    return true;
  }
  // Buffers that code uses, in the order inputs, outputs, constants, others; with names.
  void tidy_buffers() {
    std::vector<bool> used(p_.buffers.size());
    auto touch = [&](int b) { used[std::size_t(b)] = true; };
    each_node(p_.body, [&](const Node& n) {
      if (auto* l = n.as<Load>()) touch(l->buffer);
      if (auto* s = n.as<Store>()) touch(s->buffer);
      if (auto* c = n.as<Call>())
        for (auto* operands : {&c->in, &c->out})
          for (auto& o : *operands) touch(o.buffer);
    });
    using Role = Buffer::Role;
    auto rank = [](Role r) {
      return r == Role::input ? 0 : r == Role::output ? 1 : r == Role::constant ? 2 : 3;
    };
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < used.size(); ++i)
      if (used[i] || rank(p_.buffers[i].role) < 2) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
      const Buffer &a = p_.buffers[i], &b = p_.buffers[j];
      return std::pair(rank(a.role), a.index) < std::pair(rank(b.role), b.index);
    });
    std::vector<Buffer> kept;
    std::vector<int> to(used.size(), -1);
    int numbers[] = {0, 0};
    for (std::size_t i : order) {
      Buffer& b = p_.buffers[i];
      const int r = rank(b.role);
      b.name = "xyct"[r] + std::to_string(r < 2 ? b.index : numbers[r - 2]++);
      to[i] = int(kept.size());
      kept.push_back(std::move(b));
    }
    auto move = [&](int& b) { b = to[std::size_t(b)]; };
    each_node(p_.body, [&](Node& n) {
      if (auto* l = n.as<Load>()) move(l->buffer);
      if (auto* s = n.as<Store>()) move(s->buffer);
      if (auto* c = n.as<Call>())
        for (auto* operands : {&c->in, &c->out})
          for (auto& o : *operands) move(o.buffer);
    });
    p_.buffers = std::move(kept);
  }

  // ---- Code
  /// A block while it is written.
  struct Frame {
    Block nodes;
    std::unordered_map<Key, Sym, KeyHash> seen;
    std::unordered_map<int, std::pair<Sym, const Subscripts*>>
        stored;                      // value -> what it is, at an index
    std::unordered_set<int> writes;  // values that the loop around this block writes
  };
  std::vector<Frame> frames_;
  std::vector<std::uint32_t> versions_;  // of each buffer: stores so far
  std::vector<int> depths_;              // symbol -> the frame that defines it
  int floor_ = 0;   // nothing moves out of a parallel loop at the top: it is a kernel
  int branch_ = 0;  // nor, constants apart, out of a branch: it may not run

  int here() const { return int(frames_.size()) - 1; }
  Frame& frame(int d) { return frames_[std::size_t(d)]; }
  int depth(Sym s) const { return std::size_t(s) < depths_.size() ? depths_[std::size_t(s)] : 0; }
  int depth(const Affine& a) const {
    int d = 0;
    for (auto& t : a.terms) d = std::max(d, depth(t.sym));
    return d;
  }
  void set_depth(Sym s, int d) {
    if (depths_.size() <= std::size_t(s)) depths_.resize(std::size_t(s) * 5 / 4 + 16);
    depths_[std::size_t(s)] = d;
  }
  // The symbol of key: known in frames from `lowest` on, or the node make(symbol), put into frame `at` of them.
  template <class Make>
  Sym emit(int at, int lowest, Key key, Make make, int results = 1) {
    lowest = std::max(lowest, floor_);
    for (int d = here(); d >= lowest; --d)
      if (auto it = frame(d).seen.find(key); it != frame(d).seen.end()) return it->second;
    const Sym s = p_.next_sym;
    p_.next_sym += results;
    at = std::max(at, lowest);
    for (int i = 0; i < results; ++i) set_depth(s + i, at);
    frame(at).nodes.push_back(make(s));
    frame(at).seen.emplace(std::move(key), s);
    return s;
  }
  Sym constant(const Element& v) {
    std::int64_t w[2];
    std::memcpy(w, v.bits.data(), sizeof w);
    Key key(Key::constant, int(v.dtype), w[0]);
    key.add(w[1]);
    return emit(0, 0, std::move(key), [&](Sym s) { return Const{s, v}; });
  }

  Sym scalar(const E& e) {
    switch (e->kind) {
      case Expr::Kind::constant: return constant(e->value);
      case Expr::Kind::index: {
        Key key(Key::index, int(e->dtype));
        key.add(e->number);
        return emit(std::max(depth(e->number), branch_), 0, std::move(key), [&](Sym s) {
          return Index{s, e->dtype, e->number};
        });
      }
      case Expr::Kind::apply: {
        Let let;
        let.op = e->op;
        let.params = e->params;
        let.dtype = e->dtype;
        let.results = e->results;
        Key key(Key::apply, std::int64_t(reinterpret_cast<std::intptr_t>(e->op)), int(e->dtype));
        key.params = let.view();
        int at = branch_;
        for (const E& a : e->args) {
          const Sym s = scalar(a);
          let.args.push_back(s);
          key.add(s);
          at = std::max(at, depth(s));
        }
        return e->result + emit(
                               at, 0, std::move(key),
                               [&](Sym s) {
                                 let.sym = s;
                                 return std::move(let);
                               },
                               e->results);
      }
      case Expr::Kind::read: return read(*e);
    }
    throw std::logic_error("loops: an expression of no kind.");
  }
  // Is element `at` of v the one at `other`?
  static bool same(const Value& v, const Subscripts& at, const Subscripts& other) {
    for (std::size_t k = 0; k < at.size(); ++k)
      if (!v.dropped[k] &&
          (!(at[k].at == other[k].at) || at[k].dynamic != other[k].dynamic ||
           (at[k].dynamic && (at[k].lo != other[k].lo || at[k].hi != other[k].hi))))
        return false;
    return true;
  }
  Sym read(const Expr& e) {
    const Value& v = value_of(e.read);
    for (int d = here(); d >= floor_; --d)
      if (auto it = frame(d).stored.find(e.read);
          it != frame(d).stored.end() && same(v, e.at, *it->second.second))
        return it->second.first;
    if (v.buffer < 0) throw std::logic_error("loops: a scalar is read outside its block.");
    for (std::size_t k = 0; k < e.at.size(); ++k)
      if (v.dropped[k] && v.shape[k] != 1 && !(e.at[k].at == v.defs[0]->at[k].at))
        throw std::logic_error("loops: a read leaves the iteration that its value lives in.");
    const Affine at = address(v, e.at);
    // A load stays inside the innermost loop that changes the buffer.
    int lowest = here();
    while (lowest > floor_ && !frame(lowest).writes.count(e.read)) --lowest;
    Key key(Key::load, v.buffer, versions_[std::size_t(v.buffer)]);
    key.add(at);
    return emit(std::max(depth(at), branch_), lowest, std::move(key), [&](Sym s) {
      return Load{s, v.buffer, at};
    });
  }
  Affine address(const Value& v, const Subscripts& at) {
    if (at.size() != v.shape.size())
      throw std::logic_error("loops: an index has the wrong number of subscripts.");
    Affine a;
    std::int64_t stride = 1;
    for (std::size_t i = at.size(); i-- > 0;) {
      const std::size_t k = v.layout.empty() ? i : std::size_t(v.layout[i]);
      if (v.dropped[k]) continue;
      a += at[k].at * stride;
      if (at[k].dynamic) a += clip(at[k]) * stride;
      stride *= v.shape[k];
    }
    return a;
  }
  Affine clip(const Subscript& s) {
    if (s.lo == s.hi) return s.lo;
    const Sym arg = scalar(s.dynamic);
    Key key(Key::clip, arg, s.lo);
    key.add(s.hi);
    return Affine::of(emit(std::max(depth(arg), branch_), 0, std::move(key), [&](Sym c) {
      return Clip{c, arg, s.lo, s.hi};
    }));
  }
  void assign(int buffer, Affine at, Sym s, Combine c, Block& into) {
    ++versions_[std::size_t(buffer)];
    into.push_back(Store{buffer, std::move(at), c, s});
  }

  void statement(Item& it) {
    Value& v = value_of(it.value);
    const Sym guard = it.guard ? scalar(it.guard) : kNone;
    const Sym s = scalar(it.rhs);
    // A reduction over nothing is an assignment.
    const bool combines = it.combine != Combine::set && (it.onto || start(it));
    if (v.buffer >= 0) {
      Affine at = address(v, it.at);
      If branch;
      branch.pred = guard;
      assign(v.buffer, std::move(at), s, combines ? it.combine : Combine::set,
             guard == kNone ? frames_.back().nodes : branch.body);
      if (guard != kNone) frames_.back().nodes.push_back(std::move(branch));
    }
    if (!v.mut && v.defs.size() == 1 && !combines && !it.guard)
      frames_.back().stored[it.value] = {s, &it.at};
  }

  // Stores the identities that reductions start from, over the dimensions that no loop around binds.
  void fill(const std::vector<Item*>& reductions) {
    struct Fill {
      Item* s;
      Subscripts at;
    };
    struct Nest {
      std::vector<std::int64_t> extents;
      std::vector<Sym> vars;
      std::vector<Fill> fills;
    };
    std::vector<Nest> nests;
    for (Item* s : reductions) {
      const Value& v = value_of(s->value);
      const Item* first = start(*s);
      std::vector<const Item*> loops;  // outermost first
      for (const Item* o = s->parent->owner; s != first && o != first; o = o->parent->owner)
        loops.insert(loops.begin(), o);
      Nest own;
      own.fills.push_back({s, s->at});
      Subscripts& at = own.fills[0].at;
      std::vector<Dim> dims;
      for (const Item* o : loops)
        if (std::any_of(at.begin(), at.end(), [&](auto& a) {
              return !v.dropped[std::size_t(&a - at.data())] && !a.dynamic && a.at.coef(o->var);
            }))
          dims.push_back({o->var, o->extent});
      for (std::size_t k = 0; k < at.size(); ++k)
        if (at[k].dynamic && !v.dropped[k]) {  // anywhere: all of the dimension
          dims.push_back({p_.next_sym++, v.shape[k]});
          at[k] = Affine::of(dims.back().sym);
        }
      for (const Dim& d : dims) own.extents.push_back(d.extent);
      auto nest = std::find_if(nests.begin(), nests.end(),
                               [&](auto& n) { return n.extents == own.extents; });
      if (nest == nests.end()) {
        for (std::size_t i = 0; i < dims.size(); ++i) own.vars.push_back(p_.next_sym++);
        nests.push_back(std::move(own));
        nest = std::prev(nests.end());
      } else {
        nest->fills.push_back(std::move(own.fills[0]));
      }
      for (Subscript& a : nest->fills.back().at)
        for (std::size_t i = 0; i < dims.size(); ++i)
          a.at = a.at.subst(dims[i].sym, Affine::of(nest->vars[i]));
    }
    for (Nest& n : nests) {
      if (std::count(n.extents.begin(), n.extents.end(), 0)) continue;
      Block body = block(n.vars.empty() ? kNone : n.vars.back(), nullptr, !n.vars.empty(), [&] {
        for (Sym v : n.vars) set_depth(v, here());
        for (Fill& f : n.fills) {
          const Value& v = value_of(f.s->value);
          const Sym s = constant(identity(f.s->combine, v.dtype));
          assign(v.buffer, address(v, f.at), s, Combine::set, frames_.back().nodes);
        }
      });
      for (std::size_t i = n.vars.size(); i-- > 0;) {
        Loop l;
        l.var = n.vars[i];
        l.extent = n.extents[i];
        l.body = std::move(body);
        body = {};
        body.push_back(std::move(l));
      }
      for (Node& node : body) frames_.back().nodes.push_back(std::move(node));
    }
  }

  // The block that write() writes, a frame of its own unless `same`.  loop: what runs it again and again.
  template <class Write>
  Block block(Sym var, Item* loop, bool parallel, Write write) {
    const int outer = floor_;
    if (parallel && frames_.size() == 1) floor_ = 1;
    frames_.emplace_back();
    if (var != kNone) set_depth(var, here());
    if (loop)
      each_access(*loop, [&](const Access& a) {
        if (a.write) frames_.back().writes.insert(a.value);
      });
    write();
    Block nodes = std::move(frames_.back().nodes);
    frames_.pop_back();
    floor_ = outer;
    return nodes;
  }
  // Scalars of the top are used until the next loop there.
  void forget() {
    if (frames_.size() > 1) return;
    // Not clear(): that takes as long as the table once was large.
    if (!frames_[0].seen.empty()) frames_[0].seen = {};
    if (!frames_[0].stored.empty()) frames_[0].stored = {};
  }

  void region(Region& r) {
    for (auto& p : r.items) {
      Item& it = *p;
      if (auto fl = fills_.find(&it); fl != fills_.end()) {
        forget();
        fill(fl->second);
        forget();
      }
      switch (it.kind) {
        case Kind::statement: statement(it); break;
        case Kind::nest: {
          forget();
          if (it.extent > 0) loop(it, Order::parallel);
          forget();
          break;
        }
        case Kind::scan: {
          if (it.init) region(*it.init);
          forget();
          if (it.extent > 0) loop(it, Order::serial);
          forget();
          break;
        }
        case Kind::while_: {
          if (it.init) region(*it.init);
          forget();
          While w;
          w.cond = block(kNone, &it, false, [&] {
            region(*it.cond);
            w.pred = scalar(it.pred);
            if (depth(w.pred) == here()) return;
            // The same in every iteration, so it is computed outside; but this block has to define it.
            const Sym again = p_.next_sym++;
            frames_.back().nodes.push_back(Let{again, &copy_p, nullptr, DType::b1, 1, {w.pred}});
            w.pred = again;
          });
          w.body = block(kNone, &it, false, [&] { region(*it.body); });
          frames_.back().nodes.push_back(std::move(w));
          forget();
          break;
        }
        case Kind::if_: branch(it); break;
        case Kind::call: call(it); break;
      }
    }
  }
  void loop(Item& it, Order order) {
    Loop l;
    l.var = it.var;
    l.extent = it.extent;
    l.order = order;
    l.body = block(it.var, &it, order == Order::parallel, [&] { region(*it.body); });
    if (!l.body.empty()) frames_.back().nodes.push_back(std::move(l));
  }
  void branch(Item& it) {
    if (it.init) region(*it.init);
    If i;
    i.pred = scalar(it.pred);
    forget();
    const int outer = std::exchange(branch_, int(frames_.size()));
    if (it.body) i.body = block(kNone, nullptr, false, [&] { region(*it.body); });
    if (it.otherwise) i.otherwise = block(kNone, nullptr, false, [&] { region(*it.otherwise); });
    branch_ = outer;
    if (!i.body.empty() || !i.otherwise.empty()) frames_.back().nodes.push_back(std::move(i));
    forget();
  }
  void call(Item& it) {
    Call c;
    c.prim = it.prim;
    c.params = it.params;
    c.loc = it.loc;
    for (auto [from, to] : {std::pair(&it.in, &c.in), std::pair(&it.out, &c.out)})
      for (auto& o : *from) {
        if (o.value == f_.world) continue;
        Value& v = value_of(o.value);
        if (v.buffer < 0) throw std::logic_error("loops: the operand of a call has no memory.");
        Affine at;
        std::int64_t stride = 1;
        for (std::size_t k = v.shape.size(); k-- > 0; stride *= v.shape[k])
          if (k < o.at.size()) at += o.at[k] * stride;
        if (from == &it.out) ++versions_[std::size_t(v.buffer)];
        to->push_back({v.buffer, std::move(at), o.type});
      }
    forget();
    frames_.back().nodes.push_back(std::move(c));
    forget();
  }

  Fusion& f_;
  Program p_;
};

}  // namespace

Program generate(Fusion& f, int inputs, int outputs) { return Generator(f, inputs, outputs).run(); }

}  // namespace jaxpp::loops::fusion
