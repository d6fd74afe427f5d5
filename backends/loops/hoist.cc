// hoist.cc -- lanes move out of time: a dimension that all statements in a scan, while_ or if_ carry without mixing its
// elements becomes a loop around it.
//
//   serial t { parallel i { c[i] = f(c[i]) } }   ->   parallel i { serial t { c[i] = f(c[i]) } }
//
// There is no analysis of what vmap did.  The dimension is found in the loops themselves: in every nest of the regions one
// loop (the outermost, or one inside that all of the nest's inner loops share), of the same extent everywhere, such that
// each value written in the regions is written and read along one axis of it.  Such loops may be interchanged with what
// is around them: iterations of a parallel loop are independent, and what flows between nests stays in its lane.
//
// Statements without that dimension (a counter) are repeated in each lane on private copies of what they write.  What
// others may want of them is computed by a copy of the item that has these statements only: `uniform`.
#include <algorithm>
#include <stdexcept>
#include "backends/loops/fusion.h"

namespace jaxpp::loops::fusion {

namespace {

int walked(const Subscripts& at, Sym s) {
  for (std::size_t k = 0; k < at.size(); ++k)
    if (at[k].is(s)) return int(k);
  return -1;
}
bool walks(const Subscripts& at, int axis, Sym s) {
  return axis < int(at.size()) && at[std::size_t(axis)].is(s);
}
bool inside(const Item* it, const Item& outer) {
  for (; it; it = it->parent ? it->parent->owner : nullptr)
    if (it == &outer) return true;
  return false;
}
bool all_inside(const Value& v, const Item& outer) {
  for (auto* list : {&v.defs, &v.readers})
    for (const Item* i : *list)
      if (!inside(i, outer)) return false;
  return true;
}
bool has_call(Item& it) {
  bool r = false;
  each_leaf(it, [&](Item& leaf) { r |= leaf.kind == Item::Kind::call; });
  return r;
}

E renamed(const E& e, const std::map<int, int>& to) {
  if (!e) return e;
  auto r = std::make_shared<Expr>(*e);
  if (auto it = to.find(r->read); r->kind == Expr::Kind::read && it != to.end())
    r->read = it->second;
  for (Subscript& s : r->at) s.dynamic = renamed(s.dynamic, to);
  for (E& a : r->args) a = renamed(a, to);
  return r;
}
// Other values in place of some, in an item and all inside it.
void rename(Item& it, const std::map<int, int>& to) {
  for (E* e : {&it.rhs, &it.guard, &it.pred}) *e = renamed(*e, to);
  for (Subscript& s : it.at) s.dynamic = renamed(s.dynamic, to);
  if (auto v = to.find(it.value); v != to.end()) it.value = v->second;
  for (Region* r : it.regions())
    for (auto& i : r->items) rename(*i, to);
}

}  // namespace

// One attempt: lanes of a given extent.
struct Fusion::Lanes {
  const Fusion& f;
  const Item& s;
  std::int64_t extent;
  bool inner_first;
  const std::vector<Dim>& lanes;  // that were found before
  std::map<int, int> axis{};      // value written in the regions -> its axis that is the lane
  std::vector<Item*> loops{};     // they vanish
  std::vector<Item*> plain{};     // items without that dimension
  Sym pred_dim = kNone;

  bool find() {
    for (Region* r : s.regions())
      for (auto& it : r->items) {
        if (it->kind == Item::Kind::nest) {
          if (!cut(*it)) return false;
        } else {
          if (has_call(*it)) return false;
          plain.push_back(it.get());
        }
      }
    return !loops.empty() && consistent() && predicate();
  }

  // The loops in a nest that are the lanes: itself, or some in each of its items.
  bool cut(Item& nest) {
    if (inner_first && cut_inside(nest)) return true;
    if (nest.extent == extent && fits(nest)) {
      loops.push_back(&nest);
      return true;
    }
    return !inner_first && cut_inside(nest);
  }
  bool cut_inside(Item& nest) {
    const std::size_t before = loops.size();
    for (auto& it : nest.body->items)
      if (it->kind != Item::Kind::nest || !cut(*it)) {
        loops.resize(before);
        return false;
      }
    return !nest.body->items.empty();
  }
  // Does the loop walk one axis of every value that is written inside, the one that is known if one is?  A lane's own
  // values do not matter.
  bool fits(Item& nest) {
    std::map<int, int> found;
    auto axis_of = [&](int value) {
      for (auto* m : {&axis, &found})
        if (auto it = m->find(value); it != m->end()) return it->second;
      return -1;
    };
    bool ok = !has_call(nest);
    each_access(nest, [&](const Access& a) {
      if (!ok) return;
      const Value& v = f.values[std::size_t(a.value)];
      if (const int k = axis_of(a.value); k >= 0) {
        ok = walks(*a.at, k, nest.var);
      } else if (a.write && !(v.hidden && all_inside(v, nest))) {
        ok = (found[a.value] = walked(*a.at, nest.var)) >= 0;
      }
    });
    if (ok) axis.insert(found.begin(), found.end());
    return ok;
  }
  // Reads that came before the writes were known.
  bool consistent() const {
    bool ok = true;
    for (Item* l : loops)
      each_access(*l, [&](const Access& a) {
        auto known = axis.find(a.value);
        ok &= known == axis.end() || walks(*a.at, known->second, l->var);
      });
    for (Item* p : plain) each_access(*p, [&](const Access& a) { ok &= !axis.count(a.value); });
    return ok;
  }
  // The dimension of the predicate that is the lane.  None: all lanes agree.
  bool predicate() {
    if (s.kind == Item::Kind::scan) return true;
    bool ok = true;
    auto is = [&](Sym d) {
      ok &= d != kNone && (pred_dim == kNone || pred_dim == d);
      pred_dim = d;
    };
    each_read(s.pred, [&](const Expr& r) {
      auto known = axis.find(r.read);
      if (known == axis.end()) return;
      const Subscript& at = r.at[std::size_t(known->second)];
      auto d =
          std::find_if(s.pred_dims.begin(), s.pred_dims.end(), [&](Sym x) { return at.is(x); });
      is(d == s.pred_dims.end() ? kNone : *d);
    });
    if (s.pred_dims.empty() || !ok) return ok;
    // The dimensions of a predicate are the first ones of each carry or result.
    for (Item* l : loops)
      each_access(*l, [&](const Access& a) {
        const Value& v = f.values[std::size_t(a.value)];
        auto known = axis.find(a.value);
        if (!a.write || known == axis.end() || !leaves(v)) return;
        std::size_t before = 0;
        for (std::size_t k = 0; k < std::size_t(known->second); ++k)
          before += v.shape[k] != 1 && !is_lane((*a.at)[k]);
        is(before < s.pred_dims.size() ? s.pred_dims[before] : kNone);
      });
    return ok && pred_dim != kNone;
  }
  // Is a value, written here, the carry of a while_ or the result of an if_?
  bool leaves(const Value& v) const {
    auto written_in = [&](const Region& r) {
      return std::any_of(v.defs.begin(), v.defs.end(), [&](Item* d) { return ancestor_in(d, r); });
    };
    if (s.kind == Item::Kind::if_) return written_in(*s.body) && written_in(*s.otherwise);
    return v.mut && (!all_inside(v, s) || written_in(*s.init));
  }
  bool is_lane(const Subscript& a) const {
    return std::any_of(lanes.begin(), lanes.end(), [&](const Dim& d) { return a.is(d.sym); });
  }
};

// A copy of an item, with loop variables of its own.  `only`: which of its direct items (all if empty).
ItemPtr Fusion::copy(const Item& from, const std::set<const Item*>& only) {
  auto to = std::make_unique<Item>(from.kind);
  to->value = from.value;
  to->at = from.at;
  to->combine = from.combine;
  to->onto = from.onto;
  to->rhs = from.rhs;
  to->guard = from.guard;
  to->pinned = from.pinned;
  to->var = from.var;
  to->extent = from.extent;
  to->points = from.points;
  to->pred = from.pred;
  to->pred_dims = from.pred_dims;
  to->id = placed_++;
  for (auto region : {&Item::init, &Item::cond, &Item::body, &Item::otherwise}) {
    if (!(from.*region)) continue;
    Region& r = *((*to).*region = std::make_unique<Region>());
    r.owner = to.get();
    for (auto& it : (from.*region)->items) {
      if (!only.empty() && !only.count(it.get())) continue;
      r.items.push_back(copy(*it, {}));
      r.items.back()->parent = &r;
      r.items.back()->where = std::prev(r.items.end());
    }
  }
  if (to->var != kNone) {
    const Sym var = fresh();
    subst(*to, to->var, Affine::of(var));
    to->var = var;
  }
  return to;
}

bool Fusion::hoist_lanes(Item& s, std::vector<Dim>& dims) {
  // Extents that the lanes may have: those of the predicate's dimensions, or those in the first nest.
  std::vector<std::int64_t> extents;
  auto add = [&](std::int64_t n) {
    if (std::find(extents.begin(), extents.end(), n) == extents.end()) extents.push_back(n);
  };
  if (!s.pred_dims.empty()) {
    each_read(s.pred, [&](const Expr& r) {
      for (std::size_t k = 0; k < r.at.size(); ++k)
        for (Sym d : s.pred_dims)
          if (r.at[k].is(d)) add(values[std::size_t(r.read)].shape[k]);
    });
  } else {
    const Item* nest = nullptr;
    for (Region* r : s.regions())
      for (auto& it : r->items)
        if (!nest && it->kind == Item::Kind::nest) nest = it.get();
    while (nest) {
      add(nest->extent);
      const auto& in = nest->body->items;
      nest = !in.empty() && in.front()->kind == Item::Kind::nest ? in.front().get() : nullptr;
    }
  }
  for (std::int64_t extent : extents)
    for (bool inner_first : {false, true}) {
      Lanes lanes{.f = *this, .s = s, .extent = extent, .inner_first = inner_first, .lanes = dims};
      if (lanes.find() && separate(s, lanes, dims)) {
        interchange(s, lanes, dims);
        return true;
      }
    }
  return false;
}

// Gives the lanes private copies of what plain items write.
bool Fusion::separate(Item& s, const Lanes& lanes, const std::vector<Dim>& dims) {
  std::set<int> written;
  for (Item* p : lanes.plain)
    each_access(*p, [&](const Access& a) {
      if (a.write) written.insert(a.value);
    });
  for (int w : written) {
    const Value& v = values[std::size_t(w)];
    // Lanes that stop on their own share no carry.
    if (!all_inside(v, s) || (v.mut && lanes.pred_dim != kNone && s.kind == Item::Kind::while_))
      return false;
  }
  if (written.empty()) return true;
  ItemPtr uniform;
  if (lanes.pred_dim == kNone) {
    uniform = copy(s, {lanes.plain.begin(), lanes.plain.end()});
    for (Item* d : s.after)
      if (!inside(d, s)) uniform->after.push_back(d);
    std::vector<Dim> own = dims;
    for (Dim& d : own) {
      const Sym sym = fresh();
      subst(*uniform, d.sym, Affine::of(sym));
      d.sym = sym;
    }
    uniform->uniform = std::move(s.uniform);
    uniform->uniform_dims = std::move(s.uniform_dims);
    s.uniform_dims = std::move(own);
  }
  std::map<int, int> to;
  for (int w : written) {
    Value own = values[std::size_t(w)];
    values[std::size_t(w)].defs.clear();
    values[std::size_t(w)].readers.clear();
    values[std::size_t(w)].settled = values[std::size_t(w)].ordered = 0;
    own.hidden = true;
    to[w] = int(values.size());
    values.push_back(std::move(own));
  }
  rename(s, to);
  if (uniform) {
    for (Region* r : uniform->regions())
      for (auto& it : r->items) each_leaf(*it, [&](Item& leaf) { record(leaf); });
    s.uniform = std::move(uniform);
  }
  return true;
}

void Fusion::interchange(Item& s, const Lanes& lanes, std::vector<Dim>& dims) {
  const Sym lane = fresh();
  for (Item* l : lanes.loops) {
    Region& r = *l->parent;
    for (auto& it : l->body->items) {
      subst(*it, l->var, Affine::of(lane));
      it->parent = &r;
    }
    r.items.splice(l->where, l->body->items);
    // No statement will be placed here any more.
    r.structured.clear();
    r.touching.clear();
    for (auto& it : r.items) it->after.clear();
    r.items.erase(l->where);
  }
  if (lanes.pred_dim != kNone) {
    s.pred = subst(s.pred, std::map<Sym, Affine>{{lanes.pred_dim, Affine::of(lane)}});
    s.pred_dims.erase(std::find(s.pred_dims.begin(), s.pred_dims.end(), lanes.pred_dim));
  }
  dims.push_back({lane, lanes.extent});
}

}  // namespace jaxpp::loops::fusion
