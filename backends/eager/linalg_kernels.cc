// linalg_kernels.cc -- cholesky, lu and triangular_solve, matrix by matrix.
//
// Matrices of some size go to host/factor.h and host/lapack.h.  Arrays are row-major, which LAPACK sees as transposes: a
// system op(a) x = b is solved as x^T op(a)^T = b^T.  Small ones are plain loops along rows.  The matrices of a batch, and
// the right-hand sides of a large system, are divided over threads.
#include <Eigen/Core>
#include "backends/eager/kernels.h"
#include "backends/host/factor.h"
#include "backends/host/lapack.h"
#include "backends/host/pool.h"

namespace jaxpp::internal {
namespace {

// Matrices of fewer rows are not worth a call of the library.
constexpr std::int64_t kSmall = 24;

template <class T>
Eigen::Map<Eigen::Matrix<std::remove_const_t<T>, 1, Eigen::Dynamic>> row_of(T* at, std::int64_t n) {
  return {const_cast<std::remove_const_t<T>*>(at), n};
}

/// go(T()) for the element types that factorisations know.
template <class Go>
void by_field(DType d, Go&& go) {
  switch (d) {
    case DType::f32: return go(float());
    case DType::f64: return go(double());
    case DType::c64: return go(std::complex<float>());
    default: return go(std::complex<double>());
  }
}
std::int64_t rows(const Array& x) { return x.shape()[std::size_t(x.ndim()) - 2]; }
std::int64_t cols(const Array& x) { return x.shape().back(); }
std::int64_t matrices(const Array& x) {
  std::int64_t n = 1;
  for (int i = 0; i + 2 < x.ndim(); ++i) n *= x.shape()[std::size_t(i)];
  return n;
}
template <class T>
T conjugate(T v) {
  if constexpr (is_complex_type<T>)
    return std::conj(v);
  else
    return v;
}

/// f(k) for every matrix k of a batch.
template <class F>
void each_matrix(const Array& x, double nanoseconds, F f) {
  const double grain = std::max(1., host::kSerialNanoseconds / std::max(1., nanoseconds));
  host::parallel_ranges(matrices(x), std::int64_t(grain), [&](std::int64_t k, std::int64_t end) {
    for (; k < end; ++k) f(k);
  });
}
// What a factorisation takes that does rows x cols x depth steps, roughly.
double estimate(std::int64_t rows, std::int64_t cols, std::int64_t depth) {
  return double(rows) * double(cols) * double(depth) / 10;
}

// The factor in place of the lower triangle of an n x n matrix; false where it is not positive definite.
template <class T>
bool cholesky_in_place(T* a, std::int64_t n) {
  if (n >= kSmall) return host::cholesky(n, a);
  for (std::int64_t i = 0; i < n; ++i) {
    T* row = a + i * n;
    for (std::int64_t c = 0; c <= i; ++c) {
      const T* other = a + c * n;
      const T v = row[c] - row_of(other, c).dot(row_of(row, c));  // sum of row[k] conj(other[k])
      if (c < i) {
        row[c] = v / std::real(other[c]);
      } else {
        if (!(std::real(v) > 0)) return false;  // NaN too
        row[c] = std::sqrt(std::real(v));
      }
    }
  }
  return true;
}
void cholesky_kernel(Args x, Params, Array* y) {
  const std::int64_t n = rows(x[0]);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    each_matrix(x[0], estimate(n, n, n) / 3, [&](std::int64_t k) {
      const T* a = x[0].data<T>() + k * n * n;
      T* l = y->data<T>() + k * n * n;
      std::copy(a, a + n * n, l);
      if (!cholesky_in_place(l, n))
        std::fill(l, l + n * n, T(std::numeric_limits<double>::quiet_NaN()));
      else
        for (std::int64_t i = 0; i < n; ++i)  // x's elements stay above the diagonal
          std::copy(a + i * n + i + 1, a + (i + 1) * n, l + i * n + i + 1);
    });
  });
}

// Solves M x = b in place: M n x n, lower or upper triangular, b n x m; both row-major.
template <class T>
void solve_in_place(const T* M, bool lower, bool unit, T* b, std::int64_t n, std::int64_t m) {
  for (std::int64_t s = 0; s < n; ++s) {
    const std::int64_t i = lower ? s : n - 1 - s;
    T* row = b + i * m;
    for (std::int64_t c = lower ? 0 : i + 1; c < (lower ? i : n); ++c)
      row_of(row, m) -= M[i * n + c] * row_of(b + c * m, m);
    if (!unit) row_of(row, m) /= M[i * n + i];
  }
}
// One right-hand side, along the rows of a: op(a) is a or its transpose, and `lower` says what a is.
template <class T>
void solve_vector(const T* a, bool lower, bool transposed, bool unit, T* x, std::int64_t n) {
  const bool forward = lower != transposed;
  for (std::int64_t s = 0; s < n; ++s) {
    const std::int64_t i = forward ? s : n - 1 - s;
    const T* row = a + i * n;
    // The part of the row beside the diagonal; of x, what is known or what follows.
    const std::int64_t first = lower ? 0 : i + 1, count = lower ? i : n - 1 - i;
    if (!transposed)
      x[i] -= row_of(row + first, count).cwiseProduct(row_of(x + first, count)).sum();
    if (!unit) x[i] /= row[i];
    if (transposed) row_of(x + first, count) -= x[i] * row_of(row + first, count);
  }
}
// Solves op(a) x = b, or x op(a) = b, in place of b, by the library.
template <class T>
void solve_by_library(const TriangularSolveParams& p, const T* a, T* b, std::int64_t n,
                      std::int64_t others) {
  const bool conjugate_only = is_complex_type<T> && p.conjugate_a && !p.transpose_a;
  const auto conjugate_b = [&] {  // conj(a) x = b where a conj(x) = conj(b)
    if (conjugate_only)
      for (std::int64_t i = 0; i < n * others; ++i) b[i] = conjugate(b[i]);
  };
  const auto op = !p.transpose_a                        ? host::Op::none
                  : is_complex_type<T> && p.conjugate_a ? host::Op::adjoint
                                                        : host::Op::transpose;
  conjugate_b();
  if (others == 1 && op != host::Op::adjoint) {
    // x op(a) = b is op(a)^T x = b.
    solve_vector(a, p.lower, p.transpose_a == p.left_side, p.unit_diagonal, b, n);
  } else {
    const double each = estimate(n, n, 1);  // of one right-hand side
    const auto grain =
        std::max<std::int64_t>(64, std::int64_t(5 * host::kSerialNanoseconds / each));
    host::parallel_ranges(others, grain, [&](std::int64_t begin, std::int64_t end) {
      if (p.left_side)
        host::trsm(false, !p.lower, op, p.unit_diagonal, end - begin, n, a, n, b + begin, others);
      else
        host::trsm(true, !p.lower, op, p.unit_diagonal, n, end - begin, a, n, b + begin * n, n);
    });
  }
  conjugate_b();
}
// m x n to n x m, in another type.
template <class T, class U>
void transpose_copy(const T* from, std::int64_t m, std::int64_t n, U* to) {
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) to[j * m + i] = U(from[i * n + j]);
}
template <class T>
void triangular_solve_as(const TriangularSolveParams& p, const Array& a, const Array& b, Array& y) {
  using C = std::conditional_t<is_half<T>, float, T>;
  const std::int64_t n = rows(a), others = p.left_side ? cols(b) : rows(b);
  const bool swap = p.transpose_a == p.left_side;  // M = a^T
  const bool lower = p.lower != swap;
  each_matrix(a, estimate(n, n, others), [&](std::int64_t k) {
    const T* from = a.data<T>() + k * n * n;
    const T* in = b.data<T>() + k * n * others;
    T* out = y.data<T>() + k * n * others;
    if constexpr (!is_half<T>) {
      if (out != in && (n >= kSmall || p.left_side)) std::copy(in, in + n * others, out);
      if (n >= kSmall) return solve_by_library(p, from, out, n, others);
    }
    SmallVec<C, 64> m(std::size_t(n * n), C(0)), work(std::size_t(n * others), C(0));
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = lower ? 0 : i; j < (lower ? i + 1 : n); ++j) {
        const C v = C(swap ? from[j * n + i] : from[i * n + j]);
        m[std::size_t(i * n + j)] = p.conjugate_a ? conjugate(v) : v;
      }
    auto solve = [&](C* x) { solve_in_place(m.data(), lower, p.unit_diagonal, x, n, others); };
    if constexpr (!is_half<T>)
      if (p.left_side) return solve(out);
    if (p.left_side)
      std::transform(in, in + n * others, work.begin(), [](T v) { return C(v); });
    else
      transpose_copy(in, others, n, work.data());
    solve(work.data());
    if (p.left_side)
      std::transform(work.begin(), work.end(), out, [](C v) { return T(v); });
    else
      transpose_copy(work.data(), n, others, out);
  });
}
void triangular_solve_kernel(Args x, Params params, Array* y) {
  auto& p = params.as<TriangularSolveParams>();
  if (x[1].size() == 0) return;
  switch (x[0].dtype()) {
    case DType::f16: return triangular_solve_as<float16>(p, x[0], x[1], *y);
    case DType::bf16: return triangular_solve_as<bfloat16>(p, x[0], x[1], *y);
    default:
      by_field(x[0].dtype(), [&](auto t) { triangular_solve_as<decltype(t)>(p, x[0], x[1], *y); });
  }
}

// The size of a pivot candidate, as LAPACK measures it.
template <class T>
auto magnitude(T v) {
  if constexpr (is_complex_type<T>)
    return std::abs(v.real()) + std::abs(v.imag());
  else
    return std::abs(v);
}
// Gaussian elimination by rows, of an m x n matrix.
template <class T>
void eliminate(T* a, std::int64_t m, std::int64_t n, std::int32_t* pivots) {
  for (std::int64_t j = 0; j < std::min(m, n); ++j) {
    std::int64_t best = j;
    for (std::int64_t i = j + 1; i < m; ++i)
      if (magnitude(a[i * n + j]) > magnitude(a[best * n + j])) best = i;
    pivots[j] = std::int32_t(best);
    if (best != j) std::swap_ranges(a + j * n, a + (j + 1) * n, a + best * n);
    const T pivot = a[j * n + j];
    if (pivot == T(0)) continue;  // a singular matrix has its zero on U's diagonal
    for (std::int64_t i = j + 1; i < m; ++i) {
      const T factor = a[i * n + j] = a[i * n + j] / pivot;
      row_of(a + i * n + j + 1, n - j - 1) -= factor * row_of(a + j * n + j + 1, n - j - 1);
    }
  }
}
template <class T>
void lu_in_place(T* a, std::int64_t m, std::int64_t n, std::int32_t* pivots) {
  if (std::min(m, n) < kSmall) return eliminate(a, m, n, pivots);
  host::lu(m, n, a, pivots);
}
void apply_pivots(const std::int32_t* pivots, std::int64_t k, std::int32_t* permutation,
                  std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) permutation[i] = std::int32_t(i);
  for (std::int64_t i = 0; i < k; ++i)
    if (pivots[i] >= 0 && pivots[i] < n) std::swap(permutation[i], permutation[pivots[i]]);
}
void lu_kernel(Args x, Params, Array* y) {
  const std::int64_t m = rows(x[0]), n = cols(x[0]), k = std::min(m, n);
  std::memcpy(y[0].data<void>(), x[0].data<void>(), std::size_t(x[0].size()) * width(x[0].dtype()));
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    each_matrix(x[0], estimate(m, n, k), [&](std::int64_t i) {
      std::int32_t* pivots = y[1].data<std::int32_t>() + i * k;
      lu_in_place(y[0].data<T>() + i * m * n, m, n, pivots);
      apply_pivots(pivots, k, y[2].data<std::int32_t>() + i * m, m);
    });
  });
}
void permutation_kernel(Args x, Params, Array* y) {
  const std::int64_t k = x[0].shape().back(), n = y->shape().back();
  if (y->size() == 0) return;
  for (std::int64_t i = 0; i < y->size() / n; ++i)
    apply_pivots(x[0].data<std::int32_t>() + i * k, k, y->data<std::int32_t>() + i * n, n);
}

}  // namespace

void install_linalg_kernels() {
  install<cholesky_kernel>(cholesky_p);
  install<triangular_solve_kernel, 2>(triangular_solve_p);
  install<lu_kernel>(lu_p);
  install<permutation_kernel>(lu_pivots_to_permutation_p);
}

}  // namespace jaxpp::internal
