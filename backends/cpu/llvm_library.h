// llvm_library.h -- finds and opens libLLVM.
#pragma once
#include <string>

#include "backends/cpu/llvm_api.h"

namespace jaxpp::native {

/// Where libLLVM is, without opening it.
struct LlvmFile {
  std::string path;      // empty: not found
  std::string identity;  // of the file: changes when it does
  std::string why;       // not found: a sentence with the remedy
};
/// JAXPP_LLVM_LIBRARY, LD_LIBRARY_PATH, the system's folders, wherever the loader looks; of the versions the one that is
/// tested first.
const LlvmFile& find_llvm();

/// Opens it, once, and makes it ready.  Throws Error [E60].
const api::Llvm& llvm();

/// Thrown from within LLVM where it would end the process: what it held is lost, and must not be touched again.
struct LlvmGaveUp {
  char reason[1024];
};
/// While one exists, LLVM's fatal errors in this thread are thrown.
class FatalErrorsThrow {
 public:
  FatalErrorsThrow();
  FatalErrorsThrow(const FatalErrorsThrow&) = delete;
  ~FatalErrorsThrow();
};

}  // namespace jaxpp::native
