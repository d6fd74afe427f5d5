// window.cc -- windows that slide over an array: reduce_window (by a jaxpr), reduce_window_sum, _max, _min,
// select_and_scatter_add and select_and_gather_add.
//
// Along each dimension the operand is dilated (holes between its elements) and padded; both kinds of filling hold the neutral
// element.  Windows start every window_strides elements; their own elements lie window_dilation apart.
//
// A sum of windows is linear: its transpose is a sum of windows over the spread-out cotangents.  A maximum picks one element of
// each window, the first one on ties: its derivative picks the tangent at the same place (select_and_gather_add), whose
// transpose adds to that place (select_and_scatter_add).  Any other reduction is a fold over the elements of the window,
// each of them a strided slice of the operand, and is differentiated as such.
#include "jaxpp/ops/window.h"
#include <algorithm>
#include <limits>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/ops/reduce.h"

namespace jaxpp {
namespace internal {
Shape Windows::results(const Shape& operand) const {
  Shape s = operand;
  for (std::size_t d = 0; d < rank(); ++d) {
    const std::int64_t n =
        (operand[d] ? (operand[d] - 1) * base_dilation[d] + 1 : 0) + padding[d][0] + padding[d][1];
    s[d] = n < reach(d) ? 0 : (n - reach(d)) / window_strides[d] + 1;
  }
  return s;
}
}  // namespace internal

namespace {
using namespace internal;
using std::to_string;

constexpr char kWindow[] = "reduce_window", kSum[] = "reduce_window_sum",
               kMax[] = "reduce_window_max", kMin[] = "reduce_window_min",
               kScatter[] = "select_and_scatter_add", kGather[] = "select_and_gather_add";

void check_windows(const char* op, const Windows& w, Type x) {
  const std::size_t rank = x->shape.size();
  auto positive = [&](const Dims& d, const char* what) {
    check(d.size() == rank && std::all_of(d.begin(), d.end(), [](auto v) { return v >= 1; }), op,
          [&] {
            return std::string(what) + " must be a positive number for each dimension of " +
                   x->str() + ", got " + to_string(d) + ".";
          });
  };
  positive(w.window_dimensions, "window_dimensions");
  positive(w.window_strides, "window_strides");
  positive(w.base_dilation, "base_dilation");
  positive(w.window_dilation, "window_dilation");
  check(w.padding.size() == rank && std::all_of(w.padding.begin(), w.padding.end(),
                                                [](const Dims& p) { return p.size() == 2; }),
        op, [&] {
          return "padding must be a pair (low, high) for each dimension of " + x->str() + ".";
        });
  for (std::size_t d = 0; d < rank; ++d)
    check((x->shape[d] ? (x->shape[d] - 1) * w.base_dilation[d] + 1 : 0) + w.padding[d][0] +
                  w.padding[d][1] >=
              0,
          op, [&] {
            return "padding " + to_string(w.padding[d]) + " takes more than dimension " +
                   to_string(d) + " of " + x->str() + " has.";
          });
}
template <class P>
void add_batch_dimension(P& p) {
  p.window_dimensions.insert(0, 1);
  p.window_strides.insert(0, 1);
  p.padding.insert(p.padding.begin(), Dims{0, 0});
  if constexpr (requires { p.base_dilation; }) p.base_dilation.insert(0, 1);
  if constexpr (requires { p.window_dilation; }) p.window_dilation.insert(0, 1);
}

// ---- Sum, maximum, minimum
template <const char* Op>
void window_shape(Types x, Params params, Type* y) {
  const Windows w(params.as<WindowParams>());
  check(Op != kSum || !is_bool(x[0]->dtype), Op,
        [&] { return "needs numbers, got " + x[0]->str() + "."; });
  check_windows(Op, w, x[0]);
  *y = make_type(x[0]->dtype, w.results(x[0]->shape));
}
void window_batch(BatchRule& r) {
  WindowParams p = r.params.as<WindowParams>();
  add_batch_dimension(p);
  *r.y = r.prim.apply(p, Loc::current(), lax::move_axis(r.x[0], r.axis[0], 0));
  *r.y_axis = 0;
}
void sum_transpose(TransposeRule& r) {
  const Windows w(r.params.as<WindowParams>());
  const Shape& in = r.x_types[0]->shape;
  const Array& ct = r.ct[0];
  if (ct.size() == 0 || r.x_types[0]->size == 0) return;
  // Every cotangent goes to the elements of its window: a sum over the windows that an element is in.
  std::vector<Dims> padding;
  WindowParams p;
  for (std::size_t d = 0; d < w.rank(); ++d) {
    const std::int64_t spread = (ct.shape()[d] - 1) * w.window_strides[d] + 1,
                       size = (in[d] - 1) * w.base_dilation[d] + 1,
                       low = w.reach(d) - w.padding[d][0] - 1;
    padding.push_back({low, size + w.reach(d) - 1 - spread - low, w.window_strides[d] - 1});
    p.padding.push_back({0, 0});
  }
  p.base_dilation = Dims(w.rank(), 1);
  p.window_dilation = w.window_dilation;
  p.window_dimensions = w.window_dimensions;
  p.window_strides = w.base_dilation;
  r.add(0, lax::reduce_window_sum(lax::pad(ct, lax::full(scalar_type(ct.dtype()), 0), padding), p));
}
template <SelectPrim Select>
void chooser_jvp(JvpRule& r) {
  const WindowParams& p = r.params.as<WindowParams>();
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!has_tangent(r.y->type())) return;
  *r.dy = lax::select_and_gather_add(r.dx[0], r.x[0],
                                     {.base_dilation = p.base_dilation,
                                      .padding = p.padding,
                                      .select_prim = Select,
                                      .window_dilation = p.window_dilation,
                                      .window_dimensions = p.window_dimensions,
                                      .window_strides = p.window_strides});
}

// ---- Selection
void scatter_shape(Types x, Params params, Type* y) {
  const Windows w(params.as<SelectAndScatterParams>());
  check_windows(kScatter, w, x[1]);
  check(x[0] == make_type(x[1]->dtype, w.results(x[1]->shape)), kScatter, [&] {
    return "there must be one element of source for each window of " + x[1]->str() + ", which is " +
           make_type(x[1]->dtype, w.results(x[1]->shape))->str() + ", not " + x[0]->str() + ".";
  });
  *y = x[1];
}
void gather_shape(Types x, Params params, Type* y) {
  const Windows w(params.as<SelectAndGatherParams>());
  check_windows(kGather, w, x[1]);
  check(x[0] == x[1], kGather, [&] {
    return "tangents must be like the operand, " + x[1]->str() + ", not " + x[0]->str() + ".";
  });
  *y = make_type(x[1]->dtype, w.results(x[1]->shape));
}
void selection_jvp(JvpRule& r) {  // linear in the first operand; the choice does not move
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (r.dx[0].defined()) *r.dy = r.prim.apply(r.params, Loc::current(), r.dx[0], r.x[1]);
}
void scatter_transpose(TransposeRule& r) {
  const auto& p = r.params.as<SelectAndScatterParams>();
  check(!r.linear(1), kScatter, [] { return "not linear in the operand that is searched."; });
  const Dims ones(p.window_dimensions.size(), 1);
  if (r.wanted(0))
    r.add(0, lax::select_and_gather_add(r.ct[0], r.x[1],
                                        {.base_dilation = ones,
                                         .padding = p.padding,
                                         .select_prim = p.select_prim,
                                         .window_dilation = ones,
                                         .window_dimensions = p.window_dimensions,
                                         .window_strides = p.window_strides}));
}
// The element that never is the greatest (least).
Array worst(DType d, SelectPrim select) {
  const bool greatest = select == SelectPrim::ge;
  if (is_inexact(d)) {
    const double infinity = greatest ? -INFINITY : INFINITY;
    return lax::full(scalar_type(d), infinity);
  }
  const Array zero = lax::full(scalar_type(d), 0);
  const bool is_signed = d == i8 || d == i16 || d == i32 || d == i64;
  if (!is_signed) return greatest ? zero : lax::bitwise_not(zero);
  const std::int64_t least = std::int64_t(-1) << (8 * width(d) - 1);
  return lax::convert_element_type(Array(greatest ? least : ~least), d);
}
void gather_transpose(TransposeRule& r) {
  const auto& p = r.params.as<SelectAndGatherParams>();
  check(!r.linear(1), kGather, [] { return "not linear in the operand that is searched."; });
  check(std::all_of(p.window_dilation.begin(), p.window_dilation.end(),
                    [](auto d) { return d == 1; }),
        kGather, [] { return "reverse mode needs windows without dilation."; });
  if (!r.wanted(0) || r.x_types[0]->size == 0) return;
  std::vector<Dims> holes;
  bool dilated = false;
  for (auto d : p.base_dilation) {
    holes.push_back({0, 0, d - 1});
    dilated |= d != 1;
  }
  const Array x = dilated ? lax::pad(r.x[1], worst(r.x[1].dtype(), p.select_prim), holes) : r.x[1];
  const Array ct = lax::select_and_scatter_add(r.ct[0], x,
                                               {.padding = p.padding,
                                                .select_prim = p.select_prim,
                                                .window_dimensions = p.window_dimensions,
                                                .window_strides = p.window_strides});
  r.add(0, dilated ? lax::slice(ct, Dims(p.padding.size(), 0), ct.shape(), p.base_dilation) : ct);
}
template <class P>
void selection_batch(BatchRule& r) {
  P p = r.params.as<P>();
  add_batch_dimension(p);
  *r.y = r.prim.apply(p, Loc::current(), lax::batch_to_front(r.x[0], r.axis[0], r.size),
                      lax::batch_to_front(r.x[1], r.axis[1], r.size));
  *r.y_axis = 0;
}

// ---- Any reduction
void reduce_window_shape(Types x, Params params, Type* y) {
  const auto& p = params.as<ReduceWindowParams>();
  const std::size_t n = x.size() / 2;
  check(p.jaxpr && n >= 1 && x.size() == 2 * n && p.jaxpr->invars.size() == 2 * n &&
            p.jaxpr->outs.size() == n,
        kWindow, [&] {
          return "takes operands, as many initial values, and a computation of both; got " +
                 to_string(x.size()) + " arrays.";
        });
  const Windows w(p);
  for (std::size_t i = 0; i < n; ++i) {
    check(x[i]->shape == x[0]->shape && x[n + i] == scalar_type(x[i]->dtype), kWindow, [&] {
      return "operands have one shape, and initial values are scalars of their types: got " +
             x[i]->str() + " and " + x[n + i]->str() + ".";
    });
    check(p.jaxpr->type(p.jaxpr->outs[i]) == scalar_type(x[i]->dtype) &&
              p.jaxpr->types[p.jaxpr->invars[i]] == scalar_type(x[i]->dtype) &&
              p.jaxpr->types[p.jaxpr->invars[n + i]] == scalar_type(x[i]->dtype),
          kWindow,
          [&] { return "the computation does not take and give " + x[n + i]->str() + "."; });
    check_windows(kWindow, w, x[i]);
    y[i] = make_type(x[i]->dtype, w.results(x[i]->shape));
  }
}
std::size_t reduce_window_outputs(Params p) {
  const auto& jaxpr = p.as<ReduceWindowParams>().jaxpr;
  return jaxpr ? jaxpr->outs.size() : 1;
}
void reduce_window_jvp(JvpRule& r) {
  const auto& p = r.params.as<ReduceWindowParams>();
  const Windows w(p);
  const std::size_t n = r.x.size() / 2, rank = w.rank();
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  // Elements outside of the operand take no part: there the accumulator stays.
  const Shape shape = r.y[0].shape();
  std::vector<Dims> padding;
  for (std::size_t d = 0; d < rank; ++d)
    padding.push_back({w.padding[d][0], w.padding[d][1], w.base_dilation[d] - 1});
  const Array inside = lax::pad(lax::full(make_type(b1, r.x[0].shape()), 1), Array(false), padding);
  Results x, dx, acc, dacc;
  for (std::size_t i = 0; i < n; ++i) {
    const Type t = r.x[i].type(), s = r.x[n + i].type();
    x.push_back(lax::pad(r.x[i], r.x[n + i], padding));
    acc.push_back(lax::broadcast_in_dim(r.x[n + i], shape, {}));
    if (!has_tangent(t)) {
      dx.push_back(Array());
      dacc.push_back(Array());
      continue;
    }
    const Array dinit = instantiate(r.dx[n + i], s);
    dx.push_back(lax::pad(instantiate(r.dx[i], t), dinit, padding));
    dacc.push_back(lax::broadcast_in_dim(dinit, shape, {}));
  }
  Dims at(rank, 0);
  for (std::int64_t k = 0; k < w.elements(); ++k) {
    std::int64_t rest = k;
    for (std::size_t d = rank; d-- > 0;) {
      at[d] = rest % w.window_dimensions[d] * w.window_dilation[d];
      rest /= w.window_dimensions[d];
    }
    Dims limit = at;
    for (std::size_t d = 0; d < rank; ++d)
      limit[d] += shape[d] ? (shape[d] - 1) * w.window_strides[d] + 1 : 0;
    auto element = [&](const Array& a) {
      return a.defined() ? lax::slice(a, at, limit, w.window_strides) : a;
    };
    Results in = acc, din = dacc, y, dy;
    for (const Array& a : x) in.push_back(element(a));
    for (const Array& a : dx) din.push_back(element(a));
    elementwise_jvp(*p.jaxpr, args(in), args(din), y, dy);
    const Array here = element(inside);
    for (std::size_t i = 0; i < n; ++i) {
      if (y[i].shape() != shape) y[i] = lax::broadcast_in_dim(y[i], shape, {});
      acc[i] = lax::select(here, y[i], acc[i]);
      if (dacc[i].defined()) dacc[i] = lax::select(here, instantiate(dy[i], y[i].type()), dacc[i]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) r.dy[i] = dacc[i];
}
void reduce_window_batch(BatchRule& r) {
  ReduceWindowParams p = r.params.as<ReduceWindowParams>();
  const std::size_t n = r.x.size() / 2;
  bool own_init = false;
  for (std::size_t i = n; i < 2 * n; ++i) own_init |= r.axis[i] >= 0;
  std::fill_n(r.y_axis, n, 0);
  Results x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(lax::batch_to_front(r.x[i], r.axis[i], r.size));
  if (!own_init || r.size == 0) {
    for (std::size_t i = n; i < 2 * n; ++i)
      x.push_back(r.axis[i] < 0 ? r.x[i] : lax::full(scalar_type(r.x[i].dtype()), 0));
    add_batch_dimension(p);
    return r.prim.bind(args(x), p, r.y, Loc::current());
  }
  // Each lane has its own initial values: lane by lane.
  for (std::size_t i = n; i < 2 * n; ++i)
    x.push_back(lax::batch_to_front(r.x[i], r.axis[i], r.size));
  std::vector<Results> lanes(n);
  for (std::int64_t k = 0; k < r.size; ++k) {
    Results lane;
    for (const Array& a : x) lane.push_back(lax::squeeze(lax::slice_in_dim(a, k, k + 1, 0), {0}));
    SmallVec<Array, 4> y(n);
    r.prim.bind(args(lane), p, y.data(), Loc::current());
    for (std::size_t i = 0; i < n; ++i) lanes[i].push_back(y[i]);
  }
  for (std::size_t i = 0; i < n; ++i) r.y[i] = lax::stack(args(lanes[i]), 0);
}

// ---- Usual values
template <class P>
P completed(P p) {
  const Dims ones(p.window_dimensions.size(), 1);
  if (p.window_strides.empty()) p.window_strides = ones;
  if (p.padding.empty()) p.padding.assign(ones.size(), Dims{0, 0});
  if constexpr (requires { p.base_dilation; })
    if (p.base_dilation.empty()) p.base_dilation = ones;
  if constexpr (requires { p.window_dilation; })
    if (p.window_dilation.empty()) p.window_dilation = ones;
  return p;
}
}  // namespace

const Primitive reduce_window_p = {.name = kWindow,
                                   .operands = {2},
                                   .shape = reduce_window_shape,
                                   .jvp = reduce_window_jvp,
                                   .batch = reduce_window_batch,
                                   .num_outputs = reduce_window_outputs,
                                   .params = &params_ops<ReduceWindowParams>};
const Primitive reduce_window_sum_p = {.name = kSum,
                                       .operands = {1, 1},
                                       .shape = window_shape<kSum>,
                                       .jvp = linear_jvp,
                                       .transpose = sum_transpose,
                                       .batch = window_batch,
                                       .params = &params_ops<WindowParams>};
const Primitive reduce_window_max_p = {.name = kMax,
                                       .operands = {1, 1},
                                       .shape = window_shape<kMax>,
                                       .jvp = chooser_jvp<SelectPrim::ge>,
                                       .batch = window_batch,
                                       .params = &params_ops<WindowParams>};
const Primitive reduce_window_min_p = {.name = kMin,
                                       .operands = {1, 1},
                                       .shape = window_shape<kMin>,
                                       .jvp = chooser_jvp<SelectPrim::le>,
                                       .batch = window_batch,
                                       .params = &params_ops<WindowParams>};
const Primitive select_and_scatter_add_p = {.name = kScatter,
                                            .operands = {2, 2},
                                            .shape = scatter_shape,
                                            .jvp = selection_jvp,
                                            .transpose = scatter_transpose,
                                            .batch = selection_batch<SelectAndScatterParams>,
                                            .params = &params_ops<SelectAndScatterParams>};
const Primitive select_and_gather_add_p = {.name = kGather,
                                           .operands = {2, 2},
                                           .shape = gather_shape,
                                           .jvp = selection_jvp,
                                           .transpose = gather_transpose,
                                           .batch = selection_batch<SelectAndGatherParams>,
                                           .params = &params_ops<SelectAndGatherParams>};

Array lax::reduce_window_sum(const Array& x, const WindowParams& p, Loc loc) {
  return reduce_window_sum_p.apply(completed(p), loc, x);
}
Array lax::reduce_window_max(const Array& x, const WindowParams& p, Loc loc) {
  return reduce_window_max_p.apply(completed(p), loc, x);
}
Array lax::reduce_window_min(const Array& x, const WindowParams& p, Loc loc) {
  return reduce_window_min_p.apply(completed(p), loc, x);
}
std::vector<Array> lax::reduce_window(Args x, Args init, const ReduceWindowParams& p, Loc loc) {
  Borrowed all(x);
  all.append(init);
  std::vector<Array> y(p.jaxpr ? p.jaxpr->outs.size() : 1);
  reduce_window_p.bind(all, completed(p), y.data(), loc);
  return y;
}
Array lax::select_and_scatter_add(const Array& source, const Array& x,
                                  const SelectAndScatterParams& p, Loc loc) {
  return select_and_scatter_add_p.apply(completed(p), loc, source, x);
}
Array lax::select_and_gather_add(const Array& tangents, const Array& x,
                                 const SelectAndGatherParams& p, Loc loc) {
  return select_and_gather_add_p.apply(completed(p), loc, tangents, x);
}

}  // namespace jaxpp
