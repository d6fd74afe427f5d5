// schedule_tree.h -- questions about nests of loops, and their rearrangement.
#pragma once
#include <set>
#include <unordered_map>
#include "backends/loops/schedule.h"

namespace jaxpp::cuda {

using namespace loops;
using loops::Index;
using loops::Node;

struct Level {
  Sym var = kNone;
  std::int64_t extent = 1;
};
/// Parallel loops, each but the innermost with nothing inside but the next one: they may be put
/// into any order.
struct Nest {
  std::vector<Level> levels;  // outermost first
  Block leaf;
  std::int64_t points() const {
    std::int64_t n = 1;
    for (const Level& l : levels) n *= l.extent;
    return n;
  }
};
/// Takes a parallel loop apart.  What is computed between its loops, without effects, moves into
/// the leaf.  Loops that every index walks as one become one, loops of one iteration vanish; one
/// level always remains.
Nest peel(Program&, Loop);
/// The loops of the nest around its leaf; marks by level.
Node assemble(Program&, Nest, const std::vector<Marks>& = {});
/// Of the nest's symbols; what comes from outside counts as one value.
std::vector<Interval> intervals(const Program&, const Nest&);
Loop make_loop(Program&, std::int64_t extent, Order = Order::parallel);

/// What touches memory.
struct Access {
  const Node* node;
  int buffer;
  const Affine* at;
  bool load;
  Combine combine;  // of a store
  bool combines() const { return !load && combine != Combine::set; }
};
template <class F>  // f(Access) for loads and stores of a block, not for calls
void each_access(const Block& block, F f) {
  each_node(block, [&](const Node& n) {
    if (auto* l = n.as<Load>()) f(Access{&n, l->buffer, &l->at, true, Combine::set});
    if (auto* s = n.as<Store>()) f(Access{&n, s->buffer, &s->at, false, s->combine});
  });
}
std::vector<Access> accesses(const Block&);
/// Every buffer that a block may write.
std::set<int> written(const Block&);
/// Whether a node only computes a value, which is the same wherever it stands: no memory in
/// `stored` is read.
bool is_pure(const Node&, const std::set<int>& stored);
/// The loop variables of all loops in a block.
std::set<Sym> loops_in(const Block&);
/// Whether a buffer is local to a loop in the block.
bool is_inside(const Program&, int buffer, const std::set<Sym>& loops);

/// On which loops of a block a value depends.
class Depends {
 public:
  /// levels: of loops around the block.
  explicit Depends(const Block&, const std::vector<Level>& levels = {});
  bool on(Sym value, Sym loop) const { return mask(value) & (mask(loop) | kAny); }
  bool on(const Affine& at, Sym loop) const {
    for (auto& t : at.terms)
      if (on(t.sym, loop)) return true;
    return false;
  }
  /// On any of them by a Clip: the index comes from data.
  bool on_data(const Affine& at, Sym loop) const {
    for (auto& t : at.terms)
      if (t.sym != loop && clips_.count(t.sym) && on(t.sym, loop)) return true;
    return false;
  }

 private:
  static constexpr std::uint64_t kAny = std::uint64_t(1) << 63;  // memory that the block writes
  std::uint64_t mask(Sym s) const {
    auto it = masks_.find(s);
    return it == masks_.end() ? 0 : it->second;
  }
  void block(const Block&);
  void define(Sym s, std::uint64_t m) { masks_[s] = m; }
  std::unordered_map<Sym, std::uint64_t> masks_;
  std::set<Sym> clips_;
  std::set<int> stored_;
  int loops_ = 0;
};

/// Whether every iteration of a loop touches elements of its own: all accesses, of one buffer, step
/// alike with the loop, and the rest of their indices stays inside one step, but for multiples of
/// all steps.
bool apart(const std::vector<Access>&, Level, const std::vector<Interval>& symbols);

/// A guess at the cost of one pass, in additions.
double work(const Block&);
/// f(affine) for every index in a block.
template <class B, class F>
void each_affine(B& block, F f) {
  each_node(block, [&](auto& n) {
    if (auto* i = n.template as<Index>()) f(i->at);
    if (auto* l = n.template as<Load>()) f(l->at);
    if (auto* s = n.template as<Store>()) f(s->at);
    if (auto* c = n.template as<Call>()) {
      for (auto& o : c->in) f(o.at);
      for (auto& o : c->out) f(o.at);
    }
  });
}

}  // namespace jaxpp::cuda
