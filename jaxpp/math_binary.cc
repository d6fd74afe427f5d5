// math_binary.cc -- elementwise functions of several operands: promotion, then one primitive or a
// short composition.
#include <limits>
#include <numbers>
#include "jaxpp/math_internal.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {

using namespace internal;

// The operators by name.
#define JAXPP_OPERATOR(name, op) \
  Array name(const Array& x, const Array& y, Loc loc) { return Operand(x, loc) op Operand(y, loc); }
JAXPP_OPERATOR(add, +)
JAXPP_OPERATOR(subtract, -)
JAXPP_OPERATOR(multiply, *)
JAXPP_OPERATOR(divide, /)
JAXPP_OPERATOR(true_divide, /)
JAXPP_OPERATOR(equal, ==)
JAXPP_OPERATOR(not_equal, !=)
JAXPP_OPERATOR(less, <)
JAXPP_OPERATOR(less_equal, <=)
JAXPP_OPERATOR(greater, >)
JAXPP_OPERATOR(greater_equal, >=)
JAXPP_OPERATOR(bitwise_and, &)
JAXPP_OPERATOR(bitwise_or, |)
JAXPP_OPERATOR(bitwise_xor, ^)
JAXPP_OPERATOR(left_shift, <<)
JAXPP_OPERATOR(right_shift, >>)
#undef JAXPP_OPERATOR

Array maximum(const Array& x, const Array& y, Loc loc) {
  return binary(max_p, Operand(x, loc), Operand(y, loc));
}
Array minimum(const Array& x, const Array& y, Loc loc) {
  return binary(min_p, Operand(x, loc), Operand(y, loc));
}

// Not closed over the integers.
#define JAXPP_INEXACT(name, primitive)                  \
  Array name(const Array& x, const Array& y, Loc loc) { \
    Array a = x, b = y;                                 \
    promote_inexact(#name, a, b, loc);                  \
    return lax::primitive(a, b, loc);                   \
  }
JAXPP_INEXACT(float_power, pow)
JAXPP_INEXACT(arctan2, atan2)
JAXPP_INEXACT(atan2, atan2)
JAXPP_INEXACT(gammainc, igamma)
JAXPP_INEXACT(gammaincc, igammac)
JAXPP_INEXACT(polygamma, polygamma)
JAXPP_INEXACT(zeta, zeta)
JAXPP_INEXACT(nextafter, nextafter)
#undef JAXPP_INEXACT

#define JAXPP_LOGICAL(name, primitive)                        \
  Array name(const Array& x, const Array& y, Loc loc) {       \
    Array a = truth(x, #name, loc), b = truth(y, #name, loc); \
    promote(#name, a, b, loc);                                \
    return lax::primitive(a, b, loc);                         \
  }
JAXPP_LOGICAL(logical_and, bitwise_and)
JAXPP_LOGICAL(logical_or, bitwise_or)
JAXPP_LOGICAL(logical_xor, bitwise_xor)
#undef JAXPP_LOGICAL

// ---- Division with remainder
namespace {
void need_real(const Array& x, const char* op, Loc loc) {
  if (is_complex(x.dtype()))
    fail(std::string(op) + ": complex numbers have no order, the operands are " + x.type()->str() +
             ".",
         user_loc(loc), "E78");
}
Array differ_in_sign(const Array& x, const Array& y, Loc loc) {
  return lax::ne(lax::lt(x, number_like(x, 0, loc), loc), lax::lt(y, number_like(y, 0, loc), loc),
                 loc);
}
/// The remainder with the sign of y, given the one with the sign of x.
Array floored(const Array& rem, const Array& y, Loc loc) {
  Array fix = lax::bitwise_and(lax::ne(rem, number_like(rem, 0, loc), loc),
                               differ_in_sign(rem, y, loc), loc);
  return where(fix, lax::add(rem, y, loc), rem, loc);
}
/// Integers by 0: the remainder is 0, as numpy's.
Array nonzero_divisor(const Array& y, Loc loc) {
  return is_integer(y.dtype()) ? where(lax::eq(y, number_like(y, 0, loc), loc), 1, y, loc) : y;
}
}  // namespace

Array remainder(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_numeric("remainder", a, b, loc);
  need_real(a, "remainder", loc);
  b = nonzero_divisor(b, loc);
  return floored(lax::rem(a, b, loc), b, loc);
}
Array mod(const Array& x, const Array& y, Loc loc) { return remainder(x, y, loc); }
Array fmod(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_numeric("fmod", a, b, loc);
  need_real(a, "fmod", loc);
  return lax::rem(a, nonzero_divisor(b, loc), loc);
}
std::pair<Array, Array> divmod(const Array& x, const Array& y, Loc loc) {
  return {floor_divide(x, y, loc), remainder(x, y, loc)};
}
Array floor_divide(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_numeric("floor_divide", a, b, loc);
  need_real(a, "floor_divide", loc);
  Array q = lax::div(a, b, loc);
  if (is_unsigned(a.dtype())) return q;
  Array rem = lax::rem(a, b, loc);
  Array inexact_quotient = lax::ne(rem, number_like(rem, 0, loc), loc);
  if (is_integer(a.dtype())) {
    Array down = lax::bitwise_and(inexact_quotient, differ_in_sign(a, b, loc), loc);
    return where(down, lax::sub(q, number_like(q, 1, loc), loc), q, loc);
  }
  // Floats: x - rem is a multiple of y up to rounding, so the quotient is next to an integer.
  UserLine line(loc);
  Array multiple = where(lax::eq(b, number_like(b, 0, loc)), a, a - rem);
  q = multiple / b;
  q = where(lax::bitwise_and(inexact_quotient, differ_in_sign(rem, b, loc), loc), q - 1, q);
  return lax::round(q, RoundingMethod::AWAY_FROM_ZERO, loc);
}

// ---- Powers
namespace {
/// Integers to integer powers by squaring; beyond 6 bits of exponent every base but 0 and +-1 has
/// overflowed.
Array integer_power(Array x, Array y, Loc loc) {
  UserLine line(loc);
  Array zero = number_like(x, 0, loc), one = number_like(x, 1, loc);
  Array z = where(logical_and(lax::eq(x, zero), lax::ne(y, zero)), zero, one);
  for (int bit = 0; bit < 6; ++bit) {
    z = where(lax::ne(lax::bitwise_and(y, one), zero), z * x, z);
    x = x * x;
    y = lax::shift_right_logical(y, one);
  }
  return z;
}
}  // namespace

Array power(const Array& x, const Array& y, Loc loc) {
  need_array(x, "pow", loc);
  need_array(y, "pow", loc);
  if (y.ndim() == 0 && y.concrete() && is_integer(y.dtype())) {
    const auto n = y.item<std::int64_t>(loc);
    Array base = numeric(x, "pow", loc);
    if (n < 0 && !is_inexact(base.dtype()))
      fail("pow: integers to a negative power are fractions: " + x.type()->str() +
               " to the power " + std::to_string(n) + ".",
           user_loc(loc), "E79", "Convert first: x.astype(f64).");
    return lax::integer_pow(base, n, loc);
  }
  Array a = x, b = y;
  promote_numeric("pow", a, b, loc);
  if (!is_inexact(a.dtype())) return integer_power(a, b, loc);
  if (is_inexact(y.dtype())) return lax::pow(a, b, loc);
  // x to the power 0 is the constant 1: keep the derivative y * x^(y - 1) from dividing by x = 0
  // there.
  Array is_zero = lax::eq(b, number_like(b, 0, loc), loc);
  return lax::pow(where(is_zero, 1, a, loc), lax::stop_gradient(b, loc), loc);
}
Array pow(const Array& x, const Array& y, Loc loc) { return power(x, y, loc); }

namespace {
/// log(b^x + b^y) = max(x, y) + log(1 + b^-|x - y|), b = e or 2.  Selecting by the sign of x - y
/// instead of taking max and abs makes the derivatives right at x = y, and to every order.
Array log_add(const char* op, const Array& x, const Array& y, bool base_2, Loc loc) {
  Array a = x, b = y;
  promote_inexact(op, a, b, loc);
  need_real(a, op, loc);
  UserLine line(loc);
  Array delta = a - b;
  Array undefined = isnan(delta);  // NaNs, or infinities of one sign: the sum is right
  delta = where(undefined, 0, delta);
  Array greater = delta > 0;
  Array falling = where(greater, -delta, delta);
  Array tail = base_2 ? log1p(exp2(falling)) * (1 / std::numbers::ln2) : log1p(exp(falling));
  return where(undefined, a + b, where(greater, a, b) + tail);
}
}  // namespace
Array logaddexp(const Array& x, const Array& y, Loc loc) {
  return log_add("logaddexp", x, y, false, loc);
}
Array logaddexp2(const Array& x, const Array& y, Loc loc) {
  return log_add("logaddexp2", x, y, true, loc);
}

Array hypot(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_inexact("hypot", a, b, loc);
  need_real(a, "hypot", loc);
  UserLine line(loc);
  a = abs(a), b = abs(b);
  Array infinite = logical_or(isposinf(a), isposinf(b));
  Array high = maximum(a, b), low = minimum(a, b);
  Array zero = high == 0;
  Array ratio = low / where(zero, 1, high);
  Array r = where(zero, high, high * sqrt(1 + square(ratio)));
  return where(infinite, std::numeric_limits<double>::infinity(), r);
}
namespace {
/// x * log(y + shift), where log(0), log(inf) and log of negative numbers count for nothing when x
/// is 0.
Array times_log(const char* op, const Array& x, const Array& y, double shift, Loc loc) {
  Array a = x, b = y;
  promote_inexact(op, a, b, loc);
  need_real(a, op, loc);
  UserLine line(loc);
  Array singular = logical_and(a == 0, logical_or(b <= -shift, isinf(b)));
  Array safe = where(singular, 1, b);
  return a * (shift == 0 ? log(safe) : log1p(safe));
}
}  // namespace
Array xlogy(const Array& x, const Array& y, Loc loc) { return times_log("xlogy", x, y, 0, loc); }
Array xlog1py(const Array& x, const Array& y, Loc loc) {
  return times_log("xlog1py", x, y, 1, loc);
}
Array betainc(const Array& a, const Array& b, const Array& x, Loc loc) {
  UserLine line(loc);
  Array operands[] = {inexact(a, "betainc", loc), inexact(b, "betainc", loc),
                      inexact(x, "betainc", loc)};
  promote_types_of("betainc", operands, loc);
  const std::vector<Array> v = broadcast_arrays({operands[0], operands[1], operands[2]}, loc);
  return lax::regularized_incomplete_beta(v[0], v[1], v[2], loc);
}
Array copysign(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_inexact("copysign", a, b, loc);
  Array size = abs(a, loc);
  return where(signbit(b, loc), lax::neg(size, loc), size, loc);
}
Array fmax(const Array& x, const Array& y, Loc loc) {
  UserLine line(loc);
  return where(logical_or(greater(x, y), isnan(y)), x, y);
}
Array fmin(const Array& x, const Array& y, Loc loc) {
  UserLine line(loc);
  return where(logical_or(less(x, y), isnan(y)), x, y);
}
Array clip(const Array& x, const Array& low, const Array& high, Loc loc) {
  UserLine line(loc);
  need_array(x, "clip", loc);
  need_real(x, "clip", loc);
  return minimum(high, maximum(low, x));
}
Array where(const Array& condition, const Array& x, const Array& y, Loc loc) {
  Array c = truth(condition, "where", loc), a = x, b = y;
  promote("where", a, b, loc);
  Shape shapes[] = {a.shape(), b.shape(), c.shape()};
  Shape shape = broadcast_shapes(shapes, "where", loc);
  if (c.ndim()) c = broadcast_to(c, shape, loc);
  return lax::select(c, broadcast_to(a, shape, loc), broadcast_to(b, shape, loc), loc);
}

// ---- Closeness
Array isclose(const Array& x, const Array& y, double rtol, double atol, bool equal_nan, Loc loc) {
  Array a = x, b = y;
  promote_inexact("isclose", a, b, loc);
  UserLine line(loc);
  Array near = abs(a - b) <= atol + rtol * abs(b);
  Array close = logical_or(lax::eq(a, b), logical_and(isfinite(b), near));
  return equal_nan ? logical_or(close, logical_and(isnan(a), isnan(b))) : close;
}
bool allclose(const Array& x, const Array& y, double rtol, double atol, bool equal_nan, Loc loc) {
  return all(isclose(x, y, rtol, atol, equal_nan, loc), Axes::every(), false, loc).item<bool>(loc);
}
bool array_equal(const Array& x, const Array& y, bool equal_nan, Loc loc) {
  need_array(x, "array_equal", loc);
  need_array(y, "array_equal", loc);
  if (x.shape() != y.shape()) return false;
  Array same = equal(x, y, loc);
  if (equal_nan) same = logical_or(same, logical_and(isnan(x, loc), isnan(y, loc), loc), loc);
  return all(same, Axes::every(), false, loc).item<bool>(loc);
}

}  // namespace jaxpp
