// lapack.cc -- calls of LAPACK, with Eigen behind them.
#include "backends/host/lapack.h"
#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <algorithm>
#include <limits>
#include <vector>
#include "backends/host/lapack_eigen.h"

namespace jaxpp::host {
namespace {

template <class T>
using Block = Eigen::Map<Dense<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
Block<T> block(T* a, std::int64_t rows, std::int64_t cols, std::int64_t lda) {
  return {a, rows, cols, Eigen::OuterStride<>(lda)};
}
template <class T>
using Wide = std::conditional_t<is_complex_v<T>, std::complex<double>, double>;
template <class T>
Dense<Wide<T>> wide(const T* a, std::int64_t rows, std::int64_t cols, std::int64_t lda) {
  return block(const_cast<T*>(a), rows, cols, lda).template cast<Wide<T>>();
}
template <class T, class From>
void store(const From& x, T* a, std::int64_t lda) {
  block(a, x.rows(), x.cols(), lda) = x.template cast<T>();
}

bool fits(std::int64_t a, std::int64_t b = 0, std::int64_t c = 0) {
  return std::max({a, b, c}) <= std::numeric_limits<int>::max();
}
/// LAPACK, if it can count that far.
template <class T>
const Lapack<T>* lapack_for(std::int64_t a, std::int64_t b, std::int64_t c = 0) {
  return fits(a, b, c) ? lapack<T>() : nullptr;
}
// A first call with no workspace tells how much is best: in its first element.
template <class T>
int said(const T& first) {
  return std::max(1, int(std::real(first)));
}
constexpr int kAsk = -1;
// So many elements, and what may be read behind matrices of n rows that lie in it.
template <class T>
std::vector<T> workspace(int elements, std::int64_t n) {
  return std::vector<T>(static_cast<std::size_t>(elements + spare(n)));
}

}  // namespace

template <class T>
bool potrf(bool lower, std::int64_t n, T* a, std::int64_t lda) {
  if (n == 0) return true;
  if (const auto* l = lapack_for<T>(n, lda)) {
    const int size = int(n), stride = int(lda);
    int info = 0;
    l->potrf(lower ? "L" : "U", &size, a, &stride, &info, 1);
    if (info) return false;
  } else {
    using Matrix = Eigen::Ref<Dense<T>, 0, Eigen::OuterStride<>>;
    Matrix m = block(a, n, n, lda);
    if (lower ? Eigen::LLT<Matrix, Eigen::Lower>(m).info() != Eigen::Success
              : Eigen::LLT<Matrix, Eigen::Upper>(m).info() != Eigen::Success)
      return false;
  }
  for (std::int64_t i = 0; i < n; ++i)
    if (!(std::real(a[i + i * lda]) > 0)) return false;  // a NaN passes both
  return true;
}

template <class T>
void getrf(std::int64_t m, std::int64_t n, T* a, std::int64_t lda, std::int32_t* pivots) {
  if (m == 0 || n == 0) return;
  if (const auto* l = lapack_for<T>(m, n, lda)) {
    const int rows = int(m), cols = int(n), stride = int(lda);
    int info = 0;
    l->getrf(&rows, &cols, a, &stride, pivots, &info);
    for (std::int64_t i = 0; i < std::min(m, n); ++i) --pivots[i];  // Fortran counts from 1
  } else {
    const std::int64_t k = std::min(m, n);
    std::int32_t exchanges = 0;
    Eigen::internal::partial_lu_impl<T, Eigen::ColMajor, std::int32_t>::blocked_lu(
        m, k, a, lda, pivots, exchanges);
    if (n > k) {  // it does not know of columns to the right
      auto right = block(a + k * lda, m, n - k, lda);
      for (std::int64_t i = 0; i < k; ++i) right.row(i).swap(right.row(pivots[i]));
      trsm(true, true, Op::none, true, k, n - k, a, lda, right.data(), lda);
    }
  }
}

template <class T>
void trsm(bool left, bool lower, Op op, bool unit_diagonal, std::int64_t m, std::int64_t n,
          const T* a, std::int64_t lda, T* b, std::int64_t ldb) {
  if (m == 0 || n == 0) return;
  if (const auto* l = blas<T>(); l && fits(m, n) && fits(lda, ldb)) {
    const int rows = int(m), cols = int(n), a_stride = int(lda), b_stride = int(ldb);
    const char by = char(op);
    const T one = 1;
    return l->trsm(left ? "L" : "R", lower ? "L" : "U", &by, unit_diagonal ? "U" : "N", &rows,
                   &cols, &one, a, &a_stride, b, &b_stride, 1, 1, 1, 1);
  }
  // One form for Eigen, whose every combination would be another solver: a triangle from the left, no flags.
  const std::int64_t size = left ? m : n;
  Dense<T> triangle = block(const_cast<T*>(a), size, size, lda);
  if (op == Op::adjoint) triangle = triangle.adjoint().eval();
  if ((op == Op::transpose) == left) triangle.transposeInPlace();
  if (unit_diagonal) triangle.diagonal().setOnes();
  auto x = block(b, m, n, ldb);
  Dense<T> solution = left ? Dense<T>(x) : Dense<T>(x.transpose());
  if (lower == (left == (op == Op::none)))
    triangle.template triangularView<Eigen::Lower>().solveInPlace(solution);
  else
    triangle.template triangularView<Eigen::Upper>().solveInPlace(solution);
  if (left)
    x = solution;
  else
    x = solution.transpose();
}

template <class T>
void geqrf(std::int64_t m, std::int64_t n, T* a, std::int64_t lda, T* tau) {
  if (m == 0 || n == 0) return;
  if (const auto* l = lapack_for<T>(m, n, lda)) {
    const int rows = int(m), cols = int(n), stride = int(lda);
    int info = 0;
    T first{};
    l->geqrf(&rows, &cols, a, &stride, tau, &first, &kAsk, &info);
    const int size = said(first);
    auto work = workspace<T>(size, m);
    l->geqrf(&rows, &cols, a, &stride, tau, work.data(), &size, &info);
  } else {
    Dense<Wide<T>> matrix = wide(a, m, n, lda), coefficients;
    EigenSolvers<Wide<T>>::qr(matrix, coefficients);
    store(matrix, a, lda);
    store(coefficients, tau, std::min(m, n));
  }
}

template <class T>
void orgqr(std::int64_t m, std::int64_t n, std::int64_t k, T* a, std::int64_t lda, const T* tau) {
  if (m == 0 || n == 0) return;
  if (const auto* l = lapack_for<T>(m, n, lda)) {
    const int rows = int(m), cols = int(n), reflectors = int(k), stride = int(lda);
    int info = 0;
    T first{};
    l->orgqr(&rows, &cols, &reflectors, a, &stride, tau, &first, &kAsk, &info);
    const int size = said(first);
    auto work = workspace<T>(size, m);
    l->orgqr(&rows, &cols, &reflectors, a, &stride, tau, work.data(), &size, &info);
  } else {
    store(EigenSolvers<Wide<T>>::q(wide(a, m, k, lda), wide(tau, k, 1, k), n), a, lda);
  }
}

template <class T>
bool syevd(bool vectors, bool lower, std::int64_t n, T* a, std::int64_t lda, Real<T>* w) {
  if (n == 0) return true;
  if (const auto* l = lapack_for<T>(n, lda)) {
    using R = Real<T>;
    using Length = std::size_t;
    const int size = int(n), stride = int(lda);
    const char *job = vectors ? "V" : "N", *uplo = lower ? "L" : "U";
    int info = 0, ints = 0;
    T first{};
    if constexpr (is_complex_v<T>) {
      using F = void (*)(const char*, const char*, const int*, T*, const int*, R*, T*, const int*,
                         R*, const int*, int*, const int*, int*, Length, Length);
      const auto heevd = reinterpret_cast<F>(l->syevd);
      R reals{};
      heevd(job, uplo, &size, a, &stride, w, &first, &kAsk, &reals, &kAsk, &ints, &kAsk, &info, 1,
            1);
      const int lwork = said(first), lrwork = said(reals);
      auto work = workspace<T>(lwork, n);
      std::vector<R> rwork(static_cast<std::size_t>(lrwork));
      std::vector<int> iwork(static_cast<std::size_t>(ints));
      heevd(job, uplo, &size, a, &stride, w, work.data(), &lwork, rwork.data(), &lrwork,
            iwork.data(), &ints, &info, 1, 1);
    } else {
      using F = void (*)(const char*, const char*, const int*, T*, const int*, R*, T*, const int*,
                         int*, const int*, int*, Length, Length);
      const auto routine = reinterpret_cast<F>(l->syevd);
      routine(job, uplo, &size, a, &stride, w, &first, &kAsk, &ints, &kAsk, &info, 1, 1);
      const int lwork = said(first);
      auto work = workspace<T>(lwork, n);
      std::vector<int> iwork(static_cast<std::size_t>(ints));
      routine(job, uplo, &size, a, &stride, w, work.data(), &lwork, iwork.data(), &ints, &info, 1,
              1);
    }
    return info == 0;
  }
  Dense<Wide<T>> matrix = wide(a, n, n, lda);
  if (!lower) matrix = matrix.adjoint().eval();
  Dense<double> values;
  if (!EigenSolvers<Wide<T>>::eigh(matrix, values, vectors)) return false;
  store(values, w, n);
  if (vectors) store(matrix, a, lda);
  return true;
}

template <class T>
bool gesdd(Vectors vectors, std::int64_t m, std::int64_t n, T* a, std::int64_t lda, Real<T>* s,
           T* u, std::int64_t ldu, T* vh, std::int64_t ldvh) {
  const std::int64_t least = std::min(m, n);
  if (least > 0 && lapack_for<T>(std::max(m, n), lda, std::max(ldu, ldvh))) {
    using R = Real<T>;
    using Int = const int*;
    const auto* l = lapack<T>();
    const int rows = int(m), cols = int(n), stride = int(lda);
    const int u_stride = std::max(1, int(ldu)), v_stride = std::max(1, int(ldvh));
    const char job = char(vectors);
    int info = 0;
    T first{};
    std::vector<int> iwork(static_cast<std::size_t>(8 * least));
    if constexpr (is_complex_v<T>) {
      using F = void (*)(const char*, Int, Int, T*, Int, R*, T*, Int, T*, Int, T*, Int, R*, int*,
                         int*, std::size_t);
      const auto routine = reinterpret_cast<F>(l->gesdd);
      const std::int64_t most = std::max(m, n);
      std::vector<R> rwork(std::size_t(
          vectors == Vectors::none ? 7 * least
                                   : least * std::max(5 * least + 7, 2 * most + 2 * least + 1)));
      routine(&job, &rows, &cols, a, &stride, s, u, &u_stride, vh, &v_stride, &first, &kAsk,
              rwork.data(), iwork.data(), &info, 1);
      const int size = said(first);
      auto work = workspace<T>(size, std::max(m, n));
      routine(&job, &rows, &cols, a, &stride, s, u, &u_stride, vh, &v_stride, work.data(), &size,
              rwork.data(), iwork.data(), &info, 1);
    } else {
      using F = void (*)(const char*, Int, Int, T*, Int, R*, T*, Int, T*, Int, T*, Int, int*, int*,
                         std::size_t);
      const auto routine = reinterpret_cast<F>(l->gesdd);
      routine(&job, &rows, &cols, a, &stride, s, u, &u_stride, vh, &v_stride, &first, &kAsk,
              iwork.data(), &info, 1);
      const int size = said(first);
      auto work = workspace<T>(size, std::max(m, n));
      routine(&job, &rows, &cols, a, &stride, s, u, &u_stride, vh, &v_stride, work.data(), &size,
              iwork.data(), &info, 1);
    }
    return info == 0;
  }
  const auto u_cols = vectors == Vectors::full ? m : least;
  const auto v_rows = vectors == Vectors::full ? n : least;
  if (least == 0) {  // whatever is orthonormal
    if (vectors != Vectors::none) {
      block(u, m, u_cols, ldu).setIdentity();
      block(vh, v_rows, n, ldvh).setIdentity();
    }
    return true;
  }
  Dense<double> values;
  Dense<Wide<T>> left, right;
  if (!EigenSolvers<Wide<T>>::svd(wide(a, m, n, lda), values, left, right, vectors != Vectors::none,
                                  vectors == Vectors::full))
    return false;
  store(values, s, least);
  if (vectors != Vectors::none) {
    store(left, u, ldu);
    store(right.adjoint(), vh, ldvh);
  }
  return true;
}

template <class T>
bool gees(std::int64_t n, T* a, std::int64_t lda, T* z, std::int64_t ldz) {
  if (n == 0) return true;
  if (const auto* l = lapack_for<T>(n, lda, ldz); l && l->gees) {
    using R = Real<T>;
    using Int = const int*;
    const int size = int(n), stride = int(lda), z_stride = int(ldz);
    int info = 0, selected = 0;
    T first{};
    std::vector<T> values(static_cast<std::size_t>(n));
    std::vector<R> reals(static_cast<std::size_t>(n));  // imaginary parts of them, or work space
    if constexpr (is_complex_v<T>) {
      using F = void (*)(const char*, const char*, void*, Int, T*, Int, int*, T*, T*, Int, T*, Int,
                         R*, int*, int*, std::size_t, std::size_t);
      const auto routine = reinterpret_cast<F>(l->gees);
      routine("V", "N", nullptr, &size, a, &stride, &selected, values.data(), z, &z_stride, &first,
              &kAsk, reals.data(), nullptr, &info, 1, 1);
      const int length = said(first);
      auto work = workspace<T>(length, n);
      routine("V", "N", nullptr, &size, a, &stride, &selected, values.data(), z, &z_stride,
              work.data(), &length, reals.data(), nullptr, &info, 1, 1);
    } else {
      using F = void (*)(const char*, const char*, void*, Int, T*, Int, int*, T*, T*, T*, Int, T*,
                         Int, int*, int*, std::size_t, std::size_t);
      const auto routine = reinterpret_cast<F>(l->gees);
      routine("V", "N", nullptr, &size, a, &stride, &selected, values.data(), reals.data(), z,
              &z_stride, &first, &kAsk, nullptr, &info, 1, 1);
      const int length = said(first);
      auto work = workspace<T>(length, n);
      routine("V", "N", nullptr, &size, a, &stride, &selected, values.data(), reals.data(), z,
              &z_stride, work.data(), &length, nullptr, &info, 1, 1);
    }
    return info == 0;
  }
  Dense<Wide<T>> matrix = wide(a, n, n, lda), vectors;
  if (!EigenSolvers<Wide<T>>::schur(matrix, vectors)) return false;
  store(matrix, a, lda);
  store(vectors, z, ldz);
  return true;
}

#define JAXPP_INSTANTIATE(T)                                                                       \
  template bool potrf(bool, std::int64_t, T*, std::int64_t);                                       \
  template void getrf(std::int64_t, std::int64_t, T*, std::int64_t, std::int32_t*);                \
  template void trsm(bool, bool, Op, bool, std::int64_t, std::int64_t, const T*, std::int64_t, T*, \
                     std::int64_t);                                                                \
  template void geqrf(std::int64_t, std::int64_t, T*, std::int64_t, T*);                           \
  template void orgqr(std::int64_t, std::int64_t, std::int64_t, T*, std::int64_t, const T*);       \
  template bool syevd(bool, bool, std::int64_t, T*, std::int64_t, Real<T>*);                       \
  template bool gesdd(Vectors, std::int64_t, std::int64_t, T*, std::int64_t, Real<T>*, T*,         \
                      std::int64_t, T*, std::int64_t);                                             \
  template bool gees(std::int64_t, T*, std::int64_t, T*, std::int64_t);
JAXPP_INSTANTIATE(float)
JAXPP_INSTANTIATE(double)
JAXPP_INSTANTIATE(std::complex<float>)
JAXPP_INSTANTIATE(std::complex<double>)
#undef JAXPP_INSTANTIATE

}  // namespace jaxpp::host
