// math_edit.h -- rearranging arrays, indices in several dimensions, and some numbers, after jax.numpy.
//
//   Array wider = insert(x, {1}, 0., 1);                        // a column of zeros before column 1
//   Array fewer = delete_(x, {0, -1}, 0);                       // without the first and the last row
//   auto [i, j] = tril_indices(3);   x(i, j)
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

// ---- Rows and columns

/// x with `values` before the positions `at` (of x: negative ones count from the end, its size is behind the last) along an
/// axis; values broadcast to one slice per position, of x's element type.   insert({0, 1, 2}, {1}, 9) == {0, 9, 1, 2}
Array insert(const Array& x, const Dims& at, const Array& values, int axis = 0,
             Loc = Loc::current());
/// x without the positions `at` along an axis (numpy's delete, a word that C++ has taken).
Array delete_(const Array& x, const Dims& at, int axis = 0, Loc = Loc::current());
/// Turned k times by 90 degrees, from the first axis to the second.
Array rot90(const Array& x, int k = 1, std::array<int, 2> axes = {0, 1}, Loc = Loc::current());
/// Blocks side by side in rows, rows one below the other: matrices, or arrays with more axes in front.
Array block(const std::vector<std::vector<Array>>& rows, Loc = Loc::current());
/// split along axis 1 (of vectors 0), along axis 0, along axis 2.
std::vector<Array> hsplit(const Array& x, int sections, Loc = Loc::current());
std::vector<Array> vsplit(const Array& x, int sections, Loc = Loc::current());
std::vector<Array> dsplit(const Array& x, int sections, Loc = Loc::current());
/// A copy of the matrix x (or an array of equal sizes) with `value` on the diagonal.
Array fill_diagonal(const Array& x, const Array& value, Loc = Loc::current());
/// The elements of x, flattened, again and again (or only the first of them), in another shape; zeros of an empty array.
///   resize({1, 2, 3}, {2, 2}) == {{1, 2}, {3, 1}}
Array resize(const Array& x, const Shape& shape, Loc = Loc::current());
/// The flattened elements on the k-th diagonal of a matrix.
Array diagflat(const Array& x, std::int64_t k = 0, Loc = Loc::current());
/// A copy of x with values at flat positions; values repeat, or are cut, to the number of positions.  Negative positions count
/// from the end; those beyond the ends are dropped.
Array put(const Array& x, const Array& positions, const Array& values, Loc = Loc::current());
/// A copy of x with values at one index for each place along an axis: the counterpart of take_along_axis.
Array put_along_axis(const Array& x, const Array& indices, const Array& values, int axis,
                     Loc = Loc::current());
/// A copy of x in which the elements under the mask, of x's shape, are the values one after the other, repeated as needed.
Array place(const Array& x, const Array& mask, const Array& values, Loc = Loc::current());
/// choices[i] where the index is i; indices beyond the ends take the nearest.
Array choose(const Array& index, const std::vector<Array>& choices, Loc = Loc::current());

// ---- Order
/// The kth element where sorting would put it, none greater before it; here: sorted.
Array partition(const Array& x, std::int64_t kth, int axis = -1, Loc = Loc::current());
Array argpartition(const Array& x, std::int64_t kth, int axis = -1, Loc = Loc::current());
/// The indices (i64) that sort by the last key, of equal ones by the last but one, and so on.
Array lexsort(const std::vector<Array>& keys, int axis = -1, Loc = Loc::current());

// ---- Indices in several dimensions (i64)
/// Places in a flattened array of this shape as an index for each dimension; places beyond the ends take the nearest.
std::vector<Array> unravel_index(const Array& places, const Shape& shape, Loc = Loc::current());
/// The inverse, where all indices lie within the shape.
Array ravel_multi_index(const std::vector<Array>& index, const Shape& shape, Loc = Loc::current());
/// Rows and columns of the elements below (above) the k-th diagonal and on it, of an n x m matrix (m: as n).
std::array<Array, 2> tril_indices(std::int64_t n, std::int64_t k = 0, std::int64_t m = -1,
                                  Loc = Loc::current());
std::array<Array, 2> triu_indices(std::int64_t n, std::int64_t k = 0, std::int64_t m = -1,
                                  Loc = Loc::current());
/// The indices of the diagonal of an array of n in each of `ndim` dimensions.
std::vector<Array> diag_indices(std::int64_t n, int ndim = 2, Loc = Loc::current());
std::array<Array, 2> tril_indices_from(const Array& x, std::int64_t k = 0, Loc = Loc::current());
std::array<Array, 2> triu_indices_from(const Array& x, std::int64_t k = 0, Loc = Loc::current());
std::vector<Array> diag_indices_from(const Array& x, Loc = Loc::current());
/// The index of every place of an array of this shape, one array for each dimension; of their own dimension only, and size 1 in
/// the others, if sparse.   indices({2, 3})[0] == {{0, 0, 0}, {1, 1, 1}}
std::vector<Array> indices(const Shape& shape, bool sparse = false, Loc = Loc::current());
/// Vectors as indices of a grid: the k-th along dimension k.  Vectors of bools count by their true elements (nonzero).
///   x[4,5]; auto at = ix_({{0, 2}, {1, 3, 4}});  x(at[0], at[1]) is [2,3]
std::vector<Array> ix_(const std::vector<Array>& vectors, Loc = Loc::current());
/// Ranges as coordinates of a grid: full arrays (numpy's mgrid), or of size 1 in the other dimensions (ogrid).  Slices have a
/// stop; they start at 0 unless they say so.   mgrid({Slice(0, 2), Slice(1, 4)})[1] == {{1, 2, 3}, {1, 2, 3}}
std::vector<Array> mgrid(const std::vector<Slice>& ranges, Loc = Loc::current());
std::vector<Array> ogrid(const std::vector<Slice>& ranges, Loc = Loc::current());

// ---- Bits
/// Eight elements that are zero or not along an axis (or flattened) as the bits of a u8, the first one highest, or lowest if
/// not big_endian; zeros fill the last.   packbits({1, 0, 1}) == {160}
Array packbits(const Array& x, std::optional<int> axis = {}, bool big_endian = true,
               Loc = Loc::current());
/// The bits of u8 along an axis (or flattened), as u8; the first `count` of them, or all but the last -count.
Array unpackbits(const Array& x, std::optional<int> axis = {},
                 std::optional<std::int64_t> count = {}, bool big_endian = true,
                 Loc = Loc::current());

// ---- Numbers
/// x * 2^n without overflow or underflow on the way.   n: integers
Array ldexp(const Array& x, const Array& n, Loc = Loc::current());
/// Mantissa, 0.5 <= |m| < 1, and exponent, i32, with x == m * 2^n.  Of 0, infinities and NaN: x and 0.
std::pair<Array, Array> frexp(const Array& x, Loc = Loc::current());
/// The distance to the next float away from zero, with the sign of x.
Array spacing(const Array& x, Loc = Loc::current());
/// Whether the imaginary part is zero, is not.
Array isreal(const Array& x, Loc = Loc::current());
Array iscomplex(const Array& x, Loc = Loc::current());
/// The greatest common divisor of integers, not negative; 0 of zeros.   gcd(12, 18) == 6
Array gcd(const Array& x, const Array& y, Loc = Loc::current());
/// The least common multiple of integers, not negative.   lcm(4, -6) == 12
Array lcm(const Array& x, const Array& y, Loc = Loc::current());
/// 0 where x < 0, 1 where x > 0, `at_zero` at 0, NaN at NaN.
Array heaviside(const Array& x, const Array& at_zero, Loc = Loc::current());
/// The part behind the point, and the rest, both with the sign of x.   modf(-1.5) == {-0.5, -1}
std::pair<Array, Array> modf(const Array& x, Loc = Loc::current());
/// n numbers from base^start to base^stop, evenly spaced on a logarithmic scale.
Array logspace(const Array& start, const Array& stop, std::int64_t n = 50, double base = 10,
               Loc = Loc::current());
/// n numbers from start to stop, each the same multiple of the one before.  Both of one sign, not 0.
Array geomspace(const Array& start, const Array& stop, std::int64_t n = 50, Loc = Loc::current());
/// x with multiples of the period added, so that no step along the axis is larger than half of it.
Array unwrap(const Array& x, int axis = -1, double period = 6.283185307179586,
             Loc = Loc::current());
/// Differences of neighbours in the flattened array.
Array ediff1d(const Array& x, Loc = Loc::current());

}  // namespace jaxpp
