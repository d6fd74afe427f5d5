// emulator_gemm.h -- cuBLASLt's matrix product on host memory.
#pragma once
#include "backends/cuda/driver.h"

namespace jaxpp::cuda::emulation {

/// Bytes from the start of an operand to the end of what is accessed.
struct GemmExtent {
  std::size_t a, b, c;
};
/// Throws Error if the numbers do not describe matrices.
GemmExtent check_gemm(const Gemm&);
void gemm(const Gemm&, const void* a, const void* b, void* c);

}  // namespace jaxpp::cuda::emulation
