// codegen.h -- a loop program as LLVM IR: one walk over the tree.
#pragma once
#include "backends/cpu/elementwise.h"
#include "backends/cpu/llvm.h"
#include "backends/loops/tree.h"

namespace jaxpp::native {

using namespace internal;

struct Generated {
  std::string ir;                         // the function `run` has the type of runtime.h's Entry
  std::vector<const loops::Call*> calls;  // of kernels: call k of the code is the k-th
  std::vector<BlockCall> blocks;       // operations without a generated form: block k of the code
  std::vector<Array> constants;        // their elements are Runtime::constants
  std::size_t arena = 0, scratch = 0;  // bytes that `run` wants, multiples of 64
  bool parallel = false;               // work goes to other threads
  std::size_t instructions = 0, longest = 0;  // of all functions, of the longest one
};

/// p is scheduled, has its memory plan, and outlives the result.  contract: products and sums of the program may be fused.
Generated generate(const loops::Program& p, const Machine&, bool contract);

}  // namespace jaxpp::native
