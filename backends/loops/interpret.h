// interpret.h -- runs a loop program on the CPU: the reference for every code generator, and what jit uses where there is
// no compiler.
#pragma once
#include <memory>
#include <span>
#include "backends/loops/tree.h"

namespace jaxpp::loops {

/// A program made ready to run.  Blocks of 1,024 iterations of a parallel loop go through one operation at a time, by the
/// vector loops that eager execution runs too; loops without such a dimension run element by element.  Marks are ignored.
/// With JAXPP_POISON in the environment, memory starts a run filled with ones (NaN): registers, locals, temps, and outputs
/// that are not the memory of an input.
class Interpreter {
 public:
  explicit Interpreter(Program);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  const Program& program() const;
  /// in[i], out[i]: the elements of input and output i.  An output may be the very memory of its donor.  Thread-safe.
  void run(std::span<const void* const> in, std::span<void* const> out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace jaxpp::loops
