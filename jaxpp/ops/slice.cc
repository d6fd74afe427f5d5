// slice.cc -- primitives that cut arrays apart and join them: slice, add_slice, pad; concatenate,
// stack, split, unstack.
//
// All are linear; cutting and joining are each other's transposes.  The cotangent of a slice is
// added to a part of its operand's cotangent (add_slice), in place where possible, so that a loop
// over slices is not quadratic.
#include <algorithm>
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {

using namespace internal;
using std::to_string;

// ---- slice, add_slice
void slice_shape_of(const char* op, Type x, const SliceParams& p, Type* y) {
  const Shape& s = x->shape;
  if (p.start_indices.size() != s.size() || p.limit_indices.size() != s.size() ||
      (p.strides && p.strides->size() != s.size())) [[unlikely]]
    rule_error(std::string(op) + ": needs a start, a limit and a stride for each axis, got " +
               to_string(p.start_indices) + ", " + to_string(p.limit_indices) +
               (p.strides ? ", " + to_string(*p.strides) : "") + " for operand " + x->str() + ".");
  Shape d;
  for (std::size_t i = 0; i < s.size(); ++i) {
    auto from = p.start_indices[i], to = p.limit_indices[i], by = p.strides ? (*p.strides)[i] : 1;
    if (by <= 0) [[unlikely]]
      rule_error(std::string(op) + ": strides must be positive, got " + to_string(by) +
                 " on axis " + to_string(i) + ".");
    if (from < 0 || from > to || to > s[i]) [[unlikely]]
      rule_error(std::string(op) + ": [" + to_string(from) + ":" + to_string(to) +
                 "] is out of range on axis " + to_string(i) + " of " + x->str() + ".");
    d.push_back((to - from) / by + ((to - from) % by != 0));
  }
  *y = make_type(x->dtype, d);
}
void slice_shape(Types x, Params p, Type* y) {
  slice_shape_of("slice", x[0], p.as<SliceParams>(), y);
}
Dims strides_or_none(const SliceParams& p) { return p.strides ? *p.strides : Dims(); }
void slice_transpose(TransposeRule& r) {
  const auto& p = r.params.as<SliceParams>();
  r.add_slice(0, r.ct[0], p.start_indices, p.limit_indices, strides_or_none(p));
}
SliceParams batched_slice(SliceParams p, std::size_t axis, std::int64_t size) {
  p.start_indices.insert(axis, 0);
  p.limit_indices.insert(axis, size);
  if (p.strides) p.strides->insert(axis, 1);
  return p;
}
void slice_batch(BatchRule& r) {
  auto p = batched_slice(r.params.as<SliceParams>(), std::size_t(r.axis[0]), r.size);
  *r.y = slice_p.apply(p, Loc::current(), r.x[0]);
  *r.y_axis = r.axis[0];
}

void add_slice_shape(Types x, Params p, Type* y) {
  Type part;
  slice_shape_of("add_slice", x[0], p.as<SliceParams>(), &part);
  if (part != x[1]) [[unlikely]]
    rule_error("add_slice: the update is " + x[1]->str() + ", the slice is " + part->str() + ".");
  if (is_bool(x[0]->dtype)) [[unlikely]]
    rule_error("add_slice: needs numbers, got " + x[0]->str() + ".");
  *y = x[0];
}
void add_slice_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  Array base = instantiate(r.dx[0], r.x[0].type());
  *r.dy = r.dx[1].defined() ? r.prim.apply(r.params, Loc::current(), base, r.dx[1]) : base;
}
void add_slice_transpose(TransposeRule& r) {
  const auto& p = r.params.as<SliceParams>();
  if (r.wanted(0)) r.add(0, r.ct[0]);
  if (r.wanted(1))
    r.add(1, lax::slice(r.ct[0], p.start_indices, p.limit_indices, strides_or_none(p)));
}
void add_slice_batch(BatchRule& r) {
  auto p = batched_slice(r.params.as<SliceParams>(), 0, r.size);
  *r.y = add_slice_p.apply(p, Loc::current(), batch_at(r.x[0], r.axis[0], r.size, 0),
                           batch_at(r.x[1], r.axis[1], r.size, 0));
  *r.y_axis = 0;
}

// ---- pad: low and high may be negative (they crop), interior puts values between neighbours
void pad_shape(Types x, Params p, Type* y) {
  const auto& config = p.as<PadParams>().padding_config;
  const Shape& s = x[0]->shape;
  if (x[1]->dtype != x[0]->dtype || !x[1]->shape.empty()) [[unlikely]]
    rule_error("pad: the padding value must be " + std::string(name(x[0]->dtype)) + "[], got " +
               x[1]->str() + ".");
  if (config.size() != s.size()) [[unlikely]]
    rule_error("pad: needs [low, high, interior] for each axis, got " + to_string(config.size()) +
               " of them for operand " + x[0]->str() + ".");
  Shape d;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (config[i].size() != 3 || config[i][2] < 0) [[unlikely]]
      rule_error("pad: needs [low, high, interior >= 0] on axis " + to_string(i) + ", got " +
                 to_string(config[i]) + ".");
    std::int64_t gaps = std::max<std::int64_t>(s[i] - 1, 0), n;
    bool bad = __builtin_mul_overflow(gaps, config[i][2], &n);
    bad |= __builtin_add_overflow(n, s[i], &n);
    bad |= __builtin_add_overflow(n, config[i][0], &n);
    bad |= __builtin_add_overflow(n, config[i][1], &n);
    if (bad || n < 0) [[unlikely]]
      rule_error("pad: " + to_string(config[i]) + " leaves axis " + to_string(i) + " of " +
                 x[0]->str() + " with a size that is negative or too large.");
    d.push_back(n);
  }
  *y = make_type(x[0]->dtype, d);
}
void pad_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  *r.dy = r.prim.apply(r.params, Loc::current(), instantiate(r.dx[0], r.x[0].type()),
                       instantiate(r.dx[1], r.x[1].type()));
}
void pad_transpose(
    TransposeRule& r) {  // ct cropped to the operand; what is left belongs to the value
  const auto& config = r.params.as<PadParams>().padding_config;
  const Array& ct = r.ct[0];
  std::vector<Dims> crop;
  Dims start, strides;
  for (const auto& c : config) {
    crop.push_back({-c[0], -c[1], 0});
    start.push_back(0);
    strides.push_back(c[2] + 1);
  }
  Array operand = lax::pad(ct, lax::full(scalar_type(ct.dtype()), 0), crop);
  operand = lax::slice(operand, start, operand.shape(), strides);
  r.add(0, operand);
  if (r.wanted(1)) {
    Dims all = iota_dims(config.size());
    r.add(1, lax::sub(lax::reduce_sum(ct, all), lax::reduce_sum(operand, all)));
  }
}
void pad_batch(BatchRule& r) {
  auto config = r.params.as<PadParams>().padding_config;
  int axis = std::max(r.axis[0], 0);
  Array x = batch_at(r.x[0], r.axis[0], r.size, axis);
  config.insert(config.begin() + axis, Dims{0, 0, 0});
  *r.y_axis = axis;
  if (r.axis[1] < 0) {
    *r.y = lax::pad(x, r.x[1], config);
    return;
  }
  Array padded = lax::pad(x, lax::full(scalar_type(x.dtype()), 0), config);
  Array inside = lax::pad(lax::full(make_type(DType::b1, x.shape()), 1), Array(false), config);
  *r.y = lax::select(inside, padded, lax::broadcast_in_dim(r.x[1], padded.shape(), {axis}));
}

// ---- concatenate, stack
// The tangents, zeros included.
Results all_tangents(const JvpRule& r) {
  Results t;
  for (std::size_t i = 0; i < r.x.size(); ++i) t.push_back(instantiate(r.dx[i], r.x[i].type()));
  return t;
}
void join_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  r.prim.bind(args(all_tangents(r)), r.params, r.dy, Loc::current());
}
// The operands with their batch on one axis; returns that axis.
int align_batches(const BatchRule& r, Results& x) {
  int at = -1;
  for (std::size_t i = 0; i < r.x.size() && at < 0; ++i) at = r.axis[i];
  for (std::size_t i = 0; i < r.x.size(); ++i) x.push_back(batch_at(r.x[i], r.axis[i], r.size, at));
  return at;
}
bool all_wanted(const TransposeRule& r) {
  for (std::size_t i = 0; i < r.x.size(); ++i)
    if (!r.wanted(i)) return false;
  return true;
}

void concatenate_shape(Types x, Params p, Type* y) {
  auto d = p.as<ConcatenateParams>().dimension;
  if (x.empty()) [[unlikely]]
    rule_error("concatenate: needs at least one array.");
  check_axis(d, x[0]->shape.size(), "concatenate", x[0]);
  Shape s = x[0]->shape;
  for (std::size_t i = 1; i < x.size(); ++i) {
    bool fits = x[i]->dtype == x[0]->dtype && x[i]->shape.size() == s.size();
    for (std::size_t k = 0; fits && k < s.size(); ++k)
      fits = x[i]->shape[k] == s[k] || std::int64_t(k) == d;
    if (!fits) [[unlikely]]
      rule_error("concatenate: operand " + to_string(i) + " is " + x[i]->str() +
                 ", it does not fit " + x[0]->str() + " along axis " + to_string(d) + ".");
    s[std::size_t(d)] += x[i]->shape[std::size_t(d)];
  }
  *y = make_type(x[0]->dtype, s);
}
void concatenate_transpose(TransposeRule& r) {
  auto axis = r.params.as<ConcatenateParams>().dimension;
  auto d = std::size_t(axis);
  if (r.x.size() > 1 && all_wanted(r)) {
    Dims sizes;
    for (Type t : r.x_types) sizes.push_back(t->shape[d]);
    auto parts = lax::split(r.ct[0], sizes, axis);
    for (std::size_t i = 0; i < parts.size(); ++i) r.add(i, parts[i]);
    return;
  }
  Dims start(r.ct[0].shape().size(), 0), limit = r.ct[0].shape();
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    limit[d] = start[d] + r.x_types[i]->shape[d];
    if (r.wanted(i)) r.add(i, lax::slice(r.ct[0], start, limit));
    start[d] = limit[d];
  }
}
void concatenate_batch(BatchRule& r) {
  Results x;
  int at = align_batches(r, x);
  auto d = r.params.as<ConcatenateParams>().dimension;
  *r.y = lax::concatenate(args(x), d + (d >= at));
  *r.y_axis = at;
}

void stack_shape(Types x, Params p, Type* y) {
  auto axis = p.as<AxisParams>().axis;
  if (x.empty()) [[unlikely]]
    rule_error("stack: needs at least one array.");
  check_axis(axis, x[0]->shape.size() + 1, "stack", x[0]);
  for (std::size_t i = 1; i < x.size(); ++i)
    if (x[i] != x[0]) [[unlikely]]
      rule_error("stack: operand " + to_string(i) + " is " + x[i]->str() + ", operand 0 is " +
                 x[0]->str() + ".");
  Shape s = x[0]->shape;
  s.insert(std::size_t(axis), std::int64_t(x.size()));
  *y = make_type(x[0]->dtype, s);
}
// Row i of x along an axis, without that axis.
Array row(const Array& x, std::int64_t i, std::int64_t axis) {
  return lax::squeeze(lax::slice_in_dim(x, i, i + 1, axis), {axis});
}
void stack_transpose(TransposeRule& r) {
  auto axis = r.params.as<AxisParams>().axis;
  if (all_wanted(r)) {
    auto parts = lax::unstack(r.ct[0], axis);
    for (std::size_t i = 0; i < parts.size(); ++i) r.add(i, parts[i]);
    return;
  }
  for (std::size_t i = 0; i < r.x.size(); ++i)
    if (r.wanted(i)) r.add(i, row(r.ct[0], std::int64_t(i), axis));
}
void stack_batch(BatchRule& r) {
  Results x;
  int at = align_batches(r, x);
  auto axis = r.params.as<AxisParams>().axis;
  *r.y = lax::stack(args(x), axis + (axis > at));
  *r.y_axis = at + (axis <= at);
}

// ---- split, unstack
std::size_t split_outputs(Params p) { return p.as<SplitParams>().sizes.size(); }
void split_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<SplitParams>();
  check_axis(q.axis, x[0]->shape.size(), "split", x[0]);
  Shape s = x[0]->shape;
  std::int64_t rest = s[std::size_t(q.axis)];
  bool fits = true;
  for (auto n : q.sizes) {
    fits = fits && n >= 0 && n <= rest;
    rest -= fits ? n : 0;
  }
  if (!fits || rest != 0) [[unlikely]]
    rule_error("split: sizes " + to_string(q.sizes) + " do not add up to axis " +
               to_string(q.axis) + " of " + x[0]->str() + ".");
  for (std::size_t i = 0; i < q.sizes.size(); ++i) {
    s[std::size_t(q.axis)] = q.sizes[i];
    y[i] = make_type(x[0]->dtype, s);
  }
}
std::size_t count_defined(Args a) {
  return std::size_t(std::count_if(a.begin(), a.end(), [](const Array& v) { return v.defined(); }));
}
void split_transpose(TransposeRule& r) {
  const auto& p = r.params.as<SplitParams>();
  auto d = std::size_t(p.axis);
  bool few = count_defined(r.ct) == 1;
  Shape s = r.x_types[0]->shape;
  Dims start(s.size(), 0), limit = s;
  Results parts;
  for (std::size_t i = 0; i < r.ct.size(); ++i) {
    limit[d] = start[d] + p.sizes[i];
    s[d] = p.sizes[i];
    if (!few)
      parts.push_back(instantiate(r.ct[i], make_type(r.x_types[0]->dtype, s)));
    else if (r.ct[i].defined())
      r.add_slice(0, r.ct[i], start, limit, {});
    start[d] = limit[d];
  }
  if (!few) r.add(0, lax::concatenate(args(parts), p.axis));
}
void split_batch(BatchRule& r) {
  auto p = r.params.as<SplitParams>();
  p.axis += p.axis >= r.axis[0];
  r.prim.bind(r.x, p, r.y, Loc::current());
  for (std::size_t i = 0; i < p.sizes.size(); ++i) r.y_axis[i] = r.axis[0];
}

std::size_t unstack_outputs(Params p) {
  return std::size_t(std::max<std::int64_t>(p.as<UnstackParams>().n, 0));
}
void unstack_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<UnstackParams>();
  check_axis(q.axis, x[0]->shape.size(), "unstack", x[0]);
  if (x[0]->shape[std::size_t(q.axis)] != q.n) [[unlikely]]
    rule_error("unstack: axis " + to_string(q.axis) + " of " + x[0]->str() + " has not size " +
               to_string(q.n) + ".");
  Shape s = x[0]->shape;
  s.erase(std::size_t(q.axis));
  std::fill_n(y, q.n, make_type(x[0]->dtype, s));
}
void unstack_transpose(TransposeRule& r) {
  auto axis = r.params.as<UnstackParams>().axis;
  Shape s = r.x_types[0]->shape;
  if (2 * count_defined(r.ct) > r.ct.size()) {
    s.erase(std::size_t(axis));
    Results parts;
    for (const Array& ct : r.ct)
      parts.push_back(instantiate(ct, make_type(r.x_types[0]->dtype, s)));
    return r.add(0, lax::stack(args(parts), axis));
  }
  Dims start(s.size(), 0);
  for (std::size_t i = 0; i < r.ct.size(); ++i) {
    start[std::size_t(axis)] = std::int64_t(i);
    s[std::size_t(axis)] = std::int64_t(i) + 1;
    if (r.ct[i].defined()) r.add_slice(0, lax::expand_dims(r.ct[i], {axis}), start, s, {});
  }
}
void unstack_batch(BatchRule& r) {
  auto p = r.params.as<UnstackParams>();
  p.axis += p.axis >= r.axis[0];
  r.prim.bind(r.x, p, r.y, Loc::current());
  for (std::int64_t i = 0; i < p.n; ++i) r.y_axis[i] = r.axis[0] - (p.axis < r.axis[0]);
}

}  // namespace

const Primitive slice_p = {.name = "slice",
                           .operands = {1, 1},
                           .shape = slice_shape,
                           .jvp = linear_jvp,
                           .transpose = slice_transpose,
                           .batch = slice_batch,
                           .params = &params_ops<SliceParams>};
const Primitive add_slice_p = {.name = "add_slice",
                               .operands = {2, 2},
                               .shape = add_slice_shape,
                               .jvp = add_slice_jvp,
                               .transpose = add_slice_transpose,
                               .batch = add_slice_batch,
                               .params = &params_ops<SliceParams>};
const Primitive pad_p = {.name = "pad",
                         .operands = {2, 2},
                         .shape = pad_shape,
                         .jvp = pad_jvp,
                         .transpose = pad_transpose,
                         .batch = pad_batch,
                         .params = &params_ops<PadParams>};
const Primitive concatenate_p = {.name = "concatenate",
                                 .operands = {1},
                                 .shape = concatenate_shape,
                                 .jvp = join_jvp,
                                 .transpose = concatenate_transpose,
                                 .batch = concatenate_batch,
                                 .params = &params_ops<ConcatenateParams>};
const Primitive stack_p = {.name = "stack",
                           .operands = {1},
                           .shape = stack_shape,
                           .jvp = join_jvp,
                           .transpose = stack_transpose,
                           .batch = stack_batch,
                           .params = &params_ops<AxisParams>};
const Primitive split_p = {.name = "split",
                           .operands = {1, 1},
                           .shape = split_shape,
                           .jvp = linear_jvp,
                           .transpose = split_transpose,
                           .batch = split_batch,
                           .num_outputs = split_outputs,
                           .params = &params_ops<SplitParams>};
const Primitive unstack_p = {.name = "unstack",
                             .operands = {1, 1},
                             .shape = unstack_shape,
                             .jvp = linear_jvp,
                             .transpose = unstack_transpose,
                             .batch = unstack_batch,
                             .num_outputs = unstack_outputs,
                             .params = &params_ops<UnstackParams>};

Array lax::slice(const Array& x, const Dims& start, const Dims& limit, const Dims& strides,
                 Loc loc) {
  bool unit = std::all_of(strides.begin(), strides.end(), [](auto s) { return s == 1; }) &&
              (strides.empty() || strides.size() == rank_of(x));
  if (x.defined() && unit && limit == x.shape() && start == Dims(limit.size(), 0)) return x;
  std::optional<Dims> by;
  if (!unit) by = strides;
  return slice_p.apply(SliceParams{limit, start, by}, loc, x);
}
Array lax::slice_in_dim(const Array& x, std::int64_t start, std::int64_t limit, std::int64_t axis,
                        Loc loc) {
  axis = wrap_axis(axis, rank_of(x));
  if (!x.defined()) fail("slice_in_dim: the array is null.", loc, "E04");
  Dims from(rank_of(x), 0), to = x.shape();
  if (axis < 0 || axis >= std::int64_t(to.size()))
    fail("slice_in_dim: " + x.type()->str() + " has no axis " + to_string(axis) + ".", loc, "E11");
  from[std::size_t(axis)] = start;
  to[std::size_t(axis)] = limit;
  return slice(x, from, to, {}, loc);
}
Array lax::add_slice(const Array& x, const Array& update, const Dims& start, const Dims& limit,
                     const Dims& strides, Loc loc) {
  std::optional<Dims> by;
  if (!strides.empty()) by = strides;
  return add_slice_p.apply(SliceParams{limit, start, by}, loc, x, update);
}
Array lax::pad(const Array& x, const Array& value, const std::vector<Dims>& low_high_interior,
               Loc loc) {
  bool none = x.defined() && value.defined() && value.type() == scalar_type(x.dtype()) &&
              low_high_interior.size() == rank_of(x);
  for (const Dims& c : low_high_interior) none = none && c == Dims{0, 0, 0};
  return none ? x : pad_p.apply(PadParams{low_high_interior}, loc, x, value);
}
Array lax::concatenate(Args x, std::int64_t dimension, Loc loc) {
  std::int64_t d = x.empty() ? dimension : wrap_axis(dimension, rank_of(x[0]));
  if (x.size() == 1 && d >= 0 && d < std::int64_t(rank_of(x[0]))) return x[0];
  Array y;
  concatenate_p.bind(x, ConcatenateParams{d}, &y, loc);
  return y;
}
Array lax::stack(Args x, std::int64_t axis, Loc loc) {
  Array y;
  stack_p.bind(x, AxisParams{x.empty() ? axis : wrap_axis(axis, rank_of(x[0]) + 1)}, &y, loc);
  return y;
}
std::vector<Array> lax::unstack(const Array& x, std::int64_t axis, Loc loc) {
  std::size_t rank = rank_of(x);
  axis = wrap_axis(axis, rank);
  std::int64_t n = axis >= 0 && axis < std::int64_t(rank) ? x.shape()[std::size_t(axis)] : 1;
  std::vector<Array> y(static_cast<std::size_t>(n));
  if (n) unstack_p.bind(Borrowed(x), UnstackParams{axis, n}, y.data(), loc);
  return y;
}
std::vector<Array> lax::split(const Array& x, const Dims& sizes, std::int64_t axis, Loc loc) {
  std::vector<Array> y(sizes.size());
  split_p.bind(Borrowed(x), SplitParams{wrap_axis(axis, rank_of(x)), sizes}, y.data(), loc);
  return y;
}

}  // namespace jaxpp
