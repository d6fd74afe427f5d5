// special_matrices.h -- jaxpp::linalg: matrices made of few numbers, after scipy.linalg.
//
//   Array t = linalg::toeplitz(c, r);             // constant along diagonals
//   Array b = linalg::block_diag({a, c, d});      // side by side on the diagonal
//
// Functions of vectors take them along the last axis; leading axes are batches.  Errors are TypeErrors [E54].
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::linalg {

/// Matrices along the diagonal, zeros elsewhere; a vector is a row, a number 1 x 1.   of none: [1, 0]
Array block_diag(const std::vector<Array>& blocks, Loc = Loc::current());
/// [i, j] = c[i - j], or r[j - i] above the diagonal; one argument: r = conj(c).   c: [..., m], r: [..., n] -> [..., m, n]
Array toeplitz(const Array& c, Loc = Loc::current());
Array toeplitz(const Array& c, const Array& r, Loc = Loc::current());
/// [i, j] = c[i + j], going on with r[1], r[2], ... (zeros, if there is none) after the last of c.
Array hankel(const Array& c, Loc = Loc::current());
Array hankel(const Array& c, const Array& r, Loc = Loc::current());
/// [i, j] = c[(i - j) mod n].   [..., n] -> [..., n, n]
Array circulant(const Array& c, Loc = Loc::current());
/// The companion of the polynomial with coefficients a, from the highest: -a[1:] / a[0] above a shifted unit matrix.
/// [..., n] -> [..., n - 1, n - 1], n >= 2
Array companion(const Array& a, Loc = Loc::current());
/// f in the first row, s below the diagonal.   [..., n], [..., n - 1] -> [..., n, n]
Array leslie(const Array& f, const Array& s, Loc = Loc::current());
/// [i, j] = |a[i] - a[j]|.
Array fiedler(const Array& a, Loc = Loc::current());
/// The matrix whose product with a vector of n is convolve(a, vector, mode): "full", "same" or "valid".
Array convolution_matrix(const Array& a, std::int64_t n, std::string_view mode = "full",
                         Loc = Loc::current());

/// 1 / (i + j + 1), and its inverse, whose elements are integers (exact to n = 14 in f64).
Array hilbert(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
Array invhilbert(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
/// Binomial coefficients: "symmetric" (i + j over i), "lower" (i over j) or "upper" (j over i).
Array pascal(std::int64_t n, std::string_view kind = "symmetric", DType = default_dtype(),
             Loc = Loc::current());
/// Orthonormal rows that sum to zero, n - 1 of them; with `full` the constant row before them.
Array helmert(std::int64_t n, bool full = false, DType = default_dtype(), Loc = Loc::current());
/// 1 and -1 with orthogonal rows, of a size that is a power of 2.
Array hadamard(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
/// exp(-2 pi i j k / n), the matrix of fft::fft; times n^-1/2 or n^-1 as fft's norms "ortho" and "forward" do.
enum class DftScale { none, sqrtn, n };
Array dft(std::int64_t n, DftScale = DftScale::none, DType = complex_of(default_dtype()),
          Loc = Loc::current());

}  // namespace jaxpp::linalg
