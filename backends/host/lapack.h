// lapack.h -- factorisations of one matrix, by LAPACK where the machine has it (library.h), else by Eigen.
//
// T is float, double or a complex of them.  Matrices lie in columns as in LAPACK: element (i, j) of a is a[i + j * lda].
// A row-major matrix is the transpose of what its memory means here: see the remarks.  Nothing here divides its work
// over threads: callers give one matrix to each, and results do not depend on who runs them.
#pragma once
#include "backends/host/library.h"

namespace jaxpp::host {

enum class Op : char { none = 'N', transpose = 'T', adjoint = 'C' };
enum class Vectors : char { none = 'N', thin = 'S', full = 'A' };

/// a = l l^H (lower) or u^H u, in place of that triangle; the other triangle is neither read nor written.  False, with
/// elements of no meaning, if a is not positive definite (or has a NaN).
/// Row-major: l of a is found by lower = false.
template <class T>
bool potrf(bool lower, std::int64_t n, T* a, std::int64_t lda);

/// p a = l u of an m x n matrix, in place, by partial pivoting: row i was exchanged with row pivots[i] >= i, for
/// i = 0 .. min(m, n) - 1 in this order.  A singular matrix has a zero on u's diagonal.
template <class T>
void getrf(std::int64_t m, std::int64_t n, T* a, std::int64_t lda, std::int32_t* pivots);

/// b := op(a)^-1 b (left; a is m x m) or b op(a)^-1 (a is n x n); b is m x n, a is a triangle.
/// Row-major: op(a) x = b is x^T op(a)^T = b^T, so left and lower change, op stays.
template <class T>
void trsm(bool left, bool lower, Op op, bool unit_diagonal, std::int64_t m, std::int64_t n,
          const T* a, std::int64_t lda, T* b, std::int64_t ldb);

/// OpenBLAS (0.3.21, products of complex matrices with vectors) reads up to a column beyond the end.  So behind a matrix for
/// any of the functions below there must be so many elements of memory that may be read; none of them matters.
constexpr std::int64_t spare(std::int64_t lda) { return lda + 16; }

/// a = q r of an m x n matrix: r on and above the diagonal, reflectors below it and in tau[min(m, n)].
template <class T>
void geqrf(std::int64_t m, std::int64_t n, T* a, std::int64_t lda, T* tau);
/// The first n columns of q (n <= m), in place of the k <= n reflectors that geqrf left.  Also for complex matrices.
template <class T>
void orgqr(std::int64_t m, std::int64_t n, std::int64_t k, T* a, std::int64_t lda, const T* tau);

/// Eigenvalues w[n] of a Hermitian matrix, ascending; with `vectors`, a's columns become the eigenvectors (without, a
/// is destroyed).  One triangle of a is read.  False if the iteration does not converge (NaN).
/// Row-major: memory holds a^T = conj(a), so lower changes, and row i becomes the conjugate of eigenvector i.
template <class T>
bool syevd(bool vectors, bool lower, std::int64_t n, T* a, std::int64_t lda, Real<T>* w);

/// a = u diag(s) vh of an m x n matrix, s descending; a is destroyed.  With k = min(m, n): thin: u is m x k, vh k x n;
/// full: u is m x m, vh n x n; none: u and vh are not touched.  False if the iteration does not converge (NaN).
/// Row-major: a^T = vh^T diag(s) u^T, so pass m and n, and u and vh, in exchanged places.
template <class T>
bool gesdd(Vectors vectors, std::int64_t m, std::int64_t n, T* a, std::int64_t lda, Real<T>* s,
           T* u, std::int64_t ldu, T* vh, std::int64_t ldvh);

/// a = z t z^H of a square matrix with a unitary z; a becomes t, an upper triangle (of a real matrix: with 2 x 2 blocks on the
/// diagonal for pairs of complex eigenvalues).  False if the iteration does not converge; a must be finite.
template <class T>
bool gees(std::int64_t n, T* a, std::int64_t lda, T* z, std::int64_t ldz);

}  // namespace jaxpp::host
