// zero_maps.cc -- products and quotients that take zero to zero.
//
//   zero_mul(x, y) = x == 0 ? 0 : x * y      zero_div(x, y) = x == 0 ? 0 : x / y
// Derivatives at fixed slopes y are linear in x, and so is this: it agrees with the product wherever y is finite.  Where y
// is not, 0 -> 0 is what linearity asks for.  Zero in y does not win: an infinite cotangent times a slope of 0 stays NaN,
// for there the slope was not irrelevant, it was lost.
// For second derivatives x is a cotangent that is 0 because its branch was not selected, and y varies: there both win.
#include "jaxpp/ops/zero_maps.h"
#include <cmath>
#include "jaxpp/core/trace.h"
#include "jaxpp/operators.h"
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {
using namespace internal;

Array zero_mul(const Array& x, const Array& y) {
  return zero_mul_p.apply({}, Loc::current(), x, y);
}
Array zero_div(const Array& x, const Array& y) {
  return zero_div_p.apply({}, Loc::current(), x, y);
}
Array zeros_mul(const Array& x, const Array& y) {
  return zeros_mul_p.apply({}, Loc::current(), x, y);
}

template <const Primitive& P>
void binary_shape(Types in, Params, Type* out) {
  *out = broadcast_type(P.name, Domain::Inexact, in);
}
// z, 0 where one of `factors` is 0.
Array zero_where(Args factors, const Array& z) {
  Array zero;
  for (const Array& x : factors) {
    const Array here = lax::eq(x, lax::full(x.type(), 0));
    zero = zero.defined() ? lax::bitwise_or(zero, here) : here;
  }
  zero = fit(zero, make_type(DType::b1, z.shape()));
  return lax::select(zero, lax::full(z.type(), 0), z);
}
void zero_mul_lower(Args x, Params, Array* y) { *y = zero_where(x.first(1), lax::mul(x[0], x[1])); }
void zero_div_lower(Args x, Params, Array* y) { *y = zero_where(x.first(1), lax::div(x[0], x[1])); }
void zeros_mul_lower(Args x, Params, Array* y) { *y = zero_where(x, lax::mul(x[0], x[1])); }

// The tangents of the two operands, summed.
void set_tangent(JvpRule& r, const Array& in_x, const Array& in_y) {
  Array t = in_x;
  if (in_y.defined()) t = add_tangents(t, in_y);
  r.dy[0] = fit(t, r.y[0].type());
}
void zero_mul_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  set_tangent(r, r.dx[0].defined() ? zero_mul(r.dx[0], r.x[1]) : Array(),
              r.dx[1].defined() ? zeros_mul(r.x[0], r.dx[1]) : Array());
}
void zero_div_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  set_tangent(r, r.dx[0].defined() ? zero_div(r.dx[0], r.x[1]) : Array(),
              r.dx[1].defined() ? zeros_mul(-zero_div(r.y[0], r.x[1]), r.dx[1]) : Array());
}
void zeros_mul_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  set_tangent(r, r.dx[0].defined() ? zeros_mul(r.dx[0], r.x[1]) : Array(),
              r.dx[1].defined() ? zeros_mul(r.x[0], r.dx[1]) : Array());
}

void zero_mul_transpose(TransposeRule& r) {
  if (r.linear(0) && r.linear(1)) rule_error("zero_mul: not linear in both operands at once.");
  if (r.wanted(0)) r.add(0, unbroadcast(zero_mul(r.ct[0], r.x[1]), r.x_types[0]));
  if (r.wanted(1)) r.add(1, unbroadcast(zeros_mul(r.x[0], r.ct[0]), r.x_types[1]));
}
void zero_div_transpose(TransposeRule& r) {
  if (r.linear(1)) rule_error("zero_div: not linear in its second operand.");
  if (r.wanted(0)) r.add(0, unbroadcast(zero_div(r.ct[0], r.x[1]), r.x_types[0]));
}
void zeros_mul_transpose(TransposeRule& r) {
  if (r.linear(0) && r.linear(1)) rule_error("zeros_mul: not linear in both operands at once.");
  if (r.wanted(0)) r.add(0, unbroadcast(zeros_mul(r.ct[0], r.x[1]), r.x_types[0]));
  if (r.wanted(1)) r.add(1, unbroadcast(zeros_mul(r.x[0], r.ct[0]), r.x_types[1]));
}

// A slope that is a number in the program, and finite: the product is safe as it is.
bool finite_number(const Array& y) {
  if (!y.concrete() || y.ndim() || !is_float(y.dtype()) || y.on_device()) return false;
  return std::isfinite(y.to_vector<double>()[0]);
}

}  // namespace

const Primitive zero_mul_p = {.name = "zero_mul",
                              .operands = {2, 2},
                              .shape = binary_shape<zero_mul_p>,
                              .jvp = zero_mul_jvp,
                              .transpose = zero_mul_transpose,
                              .batch = broadcast_batch,
                              .lower = zero_mul_lower};
const Primitive zero_div_p = {.name = "zero_div",
                              .operands = {2, 2},
                              .shape = binary_shape<zero_div_p>,
                              .jvp = zero_div_jvp,
                              .transpose = zero_div_transpose,
                              .batch = broadcast_batch,
                              .lower = zero_div_lower};
const Primitive zeros_mul_p = {.name = "zeros_mul",
                               .operands = {2, 2},
                               .shape = binary_shape<zeros_mul_p>,
                               .jvp = zeros_mul_jvp,
                               .transpose = zeros_mul_transpose,
                               .batch = broadcast_batch,
                               .lower = zeros_mul_lower};

bool internal::bind_safely(const Primitive& p, Args x, const bool* linear, Array* y, Trace& into,
                           Loc loc) {
  if (&p == &mul_p) {
    const std::size_t at = linear[0] ? 0 : 1;
    if (finite_number(x[1 - at])) return false;
    into.process(zero_mul_p, Borrowed(x[at], x[1 - at]), {}, y, loc);
    return true;
  }
  if (&p != &div_p || finite_number(x[1])) return false;
  into.process(zero_div_p, x, {}, y, loc);
  return true;
}

}  // namespace jaxpp
