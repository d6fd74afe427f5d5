// fusion.cc -- where a statement goes.  The rules, each a function below; docs/loops.md has the reasons:
//
//   legal         may dimension d of a statement be the variable of an existing loop?
//   benefit       the elements that then need no trip through memory; the best nest wins, or a new one opens
//   make_room     joining must not close a cycle between nests; items that merely stand in between move
//   expand_cheap  a cheap producer in another leaf of the tree is computed again instead of stored
//
// (hoist_lanes is in hoist.cc.)  Programs may have 100,000 equations in one region, so nothing here looks at all items of
// one: items are linked and ordered by labels, each knows what it must come after, and each region knows which of its
// nests walk a value.  Searches have limits; beyond them, fusion is given up, never correctness.
#include "backends/loops/fusion.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace jaxpp::loops::fusion {

// What an item reads and writes, and what must run before it.
struct Fusion::Footprint {
  Item* item = nullptr;
  std::vector<Access> accesses{};  // of the item and all inside it
  std::vector<Item*> sources{};    // leaves anywhere in the tree, by id
  std::int64_t size = 1;           // its iterations

  void collect() {
    accesses.clear();
    each_access(*item, [&](const Access& a) { accesses.push_back(a); });
  }
};

namespace {

constexpr std::size_t kNests = 24;     // nests considered for each value, the latest first
constexpr std::size_t kMoves = 64;     // items that may move to make room
constexpr std::size_t kEdges = 1024;   // and their dependences, looked at in finding them
constexpr int kLight = 3;              // operations of a producer that is computed again
constexpr int kExpanded = 8;           // operations that one read may grow into
constexpr std::int64_t kSmaller = 32;  // see put()

std::int64_t elements(const Value& v) {
  std::int64_t n = 1;
  for (std::int64_t d : v.shape) n *= d;
  return n;
}

// ---- Order
// Labels of a list whose neighbours are always comparable: a new one takes the middle of the gap; where there is none, the
// labels around are spread over the smallest aligned range that is sparse enough (Bender et al., 2002).
constexpr std::uint64_t kAppend = std::uint64_t(1) << 32;

void spread(Region& b, std::list<ItemPtr>::iterator around) {
  const std::uint64_t label = (*around)->order;
  auto first = around, last = around;
  std::uint64_t n = 1;
  for (int bits = 4; bits < 63; ++bits) {
    const std::uint64_t mask = (std::uint64_t(1) << bits) - 1, lo = label & ~mask;
    while (first != b.items.begin() && (*std::prev(first))->order >= lo) --first, ++n;
    while (std::next(last) != b.items.end() && (*std::next(last))->order - lo <= mask) ++last, ++n;
    if (double(n) > std::pow(1.5, bits)) continue;
    const std::uint64_t step = (mask + 1) / (n + 1);
    if (step < 4) continue;
    std::uint64_t next = lo;
    for (auto i = first;; ++i) {
      (*i)->order = next += step;
      if (i == last) return;
    }
  }
  throw std::logic_error("fusion: a region has too many items");
}

void label(Region& b, Item& it) {
  for (;;) {
    const bool front = it.where == b.items.begin(), back = std::next(it.where) == b.items.end();
    const std::uint64_t lo = front ? 0 : (*std::prev(it.where))->order;
    const std::uint64_t hi = back ? lo + 2 * kAppend : (*std::next(it.where))->order;
    if (hi - lo >= 2) {
      it.order = lo + (hi - lo) / 2;
      return;
    }
    // Spread what is there: the item itself, without a label yet, steps out of the way.
    const auto neighbour = front ? std::next(it.where) : std::prev(it.where);
    it.order = std::numeric_limits<std::uint64_t>::max();
    b.items.splice(b.items.end(), b.items, it.where);
    spread(b, neighbour);
    b.items.splice(front ? neighbour : std::next(neighbour), b.items, it.where);
  }
}

Item& insert(Region& b, std::list<ItemPtr>::iterator before, ItemPtr p) {
  Item& it = *p;
  it.parent = &b;
  it.where = b.items.insert(before, std::move(p));
  label(b, it);
  if (it.kind != Item::Kind::statement) b.structured.insert(&it);
  return it;
}

void sort_by_id(std::vector<Item*>& v) {
  std::sort(v.begin(), v.end(), [](Item* a, Item* b) { return a->id < b->id; });
  v.erase(std::unique(v.begin(), v.end()), v.end());
}
void add_dependence(Item& it, Item* on) {
  auto at = std::lower_bound(it.after.begin(), it.after.end(), on,
                             [](Item* a, Item* b) { return a->id < b->id; });
  if (at == it.after.end() || *at != on) it.after.insert(at, on);
}
// it runs after `on`: noted where the paths to them part.  An item whose outermost region is not in the tree yet keeps
// the dependence until it is.
void depend(Item& it, Item* on) {
  for (Region* r = it.parent; r->owner || ancestor_in(on, *r);) {
    if (Item* a = ancestor_in(on, *r)) {
      Item* s = ancestor_in(&it, *r);
      if (a != s) add_dependence(*s, a);
      return;
    }
    if (!r->owner->parent) return add_dependence(*r->owner, on);
    r = r->owner->parent;
  }
}

// The region of the scan, while_ or if_ around (or the top): what runs in order, once per iteration.
const Region* sequence(const Region* r) {
  while (r->owner && r->owner->kind == Item::Kind::nest) r = r->owner->parent;
  return r;
}

}  // namespace

Item* ancestor_in(Item* it, const Region& b) {
  while (it && it->parent != &b) it = it->parent ? it->parent->owner : nullptr;
  return it;
}
bool encloses(const Region* outer, const Region* inner) {
  for (; inner; inner = inner->owner ? inner->owner->parent : nullptr)
    if (inner == outer) return true;
  return false;
}

// ---- Items that move
void Fusion::wait(Item& it, std::vector<Item*> on) {
  sort_by_id(on);
  for (Item* d : on) add_dependence(it, d);
}
void Fusion::append(Region& b, ItemPtr it) { insert(b, b.items.end(), std::move(it)); }
ItemPtr Fusion::take(Region& b, Item& it) {
  if (it.kind != Item::Kind::statement) b.structured.erase(&it);
  ItemPtr r = std::move(*it.where);
  b.items.erase(it.where);
  return r;
}
// Labels and dependences of the items of a region as they stand: hoist_lanes leaves its regions without.
void Fusion::reorder(Region& b) {
  struct Last {
    std::vector<Item*> writers, readers;  // of a mutable value: the last writer, and readers since
  };
  std::unordered_map<int, Last> last;
  b.structured.clear();
  std::uint64_t order = 0;
  for (auto& i : b.items) {
    Item* it = i.get();
    it->order = order += kAppend;
    if (it->kind != Item::Kind::statement) b.structured.insert(it);
    std::vector<Item*> on;
    std::vector<std::pair<int, bool>> touched;
    each_access(*it, [&](const Access& a) { touched.push_back({a.value, a.write}); });
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    for (auto [value, writes] : touched) {
      const Last& l = last[value];
      const bool mut = values[std::size_t(value)].mut;
      if (!writes || mut) on.insert(on.end(), l.writers.begin(), l.writers.end());
      if (writes && mut) on.insert(on.end(), l.readers.begin(), l.readers.end());
    }
    for (auto [value, writes] : touched) {
      Last& l = last[value];
      if (writes && values[std::size_t(value)].mut) l = {};
      (writes ? l.writers : l.readers).push_back(it);
    }
    std::erase(on, it);
    wait(*it, std::move(on));
  }
}

// ---- Dependences
void Fusion::gather(Footprint& fp) {
  Item& it = *fp.item;
  fp.sources = std::move(it.after);
  it.after.clear();
  each_own_access(it, [&](const Access& a) {
    const Value& v = values[std::size_t(a.value)];
    auto add = [&](const std::vector<Item*>& list, std::size_t from) {
      fp.sources.insert(fp.sources.end(), list.begin() + std::ptrdiff_t(from), list.end());
    };
    // Boxes that were written before a value became mutable have no order; since then, each write waits for what was.
    if (!a.write || v.mut) add(v.defs, v.ordered);
    if (a.write && v.mut) add(v.readers, v.settled);
  });
  sort_by_id(fp.sources);
  fp.collect();
}

// The items of b that must come before it.
std::vector<Item*> Fusion::needs(const Footprint& fp, const Region& b) {
  ++searches_;
  std::vector<Item*> r;
  for (Item* d : fp.sources)
    if (Item* a = ancestor_in(d, b); a && a != fp.item && a->visit != searches_) {
      a->visit = searches_;
      r.push_back(a);
    }
  return r;
}

void Fusion::record(Item& leaf) {
  leaf.id = placed_++;
  each_own_access(leaf, [&](const Access& a) {
    Value& v = values[a.value];
    auto& list = a.write ? v.defs : v.readers;
    if (list.empty() || list.back() != &leaf) list.push_back(&leaf);
    if (!a.write) return;
    v.settled = v.readers.size();
    if (v.mut) v.ordered = v.defs.size() - 1;
  });
}

// Tells the loops around a placed item what it touches.
void Fusion::note(Item& it, const Footprint& fp) {
  for (Item* d : fp.sources) depend(it, d);
  std::int64_t size = 1;
  for (Item* o = it.parent->owner; o; o = o->parent ? o->parent->owner : nullptr) {
    if (o->kind != Item::Kind::nest) continue;
    o->points = std::max(o->points, size);
    size *= o->extent;
    for (const Access& a : fp.accesses) {
      int axis = Touch::mixed;
      for (std::size_t k = 0; k < a.at->size(); ++k)
        if ((*a.at)[k].is(o->var)) axis = int(k);
      Touch& t = o->touched[a.value];
      const bool known = t.written >= 0 || t.read >= 0;
      int& side = a.write ? t.written : t.read;
      side = side == Touch::none || side == axis ? axis : Touch::mixed;
      if (!known && side >= 0) o->parent->touching[a.value].push_back(o);
    }
  }
}

// ---- The rules
// A statement (not yet in the tree) may run inside `nest`, its dimension d as the loop's variable, if all that it needs
// from inside the loop is made in the same iteration: the writer's index and the reader's agree in the axis that the loop
// walks.  A value that is reduced over the loop has no such axis: it is complete after the loop only.
bool Fusion::legal(const Footprint& fp, const Item& nest, Sym d) const {
  for (const Access& a : fp.accesses) {
    auto it = nest.touched.find(a.value);
    if (it == nest.touched.end()) continue;
    auto agree = [&](int axis) {
      return axis == Touch::none ||
             (axis >= 0 && axis < int(a.at->size()) && (*a.at)[std::size_t(axis)].is(d));
    };
    const bool mut = values[a.value].mut;
    if ((!a.write || mut) && !agree(it->second.written)) return false;
    if (a.write && mut && !agree(it->second.read)) return false;
  }
  return true;
}

namespace {

// Operations in e.  Counts the reads that walk all `rank` dimensions: the others are scalars outside the inner loop.
int cost(const E& e, std::size_t rank, int& reads) {
  int w = 0;
  if (e->kind == Expr::Kind::read) {
    SmallVec<Sym, 4> seen;
    bool computed = false;
    for (auto& s : e->at) {
      for (auto& t : s.at.terms)
        if (std::find(seen.begin(), seen.end(), t.sym) == seen.end()) seen.push_back(t.sym);
      if (!s.dynamic) continue;
      computed = true;
      w += 1 + cost(s.dynamic, rank, reads);
    }
    reads += computed || seen.size() >= rank;
  } else if (e->kind == Expr::Kind::apply) {
    w = weight(*e->op);
  }
  for (auto& a : e->args) w += cost(a, rank, reads);
  return w;
}

std::size_t rank(const Item& s) {
  std::size_t r = 0;
  for (auto& a : s.at) r += a.dynamic || !a.at.constant();
  return r;
}

// Whether readers may compute a producer again, if it is cheap.
bool computed_again(const Item& def) {
  return def.kind == Item::Kind::statement && def.combine == Combine::set && !def.pinned &&
         !def.guard;
}

}  // namespace

// Elements on their way through memory if v is read elsewhere: its own, or those that it is computed from again.
std::int64_t Fusion::trip(const Value& v) const {
  const std::int64_t all = elements(v);
  if (v.arg >= 0 || v.mut || v.whole || v.constant.defined() || v.defs.size() != 1) return all;
  const Item& def = *v.defs[0];
  int reads = 0;
  if (!computed_again(def) || cost(def.rhs, rank(def), reads) > kLight || reads > 2) return all;
  std::int64_t from = 1;
  each_read(def.rhs, [&](const Expr& r) { from += elements(values[std::size_t(r.read)]); });
  return std::min(all, from);
}

// Elements that stay in registers or cache if the statement runs inside `nest`: values made there that it reads, what both
// read, and the other boxes of the value it writes.
std::int64_t Fusion::benefit(const Footprint& fp, const Item& nest, Sym d) const {
  std::vector<int> seen;
  std::int64_t n = 0;
  for (const Access& a : fp.accesses) {
    auto it = nest.touched.find(a.value);
    if (it == nest.touched.end()) continue;
    const Value& v = values[a.value];
    auto walks = [&](int axis) {
      return axis >= 0 && axis < int(a.at->size()) && (*a.at)[std::size_t(axis)].is(d);
    };
    if (a.write ? v.mut || !walks(it->second.written)
                : !walks(it->second.written) && !walks(it->second.read))
      continue;
    if (std::find(seen.begin(), seen.end(), a.value) != seen.end()) continue;
    seen.push_back(a.value);
    n += a.write ? std::min(fp.size, elements(v)) : trip(v);
  }
  return n;
}

// Nests of b that walk a value which the statement touches, in the order of b.
std::vector<Item*> Fusion::candidates(const Region& b, const Footprint& fp) {
  ++searches_;
  std::vector<Item*> r;
  if (b.touching.empty()) return r;
  for (const Access& a : fp.accesses) {
    auto it = b.touching.find(a.value);
    if (it == b.touching.end()) continue;
    const auto& nests = it->second;
    for (std::size_t i = nests.size(); i-- > 0 && nests.size() - i <= kNests;)
      if (nests[i]->visit != searches_) {
        nests[i]->visit = searches_;
        r.push_back(nests[i]);
      }
    if (r.size() > 2 * kNests) break;
  }
  std::sort(r.begin(), r.end(), Region::ByOrder());
  return r;
}

// Joining `nest` is fine unless another producer depends on it.  Items that only stand behind it in the list, with
// everything they need behind it, move in front.
bool Fusion::make_room(Region& b, Item& nest, const std::vector<Item*>& producers, bool apply) {
  ++searches_;
  std::vector<Item*> todo, move;
  std::size_t edges = 0;
  auto add = [&](Item* q) {
    if (q->order <= nest.order || q->visit == searches_) return;
    q->visit = searches_;
    todo.push_back(q);
  };
  for (Item* q : producers) add(q);
  while (!todo.empty()) {
    Item* q = todo.back();
    todo.pop_back();
    move.push_back(q);
    edges += q->after.size();
    if (move.size() > kMoves || edges > kEdges) return false;
    for (Item* d : q->after) {
      if (d == &nest) return false;
      add(d);
    }
  }
  if (!apply) return true;
  std::sort(move.begin(), move.end(), Region::ByOrder());
  for (Item* q : move) {
    if (q->kind != Item::Kind::statement) b.structured.erase(q);
    b.items.splice(nest.where, b.items, q->where);
    label(b, *q);
    if (q->kind != Item::Kind::statement) b.structured.insert(q);
  }
  return true;
}

namespace {

// Replaces cheap producers of an expression by what they compute.
struct Expansion {
  const std::vector<Value>& values;
  const Item& reader;
  const Region& leaf;
  bool changed = false;

  bool cheap(const Item& def, int spent, int& work) const {
    if (!computed_again(def)) return false;
    if (encloses(def.parent, &leaf)) return false;
    // Only what runs before this: not what other regions of other items make.
    const Region* made = sequence(def.parent);
    if (made->owner && made->owner->parent && !encloses(made, &leaf)) return false;
    int reads = 0;
    work = cost(def.rhs, rank(def), reads);
    if (work > kLight || reads > 2 || spent + work > kExpanded) return false;
    // What it reads must still be what it was, and not change under the reader's hands.
    bool same = true;
    each_read(def.rhs, [&](const Expr& r) {
      const Value& v = values[std::size_t(r.read)];
      if (!v.mut) return;
      same &= r.read != reader.value && made == sequence(&leaf) &&
              (v.defs.empty() || v.defs.back()->id < def.id);
    });
    return same;
  }

  E read(const E& e, int& spent) {
    const Value& v = values[std::size_t(e->read)];
    if (v.arg >= 0 || v.mut || v.whole || v.constant.defined() || v.defs.size() != 1) return e;
    const Item& def = *v.defs[0];
    int work = 0;
    if (!cheap(def, spent, work)) return e;
    std::map<Sym, Subscript> m;
    for (std::size_t k = 0; k < def.at.size(); ++k) {
      const Affine& a = def.at[k].at;
      if (a.constant()) continue;
      if (!def.at[k].is(a.terms[0].sym)) return e;
      m[a.terms[0].sym] = e->at[k];
    }
    E r = subst(def.rhs, m);
    if (!r) return e;
    changed = true;
    spent += work;
    return expand(r, spent);
  }
  E expand(const E& e, int& spent) {
    E r = e;
    for (std::size_t k = 0; k < e->at.size(); ++k) {
      const E& d = e->at[k].dynamic;
      if (!d) continue;
      if (E x = expand(d, spent); x != d) {
        Subscripts at = r->at;
        at[k].dynamic = std::move(x);
        r = make_read(e->read, e->dtype, std::move(at));
      }
    }
    if (!e->args.empty()) {
      std::vector<E> args;
      bool same = true;
      for (auto& a : e->args) {
        args.push_back(expand(a, spent));
        same &= args.back() == a;
      }
      if (!same)
        r = make_apply(*e->op, e->params, e->dtype, std::move(args), e->result, e->results);
    }
    return r->kind == Expr::Kind::read ? read(r, spent) : r;
  }
  void top(E& e) {
    int spent = 0;
    if (e) e = expand(e, spent);
  }
};

}  // namespace

bool Fusion::expand_cheap(Item& s, const Region& leaf) {
  Expansion x{values, s, leaf};
  x.top(s.rhs);
  x.top(s.guard);
  for (Subscript& a : s.at) x.top(a.dynamic);
  return x.changed;
}

// ---- Placing
void Fusion::place(Region& b, ItemPtr it, std::vector<Dim> dims) {
  Item* item = it.get();
  ItemPtr uniform = std::move(it->uniform);
  std::vector<Dim> uniform_dims = std::move(it->uniform_dims);
  Footprint fp{.item = item};
  gather(fp);
  for (const Dim& d : dims) fp.size *= d.extent;
  put(b, fp, std::move(it), std::move(dims));
  if (item->kind == Item::Kind::scan)
    item->id = placed_++;
  else
    record(*item);
  note(*item, fp);
  if (uniform) place(b, std::move(uniform), std::move(uniform_dims));
}

void Fusion::put(Region& outer, Footprint& fp, ItemPtr it, std::vector<Dim> dims) {
  Region* b = &outer;
  std::vector<Item*> producers = needs(fp, *b);
  const bool expands = it->kind == Item::Kind::statement && !it->pinned;
  for (bool expanded = !expands;;) {
    std::int64_t size = 1, best = 0;
    for (const Dim& d : dims) size *= d.extent;
    Item* where = nullptr;
    std::size_t which = 0;
    if (!dims.empty())
      for (Item* nest : candidates(*b, fp))
        for (std::size_t k = 0; k < dims.size(); ++k) {
          if (dims[k].extent != nest->extent || !legal(fp, *nest, dims[k].sym)) continue;
          const std::int64_t gain = benefit(fp, *nest, dims[k].sym);
          // A statement does not crawl into a much smaller nest and lose its own outer dimension.
          const bool crawls =
              k > 0 && size > nest->points * nest->extent && gain < fp.size / kSmaller;
          if (gain <= best || crawls || !make_room(*b, *nest, producers, false)) continue;
          best = gain;
          where = nest;
          which = k;
        }
    if (where) {
      make_room(*b, *where, producers, true);
      subst(*it, dims[which].sym, Affine::of(where->var));
      fp.collect();
      dims.erase(dims.begin() + std::ptrdiff_t(which));
      b = where->body.get();
    } else if (!expanded && expand_cheap(*it, *b)) {
      expanded = true;
      fp = {.item = fp.item, .size = fp.size};
      gather(fp);
    } else {
      break;
    }
    producers = needs(fp, *b);
  }
  // As early as possible: behind the last producer; from there on in the order of the program.
  Item* last = nullptr;
  for (Item* p : producers)
    if (!last || p->order > last->order) last = p;
  auto before = last ? std::next(last->where) : b->items.begin();
  if (dims.empty()) {
    auto next = last ? b->structured.upper_bound(last) : b->structured.begin();
    before = next == b->structured.end() ? b->items.end() : (*next)->where;
  } else if (Item* f = last ? last->follower : b->follower) {
    before = std::next(f->where);
  }
  for (const Dim& d : dims) {
    auto nest = std::make_unique<Item>(Item::Kind::nest);
    nest->id = placed_++;
    nest->var = d.sym;
    nest->extent = d.extent;
    nest->body = std::make_unique<Region>();
    nest->body->owner = nest.get();
    Item& in = insert(*b, before, std::move(nest));
    if (&d == dims.data()) (last ? last->follower : b->follower) = &in;
    b = in.body.get();
    before = b->items.end();
  }
  insert(*b, before, std::move(it));
}

}  // namespace jaxpp::loops::fusion
