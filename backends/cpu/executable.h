// executable.h -- a jaxpr compiled for the CPU: its loop program as machine code, or interpreted.
#pragma once
#include "jaxpp/core/backend.h"

namespace jaxpp::internal {

std::shared_ptr<const Executable> compile_for_cpu(const JaxprBody&, const CompileTarget&);
void install_call_kernels();  // jit, scan, while, cond, ... : programs of their bodies

}  // namespace jaxpp::internal
