// merge.cc -- sibling nests that turn out to walk the same things become one.
//
// A statement is placed when its equation is reached, and joins the best nest that exists then.  Two nests that had
// nothing in common may be connected by a later statement, which can join only one of them; and of two equal reasons to
// join, the one taken may later prove the worse.  When all is placed, what place() would do with the whole nest is done:
// the same questions of legality, benefit and room, about two loops instead of a statement and a loop.
#include <algorithm>
#include "backends/loops/fusion.h"

namespace jaxpp::loops::fusion {
namespace {

constexpr std::size_t kPartners = 24;     // nests considered for each value, the latest first
constexpr std::int64_t kWorthwhile = 32;  // what flows, as a part of the smaller nest's iterations

using Touches = std::unordered_map<int, Touch>;

// Which axis of every value the nest walks.
Touches touches(Item& nest) {
  Touches r;
  each_access(nest, [&](const Access& a) {
    int axis = Touch::mixed;
    for (std::size_t k = 0; k < a.at->size(); ++k)
      if ((*a.at)[k].is(nest.var)) axis = int(k);
    Touch& t = r[a.value];
    int& side = a.write ? t.written : t.read;
    side = side == Touch::none || side == axis ? axis : Touch::mixed;
  });
  return r;
}
// Stores where the data say: such a nest is not cut into work items as others are.
bool scatters(Item& nest) {
  bool r = false;
  each_leaf(nest, [&](Item& leaf) {
    r |= leaf.kind == Item::Kind::statement &&
         std::any_of(leaf.at.begin(), leaf.at.end(), [](auto& a) { return bool(a.dynamic); });
  });
  return r;
}
// The iterations of its largest statement.
std::int64_t iterations(Item& it) {
  std::int64_t n = 1;
  for (Region* r : it.regions())
    for (auto& i : r->items) n = std::max(n, iterations(*i));
  const bool loop = it.kind == Item::Kind::nest || it.kind == Item::Kind::scan;
  return loop ? n * std::max<std::int64_t>(it.extent, 1) : n;
}
}  // namespace

class Merge {
 public:
  explicit Merge(Fusion& f) : f_(f) {}

  void region(Region& b) {
    std::vector<Item*> nests;
    for (auto& i : b.items)
      if (i->kind == Item::Kind::nest) nests.push_back(i.get());
    if (nests.size() > 1) {
      f_.reorder(b);
      siblings(b, nests);
    }
    for (auto& i : b.items)
      for (Region* r : i->regions()) region(*r);
  }

 private:
  struct Nest {
    Touches touches;
    std::int64_t iterations;
    bool scatters;
  };

  void siblings(Region& b, const std::vector<Item*>& nests) {
    std::unordered_map<int, std::vector<Item*>> walking;  // an axis of a value
    std::unordered_map<Item*, Nest> known;
    std::unordered_map<Item*, std::vector<Item*>> waiting;  // for an item
    for (auto& i : b.items)
      for (Item* d : i->after) waiting[d].push_back(i.get());
    for (Item* now : nests) {
      Nest here{touches(*now), iterations(*now), scatters(*now)};
      std::vector<Item*> partners;
      for (auto& [value, t] : here.touches) {
        const auto it = walking.find(value);
        if (it == walking.end() || (t.written < 0 && t.read < 0)) continue;
        const auto& all = it->second;
        partners.insert(partners.end(), all.end() - std::ptrdiff_t(std::min(all.size(), kPartners)),
                        all.end());
      }
      std::sort(partners.begin(), partners.end(), Region::ByOrder());
      partners.erase(std::unique(partners.begin(), partners.end()), partners.end());
      Item* best = nullptr;
      std::int64_t most = 0;
      for (Item* p : partners) {
        const Nest& there = known.at(p);
        if (p->extent != now->extent || there.scatters != here.scatters || !legal(there, here))
          continue;
        const std::int64_t gain = benefit(there, here);
        if (gain <= most || gain < std::min(there.iterations, here.iterations) / kWorthwhile ||
            !f_.make_room(b, *p, needs(*now, *p), false))
          continue;
        most = gain;
        best = p;
      }
      if (best) {
        f_.make_room(b, *best, needs(*now, *best), true);
        const bool both = here.scatters;
        join(b, *best, *now, waiting);
        now = best;
        here = {touches(*now), iterations(*now), both};
      }
      for (auto& [value, t] : here.touches)
        if (t.written >= 0 || t.read >= 0) {
          auto& all = walking[value];
          if (std::find(all.begin(), all.end(), now) == all.end()) all.push_back(now);
        }
      known[now] = std::move(here);
    }
  }

  static std::vector<Item*> needs(const Item& it, const Item& partner) {
    std::vector<Item*> r;
    for (Item* d : it.after)
      if (d != &partner) r.push_back(d);
    return r;
  }
  template <class F>
  static void each_common(const Nest& a, const Nest& b, F f) {
    const Touches &few = a.touches.size() < b.touches.size() ? a.touches : b.touches,
                  &many = &few == &a.touches ? b.touches : a.touches;
    for (auto& [value, t] : few)
      if (const auto it = many.find(value); it != many.end())
        &few == &a.touches ? f(value, t, it->second) : f(value, it->second, t);
  }
  bool legal(const Nest& first, const Nest& second) const {
    bool r = true;
    each_common(first, second, [&](int value, const Touch& a, const Touch& b) {
      auto agree = [](int x, int y) {
        return x == Touch::none || y == Touch::none || (x >= 0 && x == y);
      };
      const bool mut = f_.values[std::size_t(value)].mut;
      r &= agree(a.written, b.read);
      if (mut) r &= agree(a.written, b.written) && agree(a.read, b.written);
    });
    return r;
  }
  // Elements that flow from one to the other, or that both read.
  std::int64_t benefit(const Nest& first, const Nest& second) const {
    std::int64_t n = 0;
    each_common(first, second, [&](int value, const Touch& a, const Touch& b) {
      const bool flows = b.read >= 0 && (a.written == b.read || a.read == b.read);
      const bool boxes = b.written >= 0 && a.written == b.written;
      if (!flows && !boxes) return;
      std::int64_t size = 1;
      for (std::int64_t d : f_.values[std::size_t(value)].shape) size *= d;
      n += size;
    });
    return n;
  }

  // The items of `from` behind those of `into`.
  void join(Region& b, Item& into, Item& from,
            std::unordered_map<Item*, std::vector<Item*>>& waiting) {
    subst(from, from.var, Affine::of(into.var));
    // What touches the same values, inside.
    std::unordered_map<int, std::vector<std::pair<Item*, bool>>> touched;
    for (auto& i : into.body->items)
      each_access(*i, [&](const Access& a) {
        auto& list = touched[a.value];
        const std::pair<Item*, bool> own{i.get(), a.write};
        if (list.empty() || list.back() != own) list.push_back(own);
      });
    for (auto& i : from.body->items) {
      std::vector<Item*> on;
      each_access(*i, [&](const Access& a) {
        for (auto& [item, writes] : touched[a.value])
          if (writes || (a.write && f_.values[std::size_t(a.value)].mut)) on.push_back(item);
      });
      Fusion::wait(*i, on);
    }
    Region& body = *into.body;
    while (!from.body->items.empty())
      Fusion::append(body, Fusion::take(*from.body, *from.body->items.front()));
    // What waits for the one waits for both.
    Fusion::wait(into, needs(from, into));
    for (Item* d : needs(from, into)) waiting[d].push_back(&into);
    for (Item* w : waiting[&from]) {
      std::erase(w->after, &from);
      if (w == &into) continue;
      Fusion::wait(*w, {&into});
      waiting[&into].push_back(w);
    }
    Fusion::take(b, from);
  }

  Fusion& f_;
};

void Fusion::merge() { Merge(*this).region(top); }

}  // namespace jaxpp::loops::fusion
