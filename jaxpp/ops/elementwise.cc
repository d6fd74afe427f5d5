// elementwise.cc -- what a row of elementwise.def becomes, and the elementwise operations with
// parameters or with more than two operands.
//
// A row gives a primitive with all its rules, and the function that binds it.  The tangent column
// is compiled twice: as the jvp rule, and, where the row is linear, with a cotangent in place of dx
// as the transpose rule.
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/operators.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
using namespace internal;

namespace {

// ---- What tangent columns use, besides operators and lax functions
using namespace lax;

Array like(const Array& x, double v) { return weak_number(Array(v), x.dtype()); }
const Array zero;
Array no_derivative(const char* what) { rule_error(std::string(what) + " has no derivative."); }
Array replace_zero(const Array& x) { return select_n(x == 0, {{x, full_like(x, 1)}}); }
// At 0 the derivative is 1: x >= 0 decides.  Complex: real(dx * conj(x) / |x|).
Array abs_tangent(const Array& dx, const Array& x, const Array& z) {
  if (is_complex(x.dtype()))
    return real(dx * (conj(x) / replace_zero(convert_element_type(z, x.dtype()))));
  return dx * select_n(x >= 0, {{full_like(x, -1), full_like(x, 1)}});
}
// max, min: 1 where x gave the result z, 1/2 where y did too, and 0 where the result is NaN.
Array winner(const Array& x, const Array& y, const Array& z) {
  return select_n(x == y, {{convert_element_type(x == z, z.dtype()), full_like(z, 0.5)}});
}

// i0e - i1e (sign(x) + 1 / x), at 0: 1/2.
Array bessel_i1e_slope(const Array& x, const Array& z) {
  const double eps = width(x.dtype()) == 2 ? 1e-2 : x.dtype() == DType::f32 ? 0x1p-23 : 0x1p-52;
  const Array usual = abs(x) > eps, safe = select(usual, x, full_like(x, eps));
  const Array slope = bessel_i0e(safe) - z * (sign(safe) + 1 / safe);
  return select(usual, slope, full_like(x, 0.5));
}

constexpr bool differentiable(std::string_view tangent) { return tangent != "zero"; }
Type boolean(Type t) {
  return t->shape.empty() ? scalar_type(DType::b1) : make_type(DType::b1, t->shape);
}

}  // namespace

// ---- The table, expanded
// clang-format off
#define UNARY(id, text, doc, linear_, domain, result, tangent, ...)                                                \
  const Primitive id##_p = {                                                                                        \
      .name = text,                                                                                                 \
      .operands = {1, 1},                                                                                           \
      .shape = [](Types in, Params, Type* out) {                                                                    \
        *out = unary_type(text, Domain::domain, in);                                                                \
        if constexpr (Result::result != Result::Same) {                                                             \
          const DType d = result_dtype(Result::result, (*out)->dtype);                                              \
          if (d != (*out)->dtype) *out = make_type(d, (*out)->shape);                                               \
        }                                                                                                           \
      },                                                                                                            \
      .jvp = [](JvpRule& r) {                                                                                       \
        r.prim.bind(r.x, {}, r.y, Loc::current());                                                                  \
        [[maybe_unused]] const Array &x = r.x[0], &z = r.y[0], &dx = r.dx[0];                                       \
        r.dy[0] = tangent;                                                                                          \
      },                                                                                                            \
      .transpose = Linear::linear_ == Linear::None ? nullptr : +[](TransposeRule& r) {                              \
        if constexpr (Linear::linear_ != Linear::None) {                                                            \
          [[maybe_unused]] const Array &x = r.x[0], &z = x, &dx = r.ct[0];                                          \
          if (r.wanted(0)) r.add(0, tangent);                                                                       \
        }                                                                                                           \
      },                                                                                                            \
      .batch = unary_batch,                                                                                         \
      .differentiable = differentiable(#tangent)};                                                                  \
  Array lax::id(const Array& x, Loc loc) { return id##_p.apply({}, loc, x); }
#define BINARY(id, text, doc, linear_, domain, tangent_x, tangent_y, ...)                                           \
  const Primitive id##_p = {                                                                                        \
      .name = text,                                                                                                 \
      .operands = {2, 2},                                                                                           \
      .shape = [](Types in, Params, Type* out) { *out = broadcast_type(text, Domain::domain, in); },                \
      .jvp = [](JvpRule& r) {                                                                                       \
        r.prim.bind(r.x, {}, r.y, Loc::current());                                                                  \
        [[maybe_unused]] const Array &x = r.x[0], &y = r.x[1], &z = r.y[0], &dx = r.dx[0], &dy = r.dx[1];           \
        Array t;                                                                                                    \
        if (dx.defined()) t = tangent_x;                                                                            \
        if (dy.defined()) t = add_tangents(t, tangent_y);                                                           \
        r.dy[0] = fit(t, z.type());                                                                                 \
      },                                                                                                            \
      .transpose = Linear::linear_ == Linear::None ? nullptr : +[](TransposeRule& r) {                              \
        if constexpr (Linear::linear_ != Linear::None) {                                                            \
          check_linear(text, Linear::linear_, r);                                                                   \
          [[maybe_unused]] const Array &x = r.x[0], &y = r.x[1], &z = x, &dx = r.ct[0], &dy = r.ct[0];              \
          if (r.wanted(0)) r.add(0, unbroadcast(tangent_x, r.x_types[0]));                                          \
          if constexpr (Linear::linear_ != Linear::X)                                                               \
            if (r.wanted(1)) r.add(1, unbroadcast(tangent_y, r.x_types[1]));                                        \
        }                                                                                                           \
      },                                                                                                            \
      .batch = broadcast_batch,                                                                                     \
      .differentiable = differentiable(#tangent_x)};                                                                \
  Array lax::id(const Array& x, const Array& y, Loc loc) { return id##_p.apply({}, loc, x, y); }
#define COMPARE(id, text, doc, domain, ...)                                                                         \
  const Primitive id##_p = {                                                                                        \
      .name = text,                                                                                                 \
      .operands = {2, 2},                                                                                           \
      .shape = [](Types in, Params, Type* out) { *out = boolean(broadcast_type(text, Domain::domain, in)); },       \
      .batch = broadcast_batch,                                                                                     \
      .differentiable = false};                                                                                     \
  Array lax::id(const Array& x, const Array& y, Loc loc) { return id##_p.apply({}, loc, x, y); }
// clang-format on
namespace {
void check_linear(const char* op, Linear linear, const TransposeRule& r) {
  const bool both = r.linear(0) && r.linear(1);
  if ((linear == Linear::XorY && both) || (linear == Linear::X && r.linear(1)))
    rule_error(std::string(op) + ": not linear in " +
               (linear == Linear::X ? "its second operand." : "both operands at once."));
}
}  // namespace
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE

// ---- select_n: which, case 0, case 1, ...; which is bool or int32, of rank 0 or of the cases'
// shape
namespace {
void select_n_shape(Types in, Params, Type* out) {
  if (in.size() < 2) [[unlikely]]
    rule_error("select_n: needs at least one case.");
  const Type which = in[0], first = in[1];
  if (!is_bool(which->dtype) && which->dtype != DType::i32) [[unlikely]]
    rule_error("select_n: the selector must be bool or i32, not " + which->str() + ".");
  if (is_bool(which->dtype) && in.size() > 3) [[unlikely]]
    rule_error("select_n: a bool selector chooses between at most two cases.");
  for (Type t : in.subspan(2))
    if (t != first) [[unlikely]]
      rule_error("select_n: cases differ: " + first->str() + " and " + t->str() + ".");
  if (!which->shape.empty() && which->shape != first->shape) [[unlikely]]
    rule_error("select_n: the selector " + which->str() +
               " must be a scalar or have the shape of the cases, " + first->str() + ".");
  *out = first;
}
void select_n_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  const Type t = r.y[0].type();
  Array zeros;
  Results tangents;
  for (const Array& dx : r.dx.subspan(1)) {
    if (!dx.defined() && !zeros.defined()) zeros = full(t, 0);
    tangents.push_back(dx.defined() ? dx : zeros);
  }
  r.dy[0] = select_n(r.x[0], args(tangents));
}
void select_n_transpose(TransposeRule& r) {
  if (r.linear(0)) rule_error("select_n: not linear in its selector.");
  const Array zeros = full(r.ct[0].type(), 0);
  Results cases(r.x.size() - 1, zeros);
  for (std::size_t i = 1; i < r.x.size(); ++i) {
    if (!r.wanted(i)) continue;
    cases[i - 1] = r.ct[0];
    r.add(i, select_n(r.x[0], args(cases)));
    cases[i - 1] = zeros;
  }
}
void select_n_batch(BatchRule& r) {
  int at = -1;
  for (std::size_t i = 1; i < r.x.size(); ++i)
    if (r.axis[i] >= 0 && at < 0) at = r.axis[i];
  if (at < 0) at = r.x[0].ndim() == r.x[1].ndim() + 1 ? r.axis[0] : 0;
  Results x;
  for (std::size_t i = 1; i < r.x.size(); ++i) x.push_back(batch_at(r.x[i], r.axis[i], r.size, at));
  Array which = r.x[0];
  const Shape& shape = x[0].shape();
  if (r.axis[0] >= 0 && which.shape().size() < shape.size())
    which = broadcast_in_dim(which, shape, {at});
  else if (r.axis[0] >= 0 || which.ndim() > 0)
    which = batch_at(which, r.axis[0], r.size, at);
  *r.y = select_n(which, args(x));
  *r.y_axis = at;
}
}  // namespace
const Primitive select_n_p = {.name = "select_n",
                              .operands = {2},
                              .shape = select_n_shape,
                              .jvp = select_n_jvp,
                              .transpose = select_n_transpose,
                              .batch = select_n_batch};
Array lax::select_n(const Array& which, std::span<const Array> cases, Loc loc) {
  Borrowed x(which);
  x.append(cases);
  Array y;
  select_n_p.bind(x, {}, &y, loc);
  return y;
}
Array lax::select(const Array& pred, const Array& on_true, const Array& on_false, Loc loc) {
  return select_n_p.apply({}, loc, pred, on_false, on_true);
}

// ---- clamp: low, x, high; bounds are of rank 0 or of x's shape
namespace {
void clamp_shape(Types in, Params, Type* out) {
  if (in.size() != 3) [[unlikely]]
    rule_error("clamp: takes three operands.");
  const Type x = in[1];
  if (!in_domain(Domain::Ordered, x->dtype)) [[unlikely]]
    rule_error("clamp: not defined for " + x->str() + ".");
  for (Type bound : {in[0], in[2]}) {
    if (bound->dtype != x->dtype) [[unlikely]]
      rule_error("clamp: dtypes differ: " + bound->str() + " and " + x->str() + ".");
    if (!bound->shape.empty() && bound->shape != x->shape) [[unlikely]]
      rule_error("clamp: the bound " + bound->str() + " must be a scalar or have the shape of " +
                 x->str() + ".");
  }
  *out = x;
}
// At a bound the derivative in x is 0: both inequalities are strict.
void clamp_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  const Array &low = r.x[0], &x = r.x[1], &high = r.x[2];
  const Type t = r.y[0].type();
  auto where = [&](const Array& mask, const Array& tangent) {
    r.dy[0] =
        add_tangents(r.dy[0], select_n(fit(mask, boolean(t)), {{full(t, 0), fit(tangent, t)}}));
  };
  if (r.dx[0].defined()) where((low > x) & (low < high), r.dx[0]);
  if (r.dx[1].defined()) where((x > low) & (x < high), r.dx[1]);
  if (r.dx[2].defined()) where(high < x, r.dx[2]);
}
void clamp_batch(BatchRule& r) {
  const std::size_t rank = r.x[1].shape().size() - std::size_t(r.axis[1] >= 0);
  const int at = std::max(r.axis[1], 0);
  const Array x = batch_at(r.x[1], r.axis[1], r.size, at);
  auto bound = [&](std::size_t i) {
    const Array& b = r.x[i];
    if (r.axis[i] < 0 && b.ndim() == 0) return b;
    if (r.axis[i] >= 0 && b.shape().size() < rank + 1) return broadcast_in_dim(b, x.shape(), {at});
    return batch_at(b, r.axis[i], r.size, at);
  };
  *r.y = clamp(bound(0), x, bound(2));
  *r.y_axis = at;
}
}  // namespace
const Primitive clamp_p = {.name = "clamp",
                           .operands = {3, 3},
                           .shape = clamp_shape,
                           .jvp = clamp_jvp,
                           .batch = clamp_batch};
Array lax::clamp(const Array& low, const Array& x, const Array& high, Loc loc) {
  return clamp_p.apply({}, loc, low, x, high);
}

// ---- regularized_incomplete_beta: a, b, x, all of one shape
namespace {
void beta_shape(Types in, Params, Type* out) {
  if (in.size() != 3) [[unlikely]]
    rule_error("regularized_incomplete_beta: takes three operands.");
  const Type t = unary_type("regularized_incomplete_beta", Domain::Float, in.subspan(0, 1));
  for (Type other : in.subspan(1))
    if (other != t) [[unlikely]]
      rule_error("regularized_incomplete_beta: operands differ: " + t->str() + " and " +
                 other->str() + ".");
  *out = t;
}
void beta_jvp(JvpRule& r) {
  r.prim.bind(r.x, {}, r.y, Loc::current());
  if (r.dx[0].defined() || r.dx[1].defined())
    no_derivative("regularized_incomplete_beta, in its first two operands,");
  const Array &a = r.x[0], &b = r.x[1], &x = r.x[2];
  const Array log_beta = lgamma(a) + lgamma(b) - lgamma(a + b);
  r.dy[0] = r.dx[2] * exp((b - 1) * log1p(-x) + (a - 1) * log(x) - log_beta);
}
void beta_batch(BatchRule& r) {
  std::size_t first = 0;
  while (r.axis[first] < 0) ++first;
  const int at = r.axis[first];
  auto operand = [&](std::size_t i) { return batch_at(r.x[i], r.axis[i], r.size, at); };
  *r.y = regularized_incomplete_beta(operand(0), operand(1), operand(2));
  *r.y_axis = at;
}
}  // namespace
const Primitive regularized_incomplete_beta_p = {.name = "regularized_incomplete_beta",
                                                 .operands = {3, 3},
                                                 .shape = beta_shape,
                                                 .jvp = beta_jvp,
                                                 .batch = beta_batch};
Array lax::regularized_incomplete_beta(const Array& a, const Array& b, const Array& x, Loc loc) {
  return regularized_incomplete_beta_p.apply({}, loc, a, b, x);
}

// ---- convert_element_type
namespace {
void convert_shape(Types in, Params p, Type* out) {
  const Type x = unary_type("convert_element_type", Domain::Any, in);
  *out = make_type(p.as<ConvertParams>().new_dtype, x->shape);
}
void convert_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (has_tangent(r.y[0].type())) r.dy[0] = convert_element_type(r.dx[0], r.y[0].dtype());
}
void convert_transpose(TransposeRule& r) {
  if (r.wanted(0)) r.add(0, convert_element_type(r.ct[0], r.x_types[0]->dtype));
}
}  // namespace
const Primitive convert_element_type_p = {.name = "convert_element_type",
                                          .operands = {1, 1},
                                          .shape = convert_shape,
                                          .jvp = convert_jvp,
                                          .transpose = convert_transpose,
                                          .batch = unary_batch,
                                          .params = &params_ops<ConvertParams>};
Array lax::convert_element_type(const Array& x, DType d, Loc loc) {
  if (x.defined() && x.dtype() == d) return x;
  return convert_element_type_p.apply(ConvertParams{d}, loc, x);
}

// ---- integer_pow
namespace {
void integer_pow_shape(Types in, Params p, Type* out) {
  *out = unary_type("integer_pow", Domain::Numeric, in);
  const std::int64_t y = p.as<PowParams>().y;
  if (y < 0 && is_integer(in[0]->dtype)) [[unlikely]]
    rule_error("integer_pow: " + in[0]->str() + " cannot be raised to the negative power " +
               std::to_string(y) + ".");
}
void integer_pow_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const std::int64_t n = r.params.as<PowParams>().y;
  const Array &x = r.x[0], &dx = r.dx[0];
  if (n == 0) return;
  r.dy[0] = n == 1 ? dx : n == 2 ? dx * (2 * x) : dx * (double(n) * integer_pow(x, n - 1));
}
}  // namespace
const Primitive integer_pow_p = {.name = "integer_pow",
                                 .operands = {1, 1},
                                 .shape = integer_pow_shape,
                                 .jvp = integer_pow_jvp,
                                 .batch = unary_batch,
                                 .params = &params_ops<PowParams>};
Array lax::integer_pow(const Array& x, std::int64_t y, Loc loc) {
  return integer_pow_p.apply(PowParams{y}, loc, x);
}

// ---- round, reduce_precision
namespace {
void round_shape(Types in, Params, Type* out) { *out = unary_type("round", Domain::Float, in); }
void reduce_precision_shape(Types in, Params p, Type* out) {
  *out = unary_type("reduce_precision", Domain::Float, in);
  const auto& q = p.as<PrecisionParams>();
  if (q.exponent_bits < 1) [[unlikely]]
    rule_error("reduce_precision: exponent_bits must be positive, not " +
               std::to_string(q.exponent_bits) + ".");
  if (q.mantissa_bits < 0) [[unlikely]]
    rule_error("reduce_precision: mantissa_bits must not be negative: " +
               std::to_string(q.mantissa_bits) + ".");
}
void reduce_precision_transpose(TransposeRule& r) {
  Array y;
  r.prim.bind(r.ct, r.params, &y, Loc::current());
  r.add(0, y);
}
}  // namespace
const Primitive round_p = {.name = "round",
                           .operands = {1, 1},
                           .shape = round_shape,
                           .batch = unary_batch,
                           .params = &params_ops<RoundParams>,
                           .differentiable = false};
const Primitive reduce_precision_p = {.name = "reduce_precision",
                                      .operands = {1, 1},
                                      .shape = reduce_precision_shape,
                                      .jvp = linear_jvp,
                                      .transpose = reduce_precision_transpose,
                                      .batch = unary_batch,
                                      .params = &params_ops<PrecisionParams>};
Array lax::round(const Array& x, RoundingMethod m, Loc loc) {
  return round_p.apply(RoundParams{m}, loc, x);
}
Array lax::reduce_precision(const Array& x, int exponent_bits, int mantissa_bits, Loc loc) {
  return reduce_precision_p.apply(PrecisionParams{exponent_bits, mantissa_bits}, loc, x);
}

// ---- bitcast_convert_type: a narrower type appends a dimension, a wider one consumes the last
namespace {
void bitcast_shape(Types in, Params p, Type* out) {
  const Type x = unary_type("bitcast_convert_type", Domain::Any, in);
  const DType from = x->dtype, to = p.as<ConvertParams>().new_dtype;
  const bool opaque = is_bool(from) || is_bool(to) || is_complex(from) || is_complex(to);
  if (from != to && opaque) [[unlikely]]
    rule_error(std::string("bitcast_convert_type: not defined between ") + name(from) + " and " +
               name(to) + ".");
  Shape shape = x->shape;
  if (width(to) < width(from)) shape.push_back(std::int64_t(width(from) / width(to)));
  if (width(to) > width(from)) {
    const auto ratio = std::int64_t(width(to) / width(from));
    if (shape.empty() || shape.back() != ratio) [[unlikely]]
      rule_error("bitcast_convert_type: " + x->str() + " needs a last axis of size " +
                 std::to_string(ratio) + " to become " + name(to) + ".");
    shape.pop_back();
  }
  *out = make_type(to, shape);
}
void bitcast_batch(BatchRule& r) {
  const Array& x = r.x[0];
  const DType to = r.params.as<ConvertParams>().new_dtype;
  const bool consumed = width(to) > width(x.dtype()) && r.axis[0] == x.ndim() - 1;
  *r.y = bitcast_convert_type(consumed ? move_axis(x, r.axis[0], 0) : x, to);
  *r.y_axis = consumed ? 0 : r.axis[0];
}
}  // namespace
const Primitive bitcast_convert_type_p = {.name = "bitcast_convert_type",
                                          .operands = {1, 1},
                                          .shape = bitcast_shape,
                                          .batch = bitcast_batch,
                                          .params = &params_ops<ConvertParams>,
                                          .differentiable = false};
Array lax::bitcast_convert_type(const Array& x, DType d, Loc loc) {
  return bitcast_convert_type_p.apply(ConvertParams{d}, loc, x);
}

// ---- stop_gradient: the identity, without tangent
namespace {
void stop_gradient_shape(Types in, Params, Type* out) {
  *out = unary_type("stop_gradient", Domain::Any, in);
}
}  // namespace
const Primitive stop_gradient_p = {.name = "stop_gradient",
                                   .operands = {1, 1},
                                   .shape = stop_gradient_shape,
                                   .batch = unary_batch,
                                   .differentiable = false};
Array lax::stop_gradient(const Array& x, Loc loc) { return stop_gradient_p.apply({}, loc, x); }

}  // namespace jaxpp
