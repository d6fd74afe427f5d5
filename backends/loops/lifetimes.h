// lifetimes.h -- when the buffers of a program are needed, and which may take over the memory of another.
//
// Time is the order of the nodes in the tree.  A value has a home: the block of which one execution defines all of it
// before anything is read, so that nothing lasts from one execution to the next; at worst the whole program.  It lives
// from the first to the last node of that block that touches it.
#pragma once
#include "backends/loops/schedule.h"

namespace jaxpp::loops {

class Lifetimes {
 public:
  explicit Lifetimes(const Program&);

  struct Touch {
    int node;            // its number
    int block;           // the execution of a block that it stands in
    const Affine* at;    // null: a call
    Sym value = kNone;   // stored as it is
    bool whole = false;  // a call that writes the whole buffer
  };
  struct Life {
    std::vector<Touch> touches;  // in the order of the tree
    int home = 0;                // contents last for one execution of this block
    int first = -1, last = -1;   // nodes of that block; -1: never touched
    int end = -1;                // the last node inside `last`
  };
  const Life& operator[](int buffer) const { return life_[std::size_t(buffer)]; }

  /// Whether `now` may have the very memory of `old`: every element is touched for the last time as part of `old` before
  /// it is touched as part of `now`.  Same home, same type and size; old dies in the node in which now is born.
  bool hands_over(const Life& old, const Life& now) const;
  /// There is one instance at a time: no parallel loop is around its home.
  bool sole(const Life& l) const { return blocks_[std::size_t(l.home)].sole; }
  /// Some element of `to` is set to the same element of `from`.
  bool copies(int to, int from) const;

 private:
  struct Execution {  // of a block
    enum class Kind : std::uint8_t { top, loop, repeated, branch } kind = Kind::top;
    int parent = -1;
    int node = -1;  // the number of the node that the block belongs to
    const Loop* loop = nullptr;
    bool sole = true;
    Sym var() const { return loop ? loop->var : kNone; }
  };
  using Touches = std::vector<const Touch*>;

  void walk(const Block&, int block);
  int item(const Touch&, int block) const;
  int block_inside(const Touch&, int block) const;
  void find_home(Life&, const Buffer&) const;
  bool defined_first(const Life&, int block, std::int64_t size) const;
  bool hands_over(Touches old, Touches now, int block) const;
  bool apart(const Touches& old, const Touches& now, int body) const;

  const Program& p_;
  const std::vector<Interval> symbols_;
  std::vector<const Load*> loaded_;  // by symbol
  std::vector<int> body_of_;         // by loop variable
  std::vector<Life> life_;           // by buffer
  std::vector<Execution> blocks_;
  std::vector<int> end_;  // by node: the number of the last node inside it
};

}  // namespace jaxpp::loops
