// programs.h -- random programs for the property tests.
//
// A program is a list of genes, one 64-bit number for each operation; everything about it (operation, operands, axes)
// follows from the gene and from the types of the values at hand, never from their elements.  So the same program runs
// under every trace, and leaving out genes gives smaller programs: shrinking is removal.
#pragma once
#include "../checks.h"

namespace jaxpp::testing {

/// vmap of f over the leading axes of all operands and results.
Fn vmapped(Fn f);
/// The gradient of the sum of f's results, with respect to its first n operands.
Fn gradient(Fn f, std::size_t n);

struct Program {
  std::vector<Shape> inputs;
  std::vector<std::uint64_t> genes;
  /// Runs the program.  Results are smooth functions of the inputs almost everywhere, of moderate size.
  void operator()(Args x, Results& y) const;
  /// With a scalar result: a fixed weighted sum of all results.
  Fn scalar() const;
  Arrays arguments(Random&) const;
  std::string text() const;  // its jaxpr
};
Program random_program(std::uint64_t seed, int operations);

/// The smallest program found, by removing genes, for which `fails` still gives a message.
Program shrink(Program, const std::function<std::string(const Program&)>& fails);

}  // namespace jaxpp::testing
