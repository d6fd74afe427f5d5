// codegen.h -- a loop program as CUDA C++: one module of kernels, and the steps that run them.
#pragma once
#include <optional>
#include "backends/cuda/driver.h"
#include "backends/loops/tree.h"

namespace jaxpp::cuda {

/// One thing to do on the device, in order.
struct Step {
  enum class Kind : std::uint8_t { kernel, gemm, host } kind = Kind::kernel;
  // kernel
  std::string name;
  Dim3 grid, block;
  unsigned shared_bytes = 0;
  std::vector<int> buffers;  // of the program: its arguments, in order
  // gemm: the three operands are (buffer, element offset)
  Gemm gemm;
  struct Place {
    int buffer = -1;
    std::int64_t at = 0;
  };
  Place a, b, c;
  // host: a top-level node of the program that the CPU runs, because the device has no form for it
  std::size_t node = 0;
  std::string why;
};
struct Code {
  loops::Program program;  // as scheduled for the device: marks, partial results; memory planned
  std::string source;      // every kernel; empty if there is none
  std::vector<Step> steps;
};
/// Schedules a program (built, not scheduled) for the device and prints its kernels.
Code generate(const loops::Program&, int multiprocessors);

}  // namespace jaxpp::cuda
