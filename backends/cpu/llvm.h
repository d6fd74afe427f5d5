// llvm.h -- LLVM, found at run time: IR text in, machine code out.
//
//   auto code = native::compile_ir(text, {.name = "step"});
//   auto f = reinterpret_cast<void (*)(float*)>(code->find("kernel"));
//
// libLLVM is opened by the first compilation, through its C interface and declarations of our own: nothing is linked,
// and where there is none the interpreter of loop programs does the work.  Code that an earlier process compiled is
// taken from the disk without opening libLLVM at all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace jaxpp::native {

/// What code is generated for: this machine, or less of it.
struct Machine {
  std::string cpu;  // "x86-64", "x86-64-v3", "x86-64-v4" as LLVM knows them; "native": all there is
  std::string features;   // what "native" has, as cpuid tells it: part of the key of cached code
  int vector_bytes = 16;  // of a full register
  bool avx512 = false, avx2 = false, fma = false, f16c = false;
  std::size_t cache_bytes =
      0;  // arrays of so many bytes are not in a cache when they have been written; 0: all are
};
/// From cpuid; needs no LLVM.  JAXPP_CPU=generic (SSE2), avx2 or avx512 in the environment asks for less: never for
/// what the machine does not have.  Throws Error [E63] for another value.
const Machine& machine();

/// Milliseconds.
struct Stages {
  double parse = 0, optimize = 0, generate = 0, link = 0;
  bool cached = false;  // taken from the cache: only link
};

struct CodeOptions {
  /// Code generation level 0: 3 to 6 times faster, code a little slower.  For very large functions.
  bool quick = false;
  /// For the progress line of a long compilation: "step (120,000 operations)".
  std::string name = {};
  /// Addresses of functions that the text declares and jaxpp/LLVM's runtime does not have; null for an unknown one.
  void* (*resolve)(std::string_view function) = nullptr;
};

/// Machine code in memory, until it is destroyed.
class Code {
 public:
  virtual ~Code() = default;
  /// The address of a function of external linkage; null if there is none.
  virtual void* find(std::string_view function) const = 0;
  /// Bytes of memory.
  virtual std::size_t size() const = 0;
};

/// Whether there is a libLLVM to use; if not, why: a sentence with the remedy.  Looks for it, and does not open it.
bool llvm_available(std::string* why = nullptr);
/// Thread-safe.  Text is a module; its target is set here.  Code of the same text, options, machine and libLLVM is taken
/// from the cache on disk.  Functions must not throw, nor let a callback's exception pass: there are no unwind tables.
/// Throws Error: [E60] libLLVM cannot be opened, [E61] LLVM refuses the text, or fails, or memory is short, [E62] the
/// text needs a function that nobody knows.
std::shared_ptr<const Code> compile_ir(const std::string& ir, const CodeOptions& = {},
                                       Stages* = nullptr);
/// The assembly of a module.
std::string assembly(const std::string& ir, const CodeOptions& = {});
/// The module as the optimizer leaves it, as text.
std::string optimized_ir(const std::string& ir);

}  // namespace jaxpp::native
