// linalg_factors.h -- jaxpp::linalg after scipy.linalg: factors that are kept, systems of a known kind, functions of matrices.
//
//   const linalg::LU f = linalg::lu_factor(a);               // once, in O(n^3)
//   Array x = linalg::lu_solve(f, b);                        // any number of times, in O(n^2)
//   Array y = linalg::solve(a, b, linalg::Assume::pos);      // a is positive definite: by Cholesky
//   Array r = linalg::sqrtm(a);                              // r r = a
//
// As in linalg.h matrices are in the last two axes, leading axes are batches and broadcast, and everything is differentiable
// and batched unless it says otherwise.  A right-hand side b of rank 1 is one vector; else its columns are the vectors (b
// [..., n, k]).  Errors in shapes and element types are TypeErrors [E54].
#pragma once
#include "jaxpp/linalg.h"

namespace jaxpp {
namespace linalg {

// ---- Factors
/// L with a = L L^H (lower), read from a's lower triangle, or R with a = R^H R, from its upper one; zeros in the other.  NaN
/// where a is not positive definite.
struct CholeskyFactor {
  Array c;
  bool lower = false;
};
CholeskyFactor cho_factor(const Array& a, bool lower = false, Loc = Loc::current());
/// x with a x = b, from a's factor.
Array cho_solve(const CholeskyFactor& factor, const Array& b, Loc = Loc::current());
/// L (unit, below the diagonal) and U in one, and which row was exchanged with each (i32, counted from 0).
struct LU {
  Array lu, piv;
};
LU lu_factor(const Array& a, Loc = Loc::current());
/// A matrix as it is, transposed, or transposed and conjugated (scipy's 0, 1, 2).
enum class Trans { N, T, C };
/// x with op(a) x = b, from a's factors.
Array lu_solve(const LU& factors, const Array& b, Trans op = Trans::N, Loc = Loc::current());
/// a = p l u: a permutation, a unit lower and an upper trapezoid.   a [..., m, n]: p [..., m, m], l [..., m, k], u [..., k, n]
struct PLU {
  Array p, l, u;
};
PLU lu(const Array& a, Loc = Loc::current());
/// a = z t z^H with a unitary z and an upper triangle t.  output: Schur::real keeps real matrices real, t then has 2 x 2 blocks
/// on its diagonal for pairs of complex eigenvalues.  No derivative.
enum class Schur { real, complex };
struct SchurForm {
  Array t, z;
};
SchurForm schur(const Array& a, Schur output = Schur::real, Loc = Loc::current());

// ---- Systems of a known kind
struct TriangularOptions {
  Trans trans = Trans::N;
  bool lower = false,
       unit_diagonal = false;  ///< the other triangle, and a diagonal of ones, are not read
};
/// x with op(a) x = b for a triangle a.    solve_triangular(l, b, {.lower = true})
Array solve_triangular(const Array& a, const Array& b, const TriangularOptions& options = {},
                       Loc = Loc::current());
/// What is known of a (scipy's assume_a): nothing, symmetric, Hermitian, positive definite.
enum class Assume { gen, sym, her, pos };
/// x with a x = b.  pos: by Cholesky, of one triangle; the derivative uses the factor again.  Others: by lu.
Array solve(const Array& a, const Array& b, Assume assume_a, bool lower = false,
            Loc = Loc::current());

// ---- Functions of matrices
/// exp(a), and its derivative at a in the direction e.
struct ExpmFrechet {
  Array expm, frechet;
};
ExpmFrechet expm_frechet(const Array& a, const Array& e, Loc = Loc::current());
/// The principal square root of a square matrix, complex (c64 or c128, as JAX's).  By Schur's form, so singular matrices have one too
/// (where there is one; else inf or NaN); the derivative solves Sylvester's equation r dr + dr r = da and needs that no
/// two eigenvalues of r add up to zero.
Array sqrtm(const Array& a, Loc = Loc::current());
enum class Side { right, left };
/// a = u p (right) or p u (left) with orthonormal columns (rows) of u and a positive semidefinite p.   a: [..., m, n]; u as a; p:
/// [..., n, n] (right) or [..., m, m].  The derivative needs full rank, and m >= n (right) or m <= n (left).
struct Polar {
  Array u, p;
};
Polar polar(const Array& a, Side side = Side::right, Loc = Loc::current());

/// Eigenvalues w, ascending, and eigenvectors (columns of v) of the symmetric (Hermitian) matrix with diagonal d and e above it
/// (conj(e) below); `select` gives the first and the last wanted, counted from 0 (scipy's select = 'i').  Through eigh of the whole
/// matrix.   d: [..., n], e: [..., n - 1]
Eigensystem eigh_tridiagonal(const Array& d, const Array& e,
                             std::optional<std::pair<std::int64_t, std::int64_t>> select = {},
                             Loc = Loc::current());

}  // namespace linalg

namespace lax {
/// The reflectors of a = q r (LAPACK's geqrf) and their factors: r on and above the diagonal, v below it, so that q = the product of I -
/// tau v v^H (householder_product).   [..., m, n] -> [..., m, n], [..., min(m, n)].  No derivative, as in JAX.
std::pair<Array, Array> geqrf(const Array& x, Loc = Loc::current());
/// t, z of x = z t z^H (linalg::schur).  No derivative.
std::pair<Array, Array> schur(const Array& x, Loc = Loc::current());
}  // namespace lax
}  // namespace jaxpp
