// check.h -- is an equation well formed?  For readers of text and JSON, which must not trust what they read, and for
// check_jaxpr.
#pragma once
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::internal {

/// The types of an equation's results.  n_out: how many results it is said to have.  Throws Error (number of operands or
/// results, missing nested jaxprs, whatever the shape rule refuses).
std::vector<Type> infer_types(const Primitive&, Params, Types operands, std::size_t n_out);

}  // namespace jaxpp::internal
