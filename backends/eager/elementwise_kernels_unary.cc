// elementwise_kernels_unary.cc -- the rows of elementwise.def with one operand.
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

#define UNARY(id, text, doc, linear, domain_, result_, tangent, ...) \
  struct id##_code {                                                 \
    static constexpr Domain domain = Domain::domain_;                \
    static constexpr Result result = Result::result_;                \
    template <class T>                                               \
    static auto f(T x) {                                             \
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

void install_unary_kernels() {
#define UNARY(id, ...) install<unary_kernel<id##_code>, 1>(id##_p);
#include "jaxpp/ops/elementwise.def"
#undef UNARY
}
std::span<const BlockRow> unary_rows() {
#define UNARY(id, ...) {&id##_p, unary_op<id##_code>},
  static constexpr BlockRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::internal
