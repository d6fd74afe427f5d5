// schedule.h -- the passes of schedule(), and what they share with the memory plan and the cost of a program.
#pragma once
#include "backends/loops/loops.h"

namespace jaxpp::loops {

/// The values that a symbol or an index can take, ends included.
struct Interval {
  std::int64_t lo = 0, hi = 0;
};
/// Of every loop variable, chunk number and Clip, by symbol.
std::vector<Interval> intervals(const Program&);
Interval interval(const Affine&, const std::vector<Interval>& symbols);
/// Whether no two iterations of the loop over `var` touch one element through any of these indices (sufficient
/// conditions).  Other symbols take any of their values.
bool iterations_apart(Sym var, const std::vector<Affine>& indices,
                      const std::vector<Interval>& symbols);

/// A guess at how often the body of a while loop runs.
inline constexpr double kWhileTrips = 20;

/// Vectors of a loop that is worth more code.
inline constexpr std::int64_t kLongRun = 60;

/// Loads of each element that make a copy inside lanes worthwhile (pack), where a load is a gather.
inline constexpr double kPackReuse = 2;

/// Locals get the size of what an iteration uses of them.
void shrink(Program&);

/// Joins perfectly nested loops that every index walks as one.
void coalesce(Program&);

/// Puts nested loops in the order of memory, and into tiles where there is none.
void tile(Program&);

/// Sums of inner loops are kept in locals until they are complete.
void accumulate(Program&, const Target&);

/// Which loops run as SIMD lanes: at most one on every path from the root to a leaf.
class Lanes {
 public:
  Lanes(const Program&, const Target&);
  /// Marks the loops of a block.  About the cycles of a run of it.  in_time: it is run again and again, on values that
  /// should stay in registers.
  double choose(Block&, bool in_time = false);
  double choose(Node&, bool in_time = false);
  /// Of a loop outside of lanes: what choose() found for all of its iterations.
  double cycles(const Loop& l) const { return cycles_[std::size_t(l.var)]; }

 private:
  struct InLanes {  // a loop tried as lanes
    const Loop& loop;
    int width;
    bool repeated;                     // long, or inside of long loops, all of them parallel
    double exits = 0;                  // cost of reductions over the lanes, once a loop
    std::vector<const Loop*> inner{};  // around the node that is looked at
    std::vector<int> stored{};         // buffers; sorted
  };
  double choose(Loop&, bool in_time);
  double in_lanes(const Block&, InLanes&);
  double in_lanes(const Load&, const InLanes&);
  double in_lanes(const Store&, InLanes&);
  bool in_registers(const Buffer&, const InLanes&) const;
  int width(const Loop&) const;
  void number(const Block&, int& next);
  bool inside(const Loop&, Sym) const;
  bool varies(const Affine&, const Loop& lanes) const;  // by a term other than its variable

  const Program& p_;
  const Target& target_;
  int long_loops_ = 0;  // around the node that is looked at
  struct Position {
    int begin = -1, end = -1;
  };
  std::vector<Position> position_;  // of loops and Clips, by symbol: preorder numbers
  std::vector<Sym> varies_over_;    // by symbol: the last loop tried as lanes over which it varies
  std::vector<double> cycles_;      // by loop variable
};

/// Inside lanes, elements that lie apart and are loaded again and again are copied once, to where they lie together.
void pack(Program&, Loop& lanes);

/// Unrolls short loops over arrays so small that they can live in registers.
void unroll(Program&, const Target&);

/// Cuts large parallel loops, around which all loops are serial, into work items.  Returns the variables of loops that it
/// added.
std::vector<Sym> chunk(Program&, const Target&, const Lanes&);

}  // namespace jaxpp::loops
