// lapack_eigen.h -- Eigen's dense solvers, for the two wide element types: they are large templates, so other elements
// are converted (lapack.cc).
#pragma once
#include <Eigen/Core>
#include <complex>

namespace jaxpp::host {

template <class T>
using Dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// W is double or std::complex<double>.
template <class W>
struct EigenSolvers {
  /// As geqrf; tau becomes a column.
  static void qr(Dense<W>& a, Dense<W>& tau);
  /// The first `columns` of the product of a's reflectors.
  static Dense<W> q(const Dense<W>& a, const Dense<W>& tau, std::int64_t columns);
  /// Eigenvalues w of a, from its lower triangle; a becomes the eigenvectors, if wanted.
  static bool eigh(Dense<W>& a, Dense<double>& w, bool vectors);
  /// u and v of all columns (full) or of min(m, n); neither if `vectors` is false.
  static bool svd(const Dense<W>& a, Dense<double>& s, Dense<W>& u, Dense<W>& v, bool vectors,
                  bool full);
  /// As gees: a becomes its triangle, z the vectors.
  static bool schur(Dense<W>& a, Dense<W>& z);
};
extern template struct EigenSolvers<double>;
extern template struct EigenSolvers<std::complex<double>>;

}  // namespace jaxpp::host
