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

/// Which norm: a number (INFINITY too), "fro" or nothing for the usual one.
struct Order {
  enum Kind { usual, number, frobenius } kind = usual;
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
///   rows.  Usual: "fro".
Array norm(const Array& x, Order order = {}, const Axes& axes = Axes::every(),
           bool keepdims = false, Loc = Loc::current());
// ---- Decompositions.  Derivatives exist where the factors are differentiable: eigenvalues (singular values) must be distinct
// ---- for those of vectors, and matrices of factors must not have more columns than the rank.
/// a = q r with orthonormal columns of q and an upper triangle r.   a: [..., m, n];  q: [..., m, k], r: [..., k, n], k = min(m, n);
/// with full_matrices k = m.
struct QR {
  Array q, r;
};
QR qr(const Array& a, bool full_matrices = false, Loc = Loc::current());
/// Ascending eigenvalues w [..., n] and eigenvectors (columns of v) of a symmetric (Hermitian) matrix.  Reads (a + a^H) / 2.
struct Eigensystem {
  Array w, v;
};
Eigensystem eigh(const Array& a, Loc = Loc::current());
Array eigvalsh(const Array& a, Loc = Loc::current());
/// Of any square matrix; complex, in no particular order.  Only the eigenvalues have a derivative.
Eigensystem eig(const Array& a, Loc = Loc::current());
Array eigvals(const Array& a, Loc = Loc::current());
/// a = u diag(s) vh, s descending.   a: [..., m, n];  u: [..., m, k], s: [..., min(m, n)], vh: [..., k, n], k = min(m, n); with
/// full_matrices u and vh are square.
struct SVD {
  Array u, s, vh;
};
SVD svd(const Array& a, bool full_matrices = false, Loc = Loc::current());
Array svdvals(const Array& a, Loc = Loc::current());

// ---- On decompositions.  Singular values up to rcond times the greatest count as zero; usual: 10 max(m, n) epsilon.
/// The Moore-Penrose inverse.   [..., m, n] -> [..., n, m]
Array pinv(const Array& a, std::optional<double> rcond = {}, Loc = Loc::current());
/// The least x (by its norm) of those with the least |a x - b|.   a: [m, n];  b: [m] or [m, k]
struct LeastSquares {
  Array x, residuals, rank, s;  // |a x - b|^2 per column; i32; singular values of a
};
LeastSquares lstsq(const Array& a, const Array& b, std::optional<double> rcond = {},
                   Loc = Loc::current());
/// The number of singular values that are not zero.   [..., m, n] -> i32[...]
Array matrix_rank(const Array& a, std::optional<double> rcond = {}, Loc = Loc::current());
/// |a| |a^-1|; in the 2-norm the greatest singular value by the least.
Array cond(const Array& a, Order order = {}, Loc = Loc::current());
/// a multiplied n times; its inverse -n times.
Array matrix_power(const Array& a, std::int64_t n, Loc = Loc::current());
/// The exponential, by Pade's approximation of a / 2^s, squared s <= 16 times.
Array expm(const Array& a, Loc = Loc::current());
/// The product of matrices in the cheapest order; the first and the last may be vectors.
Array multi_dot(const std::vector<Array>& x, Loc = Loc::current());

/// The matrix product over leading batch axes, as jaxpp::matmul.
Array matmul(const Array& x, const Array& y, Loc = Loc::current());
/// The sum of a diagonal of the matrices in the last two axes.
Array trace(const Array& x, std::int64_t offset = 0, Loc = Loc::current());

}  // namespace jaxpp::linalg
