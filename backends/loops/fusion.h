// fusion.h -- the builder's working form: statements in a tree of loops, before storage is decided.
//
// Every equation that computes becomes statements  value[at] combine= rhs  over their own iteration dimensions.  Views
// (broadcast, reshape, transpose, slice, rev, iota, gather without fill) are substitutions of index expressions into
// their readers and never become statements.  Fusion is where in the tree a statement goes.  Storage comes afterwards:
// dimensions that the definition and all uses of a value share, vanish.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include "backends/loops/tree.h"

namespace jaxpp::loops::fusion {

struct Expr;
using E = std::shared_ptr<const Expr>;

/// An index into one dimension: affine in loop variables, plus (if `dynamic`) a computed integer forced into [lo, hi].
struct Subscript {
  Affine at;
  E dynamic;
  std::int64_t lo = 0, hi = 0;
  Subscript(Affine a = {}) : at(std::move(a)) {}
  Subscript(Affine a, E d, std::int64_t low, std::int64_t high)
      : at(std::move(a)), dynamic(std::move(d)), lo(low), hi(high) {}
  bool is(Sym s) const { return !dynamic && at.is(s); }
};
using Subscripts = std::vector<Subscript>;

struct Expr {
  enum class Kind : std::uint8_t { constant, index, read, apply } kind = Kind::constant;
  DType dtype = DType::f32;
  Element value;                  // constant
  Affine number;                  // index
  int read = -1;                  // read: a value
  Subscripts at;                  // read: one per dimension of the value
  const Primitive* op = nullptr;  // apply: result `result` of an elementwise primitive
  std::shared_ptr<const void> params;
  std::uint8_t result = 0, results = 1;
  std::vector<E> args;
};

/// How a loop's variable walks a value inside the loop: the axis, `none` (not touched) or `mixed`.  Kept per loop, so that
/// a question costs one look-up.
struct Touch {
  static constexpr int none = -1, mixed = -2;
  int written = none, read = none;
};

struct Dim {
  Sym sym;
  std::int64_t extent;
};
struct Region;
struct Item;
using ItemPtr = std::unique_ptr<Item>;

struct Item {
  /// nest: a parallel loop.  scan: a serial loop.
  enum class Kind : std::uint8_t {
    statement,
    nest,
    scan,
    while_,
    if_,
    call
  } kind = Kind::statement;
  Region* parent = nullptr;
  // statement: [if guard:] value[at] combine= rhs
  int value = -1;
  Subscripts at;
  Combine combine = Combine::set;
  bool onto =
      false;  // combines with what the value holds (scatter); a reduction starts from the identity
  E rhs, guard;
  bool pinned =
      false;  // its sources must not be recomputed here (updates of carries, materialisations)
  // nest, scan
  Sym var = kNone;
  std::int64_t extent = 0;
  std::unordered_map<int, Touch> touched;  // nest: by value
  std::int64_t points = 1;                 // nest: iterations of the largest statement inside
  // scan, while_, if_: `init` runs before; while_: cond; if_: body and otherwise
  std::unique_ptr<Region> init, cond, body, otherwise;
  E pred;                      // while_, if_
  std::vector<Sym> pred_dims;  // dimensions of pred that are not lanes yet
  // call: arrays at the start of the remaining dimensions of a value
  struct Operand {
    int value;
    std::vector<Affine> at;  // of the leading dimensions; the others are whole
    Type type;
  };
  std::vector<Operand> in, out;
  const Primitive* prim = nullptr;
  std::shared_ptr<const void> params;
  Loc loc;
  // Bookkeeping of Fusion.
  int id = -1;              // in the order of placement, which is the order of the program
  std::uint64_t order = 0;  // grows along the items of a region
  std::list<ItemPtr>::iterator where;  // in parent->items
  std::vector<Item*> after;            // what must stay in front of it: siblings; by id
  Item* follower = nullptr;            // the last nest that was put behind it
  std::uint64_t visit = 0;             // of the last search that saw it
  ItemPtr uniform;  // what hoist_lanes left behind: the part that no lane changes
  std::vector<Dim> uniform_dims;

  explicit Item(Kind k) : kind(k) {}
  std::vector<Region*> regions() const {  // in the order in which they run
    std::vector<Region*> r;
    for (auto* p : {&init, &cond, &body, &otherwise})
      if (*p) r.push_back(p->get());
    return r;
  }
};

struct Region {
  Item* owner = nullptr;
  std::list<ItemPtr> items;
  // Bookkeeping of Fusion.
  struct ByOrder {
    bool operator()(const Item* a, const Item* b) const { return a->order < b->order; }
  };
  std::set<Item*, ByOrder> structured;  // all items but statements
  std::unordered_map<int, std::vector<Item*>>
      touching;              // value -> nests here that walk an axis of it
  Item* follower = nullptr;  // the last nest that waits for nothing here
};

struct Value {
  DType dtype;
  Shape shape;
  int arg = -1;      // program input
  int out = -1;      // program output
  Array constant{};  // an array known when the program is built
  // Written more than once (carries, updates in place): a read sees the latest write before it.
  bool mut = false;
  bool whole =
      false;  // row-major and complete: a Call takes it, or a reshape reads it by flat indices
  std::vector<Item*> defs{}, readers{};  // in the order of the program
  std::size_t settled = 0;               // readers from here on came after the last definition
  std::size_t ordered = 0;  // definitions after this one wait for it and those before it
  bool hidden = false;      // a lane's own copy (hoist_lanes): nothing outside will read it
  // Axes in the order of memory, the last fastest; empty: as they are.  For outputs that are transposed in the end.
  std::vector<int> layout{};
  // storage, decided by generate
  Region* home = nullptr;
  std::vector<bool> dropped{};
  int buffer = -1;
};

struct Access {
  int value;
  const Subscripts* at;  // empty: everything (operands of calls)
  bool write;
  Item* item;
};
/// f(read) for every read in e, those in subscripts included.
template <class F>
void each_read(const E& e, F&& f);
template <class F>
void each_read(const Subscripts& at, F&& f) {
  for (const Subscript& s : at)
    if (s.dynamic) each_read(s.dynamic, f);
}
template <class F>
void each_read(const E& e, F&& f) {
  if (e->kind == Expr::Kind::read) f(*e);
  each_read(e->at, f);
  for (const E& a : e->args) each_read(a, f);
}
/// f(access) for what an item touches itself, reads first; not for what is inside it.
template <class F>
void each_own_access(Item& it, F&& f) {
  static const Subscripts everything;
  auto reads = [&](const Expr& r) { f(Access{r.read, &r.at, false, &it}); };
  for (const E* e : {&it.rhs, &it.guard, &it.pred})
    if (*e) each_read(*e, reads);
  each_read(it.at, reads);
  for (auto& o : it.in) f(Access{o.value, &everything, false, &it});
  for (auto& o : it.out) f(Access{o.value, &everything, true, &it});
  if (it.kind == Item::Kind::statement) f(Access{it.value, &it.at, true, &it});
}
/// f(leaf) for an item and all inside it that read or write: everything but loops.
template <class F>
void each_leaf(Item& it, F&& f) {
  for (Region* r : it.regions())
    for (auto& i : r->items) each_leaf(*i, f);
  if (it.kind != Item::Kind::nest && it.kind != Item::Kind::scan) f(it);
}
/// Accesses of an item and all inside it.
template <class F>
void each_access(Item& it, F&& f) {
  each_leaf(it, [&](Item& leaf) { each_own_access(leaf, f); });
}

// Expressions (expr.cc).
E make_constant(const Element&);
E make_index(DType, Affine);
E make_read(int value, DType, Subscripts);
E make_apply(const Primitive&, std::shared_ptr<const void> params, DType, std::vector<E> args,
             int result = 0, int results = 1);
E subst(const E& e, const std::map<Sym, Affine>& m);
void subst(Item& it, Sym s, const Affine& by);
/// The same with subscripts.  Null where the result is no expression: a computed index times a number, the sum of two.
E subst(const E& e, const std::map<Sym, Subscript>& m);

Item* ancestor_in(Item* it, const Region& b);  // the item of b that contains it, or null
bool encloses(const Region* outer, const Region* inner);

/// Where a statement goes.  The rules are in docs/loops.md.
struct Fusion {
  std::vector<Value> values;
  Region top;
  Sym next_sym = 0;
  int world =
      -1;  // the value that operations with effects read and write, so that they keep their order; -1: none yet

  Sym fresh() { return next_sym++; }
  int value(DType d, const Shape& s) {
    values.push_back({.dtype = d, .shape = s});
    return int(values.size()) - 1;
  }
  /// Inserts an item whose dimensions `dims` (outermost first) are not bound yet: into existing nests where that is legal
  /// and saves memory traffic, else into new ones.
  void place(Region&, ItemPtr, std::vector<Dim> dims);
  /// A dimension that every statement in the regions of a scan, while_ or if_ (not placed yet) carries without mixing its
  /// elements becomes a dimension of the item itself: lanes move out of time.  Appends it to dims.  False: there is none.
  bool hoist_lanes(Item&, std::vector<Dim>& dims);
  /// When all is placed: sibling nests that one loop can run, and that share what they touch, become one.
  void merge();

 private:
  struct Footprint;
  struct Lanes;
  friend class Merge;
  int placed_ = 0;              // items so far
  std::uint64_t searches_ = 0;  // marks what a search has seen (Item::visit)

  void gather(Footprint&);
  void put(Region&, Footprint&, ItemPtr, std::vector<Dim> dims);
  bool legal(const Footprint&, const Item& nest, Sym d) const;
  std::int64_t trip(const Value&) const;
  std::int64_t benefit(const Footprint&, const Item& nest, Sym d) const;
  std::vector<Item*> candidates(const Region&, const Footprint&);
  std::vector<Item*> needs(const Footprint&, const Region&);
  bool make_room(Region&, Item& nest, const std::vector<Item*>& producers, bool apply);
  bool expand_cheap(Item& s, const Region& leaf);
  void record(Item& leaf);
  void note(Item& placed, const Footprint&);
  ItemPtr copy(const Item&, const std::set<const Item*>& only);
  bool separate(Item&, const Lanes&, const std::vector<Dim>& dims);
  void interchange(Item&, const Lanes&, std::vector<Dim>& dims);
  static void wait(Item&, std::vector<Item*> on);
  static void append(Region&, ItemPtr);
  static ItemPtr take(Region&, Item&);
  void reorder(Region&);
};

/// Decides storage and writes the loop program.
Program generate(Fusion&, int inputs, int outputs);

/// A rough cost of one element, in additions.
int weight(const Primitive&);

}  // namespace jaxpp::loops::fusion
