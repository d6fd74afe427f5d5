// elementwise_compare.cc -- the rows of elementwise.def with a bool result, as LLVM IR.
#include "backends/cpu/elementwise_internal.h"

namespace jaxpp::native {
namespace {

#define COMPARE(id, text, doc, domain_, ...)                              \
  struct id##_code {                                                      \
    static constexpr internal::Domain domain = internal::Domain::domain_; \
    static constexpr internal::Result result = internal::Result::Bool;    \
    static constexpr bool is_stored = false;                              \
    template <class T>                                                    \
    static auto f(T x, T y) {                                             \
      using namespace internal::scalar;                                   \
      return __VA_ARGS__;                                                 \
    }                                                                     \
  };
#define UNARY(...)
#define BINARY(...)
#include "jaxpp/ops/elementwise.def"
#undef COMPARE

}  // namespace

template <>
inline constexpr bool has_complex_form<eq_code> = true;
template <>
inline constexpr bool has_complex_form<ne_code> = true;

std::span<const FormRow> compare_forms() {
#define COMPARE(id, ...) {&id##_p, forms_of<id##_code, 2>(), is_short_code<id##_code>},
  static constexpr FormRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::native
