// lax_composed.h -- the functions of jax.lax that are made of primitives, and those that take a C++ function.
//
//   lax::dynamic_slice_in_dim(x, i, 3)                          // x[i : i + 3], i known at run time
//   lax::dynamic_slice(x, {i, 0}, {2, 3})
//   lax::reduce(x, 0., [](Array a, Array b) { return hypot(a, b); }, {1})
//
// As in lax.h types must agree: no promotion, but a C++ number beside an array takes its type.
#pragma once
#include "jaxpp/control.h"
#include "jaxpp/lax.h"

namespace jaxpp::lax {

// ---- Slices whose place is known at run time
/// The block of x that begins at `starts`, one integer number for each dimension.  Negative ones count from the end; then
/// the block is moved to lie within x.   x: [d0, ..., dn] -> slice_sizes
Array dynamic_slice(const Array& x, const std::vector<Array>& starts, const Dims& slice_sizes,
                    Loc = Loc::current());
/// x with the block that begins at `starts` replaced by update, whose rank is x's.
Array dynamic_update_slice(const Array& x, const Array& update, const std::vector<Array>& starts,
                           Loc = Loc::current());
/// The same along one axis, whole along the others.
Array dynamic_slice_in_dim(const Array& x, const Array& start, std::int64_t size,
                           std::int64_t axis = 0, Loc = Loc::current());
Array dynamic_update_slice_in_dim(const Array& x, const Array& update, const Array& start,
                                  std::int64_t axis = 0, Loc = Loc::current());
/// Element `index` along an axis, which stays with size 1 or goes away.
Array index_in_dim(const Array& x, std::int64_t index, std::int64_t axis = 0, bool keepdims = true,
                   Loc = Loc::current());
Array dynamic_index_in_dim(const Array& x, const Array& index, std::int64_t axis = 0,
                           bool keepdims = true, Loc = Loc::current());
/// x with element `index` along an axis replaced; update has x's rank, with size 1 there, or one dimension less.
Array dynamic_update_index_in_dim(const Array& x, const Array& update, const Array& index,
                                  std::int64_t axis = 0, Loc = Loc::current());
/// Dimensions start to stop - 1 as one.   collapse([2, 3, 4], 0, 2) is [6, 4]
Array collapse(const Array& x, std::int64_t start, std::int64_t stop, Loc = Loc::current());

// ---- Others
/// x y for stacks of matrices: [..., n, k], [..., k, m] -> [..., n, m]
Array batch_matmul(const Array& x, const Array& y, Loc = Loc::current());
/// An array that counts along one dimension.
Array broadcasted_iota(DType, const Shape& shape, std::int64_t dimension, Loc = Loc::current());
/// The keys sorted along a dimension, and the values in the same order.
std::pair<Array, Array> sort_key_val(const Array& keys, const Array& values,
                                     std::int64_t dimension = -1, bool is_stable = true,
                                     Loc = Loc::current());
/// The k greatest, the k least elements along a dimension and their places (i32); exact.
std::pair<Array, Array> approx_max_k(const Array& x, std::int64_t k,
                                     std::int64_t reduction_dimension = -1, Loc = Loc::current());
std::pair<Array, Array> approx_min_k(const Array& x, std::int64_t k,
                                     std::int64_t reduction_dimension = -1, Loc = Loc::current());
/// The patches that a convolution sees: filters of this shape at these strides, the elements of a patch in place of the
/// features (feature, then the filter's dimensions).   [n, c, spatial...] -> [n, c * size of a filter, places...]
Array conv_general_dilated_patches(const Array& x, const Dims& filter_shape,
                                   const Dims& window_strides, std::string_view padding,
                                   const Dims& rhs_dilation = {}, Loc = Loc::current());

// ---- Reductions by a function of yours
/// Windows of reduce_window: sizes and strides for every dimension, padding "VALID" or "SAME" (with the initial value).
struct WindowOptions {
  Dims strides = {};  ///< empty: 1
  std::string_view padding = "VALID";
  Dims base_dilation = {}, window_dilation = {};
};
}  // namespace jaxpp::lax

namespace jaxpp::internal {
// f: (accumulators..., elements...) -> accumulators, all of rank 0.
void reduce_flat(FlatFn f, Args x, Args init, const Dims& axes, Results& y, Loc);
void reduce_window_flat(FlatFn f, Args x, Args init, const Dims& window, const lax::WindowOptions&,
                        Results& y, Loc);

template <class T, class F>
auto binary(const T& like, std::size_t n, const F& f) {
  static_assert(std::is_convertible_v<std::invoke_result_t<const F&, T, T>, T>,
                "jaxpp: the function of a reduction takes two trees like its operand, of numbers, "
                "and returns one.");
  return [&, n](Args in, Results& y) {
    T r = f(unflatten(like, in.first(n)), unflatten(like, in.subspan(n)));
    flatten(r, y);
  };
}
}  // namespace jaxpp::internal

namespace jaxpp::lax {
/// x combined over `axes` by an associative, commutative function of two numbers of which init is the neutral element; x
/// and init may be trees of arrays, of one shape: f then takes two trees.  The order in which elements meet is not
/// specified.  With init neutral, sums, products, extremes and logical functions become reduce_sum and the others.
/// Differentiable where f is.
///   lax::reduce(x, 1., [](Array a, Array b) { return a * b; }, {0})
///   lax::reduce(std::pair(x, i), std::pair(Array(-inf), Array(-1)), better_of_two, {0})
template <class T, class F>
T reduce(const T& x, const std::type_identity_t<T>& init, const F& f, const Dims& axes,
         Loc loc = Loc::current()) {
  const internal::Results in = internal::leaves(x), start = internal::leaves(init);
  internal::Results y;
  auto step = internal::binary(x, in.size(), f);
  internal::reduce_flat(internal::flat(step), args(in), args(start), axes, y, loc);
  return internal::unflatten(x, args(y));
}
/// The same over windows.   lax::reduce_window(x, -inf, maximum_of_two, {1, 3, 3}, {.strides = {1, 2, 2}})
template <class T, class F>
T reduce_window(const T& x, const std::type_identity_t<T>& init, const F& f, const Dims& window,
                WindowOptions options = {}, Loc loc = Loc::current()) {
  const internal::Results in = internal::leaves(x), start = internal::leaves(init);
  internal::Results y;
  auto step = internal::binary(x, in.size(), f);
  internal::reduce_window_flat(internal::flat(step), args(in), args(start), window, options, y,
                               loc);
  return internal::unflatten(x, args(y));
}

}  // namespace jaxpp::lax
