// elementwise_kernels_unary.cc -- the rows of elementwise.def with one operand.  Compiled once per instruction set.
#include "backends/eager/elementwise_loops.h"

namespace jaxpp::internal::JAXPP_ISA {
namespace {

#define UNARY(id, text, doc, linear, domain_, result_, tangent, ...) \
  struct id##_code {                                                 \
    static constexpr Domain domain = Domain::domain_;                \
    static constexpr Result result = Result::result_;                \
    template <class T>                                               \
    [[gnu::always_inline]] static auto f(T x) {                      \
      using namespace scalar;                                        \
      return __VA_ARGS__;                                            \
    }                                                                \
  };
#define BINARY(...)
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef UNARY

}  // namespace

template <>
inline constexpr bool stored_format<copy_code> = true;
#define JAXPP_LIBRARY(id) \
  template <>             \
  inline constexpr bool complex_in_baseline<id##_code> = true;
JAXPP_LIBRARY(asin)
JAXPP_LIBRARY(acos)
JAXPP_LIBRARY(atan)
JAXPP_LIBRARY(asinh)
JAXPP_LIBRARY(acosh)
JAXPP_LIBRARY(atanh)
#undef JAXPP_LIBRARY
#define JAXPP_USUAL(name)                                                                     \
  template <>                                                                                 \
  inline constexpr auto usual_form<name##_code> = [](auto x) __attribute__((always_inline)) { \
    return scalar::usual_##name(x);                                                           \
  };
JAXPP_USUAL(sin)
JAXPP_USUAL(cos)
JAXPP_USUAL(tan)
#undef JAXPP_USUAL

std::span<const UnaryLoops> unary_loops() {
#define UNARY(id, ...) unary_loops_of<id##_code>(),
  static constexpr UnaryLoops loops[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return loops;
}

}  // namespace jaxpp::internal::JAXPP_ISA
