// sort.cc -- sort (several operands, the first num_keys of them lexicographic keys) and top_k.
//
// Floats: NaN comes last, -0.0 equals 0.0.  Complex numbers: by real, then imaginary part.  The
// derivative moves tangents as the values were moved: sort along with an iota, then gather.
#include <algorithm>
#include <cmath>
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace internal {

Array take_along(const Array& x, const Array& index, std::int64_t axis) {
  std::size_t rank = x.shape().size();
  GatherParams p;
  Dims rest = without(rank, {axis});
  p.dimension_numbers = {.offset_dims = {},
                         .collapsed_slice_dims = {axis},
                         .start_index_map = {axis},
                         .operand_batching_dims = rest,
                         .start_indices_batching_dims = rest};
  p.slice_sizes = Dims(rank, 1);
  p.mode = IndexMode::PROMISE_IN_BOUNDS;
  return lax::gather(x, lax::expand_dims(index, {std::int64_t(rank)}), p);
}

}  // namespace internal
namespace {

using namespace internal;
using std::to_string;

// ---- sort
std::size_t sort_outputs(Params p) {
  return std::size_t(std::max<std::int64_t>(p.as<SortParams>().n, 0));
}
void sort_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<SortParams>();
  if (x.empty() || q.n != std::int64_t(x.size()) || q.num_keys < 1 || q.num_keys > q.n) [[unlikely]]
    rule_error("sort: num_keys " + to_string(q.num_keys) + " does not fit " + to_string(x.size()) +
               " operands.");
  check_axis(q.dimension, x[0]->shape.size(), "sort", x[0]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i]->shape != x[0]->shape) [[unlikely]]
      rule_error("sort: operands must have one shape, operand 0 is " + x[0]->str() + ", operand " +
                 to_string(i) + " is " + x[i]->str() + ".");
    y[i] = x[i];
  }
}
void sort_jvp(JvpRule& r) {
  const auto& p = r.params.as<SortParams>();
  const Shape& s = r.x[0].shape();
  bool wide = s[std::size_t(p.dimension)] > std::int64_t(INT32_MAX);
  Array index = lax::iota(wide ? DType::i64 : DType::i32, s, p.dimension);
  Borrowed x(r.x);
  x.push(index);
  std::vector<Array> y(r.x.size() + 1);
  r.prim.bind(x, SortParams{p.dimension, p.is_stable, p.num_keys, p.n + 1}, y.data(),
              Loc::current());
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    r.y[i] = y[i];
    if (r.dx[i].defined()) r.dy[i] = take_along(r.dx[i], y.back(), p.dimension);
  }
}
void sort_batch(BatchRule& r) {
  auto p = r.params.as<SortParams>();
  int at = -1;
  for (std::size_t i = 0; i < r.x.size() && at < 0; ++i) at = r.axis[i];
  Results x;
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    x.push_back(batch_at(r.x[i], r.axis[i], r.size, at));
    r.y_axis[i] = at;
  }
  p.dimension += p.dimension >= at;
  r.prim.bind(args(x), p, r.y, Loc::current());
}

// ---- top_k
std::size_t top_k_outputs(Params) { return 2; }
void top_k_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<TopKParams>();
  check_axis(q.axis, x[0]->shape.size(), "top_k", x[0]);
  Shape s = x[0]->shape;
  std::int64_t& n = s[std::size_t(q.axis)];
  if (is_complex(x[0]->dtype)) [[unlikely]]
    rule_error("top_k: complex numbers have no order, operand " + x[0]->str() + ".");
  if (q.k < 0 || q.k > n) [[unlikely]]
    rule_error("top_k: k = " + to_string(q.k) + " is out of range for axis " + to_string(q.axis) +
               " of " + x[0]->str() + ".");
  if (n > std::int64_t(INT32_MAX)) [[unlikely]]
    rule_error("top_k: indices are int32, axis " + to_string(q.axis) + " of " + x[0]->str() +
               " is longer.");
  n = q.k;
  y[0] = make_type(x[0]->dtype, s);
  y[1] = make_type(DType::i32, s);
}
void top_k_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  r.dy[0] = take_along(r.dx[0], r.y[1], r.params.as<TopKParams>().axis);
}
void top_k_batch(BatchRule& r) {
  auto p = r.params.as<TopKParams>();
  p.axis += p.axis >= r.axis[0];
  r.prim.bind(r.x, p, r.y, Loc::current());
  r.y_axis[0] = r.y_axis[1] = r.axis[0];
}

// ---- approx_top_k: exact here, as on XLA's CPU backend, where recall is 1
// How many candidates are left without aggregation: those of the partial reduction of Chern et al., TPU-KNN (2022), equation
// 8, with XLA's tiles.
std::int64_t candidates(std::int64_t n, std::size_t rank, const ApproxTopKParams& q) {
  const std::int64_t tile = rank == 1 ? 1024 : 128;
  if (q.aggregate_to_topk) return q.k;
  if (n <= tile) return n;
  if (q.k == 1) return tile;
  const std::int64_t of =
      q.reduction_input_size_override >= 0 ? q.reduction_input_size_override : n;
  const auto wanted = std::int64_t((1.0 - double(q.k)) / std::log(q.recall_target));
  const std::int64_t m = std::min(std::max(wanted, tile), n);
  std::int64_t halvings = 0;
  while ((of / m) >> (halvings + 1)) ++halvings;
  const std::int64_t tiles = (n + tile - 1) / tile;
  return halvings ? ((tiles + (std::int64_t(1) << halvings) - 1) >> halvings) * tile : n;
}
std::int64_t approx_axis(const ApproxTopKParams& q, std::size_t rank) {
  return wrap_axis(q.reduction_dimension, rank);
}
void approx_top_k_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<ApproxTopKParams>();
  need(q.recall_target > 0 && q.recall_target <= 1, "approx_top_k",
       "recall_target must be in (0, 1].");
  const std::size_t rank = x[0]->shape.size();
  const std::int64_t axis = approx_axis(q, rank);
  check_axis(axis, rank, "approx_top_k", x[0]);
  const std::int64_t n = x[0]->shape[std::size_t(axis)];
  need(q.k >= 0 && q.k <= n, "approx_top_k", "k is out of range for the axis.");
  top_k_shape(x, TopKParams{axis, std::min(n, candidates(n, rank, q))}, y);
}
void approx_top_k_lower(Args x, Params p, Array* y) {
  const auto& q = p.as<ApproxTopKParams>();
  const std::size_t rank = x[0].shape().size();
  const std::int64_t axis = approx_axis(q, rank), n = x[0].shape()[std::size_t(axis)];
  const std::int64_t k = std::min(n, candidates(n, rank, q));
  if (q.is_max_k) {
    top_k_p.bind(x, TopKParams{axis, k}, y, Loc::current());
    return;
  }
  const Array index = lax::iota(DType::i32, x[0].shape(), axis);
  const std::vector<Array> sorted = lax::sort(Borrowed(x[0], index), axis);
  for (std::size_t i = 0; i < 2; ++i) y[i] = lax::slice_in_dim(sorted[i], 0, k, axis);
}
void approx_top_k_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const std::int64_t axis = approx_axis(r.params.as<ApproxTopKParams>(), r.x[0].shape().size());
  r.dy[0] = take_along(r.dx[0], r.y[1], axis);
}
void approx_top_k_batch(BatchRule& r) {
  auto p = r.params.as<ApproxTopKParams>();
  p.reduction_dimension = approx_axis(p, r.x[0].shape().size() - 1);
  p.reduction_dimension += p.reduction_dimension >= r.axis[0];
  r.prim.bind(r.x, p, r.y, Loc::current());
  r.y_axis[0] = r.y_axis[1] = r.axis[0];
}

}  // namespace

const Primitive sort_p = {.name = "sort",
                          .operands = {1},
                          .shape = sort_shape,
                          .jvp = sort_jvp,
                          .batch = sort_batch,
                          .num_outputs = sort_outputs,
                          .params = &params_ops<SortParams>};
const Primitive top_k_p = {.name = "top_k",
                           .operands = {1, 1},
                           .shape = top_k_shape,
                           .jvp = top_k_jvp,
                           .batch = top_k_batch,
                           .num_outputs = top_k_outputs,
                           .params = &params_ops<TopKParams>};

const Primitive approx_top_k_p = {.name = "approx_top_k",
                                  .operands = {1, 1},
                                  .shape = approx_top_k_shape,
                                  .jvp = approx_top_k_jvp,
                                  .batch = approx_top_k_batch,
                                  .lower = approx_top_k_lower,
                                  .num_outputs = top_k_outputs,
                                  .params = &params_ops<ApproxTopKParams>};

std::vector<Array> lax::sort(Args x, std::int64_t dimension, std::int64_t num_keys, bool is_stable,
                             Loc loc) {
  std::vector<Array> y(x.size());
  std::int64_t d = x.empty() ? dimension : wrap_axis(dimension, rank_of(x[0]));
  sort_p.bind(x, SortParams{d, is_stable, num_keys, std::int64_t(x.size())}, y.data(), loc);
  return y;
}
std::pair<Array, Array> lax::top_k(const Array& x, std::int64_t k, std::int64_t axis, Loc loc) {
  Array y[2];
  top_k_p.bind(Borrowed(x), TopKParams{wrap_axis(axis, rank_of(x)), k}, y, loc);
  return {y[0], y[1]};
}

std::pair<Array, Array> lax::approx_top_k(const Array& x, const ApproxTopKParams& p, Loc loc) {
  Array y[2];
  approx_top_k_p.bind(Borrowed(x), p, y, loc);
  return {y[0], y[1]};
}

}  // namespace jaxpp
