// elementwise_kernels_compare.cc -- the rows of elementwise.def with a bool result.  Compiled once per instruction set.
#include "backends/eager/elementwise_loops.h"

namespace jaxpp::internal::JAXPP_ISA {
namespace {

#define COMPARE(id, text, doc, domain_, ...)          \
  struct id##_code {                                  \
    static constexpr Domain domain = Domain::domain_; \
    static constexpr Result result = Result::Bool;    \
    template <class T>                                \
    [[gnu::always_inline]] static auto f(T x, T y) {  \
      using namespace scalar;                         \
      return __VA_ARGS__;                             \
    }                                                 \
  };
#define UNARY(...)
#define BINARY(...)
#include "jaxpp/ops/elementwise.def"
#undef COMPARE

}  // namespace

std::span<const BinaryLoops> compare_loops() {
#define COMPARE(id, ...) binary_loops_of<id##_code>(),
  static constexpr BinaryLoops loops[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return loops;
}

}  // namespace jaxpp::internal::JAXPP_ISA
