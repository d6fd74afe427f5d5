// elementwise_kernels_binary.cc -- the rows of elementwise.def with two operands.
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

#define BINARY(id, text, doc, linear, domain_, tangent_x, tangent_y, ...) \
  struct id##_code {                                                      \
    static constexpr Domain domain = Domain::domain_;                     \
    static constexpr Result result = Result::Same;                        \
    template <class T>                                                    \
    static auto f(T x, T y) {                                             \
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

void install_binary_kernels() {
#define BINARY(id, ...) install<binary_kernel<id##_code>, 3>(id##_p);
#include "jaxpp/ops/elementwise.def"
#undef BINARY
}
std::span<const BlockRow> binary_rows() {
#define BINARY(id, ...) {&id##_p, binary_op<id##_code>},
  static constexpr BlockRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::internal
