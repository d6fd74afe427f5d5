// sparse.h -- sparse Jacobians and Hessians as Eigen::SparseMatrix.  Opt-in: jaxpp.h does not include it.
//
//   auto J = sparse_jacobian(f, x);              // finds pattern and colouring, once (jaxpp/sparsity.h)
//   Eigen::SparseMatrix<double> m = J(x);        // values: a few compiled products with J, whatever its size
//   J.refill(m, x2);                             // the same pattern, other values: nothing is allocated but those
#pragma once
#include <Eigen/SparseCore>
#include "jaxpp/sparsity.h"

namespace jaxpp {

/// A Jacobian or Hessian as a sparse matrix of scalars S.
template <class F, class S = double>
class SparseMatrixOf : public CompressedMatrix<F> {
 public:
  using Matrix = Eigen::SparseMatrix<S>;
  explicit SparseMatrixOf(CompressedMatrix<F> c) : CompressedMatrix<F>(std::move(c)) {}
  /// The matrix at these arguments.
  template <class... A>
  Matrix operator()(A&&... a) const {
    Matrix m = zeros();
    write(m, this->values(std::forward<A>(a)...), Loc::current());
    return m;
  }
  /// Writes the values at these arguments into a matrix that this object made.
  template <class... A>
  void refill(Matrix& m, A&&... a) const {
    const SparsityPattern& p = this->pattern();
    if (m.rows() != p.rows || m.cols() != p.cols || !m.isCompressed() || m.nonZeros() != p.nnz())
      internal::fail("refill: the matrix has not the pattern of this derivative: it is [" +
                         std::to_string(m.rows()) + ", " + std::to_string(m.cols()) + "] with " +
                         std::to_string(m.nonZeros()) + " entries, the derivative [" +
                         std::to_string(p.rows) + ", " + std::to_string(p.cols) + "] with " +
                         std::to_string(p.nnz()) + ".",
                     Loc::current(), "E171", "Make it first: m = J(x).");
    write(m, this->values(std::forward<A>(a)...), Loc::current());
  }
  /// The matrix with all of its entries 0.
  Matrix zeros() const {
    const SparsityPattern& p = this->pattern();
    using Index = typename Matrix::StorageIndex;
    Matrix m(p.rows, p.cols);
    m.resizeNonZeros(p.nnz());
    for (std::size_t j = 0; j < p.start.size(); ++j) m.outerIndexPtr()[j] = Index(p.start[j]);
    for (std::size_t k = 0; k < p.row.size(); ++k) m.innerIndexPtr()[k] = Index(p.row[k]);
    std::fill_n(m.valuePtr(), p.row.size(), S(0));
    return m;
  }

 private:
  static void write(Matrix& m, const Array& values, Loc loc) {
    const Array v = values.dtype() == dtype_of<S> ? values : values.astype(dtype_of<S>, loc);
    const auto from = v.span<S>(loc);
    std::copy(from.begin(), from.end(), m.valuePtr());
  }
};

/// The Jacobian of f by the arguments N... as a function that returns an Eigen::SparseMatrix<double>; see
/// compressed_jacobian.  x: an argument, or a tuple of all of them.
template <int... N, class F, class X>
auto sparse_jacobian(F f, const X& x, SparseOptions options = {}, Loc loc = Loc::current()) {
  auto c = compressed_jacobian<N...>(std::move(f), x, std::move(options), loc);
  return [&]<class G>(CompressedMatrix<G> m) { return SparseMatrixOf<G>(std::move(m)); }
  (std::move(c));
}
/// The Hessian of a scalar function, both triangles.
///   auto H = sparse_hessian(f, x);   Eigen::SimplicialLDLT<Eigen::SparseMatrix<double>> solver(H(x));
template <int... N, class F, class X>
auto sparse_hessian(F f, const X& x, SparseOptions options = {}, Loc loc = Loc::current()) {
  auto c = compressed_hessian<N...>(std::move(f), x, std::move(options), loc);
  return [&]<class G>(CompressedMatrix<G> m) { return SparseMatrixOf<G>(std::move(m)); }
  (std::move(c));
}

}  // namespace jaxpp
