// llvm.cc -- IR text to callable code: the cache, LLVM, then the loader.
#include "backends/cpu/llvm.h"

#include <chrono>

#include "backends/cache/disk_cache.h"
#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/llvm_library.h"
#include "backends/cpu/llvm_progress.h"
#include "backends/cpu/object.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {
namespace {

constexpr std::size_t kLong =
    128 << 10;  // bytes of text: less is compiled long before a second has passed

ProgressLine::Options progress(const std::string& ir) {
  return ir.size() < kLong ? ProgressLine::Options{} : ProgressLine::Options::for_user();
}
std::string described(const std::string& ir, const CodeOptions& options) {
  return options.name.empty() ? std::to_string(ir.size() / 1024) + " KiB of code" : options.name;
}

}  // namespace

std::shared_ptr<const std::string> object_of(internal::DiskCache& cache, const std::string& ir,
                                             const CodeOptions& options, Stages& stages) {
  const Machine& m = machine();
  stages.cached = true;
  return cache.get(
      {ir, options.quick ? "quick" : "", kPasses, m.cpu, m.features, find_llvm().identity}, [&] {
        stages.cached = false;
        const ProgressLine line(described(ir, options), progress(ir));
        return generate(ir, options.quick, Output::object, stages);
      });
}

bool llvm_available(std::string* why) {
  const LlvmFile& file = find_llvm();
  if (why) *why = file.why;
  return !file.path.empty();
}

std::shared_ptr<const Code> compile_ir(const std::string& ir, const CodeOptions& options,
                                       Stages* stages) {
  static auto& cache = *new internal::DiskCache("cpu");
  Stages unused;
  Stages& s = stages ? *stages : unused;
  s = {};
  const auto object = object_of(cache, ir, options, s);
  const internal::profile::Slice slice("compile", "link");
  const auto start = std::chrono::steady_clock::now();
  auto code = load_object(*object, options.resolve);
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
