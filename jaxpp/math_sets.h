// math_sets.h -- which elements: nonzero, unique, and sets of numbers, after jax.numpy.
//
//   std::vector<Array> where_it_is = nonzero(x > 0);            // one index array per dimension
//   Array u = unique(x);                                        // sorted, each once
//   auto [values, index, inverse, counts] = unique_all(x);
//   jit([](Array x) { return unique(x, {.size = 8, .fill_value = -1}); })(x)
//
// How many elements come out depends on the values.  So under jit, vmap or grad the number has to be given: {.size = n} is
// n results; further ones are left out, missing ones are fill_value.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

struct SizeOptions {
  std::optional<std::int64_t> size = {};  ///< of the result, if values are not known
  std::optional<Array> fill_value = {};   ///< of elements that are missing
};

/// The indices (i64) of the elements that are not zero, in row-major order: one array for each dimension of x.  Missing ones
/// are 0.   nonzero({0., 3., 4.})  ==  {{1, 2}}.  Errors: [E07] without a size where values are not known.
std::vector<Array> nonzero(const Array& x, const SizeOptions& = {}, Loc = Loc::current());
/// The same as rows.   i64[n, rank of x]
Array argwhere(const Array& x, const SizeOptions& = {}, Loc = Loc::current());
/// nonzero(ravel(x))[0]
Array flatnonzero(const Array& x, const SizeOptions& = {}, Loc = Loc::current());
/// The elements of x where the condition, of the same size, holds; flattened.  Missing ones are 0.
Array extract(const Array& condition, const Array& x, const SizeOptions& = {},
              Loc = Loc::current());

/// The slices of x along an axis (without one: the flattened elements) where a vector holds; it may be shorter.  Missing ones
/// are 0.   compress({true, false, true}, {5, 6, 7, 8}) == {5, 7}
Array compress(const Array& condition, const Array& x, std::optional<int> axis = {},
               const SizeOptions& = {}, Loc = Loc::current());
/// A vector without the zeros at its front ("f"), back ("b") or both ("fb").  Values must be known.
Array trim_zeros(const Array& x, std::string_view trim = "fb", Loc = Loc::current());

/// Sorted distinct elements, with NaN once; where each was first, which of them each element of x is (of x's shape), and how
/// often each occurs.  i64.
struct Unique {
  Array values, index, inverse, counts;
};
/// Missing values are the least one, or fill_value; missing counts 0.
Unique unique_all(const Array& x, const SizeOptions& = {}, Loc = Loc::current());
/// unique({3, 1, 3})  ==  {1, 3}
Array unique(const Array& x, const SizeOptions& = {}, Loc = Loc::current());

/// Whether each element of x occurs in `among`.   bool, of x's shape
Array isin(const Array& x, const Array& among, bool invert = false, Loc = Loc::current());
/// Sorted distinct elements: of either, of both, of x only, of just one of the two.  Missing ones are the least of the result (of
/// setdiff1d: 0), or fill_value.
Array union1d(const Array& x, const Array& y, const SizeOptions& = {}, Loc = Loc::current());
Array intersect1d(const Array& x, const Array& y, const SizeOptions& = {}, Loc = Loc::current());
Array setdiff1d(const Array& x, const Array& y, const SizeOptions& = {}, Loc = Loc::current());
Array setxor1d(const Array& x, const Array& y, const SizeOptions& = {}, Loc = Loc::current());

}  // namespace jaxpp
