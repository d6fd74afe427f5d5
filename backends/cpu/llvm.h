// llvm.h -- LLVM, found at run time: IR text in, machine code out.
//
// libLLVM is opened by the first compilation, through its C interface and declarations of our own: nothing is linked,
// and where there is none the interpreter of loop programs does the work.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace jaxpp::native {

/// What code is generated for: this machine.
struct Machine {
  std::string cpu, features;  // as LLVM names them
  int vector_bytes = 16;      // of a full register
  bool avx512 = false, avx2 = false, fma = false, f16c = false;
};
/// From cpuid; JAXPP_CPU=generic|avx2|avx512 in the environment asks for less.  Needs no LLVM.
const Machine& machine();

/// Milliseconds.
struct Stages {
  double parse = 0, optimize = 0, generate = 0, link = 0;
  bool cached = false;  // from the disk: only link
};

struct CodeOptions {
  bool quick = false;  // code generation level 0: 3 to 6 times faster, code a little slower.  For very large functions
};

/// Machine code in memory, until it is destroyed.
class Code {
 public:
  virtual ~Code() = default;
  /// The address of a function of external linkage; null if there is none.
  virtual void* find(std::string_view function) const = 0;
  virtual std::size_t size() const = 0;
};

/// Whether libLLVM can be used; if not, why: a sentence with the remedy.
bool llvm_available(std::string* why = nullptr);
/// Thread-safe.  An object of the same text, options, machine and version of LLVM is taken from the disk cache.
/// Throws Error if the text is not valid, or memory or LLVM fails.
std::shared_ptr<const Code> compile_ir(const std::string& ir, const CodeOptions&, Stages* = nullptr);
/// The assembly of a module.
std::string assembly(const std::string& ir, const CodeOptions&);

}  // namespace jaxpp::native
