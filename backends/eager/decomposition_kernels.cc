// decomposition_kernels.cc -- qr, geqrf, householder_product, eigh, svd, eig, schur and tridiagonal_solve, matrix by matrix.
//
// LAPACK's layout is columns, ours rows: each matrix is transposed into a work space, factored there (backends/host/lapack.h)
// and transposed back, which costs little beside the factorization.  Matrices of a batch are divided over the threads.  What
// does not converge, or has elements that are not finite, is NaN.
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <cmath>
#include "backends/eager/strided.h"
#include "backends/host/factor.h"
#include "backends/host/lapack.h"
#include "backends/host/pool.h"
#include "jaxpp/ops/linalg.h"

namespace jaxpp::internal {
namespace {

using Index = std::int64_t;

template <class Go>
void by_field(DType d, Go&& go) {
  switch (d) {
    case DType::f32: return go(float());
    case DType::f64: return go(double());
    case DType::c64: return go(std::complex<float>());
    default: return go(std::complex<double>());
  }
}
Index rows(const Array& x) { return x.shape()[std::size_t(x.ndim()) - 2]; }
Index cols(const Array& x) { return x.shape().back(); }
Index matrices(const Array& x) {
  Index n = 1;
  for (int i = 0; i + 2 < x.ndim(); ++i) n *= x.shape()[std::size_t(i)];
  return n;
}
// run(i) for each of n matrices, of about `flops` operations each.
template <class Run>
void for_each_matrix(Index n, double flops, Run run) {
  if (n > 1 && double(n) * flops > host::kSerialNanoseconds)
    host::parallel_for(n, run);
  else
    for (Index i = 0; i < n; ++i) run(i);
}
double cube(Index n) { return double(n) * double(n) * double(n); }

/// An m x n matrix in columns, and what LAPACK may read behind it.
template <class T>
struct Columns {
  Index m, n;
  std::vector<T> data;
  Columns(Index m_, Index n_) : m(m_), n(n_), data(std::size_t(m_ * n_ + host::spare(m_))) {}
  T* at(Index j) { return data.data() + j * m; }
  void read(const T* x) {
    if (m && n) copy_transposed(data.data(), x, n, m, m, n);
  }
  void write(T* y) const { write(y, 0, n); }
  // Columns from..to only.
  void write(T* y, Index from, Index to) const {
    if (m && to > from) copy_transposed(y, data.data() + from * m, m, to - from, to - from, m);
  }
};
template <class T>
bool finite(const T* x, Index n) {
  for (Index i = 0; i < n; ++i)
    if (!std::isfinite(std::real(x[i])) || !std::isfinite(std::imag(x[i]))) return false;
  return true;
}
template <class T>
void fill_nan(T* y, Index n) {
  std::fill(y, y + n, T(std::numeric_limits<host::Real<T>>::quiet_NaN()));
}
template <class T>
T conjugate(T v) {
  if constexpr (is_complex_type<T>)
    return std::conj(v);
  else
    return v;
}

// ---- qr
// Householder's reflections with the longest remaining column next; as geqrf leaves them.
template <class T>
void pivoted_geqrf(Columns<T>& a, T* tau, std::int32_t* pivots) {
  using R = host::Real<T>;
  const Index m = a.m, n = a.n;
  auto square_norm = [&](const T* x, Index from) {
    double s = 0;
    for (Index i = from; i < m; ++i) s += double(std::norm(x[i]));
    return s;
  };
  for (Index j = 0; j < n; ++j) pivots[j] = std::int32_t(j);
  for (Index k = 0; k < std::min(m, n); ++k) {
    Index best = k;
    double most = -1;
    for (Index j = k; j < n; ++j)
      if (const double s = square_norm(a.at(j), k); s > most * (1 + 1e-14)) {
        most = s;
        best = j;
      }
    if (best != k) {
      std::swap_ranges(a.at(k), a.at(k) + m, a.at(best));
      std::swap(pivots[k], pivots[best]);
    }
    T* x = a.at(k);
    const double tail = square_norm(x, k + 1);
    const T alpha = x[k];
    if (tail == 0 && std::imag(alpha) == 0) {
      tau[k] = T(0);
      continue;
    }
    const R length = R(std::sqrt(double(std::norm(alpha)) + tail)),
            beta = std::real(alpha) > 0 ? -length : length;
    tau[k] = (T(beta) - alpha) / T(beta);
    const T scale = T(1) / (alpha - T(beta));
    for (Index i = k + 1; i < m; ++i) x[i] *= scale;
    x[k] = T(beta);
    for (Index j = k + 1; j < n; ++j) {  // (I - conj(tau) v v^H) column
      T* c = a.at(j);
      T dot = c[k];
      for (Index i = k + 1; i < m; ++i) dot += conjugate(x[i]) * c[i];
      dot *= conjugate(tau[k]);
      c[k] -= dot;
      for (Index i = k + 1; i < m; ++i) c[i] -= dot * x[i];
    }
  }
}
void qr_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<QrParams>();
  const Index m = rows(x[0]), n = cols(x[0]), k = std::min(m, n), q_cols = cols(y[0]);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    for_each_matrix(matrices(x[0]), 2 * double(m) * double(n) * double(k), [&](Index i) {
      Columns<T> a(m, std::max(n, q_cols));
      a.n = n;
      a.read(x[0].data<T>() + i * m * n);
      std::vector<T> tau(std::size_t(k + 1));
      if (p.pivoting)
        pivoted_geqrf(a, tau.data(), y[2].data<std::int32_t>() + i * n);
      else
        host::geqrf(m, n, a.data.data(), std::max<Index>(m, 1), tau.data());
      T* r = y[1].data<T>() + i * q_cols * n;
      for (Index row = 0; row < q_cols; ++row)
        for (Index col = 0; col < n; ++col)
          r[row * n + col] = row <= col ? a.data[std::size_t(col * m + row)] : T(0);
      host::orgqr(m, q_cols, std::min(k, q_cols), a.data.data(), std::max<Index>(m, 1), tau.data());
      a.n = q_cols;
      a.write(y[0].data<T>() + i * m * q_cols);
    });
  });
}
void geqrf_kernel(Args x, Params, Array* y) {
  const Index m = rows(x[0]), n = cols(x[0]), k = std::min(m, n);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    for_each_matrix(matrices(x[0]), 2 * double(m) * double(n) * double(k), [&](Index i) {
      Columns<T> a(m, n);
      a.read(x[0].data<T>() + i * m * n);
      host::geqrf(m, n, a.data.data(), std::max<Index>(m, 1), y[1].data<T>() + i * k);
      a.write(y[0].data<T>() + i * m * n);
    });
  });
}
void householder_kernel(Args x, Params, Array* y) {
  const Index m = rows(x[0]), n = cols(x[0]), k = x[1].shape().back();
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    for_each_matrix(matrices(x[0]), 2 * double(m) * double(n) * double(k), [&](Index i) {
      Columns<T> a(m, n);
      a.read(x[0].data<T>() + i * m * n);
      host::orgqr(m, n, k, a.data.data(), std::max<Index>(m, 1), x[1].data<T>() + i * k);
      a.write(y->data<T>() + i * m * n);
    });
  });
}

// ---- eigh, svd
void eigh_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<EighParams>();
  const Index n = rows(x[0]), from = p.subset_by_index ? (*p.subset_by_index)[0] : 0,
              k = cols(y[0]);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    using R = host::Real<T>;
    for_each_matrix(matrices(x[0]), 9 * cube(n), [&](Index i) {
      const T* in = x[0].data<T>() + i * n * n;
      T* v = y[0].data<T>() + i * n * k;
      R* w = y[1].data<R>() + i * k;
      Columns<T> a(n, n);
      a.read(in);
      std::vector<R> values(std::size_t(n + 1));
      if (!finite(in, n * n) || !host::eigh(p.lower, n, a.data.data(), values.data())) {
        fill_nan(v, n * k);
        fill_nan(w, k);
        return;
      }
      a.write(v, from, from + k);
      std::copy_n(values.data() + from, k, w);
    });
  });
}
void svd_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<SvdParams>();
  const Index m = rows(x[0]), n = cols(x[0]), least = std::min(m, n),
              from = p.subset_by_index ? (*p.subset_by_index)[0] : 0, k = y[0].shape().back();
  const auto vectors = !p.compute_uv     ? host::Vectors::none
                       : p.full_matrices ? host::Vectors::full
                                         : host::Vectors::thin;
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    using R = host::Real<T>;
    const Index u_cols = p.full_matrices ? m : least, v_rows = p.full_matrices ? n : least;
    for_each_matrix(matrices(x[0]), 20 * double(m) * double(n) * double(least), [&](Index i) {
      const T* in = x[0].data<T>() + i * m * n;
      R* s = y[0].data<R>() + i * k;
      const Index mine = p.full_matrices ? u_cols : k, others = p.full_matrices ? v_rows : k;
      T* u = p.compute_uv ? y[1].data<T>() + i * m * mine : nullptr;
      T* vt = p.compute_uv ? y[2].data<T>() + i * others * n : nullptr;
      Columns<T> a(m, n), uc(p.compute_uv ? m : 0, u_cols), vc(p.compute_uv ? v_rows : 0, n);
      a.read(in);
      std::vector<R> values(std::size_t(least + 1));
      if (!finite(in, m * n) || !host::gesdd(vectors, m, n, a.data.data(), std::max<Index>(m, 1),
                                             values.data(), uc.data.data(), std::max<Index>(m, 1),
                                             vc.data.data(), std::max<Index>(v_rows, 1))) {
        fill_nan(s, k);
        if (p.compute_uv) {
          fill_nan(u, m * mine);
          fill_nan(vt, others * n);
        }
        return;
      }
      std::copy_n(values.data() + from, k, s);
      if (!p.compute_uv) return;
      const Index first = p.full_matrices ? 0 : from;
      uc.write(u, first, first + mine);
      for (Index r = 0; r < others; ++r)
        for (Index c = 0; c < n; ++c) vt[r * n + c] = vc.data[std::size_t(c * v_rows + first + r)];
    });
  });
}

// ---- eig, in double precision
template <class T>
using Dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
void eigenvalues(const Dense<double>& a, bool vectors, Dense<std::complex<double>>& w,
                 Dense<std::complex<double>>& v) {
  Eigen::EigenSolver<Dense<double>> solver(a, vectors);
  w = solver.eigenvalues();
  if (vectors) v = solver.eigenvectors();
}
void eigenvalues(const Dense<std::complex<double>>& a, bool vectors, Dense<std::complex<double>>& w,
                 Dense<std::complex<double>>& v) {
  Eigen::ComplexEigenSolver<Dense<std::complex<double>>> solver(a, vectors);
  w = solver.eigenvalues();
  if (vectors) v = solver.eigenvectors();
}
void eig_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<EigParams>();
  const Index n = rows(x[0]);
  const bool left = p.compute_left_eigenvectors, right = p.compute_right_eigenvectors;
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    using C = std::conditional_t<is_complex_type<T>, std::complex<double>, double>;
    using Z = std::complex<host::Real<T>>;
    for_each_matrix(matrices(x[0]), 25 * cube(n), [&](Index i) {
      const T* in = x[0].data<T>() + i * n * n;
      Z* w = y[0].data<Z>() + i * n;
      Z* out[] = {left ? y[1].data<Z>() + i * n * n : nullptr,
                  right ? y[left ? 2 : 1].data<Z>() + i * n * n : nullptr};
      if (n == 0) return;
      if (!finite(in, n * n)) {
        fill_nan(w, n);
        for (Z* z : out)
          if (z) fill_nan(z, n * n);
        return;
      }
      Dense<C> a(n, n);
      for (Index r = 0; r < n; ++r)
        for (Index c = 0; c < n; ++c) a(r, c) = C(in[r * n + c]);
      Dense<std::complex<double>> values, v;
      eigenvalues(a, left || right, values, v);
      for (Index k = 0; k < n; ++k) w[k] = Z(values(k));
      auto write = [&](const Dense<std::complex<double>>& from, Z* to) {
        for (Index c = 0; c < n; ++c) {
          const double length = from.col(c).norm();
          for (Index r = 0; r < n; ++r) to[r * n + c] = Z(from(r, c) / length);
        }
      };
      if (right) write(v, out[1]);
      if (left) write(v.inverse().adjoint(), out[0]);  // V^-1 A = diag(w) V^-1
    });
  });
}

// ---- schur
void schur_kernel(Args x, Params, Array* y) {
  const Index n = rows(x[0]);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    for_each_matrix(matrices(x[0]), 25 * cube(n), [&](Index i) {
      const T* in = x[0].data<T>() + i * n * n;
      T *upper = y[0].data<T>() + i * n * n, *unitary = y[1].data<T>() + i * n * n;
      Columns<T> a(n, n), z(n, n);
      a.read(in);
      if (!finite(in, n * n) || !host::gees(n, a.data.data(), std::max<Index>(n, 1), z.data.data(),
                                            std::max<Index>(n, 1))) {
        fill_nan(upper, n * n);
        fill_nan(unitary, n * n);
        return;
      }
      a.write(upper);
      z.write(unitary);
    });
  });
}

// ---- tridiagonal_solve: elimination with exchanges of neighbouring rows
template <class T>
void solve_tridiagonal(const T* dl, const T* d, const T* du, T* b, Index n, Index m) {
  // Row i after elimination: diagonal, first and second superdiagonal.
  std::vector<T> diagonal(d, d + n), first(du, du + n), second(static_cast<std::size_t>(n), T(0));
  for (Index i = 0; i + 1 < n; ++i) {
    const auto k = std::size_t(i);
    T below = dl[i + 1], next = diagonal[k + 1], after = first[k + 1];
    if (std::abs(below) > std::abs(diagonal[k])) {
      std::swap(diagonal[k], below);
      std::swap(first[k], next);
      std::swap(second[k], after);
      std::swap_ranges(b + i * m, b + (i + 1) * m, b + (i + 1) * m);
    }
    const T factor = below == T(0) ? T(0) : below / diagonal[k];
    diagonal[k + 1] = next - factor * first[k];
    first[k + 1] = after - factor * second[k];
    for (Index c = 0; c < m; ++c) b[(i + 1) * m + c] -= factor * b[i * m + c];
  }
  for (Index i = n; i-- > 0;)
    for (Index c = 0; c < m; ++c) {
      const auto k = std::size_t(i);
      T v = b[i * m + c];
      if (i + 1 < n) v -= first[k] * b[(i + 1) * m + c];
      if (i + 2 < n) v -= second[k] * b[(i + 2) * m + c];
      b[i * m + c] = v / diagonal[k];
    }
}
void tridiagonal_kernel(Args x, Params, Array* y) {
  const Index n = rows(x[3]), m = cols(x[3]);
  if (y->size() == 0) return;
  by_field(x[3].dtype(), [&](auto t) {
    using T = decltype(t);
    const T* b = x[3].data<T>();
    for_each_matrix(matrices(x[3]), 8 * double(n) * double(m), [&](Index i) {
      T* out = y->data<T>() + i * n * m;
      std::copy(b + i * n * m, b + (i + 1) * n * m, out);
      solve_tridiagonal(x[0].data<T>() + i * n, x[1].data<T>() + i * n, x[2].data<T>() + i * n, out,
                        n, m);
    });
  });
}

}  // namespace

void install_decomposition_kernels() {
  install<qr_kernel>(qr_p);
  install<geqrf_kernel>(geqrf_p);
  install<householder_kernel>(householder_product_p);
  install<eigh_kernel>(eigh_p);
  install<svd_kernel>(svd_p);
  install<eig_kernel>(eig_p);
  install<schur_kernel>(schur_p);
  install<tridiagonal_kernel>(tridiagonal_solve_p);
}

}  // namespace jaxpp::internal
