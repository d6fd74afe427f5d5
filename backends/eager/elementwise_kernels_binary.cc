// elementwise_kernels_binary.cc -- the rows of elementwise.def with two operands.  Compiled once per instruction set.
#include "backends/eager/elementwise_loops.h"

namespace jaxpp::internal::JAXPP_ISA {
namespace {

#define BINARY(id, text, doc, linear, domain_, tangent_x, tangent_y, ...) \
  struct id##_code {                                                      \
    static constexpr Domain domain = Domain::domain_;                     \
    static constexpr Result result = Result::Same;                        \
    template <class T>                                                    \
    [[gnu::always_inline]] static auto f(T x, T y) {                      \
      using namespace scalar;                                             \
      return __VA_ARGS__;                                                 \
    }                                                                     \
  };
#define UNARY(...)
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef BINARY

}  // namespace

template <>
inline constexpr bool stored_format<nextafter_code> = true;
template <>
inline constexpr bool complex_in_baseline<mul_code> = true;

std::span<const BinaryLoops> binary_loops() {
#define BINARY(id, ...) binary_loops_of<id##_code>(),
  static constexpr BinaryLoops loops[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return loops;
}

}  // namespace jaxpp::internal::JAXPP_ISA
