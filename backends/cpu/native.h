// native.h -- a loop program as machine code, ready to run.
#pragma once
#include <memory>
#include <span>
#include <string>
#include "backends/cpu/llvm.h"
#include "backends/loops/tree.h"

namespace jaxpp::native {

class NativeProgram {
 public:
  /// p is scheduled and has its memory plan.  name: for the progress line.  Throws Error if the compiler fails.
  NativeProgram(loops::Program p, bool contract);
  ~NativeProgram();
  NativeProgram(const NativeProgram&) = delete;
  const loops::Program& program() const;
  /// As Interpreter::run.
  void run(std::span<const void* const> in, std::span<void* const> out) const;
  /// LLVM IR and assembly: made again on demand.
  std::string ir() const;
  std::string assembly() const;
  Stages stages() const;
  double generate_milliseconds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace jaxpp::native
