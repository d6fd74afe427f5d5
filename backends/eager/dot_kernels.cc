// dot_kernels.cc -- dot_general as a batch of matrix products.
//
// Each operand is seen as [batch, free, contracted].  Where its free and its contracted axes each
// are one stride apart and one of the two is contiguous, it is used where it lies; otherwise it is
// copied into that order.  Float products of some size are Eigen's; small ones, vectors and
// integers are loops.  Types other than the computing ones (halves, narrow integers, mixed
// operands) are converted first.
#include <algorithm>
#include "backends/eager/strided.h"
#include "backends/host/product.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

using host::Matrices, host::ProductSizes;

// ---- An operand as [batch, free, contracted]
struct View {
  Array array;                    // keeps a copy alive
  Dims batch;                     // strides
  std::int64_t free, contracted;  // strides
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
  View v{x, {}, joined_stride(shape, strides, free), joined_stride(shape, strides, contracted)};
  if (v.free >= 0 && v.contracted >= 0 && (v.free == 1 || v.contracted == 1)) {
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
  v.free = product(pick(shape, contracted));
  v.contracted = 1;
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
    return host::products<T>(1, {a.data<T>(), l.free_stride, l.contracted_stride},
                             {b.data<T>(), r.contracted_stride, r.free_stride}, y.data<T>(),
                             {l.free, r.free, a.shape()[std::size_t(k)]});
  }
  const Dims a_free = without(a.shape().size(), d.lhs_contracting, d.lhs_batch),
             b_free = without(b.shape().size(), d.rhs_contracting, d.rhs_batch);
  const ProductSizes s{product(pick(a.shape(), a_free)), product(pick(b.shape(), b_free)),
                       product(pick(a.shape(), d.lhs_contracting))};
  if (y.size() == 0) return;
  const View va = view_of(a, d.lhs_batch, a_free, d.lhs_contracting),
             vb = view_of(b, d.rhs_batch, b_free, d.rhs_contracting);
  StridedPair walk{{}, {}, {}};
  for (std::size_t i = 0; i < d.lhs_batch.size(); ++i)
    walk.add(a.shape()[std::size_t(d.lhs_batch[i])], va.batch[i], vb.batch[i]);
  if (!walk.simplify()) return;
  // The innermost group of batch dimensions is one call.
  std::int64_t count = 1, a_next = 0, b_next = 0;
  if (const std::size_t rank = walk.shape.size()) {
    count = walk.shape[rank - 1];
    a_next = walk.to[rank - 1];
    b_next = walk.from[rank - 1];
  }
  T* out = y.data<T>();
  walk_pair(walk, walk.shape.empty() ? 0 : walk.shape.size() - 1,
            [&](std::int64_t from_a, std::int64_t from_b) {
              host::products<T>(
                  count, {va.array.data<T>() + from_a, va.free, va.contracted, a_next},
                  {vb.array.data<T>() + from_b, vb.contracted, vb.free, b_next}, out, s);
              out += count * s.m * s.n;
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
