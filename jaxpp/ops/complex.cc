// complex.cc -- complex numbers taken apart and put together.
//
// Derivatives follow JAX: tangents of complex values are complex, transposes do not conjugate;
// real, imag and conj are linear over the reals only.
#include "jaxpp/operators.h"
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
using namespace internal;
namespace {

Array zero_like(const Array& x) { return weak_number(Array(0), x.dtype()); }

// ---- complex(re, im)
void complex_shape(Types in, Params, Type* out) {
  const Type t = broadcast_type("complex", Domain::Float, in);
  if (width(t->dtype) < 4) [[unlikely]]
    rule_error("complex: not defined for " + t->str() + ".");
  *out = make_type(complex_of(t->dtype), t->shape);
}
void complex_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  const Array &re = r.dx[0], &im = r.dx[1];
  const Array t =
      lax::complex(re.defined() ? re : zero_like(im), im.defined() ? im : zero_like(re));
  r.dy[0] = fit(t, r.y[0].type());
}
void complex_transpose(TransposeRule& r) {
  if (r.wanted(0)) r.add(0, unbroadcast(lax::real(r.ct[0]), r.x_types[0]));
  if (r.wanted(1)) r.add(1, unbroadcast(-lax::imag(r.ct[0]), r.x_types[1]));
}

// ---- real, imag
Type real_part(const char* op, Types in) {
  const Type t = unary_type(op, Domain::Any, in);
  if (!is_complex(t->dtype)) [[unlikely]]
    rule_error(std::string(op) + ": not defined for " + t->str() + ".");
  return make_type(real_of(t->dtype), t->shape);
}
void real_shape(Types in, Params, Type* out) { *out = real_part("real", in); }
void imag_shape(Types in, Params, Type* out) { *out = real_part("imag", in); }
void real_transpose(TransposeRule& r) { r.add(0, lax::complex(r.ct[0], zero_like(r.ct[0]))); }
void imag_transpose(TransposeRule& r) { r.add(0, lax::complex(zero_like(r.ct[0]), -r.ct[0])); }

// ---- conj: of a real operand too, the result is complex
void conj_shape(Types in, Params, Type* out) {
  const Type t = unary_type("conj", Domain::Inexact, in);
  if (width(t->dtype) < 4) [[unlikely]]
    rule_error("conj: not defined for " + t->str() + ".");
  *out = make_type(complex_of(t->dtype), t->shape);
}
void conj_transpose(TransposeRule& r) {
  const Array& ct = r.ct[0];
  r.add(0, is_complex(r.x_types[0]->dtype) ? lax::conj(ct) : lax::real(ct));
}

}  // namespace

const Primitive complex_p = {.name = "complex",
                             .operands = {2, 2},
                             .shape = complex_shape,
                             .jvp = complex_jvp,
                             .transpose = complex_transpose,
                             .batch = broadcast_batch};
const Primitive real_p = {.name = "real",
                          .operands = {1, 1},
                          .shape = real_shape,
                          .jvp = linear_jvp,
                          .transpose = real_transpose,
                          .batch = unary_batch};
const Primitive imag_p = {.name = "imag",
                          .operands = {1, 1},
                          .shape = imag_shape,
                          .jvp = linear_jvp,
                          .transpose = imag_transpose,
                          .batch = unary_batch};
const Primitive conj_p = {.name = "conj",
                          .operands = {1, 1},
                          .shape = conj_shape,
                          .jvp = linear_jvp,
                          .transpose = conj_transpose,
                          .batch = unary_batch};

Array lax::complex(const Array& re, const Array& im, Loc loc) {
  return complex_p.apply({}, loc, re, im);
}
Array lax::real(const Array& x, Loc loc) { return real_p.apply({}, loc, x); }
Array lax::imag(const Array& x, Loc loc) { return imag_p.apply({}, loc, x); }
Array lax::conj(const Array& x, Loc loc) { return conj_p.apply({}, loc, x); }

}  // namespace jaxpp
