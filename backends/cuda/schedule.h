// schedule.h -- how a loop program runs on a device: which node becomes what kind of kernel.
//
// Every top-level node becomes a unit: one launch, or a library's matrix product, or work for the
// host.  A unit's form is read off the tree: which loops are parallel, over which of them stores
// combine, which index walks memory contiguously.
//
//   loop       every iteration of the outer parallel loops is a thread (marks: grid); loops inside run in the thread
//   transpose  the same, where loads and stores are contiguous along different loops: through tiles in shared memory
//   sum        everything is combined: chunks of the iterations are blocks (grid, with grain and chunk), which leave partial
//              results for a second unit
//   columns    combined over loops outside of the contiguous one: threads along the columns (grid), which walk the other
//              loops, in chunks if there are few columns
//   rows       a block, or a warp, for every iteration of the outer loops (block); loops inside run in its threads
//              (thread); everything else is the same in all of them
//
// The tree is changed by partial results, by loops around what stood alone at the top, and by
// reordering loops: a CPU that ignores the marks still computes the same, but for the grouping of
// floating-point reductions.  That depends on sizes alone: results are the same on every device.
#pragma once
#include <map>
#include "backends/cuda/codegen.h"
#include "backends/cuda/schedule_tree.h"

namespace jaxpp::cuda {

enum class Form : std::uint8_t { loop, transpose, sum, columns, rows, gemm, host };

struct Unit {
  Form form = Form::loop;
  std::string why;    // host
  int threads = 256;  // of a block
  int vector = 1;     // loop, sum, columns: neighbours that a thread takes at once
  int across = 32;    // columns: threads of a block side by side; the others walk different rows
  int group = 0;      // rows: threads of one row; less than `threads`: several rows in a block
  std::map<Sym, int>
      vectors;  // rows: as `vector`, by the innermost loop of some that run in the threads
  std::set<int> assigns;  // buffers whose combining stores start from nothing
  std::set<int> skips;    // buffers whose stores need not be: see assigns
  Gemm gemm;
  Step::Place a, b, c;
};

struct Scheduled {
  Program program;
  std::vector<Unit> units;  // of its top-level nodes
};
/// Throws nothing for want of a form: that is a unit for the host.
Scheduled schedule_for_device(Program);

inline constexpr int kSharedBytes = 48 << 10;  // of a block, without asking for more
inline constexpr int kTile = 32;               // of a transpose
inline constexpr int kMaxRegisters = 32;  // elements of an array that a thread keeps in registers

// ---- schedule_gemm.cc
/// A product of matrices as the library does it, or why not.
struct Product {
  Gemm gemm;
  Step::Place a, b, c;
  std::string why;
};
Product as_gemm(const Call&);

// ---- schedule_rows.cc: the inside of units of form rows
/// Where a local lives.
enum class Storage : std::uint8_t {
  thread,     // an array of the thread
  copies,     // every thread of a row has the same contents in an array of its own
  registers,  // every thread has its share, the elements that only it touches
  shared
};
/// Reductions over the threads of a row: a combining store inside of `thread` loops whose index
/// lacks them.
struct RowFacts {
  std::map<int, Storage> storage;  // of locals
  /// The loop behind which a store's partial results are combined: the outermost `thread` loop
  /// around it, or a loop around that in which nobody looks at the result.
  std::map<const Node*, const Loop*> reduced_after;
};
/// Marks loops inside a row that its threads share.
void bind_threads(Program&, Block& row);
/// The outermost loops that threads share, each with those right inside it that they share too.
struct ThreadNest {
  const Loop* outer;
  std::vector<Level> levels;
  const Block* leaf;
  std::int64_t points() const {
    std::int64_t n = 1;
    for (const Level& l : levels) n *= l.extent;
    return n;
  }
};
std::vector<ThreadNest> thread_nests(const Block& row);
RowFacts row_facts(const Program&, const Loop& unit, const Unit&);
/// Bytes of shared memory, for each row.
std::int64_t shared_bytes(const Program&, const RowFacts&);
/// Steps of one thread, roughly.
double sequential_work(const Block& row, int threads);

// ---- schedule.cc
/// Neighbours of the innermost level that a thread may take at once: all that depends on it in
/// memory is contiguous and aligned.
int vector_width(const Program&, const std::vector<Level>&, const Block& leaf);

}  // namespace jaxpp::cuda
