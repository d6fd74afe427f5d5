// cumulative.cc -- running sums and the like along one axis: cumsum, cumprod, cummax, cummin,
// cumlogsumexp.
//
// cumsum is linear; its transpose runs the other way.  The others have the derivative of a
// log-depth scan of their binary step: correct at zeros and ties, and O(n log n) operations for any
// transform that follows.
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace internal {

namespace {
// Every second element from `start`, at most `count` of them.
Array every_second(const Array& x, std::int64_t start, std::int64_t count, std::int64_t axis) {
  Dims from(x.shape().size(), 0), to = x.shape(), by(x.shape().size(), 1);
  from[std::size_t(axis)] = start;
  to[std::size_t(axis)] = count ? start + 2 * count - 1 : start;
  by[std::size_t(axis)] = 2;
  return lax::slice(x, from, to, by);
}
Array join(const Array& a, const Array& b, std::int64_t axis) {
  Results parts{a, b};
  return lax::concatenate(args(parts), axis);
}
// even[0], odd[0], even[1], odd[1], ...: even has as many elements, or one more.
Array interleave(const Array& even, const Array& odd, std::int64_t axis) {
  std::int64_t n = odd.shape()[std::size_t(axis)], extra = even.shape()[std::size_t(axis)] - n;
  Results pair{lax::slice_in_dim(even, 0, n, axis), odd};
  Shape shape = odd.shape();
  shape[std::size_t(axis)] = 2 * n;
  Array both = lax::reshape(lax::stack(args(pair), axis + 1), shape);
  return extra ? join(both, lax::slice_in_dim(even, n, n + 1, axis), axis) : both;
}
// Combines neighbours, scans the half as many results (these are the odd elements of the answer),
// and combines each with the next element (the even ones).
void scan_forward(FlatFn combine, Args x, std::int64_t axis, Results& y) {
  const std::int64_t n = x[0].shape()[std::size_t(axis)], half = n / 2, evens = n - half;
  if (n < 2) return y.append(x.begin(), x.end());
  Results neighbours, sums, odd, pairs, later;
  for (const Array& a : x) neighbours.push_back(every_second(a, 0, half, axis));
  for (const Array& a : x) neighbours.push_back(every_second(a, 1, half, axis));
  combine(args(neighbours), sums);
  scan_forward(combine, args(sums), axis, odd);
  for (const Array& a : odd) pairs.push_back(lax::slice_in_dim(a, 0, evens - 1, axis));
  for (const Array& a : x) pairs.push_back(every_second(a, 2, evens - 1, axis));
  if (evens > 1) combine(args(pairs), later);
  for (std::size_t i = 0; i < x.size(); ++i) {
    Array even = lax::slice_in_dim(x[i], 0, 1, axis);
    if (evens > 1) even = join(even, later[i], axis);
    y.push_back(interleave(even, odd[i], axis));
  }
}
}  // namespace

void associative_scan(FlatFn combine, Args x, std::int64_t axis, bool reverse, Results& y) {
  if (!reverse) return scan_forward(combine, x, axis, y);
  Results back;
  for (const Array& a : x) back.push_back(lax::rev(a, {axis}));
  scan_forward(combine, args(back), axis, y);
  for (Array& a : y) a = lax::rev(a, {axis});
}

}  // namespace internal
namespace {

using namespace internal;

constexpr char kSum[] = "cumsum", kProd[] = "cumprod", kMax[] = "cummax", kMin[] = "cummin",
               kLogSumExp[] = "cumlogsumexp";

template <const char* Op>
void cumulative_shape(Types x, Params p, Type* y) {
  check_axis(p.as<CumParams>().axis, x[0]->shape.size(), Op, x[0]);
  bool inexact_only = Op == kLogSumExp;
  if (inexact_only ? !is_inexact(x[0]->dtype) : is_bool(x[0]->dtype)) [[unlikely]]
    rule_error(std::string(Op) + ": needs " +
               (inexact_only ? "floats or complex numbers" : "numbers") + ", got " + x[0]->str() +
               ".");
  *y = x[0];
}
void cumulative_batch(BatchRule& r) {
  auto p = r.params.as<CumParams>();
  p.axis += p.axis >= r.axis[0];
  *r.y = r.prim.apply(p, Loc::current(), r.x[0]);
  *r.y_axis = r.axis[0];
}
void cumsum_transpose(TransposeRule& r) {
  const auto& p = r.params.as<CumParams>();
  r.add(0, lax::cumsum(r.ct[0], p.axis, !p.reverse));
}

// A step of the scan of (value, tangent) pairs: (a, da, b, db) -> (c, dc).
template <const Primitive& Step>
void dual_step(Args a, Results& y) {
  Array z, dz;
  apply_jvp(Step, Borrowed(a[0], a[2]), Borrowed(a[1], a[3]), {}, &z, &dz);
  y = {z, dz};
}

Array replace_inf(const Array& x) {
  Array inf = lax::full(scalar_type(x.dtype()), INFINITY);
  return lax::select(lax::eq(x, inf), lax::zeros_like(x), x);
}
Array constant(const Array& like, double v) { return lax::full(scalar_type(like.dtype()), v); }
// log(exp(a) + exp(b)), without overflow.
Array logaddexp(const Array& a, const Array& b) {
  Array most = lax::max(a, b);
  if (!is_complex(a.dtype())) {
    Array delta = lax::sub(a, b);
    Array sum = lax::add(most, lax::log1p(lax::exp(lax::neg(lax::abs(delta)))));
    return lax::select(lax::ne(delta, delta), lax::add(a, b), sum);  // infinities of one sign; NaN
  }
  Array delta = lax::sub(lax::add(a, b), lax::mul(most, constant(most, 2)));
  Array sum = lax::add(most, lax::log1p(lax::exp(delta)));
  // The angle between -pi and pi.
  Array angle = lax::imag(sum), pi = constant(angle, M_PI), turn = constant(angle, 2 * M_PI);
  Array rest = lax::rem(lax::add(angle, pi), turn);
  rest = lax::select(lax::lt(rest, constant(rest, 0)), lax::add(rest, turn), rest);
  return lax::complex(lax::real(sum), lax::sub(rest, pi));
}
void logaddexp_step(Args a, Results& y) {
  Array z = logaddexp(a[0], a[2]), base = replace_inf(z);
  auto part = [&](const Array& x, const Array& dx) {
    return lax::mul(dx, lax::exp(lax::sub(replace_inf(x), base)));
  };
  y = {z, lax::add(part(a[0], a[1]), part(a[2], a[3]))};
}

template <auto Step>
void scan_jvp(JvpRule& r) {
  const auto& p = r.params.as<CumParams>();
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  auto step = [](Args a, Results& y) { Step(a, y); };
  Results y;
  associative_scan(flat(step), Borrowed(r.x[0], r.dx[0]), p.axis, p.reverse, y);
  *r.dy = y[1];
}

Array bind_axis(const Primitive& p, const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return p.apply(CumParams{wrap_axis(axis, rank_of(x)), reverse}, loc, x);
}

}  // namespace

const Primitive cumsum_p = {.name = kSum,
                            .operands = {1, 1},
                            .shape = cumulative_shape<kSum>,
                            .jvp = linear_jvp,
                            .transpose = cumsum_transpose,
                            .batch = cumulative_batch,
                            .params = &params_ops<CumParams>};
const Primitive cumprod_p = {.name = kProd,
                             .operands = {1, 1},
                             .shape = cumulative_shape<kProd>,
                             .jvp = scan_jvp<dual_step<mul_p>>,
                             .batch = cumulative_batch,
                             .params = &params_ops<CumParams>};
const Primitive cummax_p = {.name = kMax,
                            .operands = {1, 1},
                            .shape = cumulative_shape<kMax>,
                            .jvp = scan_jvp<dual_step<max_p>>,
                            .batch = cumulative_batch,
                            .params = &params_ops<CumParams>};
const Primitive cummin_p = {.name = kMin,
                            .operands = {1, 1},
                            .shape = cumulative_shape<kMin>,
                            .jvp = scan_jvp<dual_step<min_p>>,
                            .batch = cumulative_batch,
                            .params = &params_ops<CumParams>};
const Primitive cumlogsumexp_p = {.name = kLogSumExp,
                                  .operands = {1, 1},
                                  .shape = cumulative_shape<kLogSumExp>,
                                  .jvp = scan_jvp<logaddexp_step>,
                                  .batch = cumulative_batch,
                                  .params = &params_ops<CumParams>};

Array lax::cumsum(const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return bind_axis(cumsum_p, x, axis, reverse, loc);
}
Array lax::cumprod(const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return bind_axis(cumprod_p, x, axis, reverse, loc);
}
Array lax::cummax(const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return bind_axis(cummax_p, x, axis, reverse, loc);
}
Array lax::cummin(const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return bind_axis(cummin_p, x, axis, reverse, loc);
}
Array lax::cumlogsumexp(const Array& x, std::int64_t axis, bool reverse, Loc loc) {
  return bind_axis(cumlogsumexp_p, x, axis, reverse, loc);
}

}  // namespace jaxpp
