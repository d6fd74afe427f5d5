// small_linalg.h -- factorisations of many small matrices, as equations on elements.
#pragma once
#include "backends/passes/passes.h"

namespace jaxpp::passes {

/// What lu, cholesky or triangular_solve of small matrices computes, in terms of elementwise operations; null where a call
/// of the kernel is better.
JaxprPtr small_linalg(const internal::Equation&, const internal::JaxprBody& in);

}  // namespace jaxpp::passes
