// math_elementwise.cc -- elementwise functions of one operand.
//
// Most are one primitive after promotion; the rest are compositions of primitives, so every
// transform holds for them.
#include <cmath>
#include <limits>
#include <numbers>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

// Not closed over the integers: these become f64.
#define JAXPP_INEXACT(name, primitive)                   \
  Array name(const Array& x, Loc loc) {                  \
    if (x.defined() && is_inexact(x.dtype())) [[likely]] \
      return lax::primitive(x, loc);                     \
    return lax::primitive(inexact(x, #name, loc), loc);  \
  }
JAXPP_INEXACT(exp, exp)
JAXPP_INEXACT(exp2, exp2)
JAXPP_INEXACT(expm1, expm1)
JAXPP_INEXACT(log, log)
JAXPP_INEXACT(log1p, log1p)
JAXPP_INEXACT(sqrt, sqrt)
JAXPP_INEXACT(rsqrt, rsqrt)
JAXPP_INEXACT(cbrt, cbrt)
JAXPP_INEXACT(sin, sin)
JAXPP_INEXACT(cos, cos)
JAXPP_INEXACT(tan, tan)
JAXPP_INEXACT(arcsin, asin)
JAXPP_INEXACT(arccos, acos)
JAXPP_INEXACT(arctan, atan)
JAXPP_INEXACT(sinh, sinh)
JAXPP_INEXACT(cosh, cosh)
JAXPP_INEXACT(tanh, tanh)
JAXPP_INEXACT(arcsinh, asinh)
JAXPP_INEXACT(arccosh, acosh)
JAXPP_INEXACT(arctanh, atanh)
JAXPP_INEXACT(asin, asin)
JAXPP_INEXACT(acos, acos)
JAXPP_INEXACT(atan, atan)
JAXPP_INEXACT(asinh, asinh)
JAXPP_INEXACT(acosh, acosh)
JAXPP_INEXACT(atanh, atanh)
JAXPP_INEXACT(erf, erf)
JAXPP_INEXACT(erfc, erfc)
JAXPP_INEXACT(erf_inv, erf_inv)
JAXPP_INEXACT(erfinv, erf_inv)
JAXPP_INEXACT(lgamma, lgamma)
JAXPP_INEXACT(gammaln, lgamma)
JAXPP_INEXACT(digamma, digamma)
JAXPP_INEXACT(i0e, bessel_i0e)
JAXPP_INEXACT(i1e, bessel_i1e)
JAXPP_INEXACT(logistic, logistic)
JAXPP_INEXACT(expit, logistic)
JAXPP_INEXACT(fabs, abs)
#undef JAXPP_INEXACT

namespace {
/// f on the real and on the imaginary part.
template <class F>
Array on_parts(const Array& x, F f, Loc loc) {
  return lax::complex(f(lax::real(x, loc)), f(lax::imag(x, loc)), loc);
}
Array scaled(const Array& x, double factor, Loc loc) {
  return lax::mul(x, number_like(x, factor, loc), loc);
}
Array falses(const Array& x, Loc loc) { return lax::full(make_type(DType::b1, x.shape()), 0, loc); }
}  // namespace

Array i0(const Array& x, Loc loc) {
  UserLine line(loc);
  return exp(abs(x, loc), loc) * i0e(x, loc);
}
Array i1(const Array& x, Loc loc) {
  UserLine line(loc);
  return exp(abs(x, loc), loc) * i1e(x, loc);
}

Array log2(const Array& x, Loc loc) {
  Array y = log(x, loc);
  auto by_ln2 = [&](const Array& v) {
    return lax::div(v, number_like(v, std::numbers::ln2, loc), loc);
  };
  return is_complex(y.dtype()) ? on_parts(y, by_ln2, loc) : by_ln2(y);
}
Array log10(const Array& x, Loc loc) {
  Array y = log(x, loc);
  auto by_ln10 = [&](const Array& v) {
    return lax::div(v, number_like(v, std::numbers::ln10, loc), loc);
  };
  return is_complex(y.dtype()) ? on_parts(y, by_ln10, loc) : by_ln10(y);
}
Array square(const Array& x, Loc loc) { return lax::square(numeric(x, "square", loc), loc); }
Array reciprocal(const Array& x, Loc loc) {
  Array v = inexact(x, "reciprocal", loc);
  return lax::div(number_like(v, 1, loc), v, loc);
}
Array deg2rad(const Array& x, Loc loc) {
  return scaled(inexact(x, "deg2rad", loc), std::numbers::pi / 180, loc);
}
Array rad2deg(const Array& x, Loc loc) {
  return scaled(inexact(x, "rad2deg", loc), 180 / std::numbers::pi, loc);
}
Array radians(const Array& x, Loc loc) { return deg2rad(x, loc); }
Array degrees(const Array& x, Loc loc) { return rad2deg(x, loc); }
Array sinc(const Array& x0, Loc loc) {
  UserLine line(loc);
  Array x = scaled(inexact(x0, "sinc", loc), std::numbers::pi, loc);
  Array at_zero = lax::eq(x, number_like(x, 0, loc), loc);
  Array safe = where(at_zero, 1, x);
  // the series of sin(x) / x: at 0 it has the right derivatives, up to order 9
  Array s = square(x), series = 1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72)));
  return where(at_zero, series, lax::sin(safe) / safe);
}
Array logit(const Array& x0, Loc loc) {
  Array x = inexact(x0, "logit", loc);
  return lax::log(lax::div(x, lax::sub(number_like(x, 1, loc), x, loc), loc), loc);
}

Array negative(const Array& x, Loc loc) { return lax::neg(x, loc); }
Array positive(const Array& x, Loc loc) {
  need_array(x, "positive", loc);
  return x;
}
Array absolute(const Array& x, Loc loc) {
  need_array(x, "abs", loc);
  return is_bool(x.dtype()) || is_unsigned(x.dtype()) ? x : lax::abs(x, loc);
}
Array abs(const Array& x, Loc loc) { return absolute(x, loc); }
Array sign(const Array& x, Loc loc) { return lax::sign(x, loc); }
Array signbit(const Array& x, Loc loc) {
  need_array(x, "signbit", loc);
  const DType d = x.dtype();
  if (is_bool(d) || is_unsigned(d)) return falses(x, loc);
  if (is_complex(d))
    fail("signbit: " + x.type()->str() + " has no sign bit.", user_loc(loc), "E76");
  Array bits = x;
  if (is_float(d))
    bits = lax::bitcast_convert_type(x,
                                     width(d) == 2   ? DType::i16
                                     : width(d) == 4 ? DType::i32
                                                     : DType::i64,
                                     loc);
  return lax::lt(bits, number_like(bits, 0, loc), loc);
}

// ---- Rounding
#define JAXPP_ROUNDING(name, primitive, ...)                                        \
  Array name(const Array& x, Loc loc) {                                             \
    need_array(x, #name, loc);                                                      \
    if (!is_inexact(x.dtype())) return x;                                           \
    auto f = [&](const Array& v) { return lax::primitive(v, ##__VA_ARGS__, loc); }; \
    return is_complex(x.dtype()) ? on_parts(x, f, loc) : f(x);                      \
  }
JAXPP_ROUNDING(floor, floor)
JAXPP_ROUNDING(ceil, ceil)
JAXPP_ROUNDING(rint, round, RoundingMethod::TO_NEAREST_EVEN)
#undef JAXPP_ROUNDING

Array trunc(const Array& x, Loc loc) {
  need_array(x, "trunc", loc);
  if (!is_inexact(x.dtype())) return x;
  auto f = [&](const Array& v) {
    return lax::select(lax::lt(v, number_like(v, 0, loc), loc), lax::ceil(v, loc),
                       lax::floor(v, loc), loc);
  };
  return is_complex(x.dtype()) ? on_parts(x, f, loc) : f(x);
}
Array round(const Array& x, int decimals, Loc loc) {
  need_array(x, "round", loc);
  if (decimals == 0) return rint(x, loc);
  const DType d = x.dtype();
  if (!is_inexact(d)) {
    if (decimals > 0 || is_bool(d)) return x;
    fail("round: digits before the point are rounded for floats only, the array is " +
             x.type()->str() + ".",
         user_loc(loc), "E77", "Convert first: x.astype(f64).");
  }
  if (decimals > (real_of(d) == DType::f64 ? 308 : real_of(d) == DType::f16 ? 4 : 38)) return x;
  auto f = [&](const Array& v) {
    Array w = v.dtype() == DType::f16 ? lax::convert_element_type(v, DType::f32, loc) : v;
    Array factor = number_like(w, std::pow(10., decimals), loc);
    w = lax::div(lax::round(lax::mul(w, factor, loc), RoundingMethod::TO_NEAREST_EVEN, loc), factor,
                 loc);
    return lax::convert_element_type(w, v.dtype(), loc);
  };
  return is_complex(d) ? on_parts(x, f, loc) : f(x);
}

// ---- Complex numbers
Array real(const Array& x, Loc loc) {
  need_array(x, "real", loc);
  return is_complex(x.dtype()) ? lax::real(x, loc) : x;
}
Array imag(const Array& x, Loc loc) {
  need_array(x, "imag", loc);
  return is_complex(x.dtype()) ? lax::imag(x, loc) : lax::zeros_like(x, loc);
}
Array conj(const Array& x, Loc loc) {
  need_array(x, "conj", loc);
  return is_complex(x.dtype()) ? lax::conj(x, loc) : x;
}
Array conjugate(const Array& x, Loc loc) { return conj(x, loc); }
Array angle(const Array& x, bool deg, Loc loc) {
  Array v = inexact(x, "angle", loc);
  Array a = lax::atan2(imag(v, loc), real(v, loc), loc);
  return deg ? rad2deg(a, loc) : a;
}

// ---- Classification
Array isnan(const Array& x, Loc loc) {
  need_array(x, "isnan", loc);
  return is_inexact(x.dtype()) ? lax::ne(x, x, loc) : falses(x, loc);
}
Array isfinite(const Array& x, Loc loc) {
  need_array(x, "isfinite", loc);
  const DType d = x.dtype();
  if (!is_inexact(d)) return lax::full(make_type(DType::b1, x.shape()), 1, loc);
  if (is_float(d)) return lax::is_finite(x, loc);
  return lax::bitwise_and(lax::is_finite(lax::real(x, loc), loc),
                          lax::is_finite(lax::imag(x, loc), loc), loc);
}
namespace {
Array equals_number(const Array& x, double v, Loc loc) {
  return lax::eq(x, number_like(x, v, loc), loc);
}
constexpr double kInf = std::numeric_limits<double>::infinity();
Array signed_infinity(const Array& x, double which, const char* op, Loc loc) {
  need_array(x, op, loc);
  if (is_complex(x.dtype()))
    fail(std::string(op) + ": complex numbers have no signed infinity, the array is " +
             x.type()->str() + ".",
         user_loc(loc), "E76");
  return is_float(x.dtype()) ? equals_number(x, which, loc) : falses(x, loc);
}
}  // namespace
Array isinf(const Array& x, Loc loc) {
  need_array(x, "isinf", loc);
  if (!is_inexact(x.dtype())) return falses(x, loc);
  if (is_float(x.dtype())) return equals_number(lax::abs(x, loc), kInf, loc);
  return lax::bitwise_or(isinf(lax::real(x, loc), loc), isinf(lax::imag(x, loc), loc), loc);
}
Array isposinf(const Array& x, Loc loc) { return signed_infinity(x, kInf, "isposinf", loc); }
Array isneginf(const Array& x, Loc loc) { return signed_infinity(x, -kInf, "isneginf", loc); }

Array nan_to_num(const Array& x, double nan, std::optional<double> posinf,
                 std::optional<double> neginf, Loc loc) {
  need_array(x, "nan_to_num", loc);
  const DType d = real_of(x.dtype());
  if (!is_inexact(d)) return x;
  const double greatest = d == DType::f16    ? 65504
                          : d == DType::bf16 ? 3.3895313892515355e38
                          : d == DType::f32  ? double(std::numeric_limits<float>::max())
                                             : std::numeric_limits<double>::max();
  auto f = [&](Array v) {
    v = lax::select(lax::ne(v, v, loc), lax::full_like(v, nan, loc), v, loc);
    v = lax::select(equals_number(v, kInf, loc), lax::full_like(v, posinf.value_or(greatest), loc),
                    v, loc);
    return lax::select(equals_number(v, -kInf, loc),
                       lax::full_like(v, neginf.value_or(-greatest), loc), v, loc);
  };
  return is_complex(x.dtype()) ? on_parts(x, f, loc) : f(x);
}

// ---- Logic and bits
Array logical_not(const Array& x, Loc loc) {
  return lax::bitwise_not(truth(x, "logical_not", loc), loc);
}
Array bitwise_not(const Array& x, Loc loc) { return lax::bitwise_not(x, loc); }
Array invert(const Array& x, Loc loc) { return lax::bitwise_not(x, loc); }
Array bitwise_count(const Array& x, Loc loc) {
  return lax::convert_element_type(lax::population_count(absolute(x, loc), loc), DType::u8, loc);
}

}  // namespace jaxpp
