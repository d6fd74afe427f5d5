// interpret_facts.h -- what is known about a program before instructions are written: which loops are run in blocks,
// which values differ between lanes, how long each is needed, and what may overwrite what.
//
// Positions number the nodes in the order in which they run; the end of a loop, a while or an if, and the test of a while,
// have positions of their own.
#pragma once
#include <map>
#include "backends/loops/interpret_code.h"

namespace jaxpp::loops::interpret {

struct Symbol {
  DType dtype = DType::i64;
  bool varying = false;   // differs between lanes
  bool computed = false;  // by a Let
  bool fresh = false;     // its instruction can write anywhere
  bool kept = false;      // lanes are reordered while it is needed: it has to be in a register
  Sym same = kNone;       // not kNone: the same bits as that symbol
  int def = -1;           // position
  int last = -1;          // of the last use; -1: none
  int block = -1;         // number of the list of nodes that it is defined in
  const Store* into = nullptr;  // the store that its instruction does as well
};

/// How the lanes reach an element of a buffer.
enum class Reach : std::uint8_t {
  one,  // all the same one
  row,  // one after the other
  strided,
  indexed,  // by a row of indices
};

class Facts {
 public:
  explicit Facts(const Program&);

  const Program& program;
  std::vector<Symbol> symbols;
  std::vector<int> ends;       // by position, of loops, whiles and ifs: where they end
  std::vector<int> lanes;      // by position, of loops: > 0: they run so many iterations at a time
  std::vector<char> reorders;  // by position, of whiles: lanes that are done move behind the others
  std::map<int, std::vector<Sym>>
      moved;                        // by position, of such whiles: varying values from outside
  std::vector<char> owned;          // by buffer: a local of which each lane has its own
  std::vector<std::int64_t> scale;  // by buffer: elements in memory for each element of the program

  /// The symbol that s is another name of.
  Sym root(Sym s) const {
    while (symbols[std::size_t(s)].same != kNone) s = symbols[std::size_t(s)].same;
    return s;
  }
  Symbol& operator[](Sym s) { return symbols[std::size_t(s)]; }
  const Symbol& operator[](Sym s) const { return symbols[std::size_t(s)]; }
  /// lane: the variable of the enclosing block loop, or kNone.
  Reach reach(int buffer, const Affine& at, Sym lane) const;
  /// Has it a term, other than the lane, that differs between lanes?
  bool indexed(const Affine& at, Sym lane) const {
    for (const Affine::Term& t : at.terms)
      if (t.sym != lane && (*this)[t.sym].varying) return true;
    return false;
  }
  /// Buffers that may share memory have one number.
  int group(int buffer) const { return group_[std::size_t(buffer)]; }
  /// A value read at `position` may stay where it is: nothing overwrites it while it is needed.
  bool stays(const Symbol& value, int buffer, const Affine& at, int position) const;
  /// f(index) for the locals of a loop (kNone: of the program).
  template <class F>
  void each_local(Sym loop, F f) const {
    for (int b = first_local_[std::size_t(loop + 1)]; b >= 0; b = next_local_[std::size_t(b)]) f(b);
  }

 private:
  struct Access {
    int position, buffer;
    const Affine* at;  // null: all of it
    bool store;
  };
  struct Pending {
    const Store* store;
    int position;
  };
  struct Around {  // a loop or while around the current node
    int begin;
    bool reorders = false;
  };
  void number(const Block&);
  void define(Sym, DType, int block, int results = 1);
  void group_buffers();
  void scan(const Block&);
  void scan_loop(const Loop&, int position);
  void scan_while(const While&, int position);
  bool can_reorder(const While&) const;
  void use(Sym);
  void use(const Affine&);
  void access(int buffer, const Affine* at, bool store);
  void write_directly(const Pending&);
  bool overlap(int a, const Affine* at_a, int b, const Affine* at_b) const;
  bool same_memory(int a, int b) const;

  std::vector<int> first_local_, next_local_;
  std::vector<int> group_;                     // by buffer
  std::vector<std::vector<Access>> accesses_;  // by group, by position
  std::vector<Pending> pending_;
  std::vector<std::vector<Pending>>
      written_;  // by group: stores that are done by the instruction of their value
  // The walk
  int position_ = 0, blocks_ = 0;
  std::vector<Around> around_;
  Sym lane_ = kNone;
  bool masked_ = false;
};

/// Marks the loops that run in blocks: at most one on each path, the one that is estimated to be fastest.
void choose_blocks(Facts&);

}  // namespace jaxpp::loops::interpret
