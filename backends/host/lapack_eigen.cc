// lapack_eigen.cc -- the solvers of lapack_eigen.h.
#include "backends/host/lapack_eigen.h"
#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

namespace jaxpp::host {

template <class W>
void EigenSolvers<W>::qr(Dense<W>& a, Dense<W>& tau) {
  using Column = Eigen::Matrix<W, Eigen::Dynamic, 1>;
  Column coefficients(std::min(a.rows(), a.cols()));
  Eigen::internal::householder_qr_inplace_blocked<Dense<W>, Column>::run(a, coefficients);
  tau = coefficients.conjugate();  // Eigen means the adjoint of a reflector
}
template <class W>
Dense<W> EigenSolvers<W>::q(const Dense<W>& a, const Dense<W>& tau, std::int64_t columns) {
  // A reflector is I - tau v v^H, in Eigen's sequence too.
  using Column = Eigen::Matrix<W, Eigen::Dynamic, 1>;
  const Column coefficients = tau.col(0);
  Dense<W> q = Dense<W>::Identity(a.rows(), columns);
  q.applyOnTheLeft(Eigen::householderSequence(a, coefficients));
  return q;
}
template <class W>
bool EigenSolvers<W>::eigh(Dense<W>& a, Dense<double>& w, bool vectors) {
  const Eigen::SelfAdjointEigenSolver<Dense<W>> found(
      a, vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  if (found.info() != Eigen::Success) return false;
  w = found.eigenvalues();
  if (vectors) a = found.eigenvectors();
  return true;
}
template <class W>
bool EigenSolvers<W>::svd(const Dense<W>& a, Dense<double>& s, Dense<W>& u, Dense<W>& v,
                          bool vectors, bool full) {
  const unsigned options = !vectors ? 0u
                           : full   ? Eigen::ComputeFullU | Eigen::ComputeFullV
                                    : Eigen::ComputeThinU | Eigen::ComputeThinV;
  const Eigen::JacobiSVD<Dense<W>, Eigen::HouseholderQRPreconditioner> found(a, options);
  if (found.info() != Eigen::Success) return false;
  s = found.singularValues();
  if (vectors) {
    u = found.matrixU();
    v = found.matrixV();
  }
  return true;
}

template <class W>
bool EigenSolvers<W>::schur(Dense<W>& a, Dense<W>& z) {
  using Solver = std::conditional_t<std::is_same_v<W, double>, Eigen::RealSchur<Dense<W>>,
                                    Eigen::ComplexSchur<Dense<W>>>;
  const Solver found(a);
  if (found.info() != Eigen::Success) return false;
  a = found.matrixT();
  z = found.matrixU();
  return true;
}

template struct EigenSolvers<double>;
template struct EigenSolvers<std::complex<double>>;

}  // namespace jaxpp::host
