// llvm_none.cc -- instead of llvm_library.cc and llvm_codegen.cc where jaxpp is built without LLVM (JAXPP_LLVM=OFF).
#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/llvm_library.h"
#include "jaxpp/core/error.h"

namespace jaxpp::native {

const LlvmFile& find_llvm() {
  static const auto& none =
      *new LlvmFile{"", "", "jaxpp was built without LLVM: configure it with -DJAXPP_LLVM=ON."};
  return none;
}
std::string generate(const std::string&, bool, Output, Stages&) {
  throw Error("LLVM: " + find_llvm().why + "  [E60]");
}

}  // namespace jaxpp::native
