// linalg_kernels.cc -- cholesky, lu and triangular_solve, matrix by matrix.
//
// Blocked: a panel of kPanel columns by plain loops along rows (arrays are row-major), the rest of the matrix by Eigen's
// matrix product, which is where the time of large matrices goes.  A triangular solve is brought to one form first: the
// triangle of op(a) is copied, and x op(a) = b is solved as op(a)^T x^T = b^T.
#include <Eigen/Core>
#include "backends/eager/kernels.h"

namespace jaxpp::internal {
namespace {

constexpr std::int64_t kPanel = 32;

template <class T>
using Block = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                         Eigen::Unaligned, Eigen::OuterStride<>>;
// Rows x columns of a row-major matrix whose rows lie `stride` elements apart.
template <class T>
Block<T> block(T* at, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  return {at, rows, cols, Eigen::OuterStride<>(stride)};
}

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

// The factor in place of the lower triangle of an n x n matrix; false where it is not positive definite.
template <class T>
bool cholesky_in_place(T* a, std::int64_t n) {
  for (std::int64_t j = 0; j < n; j += kPanel) {
    const std::int64_t end = std::min(n, j + kPanel), w = end - j;
    for (std::int64_t i = j; i < n; ++i) {
      T* row = a + i * n + j;
      for (std::int64_t c = 0; c < std::min(w, i - j + 1); ++c) {
        const T* other = a + (j + c) * n + j;
        const T v = row[c] - row_of(other, c).dot(row_of(row, c));  // sum of row[i] conj(other[i])
        if (j + c < i) {
          row[c] = v / std::real(other[c]);
        } else {
          if (!(std::real(v) > 0)) return false;  // NaN too
          row[c] = std::sqrt(std::real(v));
        }
      }
    }
    for (std::int64_t i = end; i < n; i += kPanel) {  // row blocks of the trailing lower triangle
      const std::int64_t m = std::min(kPanel, n - i);
      block(a + i * n + end, m, i + m - end, n).noalias() -=
          block(a + i * n + j, m, w, n) * block(a + end * n + j, i + m - end, w, n).adjoint();
    }
  }
  return true;
}
void cholesky_kernel(Args x, Params, Array* y) {
  const std::int64_t n = rows(x[0]);
  by_field(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    for (std::int64_t k = 0; k < matrices(x[0]); ++k) {
      const T* a = x[0].data<T>() + k * n * n;
      T* l = y->data<T>() + k * n * n;
      std::copy(a, a + n * n, l);
      if (cholesky_in_place(
              l,
              n)) {  // trailing products write full blocks: the triangle above gets x's elements back
        for (std::int64_t i = 0; i < n; ++i)
          std::copy(a + i * n + i + 1, a + (i + 1) * n, l + i * n + i + 1);
      } else {
        std::fill(l, l + n * n, T(std::numeric_limits<double>::quiet_NaN()));
      }
    }
  });
}

// Solves M x = b in place: M n x n, lower or upper triangular, b n x m; both row-major.
template <class T>
void solve_in_place(const T* M, std::int64_t m_stride, bool lower, bool unit, T* b,
                    std::int64_t b_stride, std::int64_t n, std::int64_t m) {
  const std::int64_t blocks = (n + kPanel - 1) / kPanel;
  for (std::int64_t k = 0; k < blocks; ++k) {
    const std::int64_t first = (lower ? k : blocks - 1 - k) * kPanel,
                       last = std::min(n, first + kPanel);
    for (std::int64_t s = 0; s < last - first; ++s) {
      const std::int64_t i = lower ? first + s : last - 1 - s;
      T* row = b + i * b_stride;
      for (std::int64_t c = lower ? first : i + 1; c < (lower ? i : last); ++c) {
        const T factor = M[i * m_stride + c];
        row_of(row, m) -= factor * row_of(b + c * b_stride, m);
      }
      if (!unit) row_of(row, m) /= M[i * m_stride + i];
    }
    const std::int64_t rest = lower ? n - last : first, at = lower ? last : 0;
    if (rest > 0)
      block(b + at * b_stride, rest, m, b_stride).noalias() -=
          block(const_cast<T*>(M) + at * m_stride + first, rest, last - first, m_stride) *
          block(b + first * b_stride, last - first, m, b_stride);
  }
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
  const bool lower = p.lower != swap, in_place = p.left_side && !is_half<T>;
  std::vector<C> m(std::size_t(n * n)), work(in_place ? 0 : std::size_t(n * others));
  for (std::int64_t k = 0; k < matrices(a); ++k) {
    const T* from = a.data<T>() + k * n * n;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = lower ? 0 : i; j < (lower ? i + 1 : n); ++j) {
        const C v = C(swap ? from[j * n + i] : from[i * n + j]);
        m[std::size_t(i * n + j)] = p.conjugate_a ? conjugate(v) : v;
      }
    const T* in = b.data<T>() + k * n * others;
    T* out = y.data<T>() + k * n * others;
    auto solve = [&](C* x) {
      solve_in_place(m.data(), n, lower, p.unit_diagonal, x, others, n, others);
    };
    if constexpr (!is_half<T>) {
      if (p.left_side) {
        if (out != in) std::copy(in, in + n * others, out);
        solve(out);
        continue;
      }
    }
    if (p.left_side)
      std::transform(in, in + n * others, work.begin(), [](T v) { return C(v); });
    else
      transpose_copy(in, others, n, work.data());
    solve(work.data());
    if (p.left_side)
      std::transform(work.begin(), work.end(), out, [](C v) { return T(v); });
    else
      transpose_copy(work.data(), n, others, out);
  }
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
// Gaussian elimination of columns [first, last) of an m x n matrix, rows below `first`; whole rows
// are exchanged.
template <class T>
void eliminate(T* a, std::int64_t m, std::int64_t n, std::int64_t first, std::int64_t last,
               std::int32_t* pivots) {
  for (std::int64_t j = first; j < last; ++j) {
    std::int64_t best = j;
    for (std::int64_t i = j + 1; i < m; ++i)
      if (magnitude(a[i * n + j]) > magnitude(a[best * n + j])) best = i;
    pivots[j] = std::int32_t(best);
    if (best != j) std::swap_ranges(a + j * n, a + (j + 1) * n, a + best * n);
    const T pivot = a[j * n + j];
    if (pivot == T(0)) continue;  // a singular matrix has its zero on U's diagonal
    for (std::int64_t i = j + 1; i < m; ++i) {
      const T factor = a[i * n + j] = a[i * n + j] / pivot;
      row_of(a + i * n + j + 1, last - j - 1) -= factor * row_of(a + j * n + j + 1, last - j - 1);
    }
  }
}
template <class T>
void lu_in_place(T* a, std::int64_t m, std::int64_t n, std::int32_t* pivots) {
  const std::int64_t k = std::min(m, n);
  for (std::int64_t j = 0; j < k; j += kPanel) {
    const std::int64_t w = std::min(kPanel, k - j), right = n - j - w, below = m - j - w;
    eliminate(a, m, n, j, j + w, pivots);
    if (right == 0) continue;
    T* top = a + j * n + j + w;
    solve_in_place(a + j * n + j, n, true, true, top, n, w, right);
    if (below == 0) continue;
    block(a + (j + w) * n + j + w, below, right, n).noalias() -=
        block(a + (j + w) * n + j, below, w, n) * block(top, w, right, n);
  }
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
    for (std::int64_t i = 0; i < matrices(x[0]); ++i) {
      std::int32_t* pivots = y[1].data<std::int32_t>() + i * k;
      lu_in_place(y[0].data<T>() + i * m * n, m, n, pivots);
      apply_pivots(pivots, k, y[2].data<std::int32_t>() + i * m, m);
    }
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
