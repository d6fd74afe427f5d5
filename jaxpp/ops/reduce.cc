// reduce.cc -- reductions: reduce_sum, _prod, _max, _min, _and, _or, _xor; argmax, argmin; reduce
// by a user's jaxpr.
//
// reduce_sum is linear; its transpose is a broadcast.  reduce_max and reduce_min give the tangent
// of the extreme element, the mean of the tangents where several tie.  reduce_prod and reduce have
// the derivative of a tree of binary steps, which is right at zeros, where dividing the product by
// an element would not be.
#include "jaxpp/ops/reduce.h"
#include "jaxpp/core/jaxpr.h"

namespace jaxpp {
namespace {

using namespace internal;
using std::to_string;

// ---- What all have in common
constexpr char kSum[] = "reduce_sum", kProd[] = "reduce_prod", kMax[] = "reduce_max",
               kMin[] = "reduce_min", kAnd[] = "reduce_and", kOr[] = "reduce_or",
               kXor[] = "reduce_xor", kArgmax[] = "argmax", kArgmin[] = "argmin";

Type reduced(Type x, DType dtype, const Dims& axes) {
  return make_type(dtype, pick(x->shape, without(x->shape.size(), axes)));
}
template <const char* Op>
void number_shape(Types x, Params p, Type* y) {
  const Dims& axes = p.as<AxesParams>().axes;
  check_dims(axes, x[0]->shape.size(), Op, "axis", x[0]);
  if (is_bool(x[0]->dtype)) [[unlikely]]
    rule_error(std::string(Op) + ": needs numbers, got " + x[0]->str() + ".");
  *y = reduced(x[0], x[0]->dtype, axes);
}
template <const char* Op>
void any_shape(Types x, Params p, Type* y) {
  const Dims& axes = p.as<AxesParams>().axes;
  check_dims(axes, x[0]->shape.size(), Op, "axis", x[0]);
  *y = reduced(x[0], x[0]->dtype, axes);
}
template <const char* Op>
void bits_shape(Types x, Params p, Type* y) {
  const Dims& axes = p.as<AxesParams>().axes;
  check_dims(axes, x[0]->shape.size(), Op, "axis", x[0]);
  if (is_inexact(x[0]->dtype)) [[unlikely]]
    rule_error(std::string(Op) + ": needs bools or integers, got " + x[0]->str() + ".");
  *y = reduced(x[0], x[0]->dtype, axes);
}
// Axes seen in the batched operand; y_axis becomes the batch axis of the result.
Dims batched_axes(const Dims& axes, int axis, int* y_axis) {
  Dims d = shifted(axes, axis);
  *y_axis = axis;
  for (auto a : d) *y_axis -= a < axis;
  return d;
}
void reduce_axes_batch(BatchRule& r) {
  AxesParams p{batched_axes(r.params.as<AxesParams>().axes, r.axis[0], r.y_axis)};
  *r.y = r.prim.apply(p, Loc::current(), r.x[0]);
}

// ---- reduce_sum
void reduce_sum_transpose(TransposeRule& r) {
  const Shape& s = r.x_types[0]->shape;
  r.add(0, lax::broadcast_in_dim(r.ct[0], s, without(s.size(), r.params.as<AxesParams>().axes)));
}

// ---- reduce_max, reduce_min
void chooser_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Dims& axes = r.params.as<AxesParams>().axes;
  Shape kept = r.x[0].shape();
  for (auto a : axes) kept[std::size_t(a)] = 1;
  Array chosen =
      lax::convert_element_type(lax::eq(r.x[0], lax::reshape(*r.y, kept)), r.x[0].dtype());
  Array count = lax::reduce_sum(chosen, axes);
  *r.dy = lax::div(lax::reduce_sum(lax::mul(r.dx[0], chosen), axes), count);
}

// ---- Trees: reduce_prod, reduce
// x with its reduced axes in front, flattened to one.
Array flattened(const Array& x, const Dims& axes) {
  Dims permutation = axes, rest = without(x.shape().size(), axes);
  permutation.append(rest.begin(), rest.end());
  Array t = lax::transpose(x, permutation);
  std::int64_t n = 1;
  for (auto a : axes) n *= x.shape()[std::size_t(a)];
  Shape s = pick(x.shape(), rest);
  s.insert(0, n);
  return lax::reshape(t, s);
}
// Combines the first half with the second until axis 0 has size 1 (or 0).  combine takes (a...,
// b...).
void tree(FlatFn combine, Results& x) {
  while (x[0].shape()[0] > 1) {
    std::int64_t n = x[0].shape()[0], half = n / 2;
    Results ab, y;
    for (const Array& a : x) ab.push_back(lax::slice_in_dim(a, 0, half, 0));
    for (const Array& a : x) ab.push_back(lax::slice_in_dim(a, half, 2 * half, 0));
    combine(args(ab), y);
    if (n % 2)
      for (std::size_t i = 0; i < x.size(); ++i) {
        Results parts{y[i], lax::slice_in_dim(x[i], n - 1, n, 0)};
        y[i] = lax::concatenate(args(parts), 0);
      }
    x = std::move(y);
  }
}
void reduce_prod_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Dims& axes = r.params.as<AxesParams>().axes;
  Results x{flattened(r.x[0], axes), flattened(r.dx[0], axes)};
  auto combine = [](Args a, Results& y) {  // a, da, b, db
    Array z, dz;
    apply_jvp(mul_p, Borrowed(a[0], a[2]), Borrowed(a[1], a[3]), {}, &z, &dz);
    y = {z, dz};
  };
  if (x[0].shape()[0] == 0) return;  // a product of nothing is constant
  tree(flat(combine), x);
  *r.dy = lax::squeeze(x[1], {0});
}

// ---- argmax, argmin
template <const char* Op>
void arg_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<ArgParams>();
  check_dims(q.axes, x[0]->shape.size(), Op, "axis", x[0]);
  if (q.axes.size() != 1) [[unlikely]]
    rule_error(std::string(Op) + ": needs one axis, got " + to_string(q.axes) + ".");
  if (!is_integer(q.index_dtype)) [[unlikely]]
    rule_error(std::string(Op) + ": the index type must be an integer type, got " +
               name(q.index_dtype) + ".");
  if (x[0]->shape[std::size_t(q.axes[0])] == 0) [[unlikely]]
    rule_error(std::string(Op) + ": axis " + to_string(q.axes[0]) + " of " + x[0]->str() +
               " is empty.");
  *y = reduced(x[0], q.index_dtype, q.axes);
}
void arg_batch(BatchRule& r) {
  auto p = r.params.as<ArgParams>();
  p.axes = batched_axes(p.axes, r.axis[0], r.y_axis);
  *r.y = r.prim.apply(p, Loc::current(), r.x[0]);
}

// ---- reduce: N operands, N rank-0 initial values; the jaxpr takes (accumulated..., elements...)
std::size_t reduce_outputs(Params p) {
  const auto& q = p.as<ReduceParams>();
  return q.jaxpr ? q.jaxpr->outs.size() : 0;
}
void reduce_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<ReduceParams>();
  std::size_t n = x.size() / 2;
  if (!q.jaxpr || n == 0 || x.size() != 2 * n || q.jaxpr->invars.size() != 2 * n ||
      q.jaxpr->outs.size() != n) [[unlikely]]
    rule_error(
        "reduce: needs N arrays, N initial values and a computation of 2 N scalars that "
        "gives N; got " +
        to_string(x.size()) + " operands.");
  check_dims(q.dimensions, x[0]->shape.size(), "reduce", "axis", x[0]);
  auto types = q.jaxpr->in_types(), out = q.jaxpr->out_types();
  for (std::size_t i = 0; i < n; ++i) {
    Type element = scalar_type(x[i]->dtype);
    if (x[i]->shape != x[0]->shape) [[unlikely]]
      rule_error("reduce: operands must have one shape, got " + x[0]->str() + " and " +
                 x[i]->str() + ".");
    if (x[n + i] != element || types[i] != element || types[n + i] != element || out[i] != element)
        [[unlikely]]
      rule_error("reduce: operand " + to_string(i) + " is " + x[i]->str() +
                 "; its initial value is " + x[n + i]->str() + ", the computation maps " +
                 types[i]->str() + " and " + types[n + i]->str() + " to " + out[i]->str() + ".");
    y[i] = reduced(x[i], x[i]->dtype, q.dimensions);
  }
}
}  // namespace

void internal::elementwise_jvp(const JaxprBody& j, Args x, Args dx, Results& y, Results& dy) {
  std::vector<Array> value(j.types.size()), tangent(j.types.size());
  for (std::size_t i = 0; i < j.invars.size(); ++i) {
    value[j.invars[i]] = x[i];
    tangent[j.invars[i]] = dx[i];
  }
  for (const auto& e : j.eqns) {
    Borrowed in, d_in;
    for (const auto& a : e.in) {
      in.push(a.is_var() ? value[a.var()].node() : a.node());
      d_in.push(a.is_var() ? tangent[a.var()].node() : nullptr);
    }
    if (e.prim == &jit_p) {
      Results out, d_out;
      elementwise_jvp(*e.params().as<CallParams>().jaxpr, in, d_in, out, d_out);
      std::copy(out.begin(), out.end(), value.begin() + e.out);
      std::copy(d_out.begin(), d_out.end(), tangent.begin() + e.out);
    } else if (e.n_out == 1) {
      apply_jvp(*e.prim, in, d_in, e.params(), &value[e.out], &tangent[e.out]);
    } else {
      rule_error(std::string("reduce: no derivative of a computation that contains `") +
                 e.prim->name + "`.");
    }
  }
  for (const auto& a : j.outs) {
    y.push_back(a.is_var() ? value[a.var()] : a.value());
    dy.push_back(a.is_var() ? tangent[a.var()] : Array());
  }
}

namespace {
// (a, da..., b, db...) -> (c, dc...) by the computation j, for n operands; a tangent is null for a
// type without.
struct DualStep {
  const JaxprBody& j;
  std::size_t n;
  void operator()(Args a, Results& out) const {
    Results x, dx, y, dy;
    for (int side : {0, 1})
      for (std::size_t i = 0; i < n; ++i) x.push_back(a[2 * n * std::size_t(side) + i]);
    for (int side : {0, 1})
      for (std::size_t i = 0; i < n; ++i) {
        bool has = has_tangent(x[i].type());
        dx.push_back(has ? a[2 * n * std::size_t(side) + n + i] : Array());
      }
    elementwise_jvp(j, args(x), args(dx), y, dy);
    for (std::size_t i = 0; i < n; ++i) {  // an output may be a constant
      if (y[i].type() != x[i].type()) y[i] = lax::broadcast_in_dim(y[i], x[i].shape(), {});
      out.push_back(y[i]);
    }
    for (std::size_t i = 0; i < n; ++i)
      out.push_back(has_tangent(x[i].type()) ? instantiate(dy[i], x[i].type()) : y[i]);
  }
};
void reduce_jvp(JvpRule& r) {
  const auto& p = r.params.as<ReduceParams>();
  std::size_t n = r.x.size() / 2;
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  Results x, init;  // values, then tangents; a value of integer type stands in for its tangent
  for (std::size_t i = 0; i < n; ++i) x.push_back(flattened(r.x[i], p.dimensions));
  Shape row = x[0].shape();
  row[0] = 1;
  for (std::size_t i = 0; i < n; ++i) init.push_back(lax::broadcast_in_dim(r.x[n + i], row, {}));
  for (std::size_t i = 0; i < n; ++i) {
    bool has = has_tangent(r.x[i].type());
    x.push_back(has ? flattened(instantiate(r.dx[i], r.x[i].type()), p.dimensions) : x[i]);
    Array d = has ? instantiate(r.dx[n + i], r.x[n + i].type()) : r.x[n + i];
    init.push_back(lax::broadcast_in_dim(d, row, {}));
  }
  DualStep step{*p.jaxpr, n};
  Results y = init;
  if (x[0].shape()[0] > 0) {
    tree(flat(step), x);
    init.append(x.begin(), x.end());
    y.clear();
    step(args(init), y);
  }
  for (std::size_t i = 0; i < n; ++i)
    if (has_tangent(r.x[i].type())) r.dy[i] = lax::squeeze(y[n + i], {0});
}
void reduce_batch(BatchRule& r) {
  auto p = r.params.as<ReduceParams>();
  std::size_t n = r.x.size() / 2;
  bool init_mapped = false;
  for (std::size_t i = n; i < 2 * n; ++i) init_mapped |= r.axis[i] >= 0;
  std::fill_n(r.y_axis, n, 0);
  Results x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(batch_at(r.x[i], r.axis[i], r.size, 0));
  if (!init_mapped) {
    for (std::size_t i = n; i < 2 * n; ++i) x.push_back(r.x[i]);
    for (auto& d : p.dimensions) ++d;
    return r.prim.bind(args(x), p, r.y, Loc::current());
  }
  // Each lane has its own initial values: lane by lane.
  std::vector<Results> lanes(n);
  for (std::size_t i = n; i < 2 * n; ++i) x.push_back(batch_at(r.x[i], r.axis[i], r.size, 0));
  for (std::int64_t k = 0; k < r.size; ++k) {
    Results lane;
    for (const Array& a : x) lane.push_back(lax::squeeze(lax::slice_in_dim(a, k, k + 1, 0), {0}));
    SmallVec<Array, 4> y(n);
    r.prim.bind(args(lane), p, y.data(), Loc::current());
    for (std::size_t i = 0; i < n; ++i) lanes[i].push_back(y[i]);
  }
  for (std::size_t i = 0; i < n; ++i) {
    Dims axes = shifted(p.dimensions, 0);
    r.y[i] = r.size > 0 ? lax::stack(args(lanes[i]), 0)
                        : lax::full(reduced(x[i].type(), x[i].dtype(), axes), 0);
  }
}

Array bind_axes(const Primitive& p, const Array& x, const Dims& axes, Loc loc) {
  if (x.defined() && axes.empty()) return x;
  return p.apply(AxesParams{wrap_axes(axes, rank_of(x))}, loc, x);
}

}  // namespace

const Primitive reduce_sum_p = {.name = kSum,
                                .operands = {1, 1},
                                .shape = number_shape<kSum>,
                                .jvp = linear_jvp,
                                .transpose = reduce_sum_transpose,
                                .batch = reduce_axes_batch,
                                .params = &params_ops<AxesParams>};
const Primitive reduce_prod_p = {.name = kProd,
                                 .operands = {1, 1},
                                 .shape = number_shape<kProd>,
                                 .jvp = reduce_prod_jvp,
                                 .batch = reduce_axes_batch,
                                 .params = &params_ops<AxesParams>};
const Primitive reduce_max_p = {.name = kMax,
                                .operands = {1, 1},
                                .shape = any_shape<kMax>,
                                .jvp = chooser_jvp,
                                .batch = reduce_axes_batch,
                                .params = &params_ops<AxesParams>};
const Primitive reduce_min_p = {.name = kMin,
                                .operands = {1, 1},
                                .shape = any_shape<kMin>,
                                .jvp = chooser_jvp,
                                .batch = reduce_axes_batch,
                                .params = &params_ops<AxesParams>};
const Primitive reduce_and_p = {.name = kAnd,
                                .operands = {1, 1},
                                .shape = bits_shape<kAnd>,
                                .batch = reduce_axes_batch,
                                .params = &params_ops<AxesParams>,
                                .differentiable = false};
const Primitive reduce_or_p = {.name = kOr,
                               .operands = {1, 1},
                               .shape = bits_shape<kOr>,
                               .batch = reduce_axes_batch,
                               .params = &params_ops<AxesParams>,
                               .differentiable = false};
const Primitive reduce_xor_p = {.name = kXor,
                                .operands = {1, 1},
                                .shape = bits_shape<kXor>,
                                .batch = reduce_axes_batch,
                                .params = &params_ops<AxesParams>,
                                .differentiable = false};
const Primitive argmax_p = {.name = kArgmax,
                            .operands = {1, 1},
                            .shape = arg_shape<kArgmax>,
                            .batch = arg_batch,
                            .params = &params_ops<ArgParams>,
                            .differentiable = false};
const Primitive argmin_p = {.name = kArgmin,
                            .operands = {1, 1},
                            .shape = arg_shape<kArgmin>,
                            .batch = arg_batch,
                            .params = &params_ops<ArgParams>,
                            .differentiable = false};
const Primitive reduce_p = {.name = "reduce",
                            .operands = {2},
                            .shape = reduce_shape,
                            .jvp = reduce_jvp,
                            .batch = reduce_batch,
                            .num_outputs = reduce_outputs,
                            .params = &params_ops<ReduceParams>};

Array lax::reduce_sum(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_sum_p, x, axes, loc);
}
Array lax::reduce_prod(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_prod_p, x, axes, loc);
}
Array lax::reduce_max(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_max_p, x, axes, loc);
}
Array lax::reduce_min(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_min_p, x, axes, loc);
}
Array lax::reduce_and(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_and_p, x, axes, loc);
}
Array lax::reduce_or(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_or_p, x, axes, loc);
}
Array lax::reduce_xor(const Array& x, const Dims& axes, Loc loc) {
  return bind_axes(reduce_xor_p, x, axes, loc);
}
Array lax::argmax(const Array& x, std::int64_t axis, DType index_dtype, Loc loc) {
  return argmax_p.apply(ArgParams{{wrap_axis(axis, rank_of(x))}, index_dtype}, loc, x);
}
Array lax::argmin(const Array& x, std::int64_t axis, DType index_dtype, Loc loc) {
  return argmin_p.apply(ArgParams{{wrap_axis(axis, rank_of(x))}, index_dtype}, loc, x);
}
std::vector<Array> lax::reduce(Args x, Args init, const JaxprPtr& jaxpr, const Dims& dimensions,
                               Loc loc) {
  Borrowed all(x);
  all.append(init);
  std::vector<Array> y(jaxpr ? jaxpr->outs.size() : 0);
  Dims axes = x.empty() ? dimensions : wrap_axes(dimensions, rank_of(x[0]));
  reduce_p.bind(all, ReduceParams{axes, jaxpr}, y.data(), loc);
  return y;
}

}  // namespace jaxpp
