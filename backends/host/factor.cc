// factor.cc -- right-looking blocked factorisations.  With the first block of columns done,
//
//   [ a11  .  ]            l11 = chol(a11),  l21 = a21 l11^-H,  a22 -= l21 l21^H     (below the diagonal)
//   [ a21 a22 ]   or, lu:  panel [a11; a21] with its row exchanges,  u12 = l11^-1 a12,  a22 -= l21 u12
//
// and the same again for a22.  Most of the time is in the last step.  (At the end: eigenvalues.)
#include "backends/host/factor.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>
#include "backends/host/lapack.h"
#include "backends/host/pool.h"

namespace jaxpp::host {
namespace {

constexpr std::int64_t kBlock = 64, kTile = 192;

// Columns of the panel in front of what is left; rows and columns of tiles.
std::int64_t tiles(std::int64_t n) { return (n + kTile - 1) / kTile; }
template <class T>
const Blas<T>* blas_for(std::int64_t m, std::int64_t n) {
  return std::max(m, n) <= std::numeric_limits<int>::max() ? blas<T>() : nullptr;
}
// c -= a b in rows, where memory is that of c^T -= b^T a^T in columns; all matrices have rows of `stride` elements.
// b_op says how b^T lies.
template <class T>
void subtract_product(const Blas<T>& blas, const T* a, const T* b, Op b_op, T* c, std::int64_t rows,
                      std::int64_t cols, std::int64_t depth, std::int64_t stride) {
  const int m = int(cols), n = int(rows), k = int(depth), ld = int(stride);
  const char op = char(b_op);
  const T minus = -1, one = 1;
  blas.gemm(&op, "N", &m, &n, &k, &minus, b, &ld, a, &ld, &one, c, &ld, 1, 1);
}

// The transpose of an m x n matrix with rows of `stride` elements, n x m, and back; in blocks that fit the nearest cache.
template <class T>
void to_columns(const T* a, std::int64_t stride, std::int64_t m, std::int64_t n, T* columns) {
  constexpr std::int64_t side = 16;
  for (std::int64_t i0 = 0; i0 < m; i0 += side)
    for (std::int64_t j0 = 0; j0 < n; j0 += side)
      for (std::int64_t j = j0; j < std::min(n, j0 + side); ++j)
        for (std::int64_t i = i0; i < std::min(m, i0 + side); ++i)
          columns[j * m + i] = a[i * stride + j];
}
template <class T>
void from_columns(const T* columns, std::int64_t m, std::int64_t n, T* a, std::int64_t stride) {
  constexpr std::int64_t side = 16;
  for (std::int64_t i0 = 0; i0 < m; i0 += side)
    for (std::int64_t j0 = 0; j0 < n; j0 += side)
      for (std::int64_t i = i0; i < std::min(m, i0 + side); ++i)
        for (std::int64_t j = j0; j < std::min(n, j0 + side); ++j)
          a[i * stride + j] = columns[j * m + i];
}
// Exchanges rows first + i and pivots[i] of columns [begin, end).
template <class T>
void exchange_rows(T* a, std::int64_t stride, std::int64_t first, std::int64_t count,
                   const std::int32_t* pivots, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = 0; i < count; ++i)
    if (pivots[i] != first + i)
      std::swap_ranges(a + (first + i) * stride + begin, a + (first + i) * stride + end,
                       a + pivots[i] * stride + begin);
}

}  // namespace

template <class T>
bool cholesky(std::int64_t n, T* a) {
  // The memory is that of a's transpose, conj(a), in columns, and l^T is its upper factor.
  const Blas<T>* blas = n > 2 * kBlock ? blas_for<T>(n, n) : nullptr;
  if (!blas) return potrf(false, n, a, n);
  for (std::int64_t j = 0; j < n; j += kBlock) {
    const std::int64_t w = std::min(kBlock, n - j), rest = j + w, left = n - rest;
    T *corner = a + j * n + j, *panel = a + rest * n + j;
    if (!potrf(false, w, corner, n)) return false;
    parallel_ranges(left, kTile, [&](std::int64_t begin, std::int64_t end) {
      trsm(true, false, Op::adjoint, false, w, end - begin, corner, n, panel + begin * n, n);
    });
    const std::int64_t side = tiles(left);
    parallel_for(side * (side + 1) / 2, [&](std::int64_t c) {
      std::int64_t row = 0;  // of tiles: row r has r + 1
      for (; c > row; ++row) c -= row + 1;
      const std::int64_t i = row * kTile, k = c * kTile;
      subtract_product(*blas, panel + i * n, panel + k * n, Op::adjoint,
                       a + (rest + i) * n + rest + k, std::min(kTile, left - i),
                       std::min(kTile, left - k), w, n);
    });
  }
  return true;
}

template <class T>
void lu(std::int64_t m, std::int64_t n, T* a, std::int32_t* pivots) {
  const std::int64_t size = std::min(m, n);
  const Blas<T>* blas = size > 2 * kBlock ? blas_for<T>(m, n) : nullptr;
  const std::int64_t block = blas ? kBlock : n;
  std::vector<T> columns(std::size_t(m * std::min(block, n) + spare(m)));
  for (std::int64_t j = 0; j < size; j += block) {
    const std::int64_t w = blas ? std::min(block, size - j) : n, rows = m - j, rest = j + w,
                       right = n - rest, below = m - rest;
    T* corner = a + j * n + j;
    to_columns(corner, n, rows, w, columns.data());
    getrf(rows, w, columns.data(), rows, pivots + j);
    from_columns(columns.data(), rows, w, corner, n);
    const std::int64_t exchanges = std::min(rows, w);
    for (std::int64_t i = 0; i < exchanges; ++i) pivots[j + i] += std::int32_t(j);
    exchange_rows(a, n, j, exchanges, pivots + j, 0, j);
    parallel_ranges(right, kTile, [&](std::int64_t begin, std::int64_t end) {
      exchange_rows(a, n, j, exchanges, pivots + j, rest + begin, rest + end);
      trsm(false, false, Op::none, true, end - begin, w, corner, n, corner + w + begin, n);
    });
    if (right == 0 || below <= 0) continue;
    const std::int64_t across = tiles(right);
    parallel_for(across * tiles(below), [&](std::int64_t c) {
      const std::int64_t i = c / across * kTile, k = c % across * kTile;
      subtract_product(*blas, a + (rest + i) * n + j, corner + w + k, Op::none,
                       a + (rest + i) * n + rest + k, std::min(kTile, below - i),
                       std::min(kTile, right - k), w, n);
    });
  }
}

namespace {
// Eigenvalues d, ascending, and vectors, of the tridiagonal matrix with diagonal d and e beside it: vector i is column
// order[i] of z, which is zero at first.  By halves, which two threads solve, and LAPACK's step that joins them (Cuppen's
// divide and conquer, as stedc does it from there on).
template <class T>
bool tridiagonal_eigh(const Lapack<T>& l, std::int64_t n, Real<T>* d, Real<T>* e, Real<T>* z,
                      int* order) {
  using R = Real<T>;
  const auto solve = [&](std::int64_t from, std::int64_t count) {
    const int size = int(count), stride = int(n);
    const auto room = std::size_t(count);
    std::vector<R> reals(1 + 4 * room + room * room);
    std::vector<int> ints(3 + 5 * room);
    const int num_reals = int(reals.size()), num_ints = int(ints.size());
    int info = 0;
    l.stedc("I", &size, d + from, e + from, z + from * n + from, &stride, reals.data(), &num_reals,
            ints.data(), &num_ints, &info, 1);
    return info == 0;
  };
  R norm = 0;
  for (std::int64_t i = 0; i < n; ++i) norm = std::max(norm, std::abs(d[i]));
  for (std::int64_t i = 0; i + 1 < n; ++i) norm = std::max(norm, std::abs(e[i]));
  if (!l.laed1 || !(norm > 0)) {
    for (std::int64_t i = 0; i < n; ++i) order[i] = int(i);
    return solve(0, n);
  }
  for (std::int64_t i = 0; i < n; ++i) d[i] /= norm;  // as laed1's tolerances want it
  for (std::int64_t i = 0; i + 1 < n; ++i) e[i] /= norm;

  const std::int64_t half = n / 2;
  const R joint = e[half - 1];
  d[half - 1] -= std::abs(joint);
  d[half] -= std::abs(joint);
  bool good[2];
  parallel_for(2, [&](std::int64_t k) { good[k] = k ? solve(half, n - half) : solve(0, half); });
  if (!good[0] || !good[1]) return false;
  for (std::int64_t i = 0; i < n; ++i) order[i] = int(i < half ? i : i - half) + 1;
  const int size = int(n), cut = int(half);
  const auto room = std::size_t(n);
  std::vector<R> reals(4 * room + room * room);
  std::vector<int> ints(4 * room);
  int info = 0;
  l.laed1(&size, d, z, &size, order, &joint, &cut, reals.data(), ints.data(), &info);
  if (info) return false;
  std::copy_n(d, n, reals.data());
  for (std::int64_t i = 0; i < n; ++i) {
    --order[i];  // Fortran counts from 1
    d[i] = reals[std::size_t(order[i])] * norm;
  }
  return true;
}
}  // namespace

// syevd in its three steps: a = q t q^H with t tridiagonal, t = z w z^T, vectors q z.  The second is divided into halves,
// the last by columns.
template <class T>
bool eigh(bool lower, std::int64_t n, T* a, Real<T>* w) {
  using R = Real<T>;
  constexpr std::int64_t kColumns = 128;
  const bool fits = n * n <= std::numeric_limits<int>::max();
  const Lapack<T>* l = n > kColumns && fits ? lapack<T>() : nullptr;
  if (!l) return syevd(true, lower, n, a, n, w);

  // Squares must not overflow or vanish: as in syevd.
  R largest = 0;
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = lower ? j : 0; i < (lower ? n : j + 1); ++i)
      largest = std::max(largest, std::abs(a[i + j * n]));
  const R least = std::sqrt(std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon());
  R scale = 1;
  if (largest > 0 && largest < least) scale = least / largest;
  if (largest > 1 / least) scale = 1 / least / largest;
  if (scale != 1)
    for (std::int64_t i = 0; i < n * n; ++i) a[i] *= scale;

  const int size = int(n);
  const char* uplo = lower ? "L" : "U";
  const auto room = std::size_t(n);
  int info = 0;
  std::vector<R> off_diagonal(room);
  std::vector<T> tau(room), work(room * kBlock + std::size_t(spare(n)));
  int length = int(room * kBlock);
  l->hetrd(uplo, &size, a, &size, w, off_diagonal.data(), tau.data(), work.data(), &length, &info,
           1);
  if (info) return false;

  std::vector<R> z(room * room);
  std::vector<int> order(room);
  if (!tridiagonal_eigh(*l, n, w, off_diagonal.data(), z.data(), order.data())) return false;
  if (scale != 1)
    for (std::int64_t i = 0; i < n; ++i) w[i] /= scale;

  std::vector<T> vectors(room * room + std::size_t(spare(n)));
  parallel_ranges(n, kColumns, [&](std::int64_t begin, std::int64_t end) {
    const int columns = int(end - begin);
    std::vector<T> mine(std::size_t(columns) * kBlock + 65 * 64);  // unmtr's own block and factor
    const int own = int(mine.size());
    int failed = 0;
    T* const to = vectors.data() + begin * n;
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(z.data() + order[std::size_t(i)] * n, n, vectors.data() + i * n);
    l->unmtr("L", uplo, "N", &size, &columns, a, &size, tau.data(), to, &size, mine.data(), &own,
             &failed, 1, 1, 1);
  });
  std::copy_n(vectors.data(), n * n, a);
  return true;
}

#define JAXPP_INSTANTIATE(T)                                       \
  template bool cholesky(std::int64_t, T*);                        \
  template void lu(std::int64_t, std::int64_t, T*, std::int32_t*); \
  template bool eigh(bool, std::int64_t, T*, Real<T>*);
JAXPP_INSTANTIATE(float)
JAXPP_INSTANTIATE(double)
JAXPP_INSTANTIATE(std::complex<float>)
JAXPP_INSTANTIATE(std::complex<double>)
#undef JAXPP_INSTANTIATE

}  // namespace jaxpp::host
