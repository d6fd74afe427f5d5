// math_reduce.cc -- reductions, running reductions, sorting.
//
// Halves are summed in f32 and rounded once, at the end.  What a primitive cannot do (flattening,
// kept axes, integer results) is arranged around it.
#include <limits>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
DType accumulator(DType d) { return d == DType::f16 || d == DType::bf16 ? DType::f32 : d; }

using Reduction = Array(const Array&, const Dims&, Loc);
Array sum_like(Reduction* reduce, const char* op, const Array& x, const Axes& axes, bool keepdims,
               Loc loc) {
  Dims d = axes_of(axes, x, op, loc);
  const DType result = sum_type(x.dtype());
  Array y = reduce(lax::convert_element_type(x, accumulator(result), loc), d, loc);
  return lax::convert_element_type(keep_axes(y, d, keepdims, loc), result, loc);
}
/// The number of elements that share one result.
double count(const Array& x, const Dims& axes) {
  double n = 1;
  for (auto a : axes) n *= double(x.shape()[std::size_t(a)]);
  return n;
}
Array extremum(Reduction* reduce, const char* op, const Array& x, const Axes& axes, bool keepdims,
               Loc loc) {
  Dims d = axes_of(axes, x, op, loc);
  if (!d.empty() && count(x, d) == 0)
    fail(std::string(op) + ": nothing to choose from: " + x.type()->str() +
             " has no elements along the axes.",
         user_loc(loc), "E80");
  return keep_axes(reduce(x, d, loc), d, keepdims, loc);
}
}  // namespace

Array sum(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return sum_like(lax::reduce_sum, "sum", x, axes, keepdims, loc);
}
Array prod(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return sum_like(lax::reduce_prod, "prod", x, axes, keepdims, loc);
}
Array mean(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  Dims d = axes_of(axes, x, "mean", loc);
  const DType result = to_inexact(x.dtype());
  Array y = lax::reduce_sum(lax::convert_element_type(x, accumulator(result), loc), d, loc);
  y = lax::div(y, number_like(y, count(x, d), loc), loc);
  return lax::convert_element_type(keep_axes(y, d, keepdims, loc), result, loc);
}
Array var(const Array& x, const Axes& axes, bool keepdims, double ddof, Loc loc) {
  Dims d = axes_of(axes, x, "var", loc);
  const DType result = to_inexact(x.dtype());
  Array v = lax::convert_element_type(x, accumulator(result), loc);
  Array centered = lax::sub(v, mean(v, d, true, loc), loc);
  centered = is_complex(result) ? lax::add(square(lax::real(centered, loc), loc),
                                           square(lax::imag(centered, loc), loc), loc)
                                : lax::square(centered, loc);
  Array y = lax::reduce_sum(centered, d, loc);
  const double n = count(x, d) - ddof;
  y = n > 0 ? lax::div(y, number_like(y, n, loc), loc)
            : lax::full_like(y, std::numeric_limits<double>::quiet_NaN(), loc);
  return lax::convert_element_type(keep_axes(y, d, keepdims, loc), real_of(result), loc);
}
Array stddev(const Array& x, const Axes& axes, bool keepdims, double ddof, Loc loc) {
  return lax::sqrt(var(x, axes, keepdims, ddof, loc), loc);
}
Array max(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return extremum(lax::reduce_max, "max", x, axes, keepdims, loc);
}
Array min(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return extremum(lax::reduce_min, "min", x, axes, keepdims, loc);
}
Array amax(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return max(x, axes, keepdims, loc);
}
Array amin(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return min(x, axes, keepdims, loc);
}
Array ptp(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return lax::sub(max(x, axes, keepdims, loc), min(x, axes, keepdims, loc), loc);
}
Array all(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  Dims d = axes_of(axes, x, "all", loc);
  return keep_axes(lax::reduce_and(truth(x, "all", loc), d, loc), d, keepdims, loc);
}
Array any(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  Dims d = axes_of(axes, x, "any", loc);
  return keep_axes(lax::reduce_or(truth(x, "any", loc), d, loc), d, keepdims, loc);
}
Array count_nonzero(const Array& x, const Axes& axes, bool keepdims, Loc loc) {
  return sum(truth(x, "count_nonzero", loc), axes, keepdims, loc);
}
Array average(const Array& x, const Array& weights, const Axes& axes, bool keepdims, Loc loc) {
  Dims d = axes_of(axes, x, "average", loc);
  need_array(weights, "average", loc);
  Array w = weights;
  if (w.shape() != x.shape()) {
    const bool fits =
        !axes.all() && d.size() == 1 && w.ndim() == 1 && w.size() == x.shape()[std::size_t(d[0])];
    if (!fits)
      fail("average: the weights are " + w.type()->str() + " for values " + x.type()->str() + ".",
           user_loc(loc), "E81", "Give weights of the same shape, or of the size of the one axis.");
    Shape s(x.shape().size(), 1);
    s[std::size_t(d[0])] = w.size();
    w = lax::reshape(w, s, loc);
  }
  UserLine line(loc);
  Array total = sum(broadcast_to(w, x.shape()), axes, keepdims);
  return sum(x * w, axes, keepdims) / total;
}

namespace {
using ArgReduction = Array(const Array&, std::int64_t, DType, Loc);
Array arg_extremum(ArgReduction* reduce, const char* op, const Array& x, std::optional<int> axis,
                   bool keepdims, Loc loc) {
  need_array(x, op, loc);
  Dims reduced = axes_of(axis ? Axes(*axis) : Axes::every(), x, op, loc);
  if (count(x, reduced) == 0)
    fail(std::string(op) + ": nothing to choose from: " + x.type()->str() +
             " has no elements along the axis.",
         user_loc(loc), "E80");
  Array y =
      axis ? reduce(x, reduced[0], DType::i64, loc) : reduce(ravel(x, loc), 0, DType::i64, loc);
  return keep_axes(y, reduced, keepdims, loc);
}
using RunningReduction = Array(const Array&, std::int64_t, bool, Loc);
Array running(RunningReduction* reduce, const char* op, const Array& x, std::optional<int> axis,
              Loc loc) {
  Array v = numeric(x, op, loc);
  if (!axis || v.ndim() == 0) v = ravel(v, loc);
  return reduce(v, axis_of(axis.value_or(0), v, op, loc), false, loc);
}
}  // namespace
Array argmax(const Array& x, std::optional<int> axis, bool keepdims, Loc loc) {
  return arg_extremum(lax::argmax, "argmax", x, axis, keepdims, loc);
}
Array argmin(const Array& x, std::optional<int> axis, bool keepdims, Loc loc) {
  return arg_extremum(lax::argmin, "argmin", x, axis, keepdims, loc);
}
Array cumsum(const Array& x, std::optional<int> axis, Loc loc) {
  return running(lax::cumsum, "cumsum", x, axis, loc);
}
Array cumprod(const Array& x, std::optional<int> axis, Loc loc) {
  return running(lax::cumprod, "cumprod", x, axis, loc);
}
Array diff(const Array& x, int n, int axis, Loc loc) {
  need_array(x, "diff", loc);
  const auto d = axis_of(axis, x, "diff", loc);
  if (n < 0) fail("diff: the order " + std::to_string(n) + " is negative.", user_loc(loc), "E82");
  Array y = x;
  for (; n > 0; --n) {
    const auto size = y.shape()[std::size_t(d)];
    if (size == 0) break;
    Array high = lax::slice_in_dim(y, 1, size, d, loc),
          low = lax::slice_in_dim(y, 0, size - 1, d, loc);
    y = is_bool(x.dtype()) ? lax::ne(high, low, loc) : lax::sub(high, low, loc);
  }
  return y;
}

// ---- Sorting
Array sort(const Array& x, int axis, bool descending, Loc loc) {
  need_array(x, "sort", loc);
  const auto d = axis_of(axis, x, "sort", loc);
  Array y = lax::sort({&x, 1}, d, 1, true, loc)[0];
  return descending ? lax::rev(y, Dims{d}, loc) : y;
}
Array argsort(const Array& x, int axis, bool descending, Loc loc) {
  need_array(x, "argsort", loc);
  const auto d = axis_of(axis, x, "argsort", loc);
  Array v[] = {x, lax::iota(DType::i64, x.shape(), d, loc)};
  if (descending)  // reversed before and after, so that equal elements stay in order
    for (auto& a : v) a = lax::rev(a, Dims{d}, loc);
  Array y = lax::sort(v, d, 1, true, loc)[1];
  return descending ? lax::rev(y, Dims{d}, loc) : y;
}

}  // namespace jaxpp
