// scalar.h -- the operations that the code column of elementwise.def is written in, for C++
// numbers.
//
// Arithmetic (+, -, unary -), comparisons and bit operations are C++'s; the rest are the named
// functions below.  Every one is a single value in, a single value out: another policy (vectors,
// generated code) overloads the same names. Integers wrap (-fwrapv), never trap.  Element types
// that are stored, not computed in (halves, std::complex), are loaded into what they are computed
// in and stored back: compute(), store().
#pragma once
#include <bit>
#include <cmath>
#include <limits>

#include "backends/eager/special.h"
#include "jaxpp/core/dtype.h"
#include "jaxpp/core/half.h"

namespace jaxpp::internal::scalar {

/// A complex number whose operations are all declared here (std::complex would bring its own by
/// argument-dependent look-up, and a product that repairs NaNs at ten times the price).
template <class R>
struct Complex {
  R re, im;
  friend Complex operator+(Complex x, Complex y) { return {x.re + y.re, x.im + y.im}; }
  friend Complex operator-(Complex x, Complex y) { return {x.re - y.re, x.im - y.im}; }
  friend Complex operator-(Complex x) { return {-x.re, -x.im}; }
  friend bool operator==(Complex x, Complex y) { return (x.re == y.re) & (x.im == y.im); }
  friend bool operator!=(Complex x, Complex y) { return (x.re != y.re) | (x.im != y.im); }
};
template <class T>
inline constexpr bool is_complex = false;
template <class R>
inline constexpr bool is_complex<Complex<R>> = true;

template <class T>
auto compute(T v) {
  if constexpr (std::is_same_v<T, float16>)
    return half_to_float(v.bits);
  else if constexpr (is_half<T>)
    return float(v);
  else if constexpr (is_complex_type<T>)
    return Complex<typename T::value_type>{v.real(), v.imag()};
  else
    return v;
}
template <class T, class V>
T store(V v) {
  if constexpr (std::is_same_v<T, V>)
    return v;
  else if constexpr (is_complex_type<T>)
    return T(v.re, v.im);
  else if constexpr (std::is_same_v<T, float16>) {
    float16 h;
    h.bits = float_to_half(float(v));
    return h;
  } else {
    return T(v);
  }
}
template <class R>
std::complex<R> standard(Complex<R> z) {
  return {z.re, z.im};
}
template <class R>
Complex<R> own(std::complex<R> z) {
  return {z.real(), z.imag()};
}

/// The number v in x's type.
template <class T>
T like(T, double v) {
  return T(v);
}
template <class R>
Complex<R> like(Complex<R>, double v) {
  return {R(v), R(0)};
}
template <class T>
T select(bool c, T a, T b) {
  return c ? a : b;
}

// ---- Arithmetic
template <class T>
T multiply(T x, T y) {
  if constexpr (sizeof(T) == 2 && std::is_integral_v<T>)
    return T(std::uint32_t(x) * std::uint32_t(y));
  else
    return T(x * y);
}
template <class R>
Complex<R> multiply(Complex<R> x, Complex<R> y) {
  return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}
template <class T>
T divide(T x, T y) {
  if constexpr (std::is_floating_point_v<T>)
    return x / y;
  else {  // x / 0 = -1 (all bits set), MIN / -1 = MIN
    if (y == 0) return T(-1);
    if constexpr (std::is_signed_v<T>)
      if (y == T(-1)) return T(-x);
    return T(x / y);
  }
}
template <class R>
Complex<R> divide(Complex<R> x, Complex<R> y) {
  return own(standard(x) / standard(y));
}
template <class T>
T rem(T x, T y) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fmod(x, y);
  else {
    if (y == 0) return x;
    if constexpr (std::is_signed_v<T>)
      if (y == T(-1)) return T(0);
    return T(x % y);
  }
}
template <class T>
T max(T x, T y) {
  return (x > y) | (x != x) ? x : y;
}
template <class T>
T min(T x, T y) {
  return (x < y) | (x != x) ? x : y;
}
template <class R>
Complex<R> max(Complex<R> x, Complex<R> y) {
  return (x.re == y.re ? x.im > y.im : x.re > y.re) ? x : y;
}
template <class R>
Complex<R> min(Complex<R> x, Complex<R> y) {
  return (x.re == y.re ? x.im < y.im : x.re < y.re) ? x : y;
}
template <class T>
T abs(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x);
  else if constexpr (std::is_signed_v<T>)
    return T(x < 0 ? -x : x);
  else
    return x;
}
template <class R>
R abs(Complex<R> x) {
  return std::hypot(x.re, x.im);
}
template <class T>
T sign(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return x > 0 ? T(1) : x < 0 ? T(-1) : x;
  else
    return T(T(x > T(0)) - T(x < T(0)));
}
template <class R>
Complex<R> sign(Complex<R> x) {
  const R r = abs(x);
  return r == 0 ? Complex<R>{0, 0} : Complex<R>{x.re / r, x.im / r};
}
template <class T>
T floor(T x) {
  return std::floor(x);
}
template <class T>
T ceil(T x) {
  return std::ceil(x);
}
template <class T>
bool is_finite(T x) {
  return std::fabs(x) <= std::numeric_limits<T>::max();
}
template <class T>
T nextafter(T x, T y) {
  return std::nextafter(x, y);
}
/// Halves: a step of the stored format, not of float.
template <class T>
requires is_half<T> T nextafter(T x, T y) {
  const float a = float(x), b = float(y);
  T r = x;
  if (a != a || b != b) return T(a + b);
  if (a == b) return y;
  if (a == 0)
    r.bits = std::uint16_t(b < 0 ? 0x8001 : 1);
  else
    r.bits = std::uint16_t(x.bits + ((a < b) == (a > 0) ? 1 : -1));
  return r;
}
template <class T>
T mulhi(T x, T y) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return T(Wide(x) * Wide(y) >> 8 * sizeof(T));
}

// ---- Elementary functions: libm's, complex ones too
#define JAXPP_LIBM(name)                \
  template <class R>                    \
  R name(R x) {                         \
    return std::name(x);                \
  }                                     \
  template <class R>                    \
  Complex<R> name(Complex<R> x) {       \
    return own(std::name(standard(x))); \
  }
JAXPP_LIBM(exp)
JAXPP_LIBM(log)
JAXPP_LIBM(sqrt)
JAXPP_LIBM(sin)
JAXPP_LIBM(cos)
JAXPP_LIBM(tan)
JAXPP_LIBM(asin)
JAXPP_LIBM(acos)
JAXPP_LIBM(atan)
JAXPP_LIBM(sinh)
JAXPP_LIBM(cosh)
JAXPP_LIBM(tanh)
JAXPP_LIBM(asinh)
JAXPP_LIBM(atanh)
#undef JAXPP_LIBM
#define JAXPP_LIBM(name) \
  template <class R>     \
  R name(R x) {          \
    return std::name(x); \
  }
JAXPP_LIBM(acosh)
JAXPP_LIBM(cbrt)
JAXPP_LIBM(exp2)
JAXPP_LIBM(expm1)
JAXPP_LIBM(log1p)
JAXPP_LIBM(erf)
JAXPP_LIBM(erfc)
#undef JAXPP_LIBM
template <class R>
R pow(R x, R y) {
  return std::pow(x, y);
}
template <class R>
R atan2(R x, R y) {
  return std::atan2(x, y);
}
template <class T>
T rsqrt(T x) {
  return divide(like(x, 1), sqrt(x));
}
template <class R>
Complex<R> acosh(Complex<R> x) {  // on the real line from above, whatever the sign of zero: as JAX
  return own(std::acosh(std::complex<R>(x.re, x.im == 0 ? R(0) : x.im)));
}
template <class R>
Complex<R> exp2(Complex<R> x) {
  const R ln2 = R(0.69314718055994530942);
  return exp(Complex<R>{ln2 * x.re, ln2 * x.im});
}
template <class R>
Complex<R> expm1(Complex<R> x) {  // (e^a - 1) cos b - 2 sin^2(b / 2) + i e^a sin b
  const R s = std::sin(x.im / 2), e = std::expm1(x.re);
  const R im = x.im == 0 ? x.im : std::exp(x.re) * std::sin(x.im);
  return {x.im == 0 ? e : e * std::cos(x.im) - 2 * s * s, im};
}
template <class R>
Complex<R> log1p(Complex<R> x) {  // in a wider type, |1 + x|^2 - 1 neither overflows nor cancels
  using Wide = std::conditional_t<std::is_same_v<R, float>, double, long double>;
  const Wide a = x.re, b = x.im;
  return {R(std::log1p(a * (2 + a) + b * b) / 2), R(std::atan2(b, 1 + a))};
}
template <class R>
Complex<R> pow(Complex<R> x, Complex<R> y) {
  const Complex<R> zero{0, 0};
  if (y == zero) return {1, 0};
  if (x == zero) {
    const R v = y.re > 0 ? R(0) : std::numeric_limits<R>::quiet_NaN();
    return {v, v};
  }
  return exp(multiply(y, log(x)));
}
template <class R>
Complex<R> atan2(Complex<R> x, Complex<R> y) {  // -i log((y + i x) / sqrt(x^2 + y^2))
  const Complex<R> r = sqrt(multiply(x, x) + multiply(y, y));
  const Complex<R> l = log(divide(Complex<R>{y.re - x.im, y.im + x.re}, r));
  return {l.im, -l.re};
}

// ---- Special functions: computed in double
#define JAXPP_SPECIAL(name)             \
  template <class R>                    \
  R name(R x) {                         \
    return R(special::name(double(x))); \
  }
JAXPP_SPECIAL(erf_inv)
JAXPP_SPECIAL(digamma)
#undef JAXPP_SPECIAL
inline double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);  // not std::lgamma, which writes a global
}
inline float lgamma(float x) {
  int sign;
  return ::lgammaf_r(x, &sign);
}
template <class R>
R polygamma(R n, R x) {
  return R(special::polygamma(double(n), double(x)));
}
template <class R>
R zeta(R s, R q) {
  return R(special::zeta(double(s), double(q)));
}

// ---- Bits
template <class T>
using Unsigned = typename std::conditional_t<
    std::is_same_v<T, bool>, std::type_identity<bool>,
    std::make_unsigned<std::conditional_t<std::is_same_v<T, bool>, int, T>>>::type;
/// An integer that orders floats as eq_to, le_to and lt_to do; other types stand for themselves.
template <class T>
auto total_order(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    using I = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    const I bits = std::bit_cast<I>(x);
    return bits < 0 ? I(bits ^ std::numeric_limits<I>::max()) : bits;
  } else {
    return x;
  }
}
template <class T>
T bitwise_not(T x) {
  if constexpr (std::is_same_v<T, bool>)
    return !x;
  else
    return T(~x);
}
template <class T>
T population_count(T x) {
  return T(std::popcount(Unsigned<T>(x)));
}
template <class T>
T clz(T x) {
  return T(std::countl_zero(Unsigned<T>(x)));
}
template <class T>
T shift_left(T x, T y) {
  const Unsigned<T> n = Unsigned<T>(y);
  return n < 8 * sizeof(T) ? T(Unsigned<T>(x) << n) : T(0);
}
template <class T>
T shift_right_logical(T x, T y) {
  const Unsigned<T> n = Unsigned<T>(y);
  return n < 8 * sizeof(T) ? T(Unsigned<T>(x) >> n) : T(0);
}
template <class T>
T shift_right_arithmetic(T x, T y) {
  using S = std::make_signed_t<T>;
  const Unsigned<T> n = Unsigned<T>(y);
  return T(S(x) >> (n < 8 * sizeof(T) ? n : 8 * sizeof(T) - 1));
}

}  // namespace jaxpp::internal::scalar
