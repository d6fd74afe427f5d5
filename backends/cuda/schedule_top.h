// schedule_top.h -- what runs apart from what.
#pragma once
#include <string>
#include "backends/cuda/schedule_tree.h"

namespace jaxpp::cuda {

/// A part of the top level that shares nothing with others but memory.
struct Group {
  Block nodes;
  bool run = false;         // not one parallel loop or one call: done in order, by one block
  std::vector<int> locals;  // of a run: those that it alone uses
};
/// Takes the program's body.
std::vector<Group> split_top(Program&);
/// Why the device cannot run a block; empty: it can.
std::string obstacle(const Program&, const Block&);
int new_temp(Program&, const std::string& stem, DType, std::int64_t size);

}  // namespace jaxpp::cuda
