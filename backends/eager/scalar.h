// scalar.h -- the operations that the code column of elementwise.def is written in, for C++
// numbers.
//
// Arithmetic (+, -, unary -), comparisons and bit operations are C++'s; the rest are named
// functions: those of scalar_code.inc, special_code.inc and incomplete_code.inc, which are text for CUDA as well, and
// what these stand on: libm and storage. Every one is a single value in, a single value out.
// Integers wrap (-fwrapv), never trap.  Element types that are stored, not computed in (halves,
// std::complex), are loaded into what they are computed in and stored back: compute(), store().
#pragma once
#include <bit>
#include <cmath>
#include <limits>
#include "jaxpp/core/dtype.h"
#include "jaxpp/core/half.h"

// Kernels are compiled for several instruction sets.  What is inline is a function of its own in
// each, or the linker would choose one of them for all.
#ifndef JAXPP_ISA
#define JAXPP_ISA baseline
#endif
namespace jaxpp::internal::scalar {
inline namespace JAXPP_ISA {

#define JAXPP_FN inline
#define JAXPP_MATH __attribute__((always_inline)) inline

// ---- What scalar_code.inc stands on

/// How loops read elements.  In the interpreter's registers a lane that is switched off may have any byte where a bool is
/// meant, and to read that as a bool is undefined.
struct StoredBool {
  unsigned char byte;
  operator bool() const { return byte != 0; }
};
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, StoredBool, T>;

template <class T>
auto compute(T v) {
  if constexpr (std::is_same_v<T, float16>)
    return half_to_float(v.bits);
  else if constexpr (is_half<T>)
    return float(v);
  else
    return v;
}
template <class T, class V>
T store(V v) {
  if constexpr (std::is_same_v<T, V>)
    return v;
  else if constexpr (is_complex_type<T>)
    return __builtin_bit_cast(T, v);
  else if constexpr (std::is_same_v<T, float16>) {
    float16 h;
    h.bits = float_to_half(float(v));
    return h;
  } else {
    return T(v);
  }
}
#define JAXPP_LIBM(name)                              \
  inline float name(float x) { return std::name(x); } \
  inline double name(double x) { return std::name(x); }
JAXPP_LIBM(fabs)
JAXPP_LIBM(floor)
JAXPP_LIBM(ceil)
JAXPP_LIBM(round)
JAXPP_LIBM(nearbyint)
JAXPP_LIBM(sqrt)
JAXPP_LIBM(tgamma)
#undef JAXPP_LIBM
#define JAXPP_LIBM(name)                                          \
  inline float name(float x, float y) { return std::name(x, y); } \
  inline double name(double x, double y) { return std::name(x, y); }
JAXPP_LIBM(fmod)
JAXPP_LIBM(copysign)
JAXPP_LIBM(nextafter)
#undef JAXPP_LIBM
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline int count_ones(unsigned int x) { return std::popcount(x); }
inline int count_ones(unsigned long long x) { return std::popcount(x); }
inline int leading_zeros(unsigned int x) { return std::countl_zero(x); }
inline int leading_zeros(unsigned long long x) { return std::countl_zero(x); }
inline long long mulhi_wide(long long x, long long y) { return (long long)(__int128(x) * y >> 64); }
inline unsigned long long mulhi_wide(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)(x)*y >> 64);
}

template <class V>
JAXPP_MATH V hypot(V x, V y);

#include "backends/eager/scalar_code.inc"

#include "backends/eager/math_code.inc"

// ---- Sine, cosine, tangent of every argument
/// 64 binary digits of 2 / pi, those of weight 2^-(at + 1) and below; at >= -64.
inline unsigned long long digits_of_2_over_pi(int at) {
  static constexpr unsigned long long words[] = {0,
                                                 0xa2f9836e4e441529,
                                                 0xfc2757d1f534ddc0,
                                                 0xdb6295993c439041,
                                                 0xfe5163abdebbc561,
                                                 0xb7246e3a424dd2e0,
                                                 0x06492eea09d1921c,
                                                 0xfe1deb1cb129a73e,
                                                 0xe88235f52ebb4484,
                                                 0xe99c7026b45f7e41,
                                                 0x3991d639835339f4,
                                                 0x9c845f8bbdf9283b,
                                                 0x1ff897ffde05980f,
                                                 0xef2f118b5a0a6d1f,
                                                 0x6d367ecf27cb09b7,
                                                 0x4f463f669e5fea2d,
                                                 0x7527bac7ebe5f17b,
                                                 0x3d0739f78a5292ea,
                                                 0x6bfb5fb11f8d5d08,
                                                 0x56033046fc7b6bab,
                                                 0xf0cfbc209af4361d};
  const int from = at + 64, word = from / 64, skip = from % 64;
  return skip == 0 ? words[word] : words[word] << skip | words[word + 1] >> (64 - skip);
}
/// The turn of |x| >= 2^20, with the digits of 2 / pi that matter (M. Payne and R. Hanek, 1983).
template <class V>
[[gnu::noinline, gnu::cold]] Turn<V> reduce_huge_turn(V x_) {
  const double x = x_;
  if (!(fabs(x) < infinity<double>())) return {V(x - x), 0, 0};
  const auto bits = bitcast<unsigned long long>(fabs(x));
  const unsigned long long m = (bits & ((1ull << 52) - 1)) | 1ull << 52;
  const int at = int(bits >> 52) - 1075 - 2;  // digits before this one make multiples of 4
  // The product of m and 192 digits, modulo 2^192: two bits of the quadrant, and a fraction.
  using Wide = unsigned __int128;
  const Wide low = Wide(m) * digits_of_2_over_pi(at + 128);
  const Wide middle = Wide(m) * digits_of_2_over_pi(at + 64) + (low >> 64);
  const Wide high = (Wide(m * digits_of_2_over_pi(at)) << 64) + middle;  // modulo 2^128
  const Wide fraction = high << 2 | static_cast<unsigned long long>(low) >> 62;
  unsigned q = unsigned(high >> 126) + unsigned(fraction >> 127);
  const auto f = __int128(fraction);  // of a quadrant, -1/2 <= f < 1/2, in units of 2^-128
  const auto f_hi = double(f), f_lo = double(f - __int128(f_hi));
  const double half_pi = 0x1.921fb54442d18p+0 * 0x1p-128;
  double r = f_hi * half_pi;
  double lo = fma(f_hi, half_pi, -r) + fma(f_hi, 0x1.1a62633145c07p-54 * 0x1p-128, f_lo * half_pi);
  if (x < 0) r = -r, lo = -lo, q = 0 - q;
  const V near = V(r);
  return {near, V((r - near) + lo), Unsigned<V>(q)};
}
#define JAXPP_TRIGONOMETRIC(name)                 \
  template <class V>                              \
  V name(V x) {                                   \
    if (fabs(x) > usual_bound<V>()) [[unlikely]]  \
      return name##_of_turn(reduce_huge_turn(x)); \
    return usual_##name(x);                       \
  }
JAXPP_TRIGONOMETRIC(sin)
JAXPP_TRIGONOMETRIC(cos)
JAXPP_TRIGONOMETRIC(tan)
#undef JAXPP_TRIGONOMETRIC

#include "backends/eager/complex_code.inc"

#include "backends/eager/special_code.inc"

#include "backends/eager/incomplete_code.inc"
#undef JAXPP_FN
#undef JAXPP_MATH

// ---- Complex numbers: stored as std::complex; those inverse functions that are not logarithms are libm's
// Bits are cast, because this is compiled for more than every machine has: an inline function of the standard library would be
// one for all.
template <class R>
Complex<R> own(std::complex<R> z) {
  return __builtin_bit_cast(Complex<R>, z);
}
template <class R>
std::complex<R> standard(Complex<R> z) {
  return __builtin_bit_cast(std::complex<R>, z);
}
template <class R>
Complex<R> compute(std::complex<R> z) {
  return own(z);
}
#define JAXPP_LIBM(name)                \
  template <class R>                    \
  Complex<R> name(Complex<R> x) {       \
    return own(std::name(standard(x))); \
  }
JAXPP_LIBM(asin)
JAXPP_LIBM(acos)
JAXPP_LIBM(atan)
JAXPP_LIBM(asinh)
JAXPP_LIBM(atanh)
#undef JAXPP_LIBM
template <class R>
Complex<R> acosh(Complex<R> x) {  // on the real line from above, whatever the sign of zero: as JAX
  return own(std::acosh(std::complex<R>(x.re, x.im == 0 ? R(0) : x.im)));
}
}  // namespace JAXPP_ISA
}  // namespace jaxpp::internal::scalar
