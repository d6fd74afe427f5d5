// factor.h -- factorisations of one large matrix (row-major but for eigh), over the threads of pool.h.
//
// In blocks of fixed size: a panel by LAPACK, the rest by matrix products, which are divided into tiles.  Results have the
// same bits for any number of threads.  Without a library Eigen computes, on one thread.
#pragma once
#include <cstdint>
#include "backends/host/library.h"

namespace jaxpp::host {

/// The lower triangle of an n x n matrix becomes l of a = l l^H; the elements above the diagonal are not read, and
/// undefined after.  False if a is not positive definite (or has a NaN).  T: float, double or a complex of them.
template <class T>
bool cholesky(std::int64_t n, T* a);

/// p a = l u of an m x n matrix, in place; pivots as getrf's (lapack.h).
template <class T>
void lu(std::int64_t m, std::int64_t n, T* a, std::int32_t* pivots);

/// Eigenvalues and eigenvectors as syevd's (lapack.h) of an n x n matrix in columns.
template <class T>
bool eigh(bool lower, std::int64_t n, T* a, Real<T>* w);

}  // namespace jaxpp::host
