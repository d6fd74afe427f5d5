// plan.h -- the flat plan: a jaxpr as a list of kernel calls over numbered slots.
#pragma once
#include "jaxpp/core/backend.h"

namespace jaxpp::internal {

std::shared_ptr<const Executable> make_plan(const JaxprBody&);
void install_call_kernels();  // jit, remat2, scan, while, cond, custom calls: they run plans

}  // namespace jaxpp::internal
