// sparse_eigen.h -- sparse derivatives as Eigen::SparseMatrix.  Opt-in: jaxpp.h does not include it.
//
//   auto H = sparse_hessian(loss, x);                      // jaxpp/sparse.h
//   Eigen::SparseMatrix<double> m = to_eigen<double>(H(x));
//   Eigen::SimplicialLDLT<Eigen::SparseMatrix<double>> solver;
//   solver.analyzePattern(m);                              // once: the structure stays
//   refill(m, H(x2));                                      // other values in the same structure
//   solver.factorize(m);
#pragma once
#include <Eigen/SparseCore>
#include "jaxpp/sparse.h"

namespace jaxpp {

/// Writes values into a matrix of the same structure: one that to_eigen made for this pattern.
/// S: the matrix's scalar; values of another type are converted.
template <class S>
void refill(Eigen::SparseMatrix<S>& m, const SparseMatrix& from, Loc loc = Loc::current()) {
  const SparsityPattern& p = *from.pattern;
  if (m.rows() != p.rows || m.cols() != p.cols || !m.isCompressed() || m.nonZeros() != p.nnz())
    internal::fail("refill: the matrix has another structure: it is [" + std::to_string(m.rows()) +
                       ", " + std::to_string(m.cols()) + "] with " + std::to_string(m.nonZeros()) +
                       " entries, the derivative [" + std::to_string(p.rows) + ", " +
                       std::to_string(p.cols) + "] with " + std::to_string(p.nnz()) + ".",
                   loc, "E181", "Make it by to_eigen, and leave its structure alone.");
  const Array v =
      from.values.dtype() == dtype_of<S> ? from.values : from.values.astype(dtype_of<S>, loc);
  const auto values = v.span<S>(loc);
  std::copy(values.begin(), values.end(), m.valuePtr());
}

/// The matrix with all entries of the pattern, also those that are 0 at this point.
template <class S = double>
Eigen::SparseMatrix<S> to_eigen(const SparseMatrix& from, Loc loc = Loc::current()) {
  const SparsityPattern& p = *from.pattern;
  using Index = typename Eigen::SparseMatrix<S>::StorageIndex;
  Eigen::SparseMatrix<S> m(p.rows, p.cols);
  m.resizeNonZeros(p.nnz());
  for (std::size_t j = 0; j < p.start.size(); ++j) m.outerIndexPtr()[j] = Index(p.start[j]);
  for (std::size_t k = 0; k < p.row.size(); ++k) m.innerIndexPtr()[k] = Index(p.row[k]);
  refill(m, from, loc);
  return m;
}

}  // namespace jaxpp
