// custom.h -- what transforms do to a user's derivative rule.
#pragma once
#include "jaxpp/core/user_functions.h"
#include "transforms/transforms.h"

namespace jaxpp::internal {

/// The rule under forward mode: values and tangents.  A rule given as fwd and bwd leaves a custom_lin, whose transpose
/// is bwd.
void custom_jvp_rule(const CustomRule&, Args x, Args dx, bool linearizing, Results& y, Results& dy);
/// The rule of vmap(f).  Its results have the batch on axis 0; `axes` are those of the operands (-1: unmapped).
CustomPtr batch_custom_rule(const CustomPtr&, const AxisList& axes, std::int64_t size,
                            const std::string& axis_name);

}  // namespace jaxpp::internal
