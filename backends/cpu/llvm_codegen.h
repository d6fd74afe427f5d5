// llvm_codegen.h -- IR text to an object file, to assembly, or to better IR.
#pragma once
#include <string>

#include "backends/cpu/llvm.h"

namespace jaxpp::native {

enum class Output { object, assembly, ir };
/// In this thread.  Throws Error [E60], [E61].
std::string generate(const std::string& ir, bool quick, Output, Stages&);

}  // namespace jaxpp::native
