// elementwise_binary.cc -- the rows of elementwise.def with two operands, as LLVM IR.
#include "backends/cpu/elementwise_internal.h"

namespace jaxpp::native {
namespace {

#define BINARY(id, text, doc, linear, domain_, tangent_x, tangent_y, ...) \
  struct id##_code {                                                      \
    static constexpr internal::Domain domain = internal::Domain::domain_; \
    static constexpr internal::Result result = internal::Result::Same;    \
    static constexpr bool is_stored = false;                              \
    template <class T>                                                    \
    static auto f(T x, T y) {                                             \
      using namespace internal::scalar;                                   \
      return __VA_ARGS__;                                                 \
    }                                                                     \
  };
#define UNARY(...)
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef BINARY

}  // namespace

#define JAXPP_CALLED(id) \
  template <>            \
  inline constexpr bool is_called<id##_code> = true;
JAXPP_CALLED(nextafter)
JAXPP_CALLED(zeta)
JAXPP_CALLED(polygamma)
JAXPP_CALLED(igamma)
JAXPP_CALLED(igammac)
JAXPP_CALLED(igamma_grad_a)
JAXPP_CALLED(random_gamma_grad)
#undef JAXPP_CALLED
template <>
inline constexpr bool floats_are_called<rem_code> = true;
#define JAXPP_COMPLEX(id) \
  template <>             \
  inline constexpr bool has_complex_form<id##_code> = true;
JAXPP_COMPLEX(add)
JAXPP_COMPLEX(sub)
JAXPP_COMPLEX(mul)
JAXPP_COMPLEX(div)
JAXPP_COMPLEX(pow)
JAXPP_COMPLEX(atan2)
JAXPP_COMPLEX(max)
JAXPP_COMPLEX(min)
JAXPP_COMPLEX(add_any)
#undef JAXPP_COMPLEX
#define JAXPP_SHORT(id) \
  template <>           \
  inline constexpr bool is_short_code<id##_code> = true;
JAXPP_SHORT(add)
JAXPP_SHORT(sub)
JAXPP_SHORT(mul)
JAXPP_SHORT(div)
JAXPP_SHORT(add_any)
#undef JAXPP_SHORT
#define JAXPP_LONG(id) \
  template <>          \
  inline constexpr bool is_long_code<id##_code> = true;
JAXPP_LONG(pow)
JAXPP_LONG(atan2)
#undef JAXPP_LONG

std::span<const FormRow> binary_forms() {
#define BINARY(id, ...) \
  {&id##_p, forms_of<id##_code, 2>(), is_short_code<id##_code>, is_long_code<id##_code>},
  static constexpr FormRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::native
