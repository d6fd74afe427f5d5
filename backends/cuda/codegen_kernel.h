// codegen_kernel.h -- prints one kernel.
#pragma once
#include <set>
#include <unordered_map>
#include "backends/cuda/schedule.h"

namespace jaxpp::cuda {

/// What every kernel of a program asks about it.
struct Facts {
  const Program& program;
  std::vector<DType> types;                           // of values, by symbol
  std::unordered_map<Sym, const Element*> constants;  // by symbol
  std::vector<Interval> symbols;
  std::vector<std::string> names;  // of buffers
  explicit Facts(const Program&);
  const Buffer& buffer(int b) const { return program.buffers[std::size_t(b)]; }
  /// Whether two buffers may lie in the same memory.
  bool may_alias(int a, int b) const;
};

struct Kernel {
  std::string name, text;
  std::vector<int> buffers;  // its arguments
  Dim3 grid, block;
  int elementary = 0;  // calls of elementary functions
};
Kernel print_kernel(const Facts&, const Loop&, const Unit&, int number);

// ---- codegen_barriers.cc
/// In a unit of form rows: where the threads of a row must wait for each other, because one touches
/// memory that another has written, or writes what another has read.
struct Barriers {
  std::set<const Node*> before;
  std::set<const Loop*> behind;  // before the results of reductions over this loop are stored
};
Barriers barriers(const Facts&, const Loop& unit, const Unit&, const RowFacts&);

}  // namespace jaxpp::cuda
