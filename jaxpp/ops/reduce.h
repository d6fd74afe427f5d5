// reduce.h -- what reductions by a user's computation share.
#pragma once
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {

/// The jvp of a scalar computation whose operations are elementwise, on whole arrays.  Null tangents are zero.
void elementwise_jvp(const JaxprBody&, Args x, Args dx, Results& y, Results& dy);

}  // namespace jaxpp::internal
