// dot_kernels.cc -- dot_general as a batch of matrix products.
//
// Each operand is seen as [batch, free, contracted].  Where its free and its contracted axes each
// are one stride apart and one of the two is contiguous, it is used where it lies; otherwise it is
// copied into that order.  Float products of some size are Eigen's; small ones, vectors and
// integers are loops.  Types other than the computing ones (halves, narrow integers, mixed
// operands) are converted first.
#include <Eigen/Core>
#include <algorithm>
#include "backends/eager/strided.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

using Eigen::Dynamic;

// ---- One product: y[m, n] = sum over k of a[m, k] b[k, n]; y row-major, strides in elements
struct Sizes {
  std::int64_t m, n, k;
};
struct Strides {
  std::int64_t row, col;
};

template <class T>
T product_of(T a, T b) {
  if constexpr (is_complex_type<T>)
    return T(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
  else
    return T(a * b);
}
// Rows of b are contiguous: y's row is a combination of them.
template <class T>
void combine_rows(const T* a, Strides sa, const T* b, std::int64_t b_row, T* y, Sizes s) {
  for (std::int64_t i = 0; i < s.m; ++i, y += s.n) {
    std::fill_n(y, s.n, T(0));
    for (std::int64_t l = 0; l < s.k; ++l) {
      const T v = a[i * sa.row + l * sa.col];
      const T* row = b + l * b_row;
      for (std::int64_t j = 0; j < s.n; ++j) y[j] += product_of(v, row[j]);
    }
  }
}
// Contiguous vectors: in halves down to blocks, whose sums Eigen vectorises.
template <class T>
T long_inner_product(const T* a, const T* b, std::int64_t n) {
  constexpr std::int64_t block = 1024;
  if (n > block) {
    const std::int64_t half = (n / 2 + block - 1) / block * block;
    return long_inner_product(a, b, half) + long_inner_product(a + half, b + half, n - half);
  }
  using V = Eigen::Map<const Eigen::Matrix<T, Dynamic, 1>>;
  return V(a, n).cwiseProduct(V(b, n)).sum();
}
// Four sums at a time: the order of additions is fixed, the chain of each is short.
template <class T>
T inner_product(const T* a, std::int64_t a_by, const T* b, std::int64_t b_by, std::int64_t n) {
  if constexpr (!std::is_integral_v<T>)
    if (n >= 64 && a_by == 1 && b_by == 1) return long_inner_product(a, b, n);
  T s[4] = {};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::int64_t k = 0; k < 4; ++k) s[k] += product_of(a[(i + k) * a_by], b[(i + k) * b_by]);
  for (; i < n; ++i) s[0] += product_of(a[i * a_by], b[i * b_by]);
  return T((s[0] + s[1]) + (s[2] + s[3]));
}
template <class T>
void small_product(const T* a, Strides sa, const T* b, Strides sb, T* y, Sizes s) {
  if (sb.col == 1 && s.n > 1) return combine_rows(a, sa, b, sb.row, y, s);
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j)
      *y++ = inner_product(a + i * sa.row, sa.col, b + j * sb.col, sb.row, s.k);
}

template <class T, int Order>
auto matrix(const T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  using M = Eigen::Matrix<T, Dynamic, Dynamic, Order>;
  return Eigen::Map<const M, 0, Eigen::OuterStride<>>(data, rows, cols,
                                                      Eigen::OuterStride<>(stride));
}
template <class T>
void eigen_product(const T* a, Strides sa, const T* b, Strides sb, T* y, Sizes s) {
  using Eigen::ColMajor, Eigen::RowMajor;
  Eigen::Map<Eigen::Matrix<T, Dynamic, Dynamic, RowMajor>> out(y, s.m, s.n);
  const bool a_rows = sa.col == 1, b_rows = sb.col == 1;
  const auto by_b = [&](const auto& left) {
    if (b_rows)
      out.noalias() = left * matrix<T, RowMajor>(b, s.k, s.n, sb.row);
    else
      out.noalias() = left * matrix<T, ColMajor>(b, s.k, s.n, sb.col);
  };
  if (a_rows)
    by_b(matrix<T, RowMajor>(a, s.m, s.k, sa.row));
  else
    by_b(matrix<T, ColMajor>(a, s.m, s.k, sa.col));
}
template <class T>
void matrix_product(const T* a, Strides sa, const T* b, Strides sb, T* y, Sizes s) {
  if constexpr (std::is_integral_v<T>)
    return small_product(a, sa, b, sb, y, s);
  else if (s.k == 0 || s.m * s.n * s.k <= 512 || (s.m == 1 && s.n == 1))
    small_product(a, sa, b, sb, y, s);
  else
    eigen_product(a, sa, b, sb, y, s);
}

// ---- An operand as [batch, free, contracted]
struct View {
  Array array;     // keeps a copy alive
  Dims batch;      // strides
  Strides matrix;  // of free, contracted
};
// One stride for all of dims, if they are one dimension in memory (of any size if they are empty);
// else -1.
std::int64_t joined_stride(const Shape& shape, const Dims& strides, const Dims& dims) {
  std::int64_t stride = 0, next = 0;  // next: the stride that the dimension in front must have
  for (std::size_t i = dims.size(); i-- > 0;) {
    const auto d = std::size_t(dims[i]);
    if (shape[d] == 1) continue;
    if (!next)
      stride = strides[d];
    else if (strides[d] != next)
      return -1;
    next = strides[d] * shape[d];
  }
  return next ? stride : 1;
}
View view_of(const Array& x, const Dims& batch, const Dims& free, const Dims& contracted) {
  const Shape& shape = x.shape();
  const Dims strides = strides_of(shape);
  View v{x, {}, {joined_stride(shape, strides, free), joined_stride(shape, strides, contracted)}};
  if (v.matrix.row >= 0 && v.matrix.col >= 0 && (v.matrix.row == 1 || v.matrix.col == 1)) {
    for (auto d : batch) v.batch.push_back(strides[std::size_t(d)]);
    return v;
  }
  Dims order = batch;
  order.append(free.begin(), free.end());
  order.append(contracted.begin(), contracted.end());
  const Shape moved = pick(shape, order);
  v.array = Array::make(make_type(x.dtype(), moved));
  copy_strided(x, 0, pick(strides, order), v.array);
  const Dims own = strides_of(moved);
  v.batch = Dims(own.begin(), own.begin() + batch.size());
  v.matrix = {product(pick(shape, contracted)), 1};
  return v;
}
// Vectors and matrices with one contracted axis: no lists of dimensions.
struct Plain {
  std::int64_t free = 1, free_stride = 1, contracted_stride = 1;
  Plain(const Array& x, std::int64_t contracted) {
    if (x.ndim() == 1) return;
    free = x.shape()[std::size_t(1 - contracted)];
    (contracted == 1 ? free_stride : contracted_stride) = x.shape()[1];
  }
};
bool is_plain(const Array& x, const Dims& contracted, const Dims& batch) {
  return x.ndim() <= 2 && contracted.size() == 1 && batch.empty();
}
template <class T>
void batched_product(const Array& a, const Array& b, const DotDims& d, Array& y) {
  if (is_plain(a, d.lhs_contracting, d.lhs_batch) && is_plain(b, d.rhs_contracting, d.rhs_batch)) {
    const auto k = d.lhs_contracting[0];
    const Plain l(a, k), r(b, d.rhs_contracting[0]);
    return matrix_product(a.data<T>(), {l.free_stride, l.contracted_stride}, b.data<T>(),
                          {r.contracted_stride, r.free_stride}, y.data<T>(),
                          {l.free, r.free, a.shape()[std::size_t(k)]});
  }
  const Dims a_free = without(a.shape().size(), d.lhs_contracting, d.lhs_batch),
             b_free = without(b.shape().size(), d.rhs_contracting, d.rhs_batch);
  const Sizes s{product(pick(a.shape(), a_free)), product(pick(b.shape(), b_free)),
                product(pick(a.shape(), d.lhs_contracting))};
  if (y.size() == 0) return;
  const View va = view_of(a, d.lhs_batch, a_free, d.lhs_contracting),
             vb = view_of(b, d.rhs_batch, b_free, d.rhs_contracting);
  StridedPair walk{{}, {}, {}};
  for (std::size_t i = 0; i < d.lhs_batch.size(); ++i)
    walk.add(a.shape()[std::size_t(d.lhs_batch[i])], va.batch[i], vb.batch[i]);
  T* out = y.data<T>();
  walk_pair(walk, walk.shape.size(), [&](std::int64_t from_a, std::int64_t from_b) {
    matrix_product(va.array.data<T>() + from_a, va.matrix, vb.array.data<T>() + from_b,
                   {vb.matrix.col, vb.matrix.row}, out, s);
    out += s.m * s.n;
  });
}

// ---- Types
// What a product is computed in: halves in float, integers in the signed type of 4 or 8 bytes (they
// wrap alike).
DType computing(DType d) {
  if (is_inexact(d)) return width(d) == 2 ? DType::f32 : d;
  return width(d) == 8 ? DType::i64 : DType::i32;
}
void convert(const Array& x, Array& y) {
  Array t = y;
  convert_element_type_p.kernel.load(std::memory_order_acquire)
      ->run(Args{&x, 1}, ConvertParams{y.dtype()}, &t);
  if (t.node() != y.node())  // the kernel made its own result
    std::memcpy(y.data<char>(), t.data<char>(), std::size_t(y.size()) * width(y.dtype()));
}
Array converted(const Array& x, DType d) {
  if (x.dtype() == d) return x;
  Array y = Array::make(make_type(d, x.shape()));
  convert(x, y);
  return y;
}
void compute(const Array& a, const Array& b, const DotDims& d, Array& y) {
  switch (y.dtype()) {
    case DType::i32: return batched_product<std::int32_t>(a, b, d, y);
    case DType::i64: return batched_product<std::int64_t>(a, b, d, y);
    case DType::f32: return batched_product<float>(a, b, d, y);
    case DType::f64: return batched_product<double>(a, b, d, y);
    case DType::c64: return batched_product<std::complex<float>>(a, b, d, y);
    default: return batched_product<std::complex<double>>(a, b, d, y);
  }
}
void dot_general(Args x, Params p, Array* y) {
  const DotDims& d = p.as<DotParams>().dimension_numbers;
  const DType out = y->dtype();
  if (x[0].dtype() == out && x[1].dtype() == out && computing(out) == out)
    return compute(x[0], x[1], d, *y);
  const DType in = computing(promote_types(promote_types(x[0].dtype(), x[1].dtype()), out));
  Array wide = Array::make(make_type(in, y->shape()));
  compute(converted(x[0], in), converted(x[1], in), d, wide);
  convert(wide, *y);
}

}  // namespace

void install_dot_kernels() { install<dot_general>(dot_general_p); }

}  // namespace jaxpp::internal
