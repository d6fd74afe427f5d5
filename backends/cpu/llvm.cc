// llvm.cc -- IR text to callable code: the cache, LLVM, then the loader.
#include "backends/cpu/llvm.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "backends/cache/disk_cache.h"
#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/llvm_library.h"
#include "backends/cpu/llvm_progress.h"
#include "backends/cpu/object.h"
#include "backends/host/pool.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {
namespace {

constexpr std::size_t kLong =
    128 << 10;  // bytes of text: less is compiled long before a second has passed

ProgressLine::Options progress(std::size_t bytes) {
  return bytes < kLong ? ProgressLine::Options{} : ProgressLine::Options::for_user();
}
std::string described(std::size_t bytes, const CodeOptions& options) {
  return options.name.empty() ? std::to_string(bytes / 1024) + " KiB of code" : options.name;
}
internal::DiskCache& disk_cache() {
  static auto& cache = *new internal::DiskCache("cpu");
  return cache;
}

// Several pieces of code; a function is in one of them.
class Pieces : public Code {
 public:
  void add(std::shared_ptr<const Code> piece) { pieces_.push_back(std::move(piece)); }
  void* find(std::string_view function) const override {
    for (const auto& p : pieces_)
      if (void* found = p->find(function)) return found;
    return nullptr;
  }
  std::size_t size() const override {
    std::size_t n = 0;
    for (const auto& p : pieces_) n += p->size();
    return n;
  }

 private:
  std::vector<std::shared_ptr<const Code>> pieces_;
};

}  // namespace

std::shared_ptr<const std::string> object_of(internal::DiskCache& cache, const std::string& ir,
                                             const CodeOptions& options, Stages& stages) {
  const Machine& m = machine();
  stages.cached = true;
  return cache.get(
      {ir, options.quick ? "quick" : "", kPasses, m.cpu, m.features, find_llvm().identity}, [&] {
        stages.cached = false;
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
  return compile_modules({&ir, 1}, options, stages);
}
std::shared_ptr<const Code> compile_modules(std::span<const std::string> modules,
                                            const CodeOptions& options, Stages* stages) {
  using Object = std::shared_ptr<const std::string>;
  const std::size_t n = modules.size();
  std::size_t bytes = 0;
  for (const std::string& ir : modules) bytes += ir.size();
  std::vector<Stages> of_module(n);
  std::vector<Object> objects(n);
  {
    const ProgressLine line(described(bytes, options), progress(bytes));
    host::parallel_for(std::int64_t(n), [&](std::int64_t i) {
      const auto k = std::size_t(i);
      objects[k] = object_of(disk_cache(), modules[k], options, of_module[k]);
    });
  }

  const internal::profile::Slice slice("compile", "link");
  const auto start = std::chrono::steady_clock::now();
  const auto code = std::make_shared<Pieces>();
  for (const Object& o : objects)
    code->add(load_object(*o, [&](std::string_view function) -> void* {
      if (void* found = code->find(function)) return found;
      return options.resolve ? options.resolve(function) : nullptr;
    }));
  if (stages) {
    const auto total = [](const Stages& s) { return s.parse + s.optimize + s.generate; };
    *stages =
        *std::max_element(of_module.begin(), of_module.end(),
                          [&](const Stages& a, const Stages& b) { return total(a) < total(b); });
    for (const Stages& s : of_module) stages->cached &= s.cached;
    stages->link =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
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
