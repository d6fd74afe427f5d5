// nested.h -- arrays as nested vectors: to_nested<std::vector<std::vector<double>>>(x).
// The other way is a constructor: Array(std::vector<std::vector<double>>{...}).
#pragma once
#include "jaxpp/core/array.h"

namespace jaxpp {
namespace internal {

template <class T>
inline constexpr int nesting = 0;
template <class T>
inline constexpr int nesting<std::vector<T>> = 1 + nesting<T>;
template <class T>
struct InnermostOf {
  using type = T;
};
template <class T>
struct InnermostOf<std::vector<T>> : InnermostOf<T> {};

/// Takes the elements of one sub-array of `shape` from `next` on.
template <class V, class T>
V nest(const T*& next, std::span<const std::int64_t> shape) {
  const auto n = static_cast<std::size_t>(shape[0]);
  V v;
  v.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    if constexpr (nesting<V> == 1)
      v.push_back(*next++);
    else
      v.push_back(nest<typename V::value_type>(next, shape.subspan(1)));
  }
  return v;
}

}  // namespace internal

/// The elements of x, converted, as nested vectors: one level for each dimension.
/// auto rows = to_nested<std::vector<std::vector<double>>>(x);     // x: T[m, n]
/// Throws TypeError if the rank differs, ConcretizationError on a traced array.
template <class V>
requires(internal::nesting<V> > 0) V to_nested(const Array& x, Loc loc = Loc::current()) {
  using T = typename internal::InnermostOf<V>::type;
  if (x.ndim() != internal::nesting<V>)
    internal::fail("to_nested: " + x.type()->str() + " has " + std::to_string(x.ndim()) +
                       " dimensions, the vectors have " + std::to_string(internal::nesting<V>) +
                       " levels.",
                   loc, "E97");
  const std::vector<T> flat = x.to_vector<T>(loc);
  const T* next = flat.data();
  return internal::nest<V>(next, {x.shape().data(), x.shape().size()});
}

}  // namespace jaxpp
