// product.cc -- which code computes a product, and in which pieces.
//
// Vectors: sums in blocks, and matrix times vector in pieces of rows.  Tiny matrices: plain loops.  Others: BLAS, or
// Eigen, for tiles of the result.  The library is given transposed matrices as they lie.
#include "backends/host/product.h"
#include <Eigen/Core>
#include <algorithm>
#include <limits>
#include <vector>
#include "backends/host/library.h"
#include "backends/host/pool.h"

namespace jaxpp::host {
namespace {

using Eigen::Dynamic;

template <class T>
T product_of(T a, T b) {
  if constexpr (is_complex_v<T>)
    return T(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
  else
    return T(a * b);
}

// ---- Sums of products of two vectors
constexpr std::int64_t kBlock = 1024;

// Contiguous vectors: in halves down to blocks, whose sums Eigen vectorises.
template <class T>
T contiguous_inner_product(const T* a, const T* b, std::int64_t n) {
  if (n > kBlock) {
    const std::int64_t half = (n / 2 + kBlock - 1) / kBlock * kBlock;
    return contiguous_inner_product(a, b, half) +
           contiguous_inner_product(a + half, b + half, n - half);
  }
  using V = Eigen::Map<const Eigen::Matrix<T, Dynamic, 1>>;
  return V(a, n).cwiseProduct(V(b, n)).sum();
}
// Four sums at a time: the order of additions is fixed, the chain of each is short.
template <class T>
T inner_product(const T* a, std::int64_t a_by, const T* b, std::int64_t b_by, std::int64_t n) {
  if constexpr (!std::is_integral_v<T>)
    if (n >= 64 && a_by == 1 && b_by == 1) return contiguous_inner_product(a, b, n);
  T s[4] = {};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::int64_t k = 0; k < 4; ++k) s[k] += product_of(a[(i + k) * a_by], b[(i + k) * b_by]);
  for (; i < n; ++i) s[0] += product_of(a[i * a_by], b[i * b_by]);
  return T((s[0] + s[1]) + (s[2] + s[3]));
}
template <class T>
T sum_in_halves(const T* x, std::size_t n) {
  return n == 1 ? x[0] : T(sum_in_halves(x, n / 2) + sum_in_halves(x + n / 2, n - n / 2));
}
template <class T>
T long_inner_product(const T* a, std::int64_t a_by, const T* b, std::int64_t b_by, std::int64_t n) {
  constexpr std::int64_t piece = 64 * kBlock;
  if (n <= piece) return inner_product(a, a_by, b, b_by, n);
  std::vector<T> part(std::size_t((n + piece - 1) / piece));
  parallel_ranges(n, piece, [&](std::int64_t begin, std::int64_t end) {
    part[std::size_t(begin / piece)] =
        inner_product(a + begin * a_by, a_by, b + begin * b_by, b_by, end - begin);
  });
  return sum_in_halves(part.data(), part.size());
}

// ---- One tile of a result, whose rows are y_row apart
template <class T>
struct Tile {
  Matrices<T> a, b;
  T* y;
  std::int64_t y_row;
  ProductSizes size;
};
// Rows of b are contiguous: y's row is a combination of them.
template <class T>
void combine_rows(const Tile<T>& t) {
  for (std::int64_t i = 0; i < t.size.m; ++i) {
    T* y = t.y + i * t.y_row;
    const T* a = t.a.data + i * t.a.row;
    std::fill_n(y, t.size.n, T(0));
    for (std::int64_t l = 0; l < t.size.k; ++l) {
      const T v = a[l * t.a.col];
      const T* row = t.b.data + l * t.b.row;
      for (std::int64_t j = 0; j < t.size.n; ++j) y[j] += product_of(v, row[j]);
    }
  }
}
template <class T>
void loops(const Tile<T>& t) {
  if (t.b.col == 1 && t.size.n > 1) return combine_rows(t);
  for (std::int64_t i = 0; i < t.size.m; ++i)
    for (std::int64_t j = 0; j < t.size.n; ++j)
      t.y[i * t.y_row + j] =
          inner_product(t.a.data + i * t.a.row, t.a.col, t.b.data + j * t.b.col, t.b.row, t.size.k);
}

template <class T, int Order>
auto matrix(const T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  using M = Eigen::Matrix<T, Dynamic, Dynamic, Order>;
  return Eigen::Map<const M, 0, Eigen::OuterStride<>>(data, rows, cols,
                                                      Eigen::OuterStride<>(stride));
}
template <class T>
void by_eigen(const Tile<T>& t) {
  using Eigen::ColMajor, Eigen::RowMajor;
  const auto& [m, n, k] = t.size;
  Eigen::Map<Eigen::Matrix<T, Dynamic, Dynamic, RowMajor>, 0, Eigen::OuterStride<>> y(
      t.y, m, n, Eigen::OuterStride<>(t.y_row));
  const auto by_b = [&](const auto& left) {
    if (t.b.col == 1)
      y.noalias() = left * matrix<T, RowMajor>(t.b.data, t.size.k, t.size.n, t.b.row);
    else
      y.noalias() = left * matrix<T, ColMajor>(t.b.data, t.size.k, t.size.n, t.b.col);
  };
  if (t.a.col == 1)
    by_b(matrix<T, RowMajor>(t.a.data, m, k, t.a.row));
  else
    by_b(matrix<T, ColMajor>(t.a.data, m, k, t.a.col));
}

// How a library is told of a matrix: in columns, or the transpose of that.  A stride along a dimension of size 1 may be
// anything, but libraries check it.
struct InColumns {
  bool transposed;
  std::int64_t stride;
};
template <class T>
InColumns in_columns(const Matrices<T>& x, std::int64_t rows, std::int64_t cols) {
  return x.col == 1 ? InColumns{true, std::max({x.row, cols, std::int64_t(1)})}
                    : InColumns{false, std::max({x.col, rows, std::int64_t(1)})};
}
bool fits(std::int64_t n) { return n <= std::numeric_limits<int>::max(); }

// Rows are columns of the transpose: y^T = b^T a^T.
template <class T>
void by_blas(const Tile<T>& t, const Blas<T>& blas) {
  const InColumns a = in_columns(t.a, t.size.m, t.size.k), b = in_columns(t.b, t.size.k, t.size.n);
  if (!fits(std::max({t.size.m, t.size.n, t.size.k, a.stride, b.stride, t.y_row})))
    return by_eigen(t);
  const int m = int(t.size.m), n = int(t.size.n), k = int(t.size.k), lda = int(a.stride),
            ldb = int(b.stride), ldy = int(t.y_row);
  const T one = 1, zero = 0;
  blas.gemm(b.transposed ? "N" : "T", a.transposed ? "N" : "T", &n, &m, &k, &one, t.b.data, &ldb,
            t.a.data, &lda, &zero, t.y, &ldy, 1, 1);
}

// ---- Matrix times vector: y[m] = a[m, k] x[k]
template <class T>
void matrix_times_vector(const Matrices<T>& a, const T* x, std::int64_t x_by, T* y, std::int64_t m,
                         std::int64_t k, const Blas<T>* blas) {
  const InColumns in = in_columns(a, m, k);
  if (!blas || !fits(std::max({m, k, in.stride, x_by}))) {
    if (in.transposed) {
      for (std::int64_t i = 0; i < m; ++i) y[i] = inner_product(a.data + i * a.row, 1, x, x_by, k);
    } else {
      std::fill_n(y, m, T(0));
      for (std::int64_t l = 0; l < k; ++l)
        for (std::int64_t i = 0; i < m; ++i) y[i] += product_of(a.data[l * a.col + i], x[l * x_by]);
    }
    return;
  }
  std::fill_n(y, m, T(0));  // some libraries multiply what is there by zero, and a NaN stays
  const int rows = int(in.transposed ? k : m), cols = int(in.transposed ? m : k),
            stride = int(in.stride), step = int(x_by), unit = 1;
  const T one = 1;
  blas->gemv(in.transposed ? "T" : "N", &rows, &cols, &one, a.data, &stride, x, &step, &one, y,
             &unit, 1);
}

// ---- Plans.  Numbers are those of a product of floats on one core, roughly
constexpr double kFlopsPerNanosecond = 100, kElementsPerNanosecond = 4;

double nanoseconds(const ProductSizes& s) {
  const double m = double(s.m), n = double(s.n), k = double(s.k);
  return std::max(2 * m * n * k / kFlopsPerNanosecond, (m * k + k * n) / kElementsPerNanosecond);
}
// The sides of a tile: the larger one is halved while tiles are few, or long.
struct Sides {
  std::int64_t m, n;
};
Sides tile_of(const ProductSizes& s) {
  constexpr double few = 8, shortest = 160'000, longest = 20'000'000;  // nanoseconds
  const double whole = nanoseconds(s);
  Sides t{s.m, s.n};
  for (double tiles = 1;; tiles *= 2) {
    const double each = whole / tiles;
    std::int64_t& side = t.m >= t.n ? t.m : t.n;
    if (side < 128 || each < 2 * shortest || (tiles >= few && each < longest)) return t;
    side = (side / 2 + 31) / 32 * 32;
  }
}

enum class Way { loops, eigen, blas };
template <class T>
Way way_of(std::int64_t count, const ProductSizes& s, const Matrices<T>& a, const Matrices<T>& b) {
  const auto lies_well = [](const Matrices<T>& x) { return x.row == 1 || x.col == 1; };
  if constexpr (std::is_integral_v<T>) {
    return Way::loops;
  } else {
    const std::int64_t work = s.m * s.n * s.k;
    if (s.k <= 1 || work <= 512 || !lies_well(a) || !lies_well(b)) return Way::loops;
    // Loading the library takes milliseconds, once: not for a few products of 8 x 8.
    if ((work >= 4096 || work * count >= (1 << 18)) && blas<T>()) return Way::blas;
    return Way::eigen;
  }
}

template <class T>
void matrix_products(std::int64_t count, const Matrices<T>& a, const Matrices<T>& b, T* y,
                     const ProductSizes& s) {
  const Way way = way_of(count, s, a, b);
  const auto run = [&](std::int64_t p, std::int64_t i, std::int64_t j, Sides side) {
    Tile<T> t{a, b, y + (p * s.m + i) * s.n + j, s.n, {side.m, side.n, s.k}};
    t.a.data += p * a.next + i * a.row;
    t.b.data += p * b.next + j * b.col;
    if constexpr (std::is_integral_v<T>)
      loops(t);
    else
      way == Way::loops ? loops(t) : way == Way::blas ? by_blas(t, *blas<T>()) : by_eigen(t);
  };
  const double each = nanoseconds(s);
  const auto serial = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) run(p, 0, 0, {s.m, s.n});
  };
  if (each * double(count) < kSerialNanoseconds) return serial(0, count);
  const Sides side = tile_of(s);
  const std::int64_t down = (s.m + side.m - 1) / side.m, across = (s.n + side.n - 1) / side.n;
  if (down * across == 1) {
    const double grain = std::max(1., kSerialNanoseconds / each);
    return parallel_ranges(count, std::int64_t(grain), serial);
  }
  parallel_for(count * down * across, [&](std::int64_t c) {
    const std::int64_t j = c % across * side.n, i = c / across % down * side.m;
    run(c / (across * down), i, j, {std::min(side.m, s.m - i), std::min(side.n, s.n - j)});
  });
}

template <class T>
void matrix_vector_products(std::int64_t count, const Matrices<T>& a, const Matrices<T>& x,
                            std::int64_t x_by, T* y, std::int64_t m, std::int64_t k) {
  const Blas<T>* library = nullptr;
  if constexpr (!std::is_integral_v<T>)
    if (m * k >= 4096 || m * k * count >= (1 << 18)) library = blas<T>();
  // Pieces of about 64 Ki elements.
  const std::int64_t rows = std::max<std::int64_t>(64, (1 << 16) / k / 64 * 64),
                     pieces = (m + rows - 1) / rows,
                     together = std::max<std::int64_t>(1, (1 << 16) / (m * k));
  parallel_ranges(count * pieces, pieces > 1 ? 1 : together,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t c = begin; c < end; ++c) {
                      const std::int64_t p = c / pieces, i = c % pieces * rows;
                      Matrices<T> part = a;
                      part.data += p * a.next + i * a.row;
                      matrix_times_vector(part, x.data + p * x.next, x_by, y + p * m + i,
                                          std::min(rows, m - i), k, library);
                    }
                  });
}

}  // namespace

template <class T>
void products(std::int64_t count, Matrices<T> a, Matrices<T> b, T* y, ProductSizes s) {
  if (count * s.m * s.n == 0) return;
  if (s.k == 0) return void(std::fill_n(y, count * s.m * s.n, T(0)));
  if (s.m == 1 && s.n == 1 && count == 1) {
    *y = long_inner_product(a.data, a.col, b.data, b.row, s.k);
    return;
  }
  const bool vector = s.m == 1 || s.n == 1;
  if (vector && s.m * s.n > 1 && s.k * s.m * s.n > 512) {
    const bool right = s.n == 1;
    const Matrices<T> m = right ? a : Matrices<T>{b.data, b.col, b.row, b.next};
    if (m.row == 1 || m.col == 1)
      return right ? matrix_vector_products(count, m, b, b.row, y, s.m, s.k)
                   : matrix_vector_products(count, m, a, a.col, y, s.n, s.k);
  }
  matrix_products(count, a, b, y, s);
}
template void products(std::int64_t, Matrices<float>, Matrices<float>, float*, ProductSizes);
template void products(std::int64_t, Matrices<double>, Matrices<double>, double*, ProductSizes);
template void products(std::int64_t, Matrices<std::complex<float>>, Matrices<std::complex<float>>,
                       std::complex<float>*, ProductSizes);
template void products(std::int64_t, Matrices<std::complex<double>>, Matrices<std::complex<double>>,
                       std::complex<double>*, ProductSizes);
template void products(std::int64_t, Matrices<std::int32_t>, Matrices<std::int32_t>, std::int32_t*,
                       ProductSizes);
template void products(std::int64_t, Matrices<std::int64_t>, Matrices<std::int64_t>, std::int64_t*,
                       ProductSizes);

}  // namespace jaxpp::host
