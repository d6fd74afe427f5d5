// special_matrices.cc -- matrices made of few numbers: elements are gathered from vectors, at positions that are constants.
#include "jaxpp/special_matrices.h"
#include <cmath>
#include "jaxpp/linalg_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::linalg {
using namespace internal;

namespace {
Array vectors(const char* op, const Array& x, std::int64_t least, Loc loc) {
  need_array(x, op, loc);
  const Array v = atleast_1d(x, loc);
  if (v.shape(-1) < least)
    linalg_error(std::string(op) + ": needs vectors of at least " + std::to_string(least) +
                     " elements, not " + x.type()->str() + ".",
                 loc);
  return v;
}
// i along rows, and along columns.
Array row_numbers(std::int64_t m) { return expand_dims(lax::iota(i64, {m}, 0), 1); }
Array column_numbers(std::int64_t n) { return expand_dims(lax::iota(i64, {n}, 0), 0); }
// v[..., at[i, j]]
Array elements(const Array& v, const Array& at) { return take(v, at, -1, "clip"); }
// c's and r's batches made one, and their elements joined.
Array joined(const char* op, const Array& c0, const Array& r0, Loc loc) {
  auto [c, r] = internal::promote(c0, r0, loc);
  const Shape batches[] = {Shape(c.shape().begin(), c.shape().end() - 1),
                           Shape(r.shape().begin(), r.shape().end() - 1)};
  const Shape batch = broadcast_shapes(batches, op, loc);
  auto whole = [&](const Array& x) {
    Shape s = batch;
    s.push_back(x.shape(-1));
    return broadcast_to(x, s);
  };
  return concatenate({whole(c), whole(r)}, -1);
}
Array empty_matrices(const Array& joined, std::int64_t m, std::int64_t n) {
  Shape s(joined.shape().begin(), joined.shape().end() - 1);
  s.push_back(m);
  s.push_back(n);
  return zeros(s, joined.dtype());
}
void need_size(const char* op, std::int64_t n, std::int64_t least, Loc loc) {
  if (n < least)
    linalg_error(std::string(op) + ": the size must be at least " + std::to_string(least) +
                     ", not " + std::to_string(n) + ".",
                 loc);
}
DType need_float(const char* op, DType d, Loc loc) {
  if (!is_inexact(d))
    linalg_error(std::string(op) + ": its elements are no integers.", loc, "Ask for f32 or f64.");
  return d;
}
Array from_host(std::int64_t rows, std::int64_t cols, DType d,
                double (*element)(std::int64_t, std::int64_t)) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) v.push_back(element(i, j));
  return Array(std::span<const double>(v), Shape{rows, cols}).astype(d);
}
// n over k, exact as long as it fits a double.
double binomial(std::int64_t n, std::int64_t k) {
  if (k < 0 || k > n) return 0;
  double y = 1;
  for (std::int64_t i = 1; i <= std::min(k, n - k); ++i) y = y * double(n - i + 1) / double(i);
  return std::round(y);
}
}  // namespace

Array block_diag(const std::vector<Array>& blocks, Loc loc) {
  const UserLine line(loc);
  if (blocks.empty()) return zeros({1, 0});
  std::vector<Array> x;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    need_array(blocks[i], "linalg::block_diag", loc);
    if (blocks[i].ndim() > 2)
      linalg_error("block_diag: operand " + std::to_string(i) + " must be a matrix, not " +
                       blocks[i].type()->str() + ".",
                   loc);
    x.push_back(atleast_2d(blocks[i]));
  }
  promote_types_of("linalg::block_diag", x, loc);
  std::int64_t columns = 0, before = 0;
  for (const Array& a : x) columns += a.shape(1);
  for (Array& a : x) {
    const std::int64_t n = a.shape(1);
    a = lax::pad(a, zeros({}, a.dtype()), {Dims{0, 0, 0}, Dims{before, columns - n - before, 0}});
    before += n;
  }
  return concatenate(x, 0);
}
Array toeplitz(const Array& c, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("toeplitz", c, 0, loc);
  return toeplitz(v, is_complex(v.dtype()) ? conj(v) : v, loc);
}
Array toeplitz(const Array& c0, const Array& r0, Loc loc) {
  const UserLine line(loc);
  const Array c = vectors("toeplitz", c0, 0, loc), r = vectors("toeplitz", r0, 0, loc);
  const std::int64_t m = c.shape(-1), n = r.shape(-1);
  const Array all = joined("linalg::toeplitz", flip(c, -1), r, loc);  // r[0] is not used
  if (m == 0 || n == 0) return empty_matrices(all, m, n);
  const Array k = column_numbers(n) - row_numbers(m);
  return elements(all, where(k > 0, m + k, m - 1 + k));
}
Array hankel(const Array& c, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("hankel", c, 0, loc);
  return hankel(v, zeros_like(v), loc);
}
Array hankel(const Array& c0, const Array& r0, Loc loc) {
  const UserLine line(loc);
  const Array c = vectors("hankel", c0, 0, loc), r = vectors("hankel", r0, 0, loc);
  const std::int64_t m = c.shape(-1), n = r.shape(-1);
  const Array all = joined("linalg::hankel", c, r, loc);  // r[0] is not used
  if (m == 0 || n == 0) return empty_matrices(all, m, n);
  const Array k = row_numbers(m) + column_numbers(n);
  return elements(all, where(k < m, k, k + 1));
}
Array circulant(const Array& c, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("circulant", c, 0, loc);
  const std::int64_t n = v.shape(-1);
  if (n == 0) return empty_matrices(v, 0, 0);
  return elements(v, remainder(row_numbers(n) - column_numbers(n), n));
}
Array leslie(const Array& f0, const Array& s0, Loc loc) {
  const UserLine line(loc);
  const Array f = vectors("leslie", f0, 2, loc), s = vectors("leslie", s0, 1, loc);
  const std::int64_t n = f.shape(-1);
  if (s.shape(-1) != n - 1)
    linalg_error("leslie: " + f.type()->str() + " and " + s.type()->str() +
                     " do not fit: s has one element less than f.",
                 loc);
  const Array all = joined("linalg::leslie", f, s, loc);
  const Array row = row_numbers(n), column = column_numbers(n);
  const Array values = elements(all, where(row == 0, column, n - 1 + row));
  return where((row == 0) | (column == row - 1), values, zeros_like(values));
}
Array companion(const Array& a, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("companion", inexact(a, "linalg::companion", loc), 2, loc);
  const Array first = -v(Ellipsis, Slice(1, None)) / v(Ellipsis, Slice(0, 1));
  const std::int64_t n = first.shape(-1);
  const Array below = eye(n, n, -1, v.dtype());
  return where(row_numbers(n) == 0, expand_dims(first, -2), below);
}
Array fiedler(const Array& a, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("fiedler", a, 0, loc);
  return abs(expand_dims(v, -1) - expand_dims(v, -2));
}
Array convolution_matrix(const Array& a, std::int64_t n, std::string_view mode, Loc loc) {
  const UserLine line(loc);
  const Array v = vectors("convolution_matrix", a, 1, loc);
  need_size("convolution_matrix", n, 1, loc);
  const std::int64_t m = v.shape(-1), rows = m + n - 1, less = std::min(m, n) - 1;
  std::int64_t begin = 0, end = rows;
  if (mode == "same") {
    begin = less / 2;
    end = rows - (less - less / 2);
  } else if (mode == "valid") {
    begin = less;
    end = rows - less;
  } else if (mode != "full") {
    linalg_error("convolution_matrix: no mode \"" + std::string(mode) + "\".", loc,
                 "It is \"full\", \"same\" or \"valid\".");
  }
  const Array k = row_numbers(end - begin) + begin - column_numbers(n);
  const Array values = elements(v, clip(k, 0, m - 1));
  return where((k >= 0) & (k < m), values, zeros_like(values));
}

Array hilbert(std::int64_t n, DType d, Loc loc) {
  const UserLine line(loc);
  need_size("hilbert", n, 0, loc);
  return from_host(n, n, need_float("hilbert", d, loc),
                   [](std::int64_t i, std::int64_t j) { return 1 / double(i + j + 1); });
}
Array invhilbert(std::int64_t n, DType d, Loc loc) {
  const UserLine line(loc);
  need_size("invhilbert", n, 0, loc);
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      v.push_back(((i + j) % 2 ? -1. : 1.) * double(i + j + 1) * binomial(n + i, n - j - 1) *
                  binomial(n + j, n - i - 1) * binomial(i + j, i) * binomial(i + j, i));
  return Array(std::span<const double>(v), Shape{n, n}).astype(need_float("invhilbert", d, loc));
}
Array pascal(std::int64_t n, std::string_view kind, DType d, Loc loc) {
  const UserLine line(loc);
  need_size("pascal", n, 0, loc);
  if (kind == "symmetric")
    return from_host(n, n, d, [](std::int64_t i, std::int64_t j) { return binomial(i + j, i); });
  if (kind != "lower" && kind != "upper")
    linalg_error("pascal: no kind \"" + std::string(kind) + "\".", loc,
                 "It is \"symmetric\", \"lower\" or \"upper\".");
  const Array lower = from_host(n, n, d, binomial);
  return kind == "lower" ? lower : transpose(lower);
}
Array helmert(std::int64_t n, bool full, DType d, Loc loc) {
  const UserLine line(loc);
  need_size("helmert", n, 1, loc);
  need_float("helmert", d, loc);
  const Array rows = from_host(n - 1, n, d, [](std::int64_t i, std::int64_t j) {
    const double length = std::sqrt(double(i + 1) * double(i + 2));
    return j <= i ? 1 / length : j == i + 1 ? -double(i + 1) / length : 0.;
  });
  if (!full) return rows;
  return concatenate({jaxpp::full({1, n}, Array(1 / std::sqrt(double(n))), d), rows}, 0);
}
Array hadamard(std::int64_t n, DType d, Loc loc) {
  const UserLine line(loc);
  if (n < 1 || (n & (n - 1)))
    linalg_error("hadamard: the size must be a power of 2, not " + std::to_string(n) + ".", loc);
  return from_host(n, n, d, [](std::int64_t i, std::int64_t j) {
    return __builtin_parityll(std::uint64_t(i & j)) ? -1. : 1.;
  });
}
Array dft(std::int64_t n, DftScale scale, DType d, Loc loc) {
  const UserLine line(loc);
  need_size("dft", n, 0, loc);
  if (!is_complex(d)) linalg_error("dft: its elements are complex.", loc, "Ask for c64 or c128.");
  const double factor = scale == DftScale::none    ? 1
                        : scale == DftScale::sqrtn ? 1 / std::sqrt(double(n))
                                                   : 1 / double(n);
  std::vector<std::complex<double>> v;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      v.push_back(std::polar(factor, -2 * M_PI * double(i * j % n) / double(n)));
  return Array(std::span<const std::complex<double>>(v), Shape{n, n}).astype(d);
}

}  // namespace jaxpp::linalg
