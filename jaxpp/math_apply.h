// math_apply.h -- functions of slices, as functions of arrays: vectorize, apply_along_axis, piecewise, after jax.numpy.
//
//   auto dots = vectorize([](Array x, Array y) { return sum(x * y); }, "(n),(n)->()");
//   dots(a[5,1,3], b[4,3])                                      // [5,4]: leading axes broadcast
//   apply_along_axis([](Array v) { return sort(v); }, 1, x);
//   piecewise(x, {x < 0, x >= 1}, [](Array v) { return -v; }, [](Array v) { return v * v; }, 0.5)
#pragma once
#include <tuple>
#include "jaxpp/math.h"
#include "jaxpp/vmap.h"

namespace jaxpp {

namespace internal {
/// "(n,k),(k)->(n)": the number of core axes of each argument.  Throws a TypeError where it is no signature, or has another
/// number of arguments.
SmallVec<int, 8> core_ranks(std::string_view signature, std::size_t arguments, Loc);
/// Broadcasts the leading axes of x and joins them into one, the first; arguments without any stay as they are.
struct Vectorized {
  Shape leading;
  SmallVec<bool, 8> mapped;
};
Vectorized vectorize_leading(std::span<Array> x, std::span<const int> core_ranks, Loc);
/// The leading axes of a result, again.
Array split_leading(const Array& y, const Shape& leading, Loc);

template <class F>
struct Vectorize {
  F f;
  std::string signature;
  Loc loc;
  template <std::convertible_to<Array>... A>
  auto operator()(const A&... a) const {
    std::array<Array, sizeof...(A)> x{Array(a)...};
    const auto ranks = core_ranks(signature, sizeof...(A), loc);
    const Vectorized v = vectorize_leading(x, {ranks.data(), ranks.size()}, loc);
    if (v.leading.empty()) return std::apply(f, x);
    // One argument: the lanes of all that are mapped.  f sees the others as they are.
    std::vector<Array> lanes;
    for (std::size_t k = 0; k < x.size(); ++k)
      if (v.mapped[k]) lanes.push_back(x[k]);
    auto y = vmap(
        [&](std::vector<Array> lane) {
          auto one = x;
          for (std::size_t k = 0, i = 0; k < x.size(); ++k)
            if (v.mapped[k]) one[k] = lane[i++];
          return std::apply(f, one);
        },
        {}, loc)(lanes);
    visit_arrays(y, [&](Array& r) { r = split_leading(r, v.leading, loc); });
    return y;
  }
};

/// x with `axis` last and all others joined into one, the first; and back for each result, whose axes take the place of
/// `axis`.
Array rows_along(const Array& x, int axis, Loc);
Array from_rows(const Array& y, const Array& x, int axis, Loc);

/// Conditions, with the line they stand on.
struct Conditions {
  std::vector<Array> list;
  Loc loc;
  Conditions(std::initializer_list<Array> c, Loc l = Loc::current()) : list(c), loc(l) {}
  Conditions(std::vector<Array> c, Loc l = Loc::current()) : list(std::move(c)), loc(l) {}
};
template <class V>
Array piece(V& v, const Array& x) {
  if constexpr (!std::convertible_to<V, Array>)
    return v(x);
  else
    return Array(v);
}
Array piecewise(const Array& x, const Conditions&, const std::vector<Array>& pieces);
}  // namespace internal

/// f, which takes arrays of few axes, over all leading axes of its arguments, which broadcast.  The signature says which axes f
/// wants, as "(n,m),(m)->(n)"; without one f takes numbers.  f may return any tree of arrays.
/// Errors: [E95] a bad signature, [E86] an argument with fewer axes, [E75] leading axes that do not broadcast.
template <class F>
auto vectorize(F f, std::string signature = "", Loc loc = Loc::current()) {
  return internal::Vectorize<F>{std::move(f), std::move(signature), loc};
}

/// f of every vector along an axis; the axes of f's result take the place of that axis.
///   apply_along_axis([](Array v) { return v(Slice(2)); }, 0, x[5,7]) is [2,7]
template <class F>
auto apply_along_axis(F f, int axis, const Array& x, Loc loc = Loc::current()) {
  auto y = vmap([&](Array v) { return f(v); }, {}, loc)(internal::rows_along(x, axis, loc));
  internal::visit_arrays(y, [&](Array& r) { r = internal::from_rows(r, x, axis, loc); });
  return y;
}
/// f(f(x, axis), next axis) ...; what f takes away is put back with size 1.
///   apply_over_axes([](Array v, int d) { return sum(v, d); }, x[2,3,4], {0, 2}) is [1,3,1]
template <class F>
Array apply_over_axes(F f, const Array& x, const Dims& axes, Loc loc = Loc::current()) {
  Array y = x;
  for (std::int64_t d : axes) {
    const Array r = f(y, int(d));
    y = r.ndim() == y.ndim() ? r : expand_dims(r, int(d), loc);
  }
  return y;
}

/// A piece for each condition, and perhaps one more for where none holds (0 otherwise): numbers, arrays, or functions of x.
/// Where several conditions hold, the last counts.  All pieces are computed of every element.  Result: of x's element type.
template <class... Piece>
Array piecewise(const Array& x, const internal::Conditions& conditions, Piece... pieces) {
  return internal::piecewise(x, conditions, {internal::piece(pieces, x)...});
}

/// f of the indices of an array of this shape.   fromfunction([](Array i, Array j) { return i + j; }, {2, 3})
template <class F, std::size_t N>
auto fromfunction(F f, const std::int64_t (&shape)[N], Loc loc = Loc::current()) {
  std::array<Array, N> at;
  for (std::size_t d = 0; d < N; ++d) {
    Shape one(N, 1);
    one[d] = shape[d];
    at[d] = broadcast_to(arange(shape[d], i64, loc).reshape(one), Shape(shape, shape + N), loc);
  }
  return std::apply(f, at);
}

}  // namespace jaxpp
