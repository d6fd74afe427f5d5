// loops.h -- from a jaxpr to a loop program that is ready to run: build, schedule, plan.
#pragma once
#include "backends/loops/tree.h"
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::loops {

/// The loop program of a jaxpr: every choice of what shares a loop is made here.  Inputs and outputs are the jaxpr's, in
/// order.  A primitive without loop form becomes a Call of its kernel.
Program build(const JaxprBody&);

struct Target {
  int vector_bytes = 64;  // 0: no lanes
  int max_unroll = 16;
  int max_chunks =
      0;  // > 0: large parallel loops are cut into at most so many work items, by their sizes alone
};
/// Marks (lanes, interleave, unroll, grain); joins loops that every index walks as one.  Never changes results, except
/// for the grouping of floating-point reductions, which depends on sizes alone.
void schedule(Program&, const Target&);

/// Liveness of temps, reuse in place, donation; one arena.  Fills Buffer::offset, Buffer::donor and Program::arena.
void plan_memory(Program&);

/// What a run costs, from the tree alone.
struct Cost {
  std::int64_t loops = 0;  // loop nests at the top: passes over memory
  std::int64_t calls = 0;  // kernels of primitives without loop form
  double flops =
      0;  // arithmetic on elements, a multiply-add as 2; bodies of while loops counted once
  double transcendentals = 0;  // exp, sin, ...
  std::int64_t bytes_read =
      0;  // distinct bytes of inputs, constants and temps loaded by each top-level nest, summed
  std::int64_t bytes_written = 0;
};
Cost cost(const Program&);
struct Memory {
  std::int64_t arguments = 0, outputs = 0, constants = 0;  // bytes
  std::int64_t arena = 0;                                  // bytes of temporaries while it runs
  std::int64_t peak() const { return arguments + outputs + constants + arena; }
};
Memory memory(const Program&);

}  // namespace jaxpp::loops
