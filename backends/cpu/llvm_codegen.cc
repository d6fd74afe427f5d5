// llvm_codegen.cc -- one module through LLVM: parse, clean up, generate.
//
// The text is already vectors and in order, so two passes suffice: sroa makes values of stack slots, early-cse merges
// what is computed twice (LLVM's own O2 takes 1.5 to 4 times as long and gains nothing on such code).  Every compilation
// has a context of its own; target machines, which take 0.2 ms to make, are lent to one at a time.
#include "backends/cpu/llvm_codegen.h"

#include <pthread.h>

#include <chrono>
#include <exception>
#include <mutex>
#include <new>
#include <vector>

#include "backends/cpu/llvm_library.h"
#include "jaxpp/core/error.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {
namespace {

using internal::profile::Slice;

[[noreturn]] void failed(const std::string& stage, const std::string& why) {
  throw Error("LLVM cannot " + stage + ": " + why + "  [E61]");
}

// Text that LLVM allocated.
std::string take(char* message) {
  std::string s = message ? message : "no reason given";
  if (message) llvm().LLVMDisposeMessage(message);
  while (s.ends_with('\n')) s.pop_back();
  return s;
}

// ---- Target machines

class Targets {
 public:
  struct Target {
    api::LLVMTargetMachineRef machine;
    bool quick;
    std::string header;  // of a module for it
  };

  Target take_one(bool quick) {
    {
      std::lock_guard lock(mutex_);
      for (auto& t : idle_)
        if (t.quick == quick) {
          Target found = std::move(t);
          t = std::move(idle_.back());
          idle_.pop_back();
          return found;
        }
    }
    return make(quick);
  }
  void give_back(Target t) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(t));
  }

 private:
  Targets() {
    const api::Llvm& l = llvm();
    const Machine& m = machine();
    triple_ = take(l.LLVMGetDefaultTargetTriple());
    cpu_ = m.cpu == "native" ? take(l.LLVMGetHostCPUName()) : m.cpu;
    if (m.cpu == "native") features_ = take(l.LLVMGetHostCPUFeatures());
    // Vectors are as wide as they are written, also where LLVM would halve them.
    if (m.avx512) features_ += (features_.empty() ? "" : ",") + std::string("-prefer-256-bit");
  }
  Target make(bool quick) const {
    const api::Llvm& l = llvm();
    api::LLVMTargetRef target = nullptr;
    char* why = nullptr;
    if (l.LLVMGetTargetFromTriple(triple_.c_str(), &target, &why))
      failed("generate code for " + triple_, take(why) + ".");
    Target t;
    t.quick = quick;
    t.machine = l.LLVMCreateTargetMachine(
        target, triple_.c_str(), cpu_.c_str(), features_.c_str(),
        quick ? api::kLLVMCodeGenLevelNone : api::kLLVMCodeGenLevelDefault, api::kLLVMRelocPIC,
        api::kLLVMCodeModelSmall);
    if (!t.machine) failed("generate code for " + triple_, "there is no such machine.");
    api::LLVMTargetDataRef layout = l.LLVMCreateTargetDataLayout(t.machine);
    t.header = "target datalayout = \"" + take(l.LLVMCopyStringRepOfTargetData(layout)) +
               "\" target triple = \"" + triple_ + "\" ";
    l.LLVMDisposeTargetData(layout);
    return t;
  }

  std::string triple_, cpu_, features_;
  std::mutex mutex_;
  std::vector<Target> idle_;
  friend Targets& targets();
};
Targets& targets() {
  static auto& t = *new Targets;
  return t;
}

// ---- One compilation

class Stopwatch {
 public:
  explicit Stopwatch(double& milliseconds) : to_(milliseconds) {}
  Stopwatch(const Stopwatch&) = delete;
  ~Stopwatch() {
    to_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
               .count();
  }

 private:
  double& to_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// What it holds is returned by finish(), not by a destructor: after LLVM gave up nothing may be touched.
class Compilation {
 public:
  explicit Compilation(bool quick) : target_(targets().take_one(quick)) {
    context_ = l_.LLVMContextCreate();
    // Without a handler LLVM prints errors of the code generator and ends the process.
    l_.LLVMContextSetDiagnosticHandler(context_, collect, &errors_);
  }
  void finish() {
    if (object_) l_.LLVMDisposeMemoryBuffer(object_);
    if (module_) l_.LLVMDisposeModule(module_);
    l_.LLVMContextDispose(context_);
    targets().give_back(std::move(target_));
  }

  void parse(const std::string& ir) {
    text_ =
        target_.header + ir;  // in its first line: numbers of lines in messages are those of `ir`
    api::LLVMMemoryBufferRef buffer =
        l_.LLVMCreateMemoryBufferWithMemoryRange(text_.data(), text_.size(), "ir", true);
    char* why = nullptr;
    if (l_.LLVMParseIRInContext(context_, buffer, &module_, &why))  // takes the buffer
      failed("parse", take(why));
#ifndef NDEBUG
    if (l_.LLVMVerifyModule(module_, api::kLLVMReturnStatusAction, &why))
      failed("verify", take(why));
    l_.LLVMDisposeMessage(why);
#endif
  }
  void optimize() {
    api::LLVMPassBuilderOptionsRef options = l_.LLVMCreatePassBuilderOptions();
    api::LLVMErrorRef error = l_.LLVMRunPasses(module_, kPasses, target_.machine, options);
    l_.LLVMDisposePassBuilderOptions(options);
    if (error) {
      char* why = l_.LLVMGetErrorMessage(error);
      const std::string text = why;
      l_.LLVMDisposeErrorMessage(why);
      failed("optimize", text);
    }
  }
  std::string emit(int kind) {
    char* why = nullptr;
    if (l_.LLVMTargetMachineEmitToMemoryBuffer(target_.machine, module_, kind, &why, &object_))
      failed("generate code", take(why));
    if (!errors_.empty()) failed("generate code", errors_);
    return std::string(l_.LLVMGetBufferStart(object_), l_.LLVMGetBufferSize(object_));
  }
  std::string ir() const { return take(l_.LLVMPrintModuleToString(module_)); }

 private:
  static void collect(api::LLVMDiagnosticInfoRef info, void* errors) {
    const api::Llvm& l = llvm();
    if (l.LLVMGetDiagInfoSeverity(info) != api::kLLVMDSError) return;
    auto& all = *static_cast<std::string*>(errors);
    all += (all.empty() ? "" : "\n") + take(l.LLVMGetDiagInfoDescription(info));
  }

  const api::Llvm& l_ = llvm();
  Targets::Target target_;
  api::LLVMContextRef context_ = nullptr;
  api::LLVMModuleRef module_ = nullptr;
  api::LLVMMemoryBufferRef object_ = nullptr;
  std::string text_, errors_;
};

std::string run(Compilation& c, const std::string& ir, Output output, Stages& stages) {
  {
    Slice slice("compile", "LLVM parse");
    Stopwatch time(stages.parse);
    c.parse(ir);
  }
  {
    Slice slice("compile", "LLVM optimize");
    Stopwatch time(stages.optimize);
    c.optimize();
  }
  Slice slice("compile", "LLVM generate");
  Stopwatch time(stages.generate);
  switch (output) {
    case Output::ir: return c.ir();
    case Output::assembly: return c.emit(api::kLLVMAssemblyFile);
    case Output::object: break;
  }
  return c.emit(api::kLLVMObjectFile);
}

std::string generate_here(const std::string& ir, bool quick, Output output, Stages& stages) {
  llvm();
  try {
    const FatalErrorsThrow guard;
    auto* c = new Compilation(quick);
    try {
      std::string result = run(*c, ir, output, stages);
      c->finish();
      delete c;
      return result;
    } catch (const Error&) {  // LLVM itself is well
      c->finish();
      delete c;
      throw;
    }
  } catch (const LlvmGaveUp& e) {
    failed("go on", e.reason);
  } catch (const std::bad_alloc&) {
    failed("go on", "out of memory.");
  }
}

// LLVM recurses: as deep as expressions are long.  The caller's stack may be a small one.
constexpr std::size_t kStackBytes = std::size_t(256) << 20;  // reserved, not taken

template <class F>
void on_large_stack(F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* p) -> void* {
        (*static_cast<F*>(p))();
        return nullptr;
      },
      &f);
  pthread_attr_destroy(&attributes);
  if (error) return f();  // no thread: what there is must do
  pthread_join(thread, nullptr);
}
}  // namespace

std::string generate(const std::string& ir, bool quick, Output output, Stages& stages) {
  std::string result;
  std::exception_ptr error;
  on_large_stack([&] {
    try {
      result = generate_here(ir, quick, output, stages);
    } catch (...) {
      error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
  return result;
}

}  // namespace jaxpp::native
