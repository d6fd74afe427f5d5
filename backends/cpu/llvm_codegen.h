// llvm_codegen.h -- IR text to an object file, to assembly, or to better IR.
#pragma once
#include <memory>
#include <string>

#include "backends/cache/disk_cache.h"
#include "backends/cpu/llvm.h"

namespace jaxpp::native {

/// What is done to a module before code is generated.
inline constexpr const char* kPasses = "function(sroa,early-cse)";

enum class Output { object, assembly, ir };
/// In this thread.  Throws Error [E60], [E61].
std::string generate(const std::string& ir, bool quick, Output, Stages&);

/// The object file, from the cache if it is there.
std::shared_ptr<const std::string> object_of(internal::DiskCache&, const std::string& ir,
                                             const CodeOptions&, Stages&);

}  // namespace jaxpp::native
