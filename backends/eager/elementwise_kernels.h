// elementwise_kernels.h -- what the kernels of elementwise operations share: element types by dtype,
// broadcasting, and the tables of loops of elementwise.def, of which there is one per instruction
// set.  block_ops.h makes the same loops known to other executors.
#pragma once
#include <array>
#include <span>
#include <tuple>
#include <utility>

#include "backends/eager/block_ops.h"
#include "backends/eager/kernels.h"
#include "backends/eager/scalar.h"
#include "jaxpp/ops/elementwise.h"

namespace jaxpp::internal {

void install_convert_kernels();

using UnaryLoops = std::array<UnaryLoop, kNumDTypes>;
using BinaryLoops = std::array<BinaryLoop, kNumDTypes>;

/// Runs a loop over all elements of x.
void run_unary(UnaryLoop loop, const Array& x, const Array& z);
/// Runs a loop over operands that broadcast: equal shapes, rank 0, or sizes 1.
void run_broadcast(BinaryLoop loop, const Array& x, const Array& y, const Array& z);

// ---- Element types by dtype
using ElementTypes = std::tuple<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t,
                                std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t, float16,
                                bfloat16, float, double, std::complex<float>, std::complex<double>>;
template <DType D>
using Element = std::tuple_element_t<std::size_t(D), ElementTypes>;

// ---- The loops of an instruction set: of the rows of elementwise.def, in their order
#define JAXPP_LOOPS(isa)                        \
  namespace isa {                               \
  std::span<const UnaryLoops> unary_loops();    \
  std::span<const BinaryLoops> binary_loops();  \
  std::span<const BinaryLoops> compare_loops(); \
  }
JAXPP_LOOPS(baseline)
JAXPP_LOOPS(avx2)
JAXPP_LOOPS(avx512)
#undef JAXPP_LOOPS

}  // namespace jaxpp::internal
