// elementwise_unary.cc -- the rows of elementwise.def with one operand, as LLVM IR.
#include "backends/cpu/elementwise_internal.h"

namespace jaxpp::native {
namespace {

#define UNARY(id, text, doc, linear, domain_, result_, tangent, ...)      \
  struct id##_code {                                                      \
    static constexpr internal::Domain domain = internal::Domain::domain_; \
    static constexpr internal::Result result = internal::Result::result_; \
    static constexpr bool is_stored = &id##_p == &copy_p;                 \
    template <class T>                                                    \
    static auto f(T x) {                                                  \
      using namespace internal::scalar;                                   \
      return __VA_ARGS__;                                                 \
    }                                                                     \
  };
#define BINARY(...)
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef UNARY

}  // namespace

#define JAXPP_COMPLEX(id) \
  template <>             \
  inline constexpr bool has_complex_form<id##_code> = true;
JAXPP_COMPLEX(neg)
JAXPP_COMPLEX(abs)
JAXPP_COMPLEX(sign)
JAXPP_COMPLEX(square)
JAXPP_COMPLEX(copy)
JAXPP_COMPLEX(sqrt)
JAXPP_COMPLEX(rsqrt)
JAXPP_COMPLEX(exp)
JAXPP_COMPLEX(exp2)
JAXPP_COMPLEX(expm1)
JAXPP_COMPLEX(log)
JAXPP_COMPLEX(log1p)
JAXPP_COMPLEX(logistic)
JAXPP_COMPLEX(sin)
JAXPP_COMPLEX(cos)
JAXPP_COMPLEX(tan)
JAXPP_COMPLEX(sinh)
JAXPP_COMPLEX(cosh)
JAXPP_COMPLEX(tanh)
#undef JAXPP_COMPLEX
template <>
inline constexpr bool is_short_code<neg_code> = true;
template <>
inline constexpr bool is_short_code<square_code> = true;
#define JAXPP_LONG(id) \
  template <>          \
  inline constexpr bool is_long_code<id##_code> = true;
JAXPP_LONG(cbrt)
JAXPP_LONG(exp)
JAXPP_LONG(exp2)
JAXPP_LONG(expm1)
JAXPP_LONG(log)
JAXPP_LONG(log1p)
JAXPP_LONG(logistic)
JAXPP_LONG(sin)
JAXPP_LONG(cos)
JAXPP_LONG(tan)
JAXPP_LONG(asin)
JAXPP_LONG(acos)
JAXPP_LONG(atan)
JAXPP_LONG(sinh)
JAXPP_LONG(cosh)
JAXPP_LONG(tanh)
JAXPP_LONG(asinh)
JAXPP_LONG(acosh)
JAXPP_LONG(atanh)
JAXPP_LONG(erf)
JAXPP_LONG(erfc)
JAXPP_LONG(erf_inv)
JAXPP_LONG(lgamma)
JAXPP_LONG(digamma)
JAXPP_LONG(bessel_i0e)
JAXPP_LONG(bessel_i1e)
#undef JAXPP_LONG

std::span<const FormRow> unary_forms() {
#define UNARY(id, ...) \
  {&id##_p, forms_of<id##_code, 1>(), is_short_code<id##_code>, is_long_code<id##_code>},
  static constexpr FormRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::native
