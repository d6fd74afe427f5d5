// backend.h -- what the language asks of an executor.  backends/backend.cc defines backend(); nothing else above the
// backends knows who computes.
#pragma once
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::internal {

/// A compiled jaxpr.  Callable from many threads at once.
struct Executable {
  virtual ~Executable() = default;
  /// donate: entries of `in` that nobody else holds may be overwritten and taken.
  virtual void run(std::span<Array> in, Array* out, bool donate) const = 0;
};
struct Backend {
  void (*install_kernels)();  // sets Primitive::kernel of every built-in primitive, once
  std::shared_ptr<const Executable> (*compile)(const JaxprBody&);
};
const Backend& backend();

}  // namespace jaxpp::internal
