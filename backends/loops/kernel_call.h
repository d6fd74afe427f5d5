// kernel_call.h -- what every executor on the host does with the memory of a program: Calls of kernels, and poison.
#pragma once
#include <span>
#include "backends/loops/tree.h"

namespace jaxpp::loops {

/// A Call with its kernel, looked up once.
class KernelCall {
 public:
  /// The Call must outlive this.
  explicit KernelCall(const Call&);
  /// operands: the addresses of the operands, then of the results.  Kernels that make their results themselves, and may
  /// keep what they get, get copies.
  void run(void* const* operands) const;

 private:
  const Call* call_;
  const Kernel* kernel_;
};

/// Fills the outputs that are not the memory of an input with ones: NaN.  JAXPP_POISON in the environment asks for it.
void poison_outputs(const Program&, std::span<const void* const> in, std::span<void* const> out);

}  // namespace jaxpp::loops
