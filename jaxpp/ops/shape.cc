// shape.cc -- primitives that rearrange one array without looking at its elements, and those that
// make arrays of nothing: broadcast_in_dim, reshape, transpose, squeeze, expand_dims, tile, rev;
// iota, empty.
//
// All are linear maps that copy elements, so the jvp is the primitive itself and the transpose
// moves cotangents back, summing where an element was copied more than once.  Slices and joins are
// in slice.cc.
#include <limits>
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {

using namespace internal;
using std::to_string;

// ---- broadcast_in_dim: dimension i of the operand becomes dimension broadcast_dimensions[i] of
// the result
void broadcast_shape(Types x, Params p, Type* y) {
  const auto& b = p.as<BroadcastParams>();
  const Dims& dims = b.broadcast_dimensions;
  const Shape& s = x[0]->shape;
  if (dims.size() != s.size()) [[unlikely]]
    rule_error("broadcast_in_dim: needs one result dimension for each operand dimension, got " +
               to_string(dims) + " for operand " + x[0]->str() + ".");
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || dims[i] >= std::int64_t(b.shape.size()) || (i && dims[i] <= dims[i - 1]))
        [[unlikely]]
      rule_error("broadcast_in_dim: result dimensions must increase within rank " +
                 to_string(b.shape.size()) + ", got " + to_string(dims) + ".");
    auto n = b.shape[std::size_t(dims[i])];
    if (s[i] != 1 && s[i] != n) [[unlikely]]
      rule_error("broadcast_in_dim: " + x[0]->str() + " does not broadcast to " +
                 to_string(b.shape) + ": axis " + to_string(i) + " has size " + to_string(s[i]) +
                 ", result axis " + to_string(dims[i]) + " has size " + to_string(n) + ".");
  }
  *y = make_type(x[0]->dtype, b.shape);
}
void broadcast_transpose(TransposeRule& r) {
  const auto& b = r.params.as<BroadcastParams>();
  const Shape& s = r.x_types[0]->shape;
  Dims kept;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (auto d = b.broadcast_dimensions[i]; s[i] != 1 || b.shape[std::size_t(d)] == 1)
      kept.push_back(d);
  r.add(0, lax::reshape(lax::reduce_sum(r.ct[0], without(b.shape.size(), kept)), s));
}
void broadcast_batch(BatchRule& r) {
  auto p = r.params.as<BroadcastParams>();
  p.shape.insert(0, r.size);
  for (auto& d : p.broadcast_dimensions) ++d;
  p.broadcast_dimensions.insert(0, 0);
  *r.y = lax::broadcast_in_dim(batch_at(r.x[0], r.axis[0], r.size, 0), p.shape,
                               p.broadcast_dimensions);
  *r.y_axis = 0;
}

// ---- reshape: the same elements in row-major order, after an optional permutation
void reshape_shape(Types x, Params p, Type* y) {
  const auto& r = p.as<ReshapeParams>();
  if (r.dimensions) {
    check_dims(*r.dimensions, x[0]->shape.size(), "reshape", "dimension", x[0]);
    if (r.dimensions->size() != x[0]->shape.size())
      rule_error("reshape: dimensions " + to_string(*r.dimensions) +
                 " are no permutation of the axes of " + x[0]->str() + ".");
  }
  for (auto n : r.new_sizes)
    if (n < 0) [[unlikely]]
      rule_error("reshape: sizes must not be negative, got " + to_string(r.new_sizes) + ".");
  *y = make_type(x[0]->dtype, r.new_sizes);
  if ((*y)->size != x[0]->size) [[unlikely]]
    rule_error("reshape: " + x[0]->str() + " has " + to_string(x[0]->size) + " elements, " +
               to_string(r.new_sizes) + " holds " + to_string((*y)->size) + ".");
}
void reshape_transpose(TransposeRule& r) {
  const auto& p = r.params.as<ReshapeParams>();
  const Shape& s = r.x_types[0]->shape;
  if (!p.dimensions) return r.add(0, lax::reshape(r.ct[0], s));
  r.add(0, lax::transpose(lax::reshape(r.ct[0], pick(s, *p.dimensions)), inverse(*p.dimensions)));
}
void reshape_batch(BatchRule& r) {
  auto p = r.params.as<ReshapeParams>();
  p.new_sizes.insert(0, r.size);
  if (p.dimensions) {
    for (auto& d : *p.dimensions) ++d;
    p.dimensions->insert(0, 0);
  }
  *r.y = reshape_p.apply(p, Loc::current(), batch_at(r.x[0], r.axis[0], r.size, 0));
  *r.y_axis = 0;
}

// ---- transpose
void transpose_shape(Types x, Params p, Type* y) {
  const Dims& permutation = p.as<TransposeParams>().permutation;
  check_dims(permutation, x[0]->shape.size(), "transpose", "axis", x[0]);
  if (permutation.size() != x[0]->shape.size()) [[unlikely]]
    rule_error("transpose: " + to_string(permutation) + " is no permutation of the axes of " +
               x[0]->str() + ".");
  *y = make_type(x[0]->dtype, pick(x[0]->shape, permutation));
}
void transpose_transpose(TransposeRule& r) {
  r.add(0, lax::transpose(r.ct[0], inverse(r.params.as<TransposeParams>().permutation)));
}
void transpose_batch(BatchRule& r) {
  Dims permutation = shifted(r.params.as<TransposeParams>().permutation, r.axis[0]);
  permutation.insert(0, r.axis[0]);
  *r.y = lax::transpose(r.x[0], permutation);
  *r.y_axis = 0;
}

// ---- squeeze, expand_dims: axes of size 1 taken away, put in
void squeeze_shape(Types x, Params p, Type* y) {
  const Dims& dims = p.as<DimensionsParams>().dimensions;
  check_dims(dims, x[0]->shape.size(), "squeeze", "axis", x[0]);
  for (auto d : dims)
    if (x[0]->shape[std::size_t(d)] != 1) [[unlikely]]
      rule_error("squeeze: axis " + to_string(d) + " of " + x[0]->str() + " has not size 1.");
  *y = make_type(x[0]->dtype, pick(x[0]->shape, without(x[0]->shape.size(), dims)));
}
void squeeze_transpose(TransposeRule& r) {
  r.add(0, lax::expand_dims(r.ct[0], r.params.as<DimensionsParams>().dimensions));
}
void squeeze_batch(BatchRule& r) {
  Dims dims = shifted(r.params.as<DimensionsParams>().dimensions, r.axis[0]);
  *r.y_axis = r.axis[0];
  for (auto d : dims) *r.y_axis -= d < r.axis[0];
  *r.y = lax::squeeze(r.x[0], dims);
}
void expand_dims_shape(Types x, Params p, Type* y) {
  const Dims& dims = p.as<DimensionsParams>().dimensions;
  std::size_t rank = x[0]->shape.size() + dims.size();
  check_dims(dims, rank, "expand_dims", "result axis", x[0]);
  Shape s(rank, 1);
  std::size_t next = 0;
  for (auto d : without(rank, dims)) s[std::size_t(d)] = x[0]->shape[next++];
  *y = make_type(x[0]->dtype, s);
}
void expand_dims_transpose(TransposeRule& r) {
  r.add(0, lax::squeeze(r.ct[0], r.params.as<DimensionsParams>().dimensions));
}
void expand_dims_batch(
    BatchRule& r) {  // the batch stays in front of the axis that it is in front of now
  const Dims& dims = r.params.as<DimensionsParams>().dimensions;
  std::size_t rank = r.x[0].shape().size() - 1 + dims.size(), axis = std::size_t(r.axis[0]);
  Dims old = without(rank, dims);
  *r.y_axis = int(axis < old.size() ? old[axis] : std::int64_t(rank));
  *r.y = lax::expand_dims(r.x[0], shifted(dims, *r.y_axis));
}

// ---- tile: dimension i repeated reps[i] times
void tile_shape(Types x, Params p, Type* y) {
  const Dims& reps = p.as<TileParams>().reps;
  if (reps.size() != x[0]->shape.size()) [[unlikely]]
    rule_error("tile: needs one repeat count for each axis, got " + to_string(reps) +
               " for operand " + x[0]->str() + ".");
  Shape s = x[0]->shape;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (reps[i] < 0) [[unlikely]]
      rule_error("tile: repeat counts must not be negative, got " + to_string(reps) + ".");
    if (__builtin_mul_overflow(s[i], reps[i], &s[i])) [[unlikely]]
      rule_error("tile: " + x[0]->str() + " repeated " + to_string(reps) + " times is too large.");
  }
  *y = make_type(x[0]->dtype, s);
}
void tile_transpose(TransposeRule& r) {
  const Dims& reps = r.params.as<TileParams>().reps;
  const Shape& s = r.x_types[0]->shape;
  Dims split, axes;
  for (std::size_t i = 0; i < reps.size(); ++i) {
    axes.push_back(std::int64_t(split.size()));
    split.push_back(reps[i]);
    split.push_back(s[i]);
  }
  r.add(0, lax::reduce_sum(lax::reshape(r.ct[0], split), axes));
}
void tile_batch(BatchRule& r) {
  Dims reps = r.params.as<TileParams>().reps;
  reps.insert(std::size_t(r.axis[0]), 1);
  *r.y = lax::tile(r.x[0], reps);
  *r.y_axis = r.axis[0];
}

// ---- rev
void rev_shape(Types x, Params p, Type* y) {
  check_dims(p.as<DimensionsParams>().dimensions, x[0]->shape.size(), "rev", "axis", x[0]);
  *y = x[0];
}
void rev_transpose(TransposeRule& r) {
  r.add(0, lax::rev(r.ct[0], r.params.as<DimensionsParams>().dimensions));
}
void rev_batch(BatchRule& r) {
  *r.y = lax::rev(r.x[0], shifted(r.params.as<DimensionsParams>().dimensions, r.axis[0]));
  *r.y_axis = r.axis[0];
}

// ---- iota, iota_2x32_shape, empty: no operands
void iota_shape(Types, Params p, Type* y) {
  const auto& q = p.as<IotaParams>();
  *y = make_type(q.dtype, q.shape);
  check_axis(q.dimension, q.shape.size(), "iota", *y);
  if (is_bool(q.dtype)) [[unlikely]]
    rule_error("iota: needs a number type, got " + (*y)->str() + ".");
}
void iota_2x32_shape_shape(Types, Params p, Type* y) {
  y[0] = y[1] = make_type(DType::u32, p.as<ShapeParams>().shape);
}
std::size_t two_outputs(Params) { return 2; }
void empty_shape(Types, Params p, Type* y) {
  *y = make_type(p.as<EmptyParams>().dtype, p.as<EmptyParams>().shape);
}

// A double as an integer; large ones keep their low bits, what no 64-bit integer holds saturates.
template <class I>
I whole(double v) {
  if (v != v) return 0;
  if (v >= 0) return v < 0x1p64 ? I(std::uint64_t(v)) : std::numeric_limits<I>::max();
  return v >= -0x1p63 ? I(std::int64_t(v)) : std::numeric_limits<I>::min();
}
// A rank-0 array of that dtype.
Array scalar(DType d, double v) {
  switch (d) {
    case DType::b1: return Array(v != 0);
    case DType::i8: return Array(whole<std::int8_t>(v));
    case DType::i16: return Array(whole<std::int16_t>(v));
    case DType::i32: return Array(whole<std::int32_t>(v));
    case DType::i64: return Array(whole<std::int64_t>(v));
    case DType::u8: return Array(whole<std::uint8_t>(v));
    case DType::u16: return Array(whole<std::uint16_t>(v));
    case DType::u32: return Array(whole<std::uint32_t>(v));
    case DType::u64: return Array(whole<std::uint64_t>(v));
    case DType::f16: return Array(float16(float(v)));
    case DType::bf16: return Array(bfloat16(float(v)));
    case DType::f32: return Array(float(v));
    case DType::f64: return Array(v);
    case DType::c64: return Array(std::complex<float>(float(v)));
    case DType::c128: break;
  }
  return Array(std::complex<double>(v));
}

}  // namespace

const Primitive broadcast_in_dim_p = {.name = "broadcast_in_dim",
                                      .operands = {1, 1},
                                      .shape = broadcast_shape,
                                      .jvp = linear_jvp,
                                      .transpose = broadcast_transpose,
                                      .batch = broadcast_batch,
                                      .params = &params_ops<BroadcastParams>};
const Primitive reshape_p = {.name = "reshape",
                             .operands = {1, 1},
                             .shape = reshape_shape,
                             .jvp = linear_jvp,
                             .transpose = reshape_transpose,
                             .batch = reshape_batch,
                             .params = &params_ops<ReshapeParams>};
const Primitive transpose_p = {.name = "transpose",
                               .operands = {1, 1},
                               .shape = transpose_shape,
                               .jvp = linear_jvp,
                               .transpose = transpose_transpose,
                               .batch = transpose_batch,
                               .params = &params_ops<TransposeParams>};
const Primitive squeeze_p = {.name = "squeeze",
                             .operands = {1, 1},
                             .shape = squeeze_shape,
                             .jvp = linear_jvp,
                             .transpose = squeeze_transpose,
                             .batch = squeeze_batch,
                             .params = &params_ops<DimensionsParams>};
const Primitive expand_dims_p = {.name = "expand_dims",
                                 .operands = {1, 1},
                                 .shape = expand_dims_shape,
                                 .jvp = linear_jvp,
                                 .transpose = expand_dims_transpose,
                                 .batch = expand_dims_batch,
                                 .params = &params_ops<DimensionsParams>};
const Primitive tile_p = {.name = "tile",
                          .operands = {1, 1},
                          .shape = tile_shape,
                          .jvp = linear_jvp,
                          .transpose = tile_transpose,
                          .batch = tile_batch,
                          .params = &params_ops<TileParams>};
const Primitive rev_p = {.name = "rev",
                         .operands = {1, 1},
                         .shape = rev_shape,
                         .jvp = linear_jvp,
                         .transpose = rev_transpose,
                         .batch = rev_batch,
                         .params = &params_ops<DimensionsParams>};
const Primitive iota_p = {.name = "iota",
                          .operands = {0, 0},
                          .shape = iota_shape,
                          .params = &params_ops<IotaParams>,
                          .differentiable = false};
const Primitive iota_2x32_shape_p = {.name = "iota_2x32_shape",
                                     .operands = {0, 0},
                                     .shape = iota_2x32_shape_shape,
                                     .num_outputs = two_outputs,
                                     .params = &params_ops<ShapeParams>,
                                     .differentiable = false};
const Primitive empty_p = {.name = "empty",
                           .operands = {0, 0},
                           .shape = empty_shape,
                           .params = &params_ops<EmptyParams>,
                           .differentiable = false};

Array lax::broadcast_in_dim(const Array& x, const Shape& shape, const Dims& broadcast_dimensions,
                            Loc loc) {
  if (x.defined() && x.shape() == shape && broadcast_dimensions == iota_dims(shape.size()))
    return x;
  return broadcast_in_dim_p.apply(BroadcastParams{broadcast_dimensions, shape}, loc, x);
}
Array lax::reshape(const Array& x, const Shape& new_sizes, Loc loc) {
  if (x.defined() && x.shape() == new_sizes) return x;
  return reshape_p.apply(ReshapeParams{std::nullopt, new_sizes}, loc, x);
}
Array lax::transpose(const Array& x, const Dims& permutation, Loc loc) {
  if (x.defined() && permutation == iota_dims(rank_of(x))) return x;
  return transpose_p.apply(TransposeParams{permutation}, loc, x);
}
Array lax::squeeze(const Array& x, const Dims& dimensions, Loc loc) {
  if (x.defined() && dimensions.empty()) return x;
  return squeeze_p.apply(DimensionsParams{wrap_axes(dimensions, rank_of(x))}, loc, x);
}
Array lax::expand_dims(const Array& x, const Dims& dimensions, Loc loc) {
  if (x.defined() && dimensions.empty()) return x;
  Dims d = wrap_axes(dimensions, rank_of(x) + dimensions.size());
  return expand_dims_p.apply(DimensionsParams{d}, loc, x);
}
Array lax::tile(const Array& x, const Dims& reps, Loc loc) {
  return tile_p.apply(TileParams{reps}, loc, x);
}
Array lax::rev(const Array& x, const Dims& dimensions, Loc loc) {
  if (x.defined() && dimensions.empty()) return x;
  return rev_p.apply(DimensionsParams{wrap_axes(dimensions, rank_of(x))}, loc, x);
}
Array lax::iota(DType dtype, const Shape& shape, std::int64_t dimension, Loc loc) {
  return iota_p.apply(IotaParams{wrap_axis(dimension, shape.size()), dtype, shape}, loc);
}
std::vector<Array> lax::iota_2x32_shape(const Shape& shape, Loc loc) {
  std::vector<Array> y(2);
  iota_2x32_shape_p.bind({}, ShapeParams{shape}, y.data(), loc);
  return y;
}
Array lax::full(Type t, double value, Loc loc) {
  return broadcast_in_dim(scalar(t->dtype, value), t->shape, {}, loc);
}
Array lax::full_like(const Array& x, double value, Loc loc) {
  if (!x.defined()) fail("full_like: the array is null.", loc, "E04");
  return full(x.type(), value, loc);
}
Array lax::zeros_like(const Array& x, Loc loc) { return full_like(x, 0, loc); }

}  // namespace jaxpp
