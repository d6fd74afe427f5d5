// lax_composed.cc -- jax.lax's compositions.  A reduction by a function that is one of the primitives' own (a sum from 0, a
// maximum from -inf, ...) becomes that primitive: it has a better kernel and a better derivative than a general one.
#include "jaxpp/lax_composed.h"
#include <algorithm>
#include <cmath>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
using namespace internal;

namespace {
// One start for each dimension of x; negative ones count from its end.
std::vector<Array> starts_of(const char* op, const Array& x, const std::vector<Array>& starts,
                             Loc loc) {
  need_array(x, op, loc);
  if (std::int64_t(starts.size()) != x.ndim())
    fail(std::string(op) + ": " + std::to_string(starts.size()) + " starts for " + x.type()->str() +
             ".",
         user_loc(loc), "E86", "One integer for each dimension.");
  std::vector<Array> from;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const Array& s = starts[i];
    need_array(s, op, loc);
    if (!is_integer(s.dtype()) || s.ndim() != 0)
      fail(std::string(op) + ": start " + std::to_string(i) + " is " + s.type()->str() +
               "; it must be an integer of rank 0.",
           user_loc(loc), "E86", "Convert it: start.astype(i32).");
    from.push_back(is_signed(s.dtype()) ? where(s < 0, s + full({}, x.shape()[i], s.dtype()), s)
                                        : s);
  }
  return from;
}
std::vector<Array> only(const Array& x, std::int64_t axis, const Array& start) {
  std::vector<Array> starts(std::size_t(x.ndim()), Array(0));
  starts[std::size_t(axis)] = start;
  return starts;
}
// starts are of one type in the primitive
std::vector<Array> of_one_type(std::vector<Array> starts) {
  DType d = DType::i32;
  for (const Array& s : starts) d = promote_types(d, s.dtype());
  for (Array& s : starts) s = s.astype(d);
  return starts;
}
}  // namespace

Array lax::dynamic_slice(const Array& x, const std::vector<Array>& starts, const Dims& slice_sizes,
                         Loc loc) {
  const UserLine line(loc);
  const auto from = of_one_type(starts_of("dynamic_slice", x, starts, loc));
  return dynamic_slice(x, Args(from), slice_sizes, loc);
}
Array lax::dynamic_update_slice(const Array& x, const Array& update,
                                const std::vector<Array>& starts, Loc loc) {
  const UserLine line(loc);
  const auto from = of_one_type(starts_of("dynamic_update_slice", x, starts, loc));
  return dynamic_update_slice(x, update, Args(from), loc);
}
Array lax::dynamic_slice_in_dim(const Array& x, const Array& start, std::int64_t size,
                                std::int64_t axis, Loc loc) {
  need_array(x, "dynamic_slice_in_dim", loc);
  axis = axis_of(axis, x, "dynamic_slice_in_dim", loc);
  Dims sizes = x.shape();
  sizes[std::size_t(axis)] = size;
  return dynamic_slice(x, only(x, axis, start), sizes, loc);
}
Array lax::dynamic_update_slice_in_dim(const Array& x, const Array& update, const Array& start,
                                       std::int64_t axis, Loc loc) {
  need_array(x, "dynamic_update_slice_in_dim", loc);
  axis = axis_of(axis, x, "dynamic_update_slice_in_dim", loc);
  return dynamic_update_slice(x, update, only(x, axis, start), loc);
}
Array lax::index_in_dim(const Array& x, std::int64_t index, std::int64_t axis, bool keepdims,
                        Loc loc) {
  need_array(x, "index_in_dim", loc);
  axis = axis_of(axis, x, "index_in_dim", loc);
  const std::int64_t n = x.shape()[std::size_t(axis)];
  if (index < -n || index >= n)
    fail("index_in_dim: index " + std::to_string(index) + " is outside of axis " +
             std::to_string(axis) + " of " + x.type()->str() + ".",
         user_loc(loc), "E86");
  const std::int64_t from = index < 0 ? index + n : index;
  const Array y = slice_in_dim(x, from, from + 1, axis, loc);
  return keepdims ? y : lax::squeeze(y, {axis}, loc);
}
Array lax::dynamic_index_in_dim(const Array& x, const Array& index, std::int64_t axis,
                                bool keepdims, Loc loc) {
  need_array(x, "dynamic_index_in_dim", loc);
  axis = axis_of(axis, x, "dynamic_index_in_dim", loc);
  const Array y = dynamic_slice_in_dim(x, index, 1, axis, loc);
  return keepdims ? y : lax::squeeze(y, {axis}, loc);
}
Array lax::dynamic_update_index_in_dim(const Array& x, const Array& update, const Array& index,
                                       std::int64_t axis, Loc loc) {
  need_array(x, "dynamic_update_index_in_dim", loc);
  need_array(update, "dynamic_update_index_in_dim", loc);
  axis = axis_of(axis, x, "dynamic_update_index_in_dim", loc);
  const bool flat = update.ndim() == x.ndim() - 1;
  return dynamic_update_slice_in_dim(x, flat ? lax::expand_dims(update, {axis}, loc) : update,
                                     index, axis, loc);
}
Array lax::collapse(const Array& x, std::int64_t start, std::int64_t stop, Loc loc) {
  need_array(x, "collapse", loc);
  const std::int64_t rank = x.ndim();
  if (start < 0) start += rank;
  if (stop < 0) stop += rank;
  if (start < 0 || stop > rank || start >= stop)
    fail("collapse: there are no dimensions from " + std::to_string(start) + " to " +
             std::to_string(stop - 1) + " in " + x.type()->str() + ".",
         user_loc(loc), "E86");
  Shape s;
  for (std::int64_t i = 0; i < rank; ++i)
    if (i > start && i < stop)
      s.back() *= x.shape()[std::size_t(i)];
    else
      s.push_back(x.shape()[std::size_t(i)]);
  return lax::reshape(x, s, loc);
}

// ---- Others
Array lax::batch_matmul(const Array& x, const Array& y, Loc loc) {
  need_array(x, "batch_matmul", loc);
  need_array(y, "batch_matmul", loc);
  if (x.ndim() < 2 || x.ndim() != y.ndim())
    fail("batch_matmul: needs two stacks of matrices of one rank, not " + x.type()->str() +
             " and " + y.type()->str() + ".",
         user_loc(loc), "E86", "matmul broadcasts.");
  const std::int64_t n = x.ndim() - 2;
  return dot_general(x, y, {{n + 1}, {n}, iota_dims(std::size_t(n)), iota_dims(std::size_t(n))}, {},
                     loc);
}
Array lax::broadcasted_iota(DType d, const Shape& shape, std::int64_t dimension, Loc loc) {
  return iota(d, shape, dimension, loc);
}
std::pair<Array, Array> lax::sort_key_val(const Array& keys, const Array& values,
                                          std::int64_t dimension, bool is_stable, Loc loc) {
  need_array(keys, "sort_key_val", loc);
  const auto y = sort(Borrowed(keys, values), axis_of(dimension, keys, "sort_key_val", loc), 1,
                      is_stable, loc);
  return {y[0], y[1]};
}
std::pair<Array, Array> lax::approx_max_k(const Array& x, std::int64_t k, std::int64_t dimension,
                                          Loc loc) {
  return approx_top_k(x, {.is_max_k = true, .k = k, .reduction_dimension = dimension}, loc);
}
std::pair<Array, Array> lax::approx_min_k(const Array& x, std::int64_t k, std::int64_t dimension,
                                          Loc loc) {
  return approx_top_k(x, {.is_max_k = false, .k = k, .reduction_dimension = dimension}, loc);
}
Array lax::conv_general_dilated_patches(const Array& x, const Dims& filter_shape,
                                        const Dims& window_strides, std::string_view padding,
                                        const Dims& rhs_dilation, Loc loc) {
  const UserLine line(loc);
  need_array(x, "conv_general_dilated_patches", loc);
  if (x.ndim() != std::int64_t(filter_shape.size()) + 2)
    fail("conv_general_dilated_patches: a filter of " + std::to_string(filter_shape.size()) +
             " dimensions for " + x.type()->str() + ".",
         user_loc(loc), "E110", "x is [n, c, spatial...].");
  // A group for each feature, and in it an output feature for each element of the filter: the identity.
  std::int64_t size = 1;
  for (auto d : filter_shape) size *= d;
  const std::int64_t features = x.shape()[1];
  Shape s{size, 1};
  s.append(filter_shape.begin(), filter_shape.end());
  const Array one = jaxpp::tile(jaxpp::reshape(eye(size, x.dtype()), s), [&] {
    Dims reps(s.size(), 1);
    reps[0] = features;
    return reps;
  }());
  Dims spatial(x.shape().begin() + 2, x.shape().end()), window = filter_shape;
  for (std::size_t i = 0; i < rhs_dilation.size() && i < window.size(); ++i)
    window[i] = (window[i] - 1) * rhs_dilation[i] + 1;
  ConvParams p;
  p.window_strides = window_strides;
  p.padding = conv_padding(padding, spatial, window, window_strides, loc);
  p.rhs_dilation = rhs_dilation;
  p.feature_group_count = features;
  return conv_general_dilated(x, one, p, loc);
}

// ---- Reductions
namespace {
using Reduction = Array (*)(const Array&, const Dims&, Loc);

bool is_number(const Array& a, double v) {
  return is_complex(a.dtype()) ? a.item<std::complex<double>>() == v : a.item<double>() == v;
}
bool is_extreme(const Array& a, bool greatest) {
  const DType d = a.dtype();
  if (is_complex(d)) return false;
  if (is_float(d)) return a.item<double>() == (greatest ? 1 : -1) * INFINITY;
  const int bits = 8 * int(width(d));
  if (!is_signed(d))
    return a.item<std::uint64_t>() == (greatest ? ~std::uint64_t(0) >> (64 - bits) : 0);
  const std::int64_t most = std::int64_t(~std::uint64_t(0) >> (65 - bits));
  return a.item<std::int64_t>() == (greatest ? most : -most - 1);
}
// The reduction that a program is, if it is one operation on its two inputs and init that operation's neutral element.
Reduction reduction_of(const JaxprBody& j, const Array& init) {
  if (j.eqns.size() != 1 || j.outs.size() != 1 || !init.concrete()) return nullptr;
  const Equation& e = j.eqns[0];
  if (e.in.size() != 2 || !e.in[0].is_var() || !e.in[1].is_var() ||
      e.in[0].var() == e.in[1].var() || !j.outs[0].is_var() || j.outs[0].var() != e.out)
    return nullptr;
  const bool boolean = is_bool(init.dtype());
  if (e.prim == &bitwise_and_p && boolean && init.item<bool>()) return lax::reduce_and;
  if (e.prim == &bitwise_or_p && boolean && !init.item<bool>()) return lax::reduce_or;
  if (boolean) return nullptr;
  if (e.prim == &add_p && is_number(init, 0)) return lax::reduce_sum;
  if (e.prim == &mul_p && is_number(init, 1)) return lax::reduce_prod;
  if (e.prim == &max_p && is_extreme(init, false)) return lax::reduce_max;
  if (e.prim == &min_p && is_extreme(init, true)) return lax::reduce_min;
  return nullptr;
}
// The function of two numbers as a program; starts of the elements' types.
JaxprPtr scalar_program(const char* op, FlatFn f, Args x, Args init, std::vector<Array>& starts,
                        Loc loc) {
  std::vector<Type> in;
  for (std::size_t i = 0; i < x.size(); ++i) {
    need_array(x[i], op, loc);
    need_array(init[i], op, loc);
    if (init[i].ndim() != 0 || x[i].shape() != x[0].shape())
      fail(std::string(op) + ": operand " + std::to_string(i) + " is " + x[i].type()->str() +
               ", its initial value " + init[i].type()->str() + ".",
           user_loc(loc), "E86", "Operands have one shape, initial values have rank 0.");
    starts.push_back(lax::convert_element_type(init[i], x[i].dtype(), loc));
    in.push_back(scalar_type(x[i].dtype()));
  }
  in.insert(in.end(), in.begin(), in.begin() + std::ptrdiff_t(x.size()));
  const Closed c = trace_to_jaxpr(in, f);
  if (!c.consts.empty())
    fail(std::string(op) + ": the function uses an array of the code around it.", user_loc(loc),
         "E86", "Pass it as another operand, or use associative_scan or scan.");
  return c.jaxpr;
}
}  // namespace

void internal::reduce_flat(FlatFn f, Args x, Args init, const Dims& axes, Results& y, Loc loc) {
  const UserLine line(loc);
  std::vector<Array> starts;
  const JaxprPtr program = scalar_program("reduce", f, x, init, starts, loc);
  const Dims dimensions = axes_of(Axes(axes), x[0], "reduce", loc);
  if (const Reduction known = x.size() == 1 ? reduction_of(*program, init[0]) : nullptr) {
    y.push_back(known(x[0], dimensions, loc));
    return;
  }
  for (const Array& a : lax::reduce(x, starts, program, dimensions, loc)) y.push_back(a);
}
void internal::reduce_window_flat(FlatFn f, Args x, Args init, const Dims& window,
                                  const lax::WindowOptions& options, Results& y, Loc loc) {
  const UserLine line(loc);
  std::vector<Array> starts;
  const JaxprPtr program = scalar_program("reduce_window", f, x, init, starts, loc);
  const Dims strides = options.strides.empty() ? Dims(window.size(), 1) : options.strides;
  auto dilated = [](std::int64_t n, const Dims& by, std::size_t i) {
    return by.empty() || n == 0 ? n : (n - 1) * by[i] + 1;
  };
  Dims sizes, spans;
  for (std::size_t i = 0; i < window.size(); ++i) {
    sizes.push_back(dilated(x[0].shape()[i], options.base_dilation, i));
    spans.push_back(dilated(window[i], options.window_dilation, i));
  }
  const auto padding = lax::conv_padding(options.padding, sizes, spans, strides, loc);
  const Reduction known = x.size() == 1 ? reduction_of(*program, init[0]) : nullptr;
  const WindowParams p{options.base_dilation, padding, options.window_dilation, window, strides};
  if (known == lax::reduce_sum)
    y.push_back(lax::reduce_window_sum(x[0], p, loc));
  else if (known == lax::reduce_max)
    y.push_back(lax::reduce_window_max(x[0], p, loc));
  else if (known == lax::reduce_min)
    y.push_back(lax::reduce_window_min(x[0], p, loc));
  else
    for (const Array& a :
         lax::reduce_window(x, starts,
                            {p.base_dilation, program, p.padding, p.window_dilation,
                             p.window_dimensions, p.window_strides},
                            loc))
      y.push_back(a);
}

}  // namespace jaxpp
