// rewrite.h -- what makes a new jaxpr from an old one: equations with other nested jaxprs, and a canonical order.
#pragma once
#include <functional>
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::internal {

/// The parameters of e with every nested jaxpr j replaced by f(*j); e's own parameters if it has none.
std::shared_ptr<const void> map_sub_jaxprs(const Equation& e,
                                           const std::function<JaxprPtr(const JaxprPtr&)>& f);

/// The same program with its equations in a canonical order: effects as they were, everything else depth first from the
/// outputs, operands left to right; variables are numbered in that order and dead equations dropped.  Texts of canonical
/// programs do not depend on the order in which a compiler evaluates operands.  Nested jaxprs too.
JaxprPtr canonical(const JaxprBody&);

}  // namespace jaxpp::internal
