// elementwise_kernels_compare.cc -- the rows of elementwise.def with a bool result.
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

#define COMPARE(id, text, doc, domain_, ...)          \
  struct id##_code {                                  \
    static constexpr Domain domain = Domain::domain_; \
    static constexpr Result result = Result::Bool;    \
    template <class T>                                \
    static bool f(T x, T y) {                         \
      using namespace scalar;                         \
      return __VA_ARGS__;                             \
    }                                                 \
  };
#define UNARY(...)
#define BINARY(...)
#include "jaxpp/ops/elementwise.def"
#undef COMPARE

}  // namespace

void install_compare_kernels() {
#define COMPARE(id, ...) install<binary_kernel<id##_code>, 3>(id##_p);
#include "jaxpp/ops/elementwise.def"
#undef COMPARE
}
std::span<const BlockRow> compare_rows() {
#define COMPARE(id, ...) {&id##_p, binary_op<id##_code>},
  static constexpr BlockRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::internal
