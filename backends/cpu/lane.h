// lane.h -- numbers of generated code that look like numbers of C++, so that backends/eager/scalar_code.inc and
// math_code.inc, which say what an element is computed by, write LLVM IR when they run on them.
//
//   Lanes lanes(writer, ...);                         // this thread writes
//   Lane<float> y = scalar::exp(Lane<float>(x));      // x: an ir::Value of any number of lanes
//
// Nothing is computed here: an operator writes an instruction and returns its result.
#pragma once
#include <type_traits>
#include "backends/cpu/ir.h"
#include "backends/eager/scalar.h"

namespace jaxpp::native {

template <class T>
constexpr ir::Kind kind_of() {
  using ir::Kind;
  if constexpr (std::is_same_v<T, bool>)
    return Kind::i1;
  else if constexpr (std::is_same_v<T, float>)
    return Kind::f32;
  else if constexpr (std::is_same_v<T, double>)
    return Kind::f64;
  else
    return sizeof(T) == 1   ? Kind::i8
           : sizeof(T) == 2 ? Kind::i16
           : sizeof(T) == 4 ? Kind::i32
                            : Kind::i64;
}

/// Where the values of this thread are written to.
ir::Writer& writer();

/// As many numbers of type T as its value has lanes; halves: their bits.
template <class T>
struct Lane {
  static constexpr bool is_float = std::is_floating_point_v<T>;
  static constexpr bool has_sign = std::is_signed_v<T>;
  ir::Value v;

  Lane() = default;
  explicit Lane(ir::Value value) : v(value) {}
  template <class N>
  requires std::is_arithmetic_v<N> Lane(N n) {
    if constexpr (is_float)
      v = ir::number(kind_of<T>(), double(n));
    else
      v = ir::integer(kind_of<T>(), std::uint64_t(T(n)));
  }
  /// As C++ converts.
  template <class U>
  requires(!std::is_same_v<T, U>) explicit Lane(Lane<U> x) {
    constexpr ir::Kind to = kind_of<T>(), from = kind_of<U>();
    if constexpr (std::is_same_v<T, bool>)
      v = (x != Lane<U>(0)).v;
    else if constexpr (is_float && Lane<U>::is_float)
      v = writer().cast(sizeof(T) > sizeof(U) ? "fpext" : "fptrunc", x.v, to);
    else if constexpr (is_float)
      v = writer().cast(Lane<U>::has_sign ? "sitofp" : "uitofp", x.v, to);
    else if constexpr (Lane<U>::is_float)
      v = writer().cast(has_sign ? "fptosi" : "fptoui", x.v, to);
    else if constexpr (to == from)
      v = x.v;
    else if constexpr (!std::is_same_v<U, bool> && sizeof(T) < sizeof(U))
      v = writer().cast("trunc", x.v, to);
    else
      v = writer().cast(Lane<U>::has_sign ? "sext" : "zext", x.v, to);
  }

  friend Lane operator+(Lane a, Lane b) { return binary(is_float ? "fadd" : "add", a, b); }
  friend Lane operator-(Lane a, Lane b) { return binary(is_float ? "fsub" : "sub", a, b); }
  friend Lane operator*(Lane a, Lane b) { return binary(is_float ? "fmul" : "mul", a, b); }
  friend Lane operator/(Lane a, Lane b) {
    return binary(is_float ? "fdiv" : has_sign ? "sdiv" : "udiv", a, b);
  }
  friend Lane operator%(Lane a, Lane b) { return binary(has_sign ? "srem" : "urem", a, b); }
  friend Lane operator&(Lane a, Lane b) { return binary("and", a, b); }
  friend Lane operator|(Lane a, Lane b) { return binary("or", a, b); }
  friend Lane operator^(Lane a, Lane b) { return binary("xor", a, b); }
  friend Lane operator<<(Lane a, Lane b) { return binary("shl", a, b); }
  friend Lane operator>>(Lane a, Lane b) { return binary(has_sign ? "ashr" : "lshr", a, b); }
  friend Lane operator<<(Lane a, int n) { return a << Lane(n); }
  friend Lane operator>>(Lane a, int n) { return a >> Lane(n); }
  friend Lane operator-(Lane a) { return Lane(writer().negate(a.v)); }
  friend Lane operator~(Lane a) { return a ^ Lane(~T(0)); }
  friend Lane operator!(Lane a) requires std::is_same_v<T, bool> { return a ^ Lane(true); }
  friend Lane<bool> operator==(Lane a, Lane b) { return compare(is_float ? "oeq" : "eq", a, b); }
  friend Lane<bool> operator!=(Lane a, Lane b) { return compare(is_float ? "une" : "ne", a, b); }
  friend Lane<bool> operator<(Lane a, Lane b) { return compare("olt", "slt", "ult", a, b); }
  friend Lane<bool> operator<=(Lane a, Lane b) { return compare("ole", "sle", "ule", a, b); }
  friend Lane<bool> operator>(Lane a, Lane b) { return compare("ogt", "sgt", "ugt", a, b); }
  friend Lane<bool> operator>=(Lane a, Lane b) { return compare("oge", "sge", "uge", a, b); }

 private:
  static Lane binary(const char* op, Lane a, Lane b) { return Lane(writer().binary(op, a.v, b.v)); }
  static Lane<bool> compare(const char* predicate, Lane a, Lane b) {
    return Lane<bool>(writer().compare(predicate, a.v, b.v));
  }
  static Lane<bool> compare(const char* of_floats, const char* with_sign, const char* without,
                            Lane a, Lane b) {
    return compare(is_float ? of_floats : has_sign ? with_sign : without, a, b);
  }
};

template <class T>
inline constexpr bool is_lane = false;
template <class T>
inline constexpr bool is_lane<Lane<T>> = true;

// ---- What the scalar code stands on
template <class T>
Lane<T> select(Lane<bool> c, Lane<T> a, Lane<T> b) {
  return Lane<T>(writer().select(c.v, a.v, b.v));
}
template <class T>
internal::scalar::Complex<Lane<T>> select(Lane<bool> c, internal::scalar::Complex<Lane<T>> a,
                                          internal::scalar::Complex<Lane<T>> b) {
  return {select(c, a.re, b.re), select(c, a.im, b.im)};
}
/// The same bits; halves and integers are the same already.
template <class To, class From>
requires is_lane<To> To bitcast(Lane<From> x) {
  To y;
  y.v = writer().cast("bitcast", x.v, kind_of<internal::scalar::ElementOf<To>>());
  return y;
}
template <class T>
Lane<T> fma(Lane<T> a, Lane<T> b, Lane<T> c) {
  return Lane<T>(writer().intrinsic("fma", {a.v, b.v, c.v}));
}
template <class T>
Lane<T> copysign(Lane<T> a, Lane<T> b) {
  return Lane<T>(writer().intrinsic("copysign", {a.v, b.v}));
}
#define JAXPP_INTRINSIC(name)                         \
  template <class T>                                  \
  Lane<T> name(Lane<T> x) {                           \
    return Lane<T>(writer().intrinsic(#name, {x.v})); \
  }
JAXPP_INTRINSIC(fabs)
JAXPP_INTRINSIC(sqrt)
JAXPP_INTRINSIC(floor)
JAXPP_INTRINSIC(ceil)
JAXPP_INTRINSIC(round)
JAXPP_INTRINSIC(nearbyint)
#undef JAXPP_INTRINSIC
template <class U>
Lane<int> count_ones(Lane<U> x) {
  return Lane<int>(Lane<U>(writer().intrinsic("ctpop", {x.v})));
}
template <class U>
Lane<int> leading_zeros(Lane<U> x) {
  const ir::Value args[] = {x.v, ir::integer(ir::Kind::i1, 0)};
  const std::string lanes = x.v.lanes() > 1 ? "v" + std::to_string(x.v.lanes()) : "";
  return Lane<int>(Lane<U>(writer().intrinsic(
      "llvm.ctlz." + lanes + "i" + std::to_string(8 * sizeof(U)), x.v.type, args)));
}
/// The upper half of a product of 128 bits, from products of 32 and 32.
inline Lane<unsigned long long> mulhi_wide(Lane<unsigned long long> x, Lane<unsigned long long> y) {
  using U = Lane<unsigned long long>;
  const U half = U(0xffffffffull);
  const U x0 = x & half, x1 = x >> 32, y0 = y & half, y1 = y >> 32;
  const U middle = x1 * y0 + (x0 * y0 >> 32);
  const U other = x0 * y1 + (middle & half);
  return x1 * y1 + (middle >> 32) + (other >> 32);
}
inline Lane<long long> mulhi_wide(Lane<long long> x, Lane<long long> y) {
  using S = Lane<long long>;
  using U = Lane<unsigned long long>;
  const S high = S(mulhi_wide(U(x), U(y)));
  return high - ((x >> 63) & y) - ((y >> 63) & x);
}

// ---- Halves: computed in float
/// As half_to_float, float_to_half of jaxpp/core/half.h.
Lane<float> compute(Lane<float16> x);
Lane<float> compute(Lane<bfloat16> x);
template <class T>
Lane<T> compute(Lane<T> x) {
  return x;
}
Lane<float16> to_float16(Lane<float> x);
Lane<bfloat16> to_bfloat16(Lane<float> x);
template <class To, class From>
requires is_lane<To> To store(Lane<From> x) {
  if constexpr (std::is_same_v<To, Lane<From>>)
    return x;
  else if constexpr (std::is_same_v<To, Lane<float16>>)
    return to_float16(Lane<float>(x));
  else if constexpr (std::is_same_v<To, Lane<bfloat16>>)
    return to_bfloat16(Lane<float>(x));
  else
    return To(x);
}

// ---- Functions that are not only arithmetic
/// p 2^k: one instruction where there is one, otherwise as for C++ numbers.  The same bits.
Lane<float> scale(Lane<float> p, Lane<unsigned int> k);
Lane<double> scale(Lane<double> p, Lane<unsigned long long> k);
/// Where an argument is huge, the block kernel is called.
Lane<float> sin(Lane<float> x);
Lane<double> sin(Lane<double> x);
Lane<float> cos(Lane<float> x);
Lane<double> cos(Lane<double> x);
Lane<float> tan(Lane<float> x);
Lane<double> tan(Lane<double> x);

}  // namespace jaxpp::native

template <class T>
struct jaxpp::internal::scalar::Numbers<jaxpp::native::Lane<T>> {
  using Element = T;
  template <class U>
  using Of = jaxpp::native::Lane<U>;
};
