// linalg.h -- jaxpp::linalg: linear algebra on the last two axes; leading axes are batches and broadcast.
//
//   Array x = linalg::solve(a, b);                  // a x = b
//   auto [sign, logdet] = linalg::slogdet(a);
//   Array n = linalg::norm(v);                      // the 2-norm
//
// Everything is differentiable.  The derivative of solve, inv, det and slogdet uses the factorisation of the value again.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::linalg {

/// The solution of a x = b.   a: [..., n, n];  b: [n], or [..., n, m]
Array solve(const Array& a, const Array& b, Loc = Loc::current());
/// The inverse.   [..., n, n] -> [..., n, n]
Array inv(const Array& a, Loc = Loc::current());
/// The determinant.   [..., n, n] -> [...]
Array det(const Array& a, Loc = Loc::current());
/// The determinant as sign * exp(logdet), which does not overflow.   [..., n, n] -> two of [...]
struct SignAndLogdet {
  Array sign, logdet;
};
SignAndLogdet slogdet(const Array& a, Loc = Loc::current());
/// The lower factor L of the symmetric (Hermitian) positive definite a = L L^H; the upper one, L^H, on demand.
/// NaN where a is not positive definite.  Reads (a + a^H) / 2.
Array cholesky(const Array& a, bool upper = false, Loc = Loc::current());

/// Which norm: a number (INFINITY too), "fro", "nuc" or nothing for the usual one.
struct Order {
  enum Kind { usual, number, frobenius, nuclear } kind = usual;
  double p = 2;
  Order() = default;
  Order(NoneType) {}
  template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) Order(T v)
      : kind(number), p(double(v)) {}
  Order(const char* name, Loc = Loc::current());
};
/// The norm of x over one axis (of vectors), two axes (of matrices), or, with the usual order, of all elements.
///   vectors: (sum |x|^p)^(1/p); INFINITY, -INFINITY: greatest, least |x|; 0: the number of nonzeros.  Usual: 2.
///   matrices: "fro": as of the vector of elements; 1, -1: greatest, least column sum of |x|; INFINITY, -INFINITY: of
///   rows; 2, -2: greatest, least singular value; "nuc": their sum.  Usual: "fro".
Array norm(const Array& x, Order order = {}, const Axes& axes = Axes::every(),
           bool keepdims = false, Loc = Loc::current());
/// The norm of the vector of all elements along these axes (any number of them), and of the matrices in the last two axes.
Array vector_norm(const Array& x, Order order = 2, const Axes& axes = Axes::every(),
                  bool keepdims = false, Loc = Loc::current());
Array matrix_norm(const Array& x, Order order = "fro", bool keepdims = false, Loc = Loc::current());
// ---- Decompositions.  Derivatives exist where the factors are differentiable: eigenvalues (singular values) must be distinct
// ---- for those of vectors, and matrices of factors must not have more columns than the rank.
/// a = q r with orthonormal columns of q and an upper triangle r.   a: [..., m, n];  q: [..., m, k], r: [..., k, n], k = min(m, n);
/// with full_matrices k = m.
struct QR {
  Array q, r;
};
QR qr(const Array& a, bool full_matrices = false, Loc = Loc::current());
/// The same by numpy's names: "reduced"; "complete" (full_matrices); "r" (q is null); "raw": q is the transpose of what
/// lax::geqrf leaves and r its taus, without a derivative.
QR qr(const Array& a, const char* mode, Loc = Loc::current());
/// Ascending eigenvalues w [..., n] and eigenvectors (columns of v) of a symmetric (Hermitian) matrix.  Reads (a + a^H) / 2.
struct Eigensystem {
  Array w, v;
};
Eigensystem eigh(const Array& a, Loc = Loc::current());
Array eigvalsh(const Array& a, Loc = Loc::current());
/// Of any square matrix; complex, in no particular order.  Only the eigenvalues have a derivative; with eigvec_derivs the
/// vectors have one too, of columns that keep the length 1 and a phase in which v^H dv is real (only functions that do not
/// depend on the phase have a meaningful one).
Eigensystem eig(const Array& a, bool eigvec_derivs = false, Loc = Loc::current());
Array eigvals(const Array& a, Loc = Loc::current());
/// a = u diag(s) vh, s descending.   a: [..., m, n];  u: [..., m, k], s: [..., min(m, n)], vh: [..., k, n], k = min(m, n); with
/// full_matrices u and vh are square.  hermitian: by eigh, of (a + a^H) / 2.
struct SVD {
  Array u, s, vh;
};
SVD svd(const Array& a, bool full_matrices = false, bool hermitian = false, Loc = Loc::current());
Array svdvals(const Array& a, bool hermitian = false, Loc = Loc::current());

// ---- On decompositions.  Singular values up to rcond times the greatest count as zero; usual: max(m, n) epsilon.
/// The Moore-Penrose inverse.  rcond usually 10 max(m, n) epsilon; hermitian: as svd's.   [..., m, n] -> [..., n, m]
Array pinv(const Array& a, std::optional<double> rcond = {}, bool hermitian = false,
           Loc = Loc::current());
/// The least x (by its norm) of those with the least |a x - b|.   a: [m, n];  b: [m] or [m, k]
struct LeastSquares {
  Array x, residuals, rank, s;  // |a x - b|^2 per column; i32; singular values of a
};
LeastSquares lstsq(const Array& a, const Array& b, std::optional<double> rcond = {},
                   Loc = Loc::current());
/// The number of singular values that are not zero.   [..., m, n] -> i32[...]
Array matrix_rank(const Array& a, std::optional<double> rcond = {}, bool hermitian = false,
                  Loc = Loc::current());
/// |a| |a^-1|; in the 2-norm (usual) the greatest singular value by the least, in -2 the least by the greatest; INFINITY of a
/// singular matrix.   [..., m, n] (square, but for 2 and -2; not empty) -> [...]
Array cond(const Array& a, Order order = {}, Loc = Loc::current());
/// a multiplied n times; its inverse -n times.
Array matrix_power(const Array& a, std::int64_t n, Loc = Loc::current());
/// The exponential, by Pade's approximation of a / 2^s, squared s <= max_squarings times (beyond: NaN).  upper_triangular: a is,
/// and a triangular system is solved.
Array expm(const Array& a, bool upper_triangular = false, int max_squarings = 16,
           Loc = Loc::current());
/// The product of matrices in the cheapest order; the first and the last may be vectors.
Array multi_dot(const std::vector<Array>& x, Loc = Loc::current());

/// The inverse of tensordot(a, ., ind): a with its first ind axes as rows, the others as columns, of equal sizes in all.
///   tensorinv(a[6, 2, 3], 1) is [2, 3, 6]
Array tensorinv(const Array& a, int ind = 2, Loc = Loc::current());
/// x with tensordot(a, x, x.ndim()) = b, after `axes` of a were moved to its end.   a: [b's axes, x's axes]
Array tensorsolve(const Array& a, const Array& b, const Dims& axes = {}, Loc = Loc::current());

// ---- The array API's names of what math.h has: matrices are in the last two axes, vectors along one.
/// The matrix product over leading batch axes.
Array matmul(const Array& x, const Array& y, Loc = Loc::current());
Array tensordot(const Array& x, const Array& y, int axes = 2, Loc = Loc::current());
/// The sum of conj(x) y along an axis.   [..., n], [..., n] -> [...]
Array vecdot(const Array& x, const Array& y, int axis = -1, Loc = Loc::current());
/// [n], [m] -> [n, m]; the cross product of vectors of 3.
Array outer(const Array& x, const Array& y, Loc = Loc::current());
Array cross(const Array& x, const Array& y, int axis = -1, Loc = Loc::current());
Array matrix_transpose(const Array& x, Loc = Loc::current());
Array diagonal(const Array& x, std::int64_t offset = 0, Loc = Loc::current());
/// The sum of a diagonal.
Array trace(const Array& x, std::int64_t offset = 0, Loc = Loc::current());

}  // namespace jaxpp::linalg
