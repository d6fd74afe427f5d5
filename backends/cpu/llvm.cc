// llvm.cc -- IR text to callable code: LLVM, then the loader.
#include "backends/cpu/llvm.h"

#include <chrono>

#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/llvm_library.h"
#include "backends/cpu/object.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {

bool llvm_available(std::string* why) {
  const LlvmFile& file = find_llvm();
  if (why) *why = file.why;
  return !file.path.empty();
}

std::shared_ptr<const Code> compile_ir(const std::string& ir, const CodeOptions& options,
                                       Stages* stages) {
  Stages unused;
  Stages& s = stages ? *stages : unused;
  s = {};
  const std::string object = generate(ir, options.quick, Output::object, s);
  const internal::profile::Slice slice("compile", "link");
  const auto start = std::chrono::steady_clock::now();
  auto code = load_object(object, options.resolve);
  s.link =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return code;
}
std::string assembly(const std::string& ir, const CodeOptions& options) {
  Stages s;
  return generate(ir, options.quick, Output::assembly, s);
}
std::string optimized_ir(const std::string& ir) {
  Stages s;
  return generate(ir, false, Output::ir, s);
}

}  // namespace jaxpp::native
