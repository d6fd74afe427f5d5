// object.h -- a relocatable object file becomes machine code in memory.
//
// The linker of what LLVM's code generator emits: ELF for x86-64, position-independent, small code model.  Sections that
// are needed at run time are copied into one mapping, written, and then made executable and read-only.  Every offset,
// size and index of the file is checked, and what is not understood is an Error: a file may be damaged.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "backends/cpu/llvm.h"

namespace jaxpp::native {

/// The address of a function that an object needs and does not define; null for an unknown one.
using Resolve = void* (*)(std::string_view function);

/// Whether load_object can work here; if not, why.  There is no loader for this processor, or the system forbids to make
/// memory executable, as hardened ones do (SELinux, systemd's MemoryDenyWriteExecute, PR_SET_MDWE).  The system is asked
/// every time, which takes microseconds: a process may give up that right as it runs.
bool can_load_code(std::string* why = nullptr);

/// Throws Error [E62] if the object is damaged, uses what is not supported (writable data, thread-local variables),
/// or needs a function that neither `resolve` nor the runtime (memset, fmod and their like) has, or if memory is short.
std::shared_ptr<const Code> load_object(std::string_view object, Resolve resolve = nullptr);

}  // namespace jaxpp::native
