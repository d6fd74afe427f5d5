// schedule_gemm.cc -- dot_general as a matrix product of the library's.
//
// Our arrays are row-major, the library's column-major: C = A B in rows is C^T = B^T A^T in
// columns, so the operands change places and nothing is moved.  An operand's dimensions fall into
// three groups, batch, free and contracted; each must be one dimension with one stride, and free or
// contracted must have stride 1: then transposition is a flag.
#include "backends/cuda/schedule.h"
#include "jaxpp/ops/params.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::cuda {
namespace {

struct Group {
  std::int64_t extent = 1, stride = 0;
  bool one = true;  // dimension, with one stride
};
Group group(const Shape& shape, const std::vector<std::int64_t>& dims) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  Group g;
  for (std::size_t i = dims.size(); i-- > 0;) {
    const auto d = std::size_t(dims[i]);
    if (shape[d] == 1) continue;
    if (g.stride == 0)
      g.stride = strides[d];
    else
      g.one &= strides[d] == g.stride * g.extent;
    g.extent *= shape[d];
  }
  return g;
}
std::vector<std::int64_t> list(const Dims& d) { return {d.begin(), d.end()}; }
std::vector<std::int64_t> others(std::size_t rank, const std::vector<std::int64_t>& a,
                                 const std::vector<std::int64_t>& b) {
  std::vector<char> taken(rank);
  for (auto d : a) taken[std::size_t(d)] = 1;
  for (auto d : b) taken[std::size_t(d)] = 1;
  std::vector<std::int64_t> r;
  for (std::size_t i = 0; i < rank; ++i)
    if (!taken[i]) r.push_back(std::int64_t(i));
  return r;
}

struct Matrix {
  bool contracted_last = false;  // in memory
  std::int64_t leading = 0, batch_stride = 0;
};
// rows: of the free dimension.
bool as_matrix(const Group& batch, const Group& free, const Group& contracted, Matrix& m) {
  if (!batch.one || !free.one || !contracted.one) return false;
  m.batch_stride = batch.stride;
  const bool unit_contracted = contracted.stride == 1 || contracted.extent == 1,
             unit_free = free.stride == 1 || free.extent == 1;
  if (unit_contracted && (free.extent == 1 || free.stride >= contracted.extent)) {
    m.contracted_last = true;
    m.leading = free.extent == 1 ? contracted.extent : free.stride;
    return true;
  }
  if (unit_free && (contracted.extent == 1 || contracted.stride >= free.extent)) {
    m.contracted_last = false;
    m.leading = contracted.extent == 1 ? free.extent : contracted.stride;
    return true;
  }
  return false;
}

}  // namespace

Product as_gemm(const Call& call) {
  Product r;
  auto no = [&](const char* why) {
    r.why = "dot_general: " + std::string(why);
    return r;
  };
  if (call.prim != &dot_general_p) {
    r.why = std::string(call.prim->name) + ": not a kernel of the device";
    return r;
  }
  const Type x = call.in[0].type, y = call.in[1].type, z = call.out[0].type;
  if (x->dtype != y->dtype || x->dtype != z->dtype) return no("operands and result differ in type");
  switch (x->dtype) {
    case DType::f16:
    case DType::bf16:
    case DType::f32:
    case DType::f64:
    case DType::c64:
    case DType::c128: break;
    default: return no("the library multiplies floating-point and complex numbers only");
  }
  for (auto& o : {call.in[0], call.in[1], call.out[0]})
    if (!o.at.constant()) return no("the place of an operand is known at run time only");
  const DotDims& d = call.view().as<DotParams>().dimension_numbers;
  auto xc = list(d.lhs_contracting), yc = list(d.rhs_contracting);
  for (std::size_t i = 1; i < xc.size(); ++i)  // the order of the sum is free
    for (std::size_t j = i; j > 0 && xc[j] < xc[j - 1]; --j) {
      std::swap(xc[j], xc[j - 1]);
      std::swap(yc[j], yc[j - 1]);
    }
  const auto xb = list(d.lhs_batch), yb = list(d.rhs_batch);
  const auto xf = others(x->shape.size(), xc, xb), yf = others(y->shape.size(), yc, yb);
  const Group batch = group(x->shape, xb), m = group(x->shape, xf), k = group(x->shape, xc);
  const Group batch_y = group(y->shape, yb), n = group(y->shape, yf), k_y = group(y->shape, yc);
  if (x->size == 0 || y->size == 0 || z->size == 0) return no("an operand is empty");
  Matrix a, b;
  if (!as_matrix(batch, m, k, a) || !as_matrix(batch_y, n, k_y, b))
    return no("an operand is no matrix with one stride for rows and one for columns");
  Gemm& g = r.gemm;
  g.type = x->dtype;
  g.m = n.extent;  // the library's C is our C transposed
  g.n = m.extent;
  g.k = k.extent;
  g.transpose_a = b.contracted_last;
  g.transpose_b = !a.contracted_last;
  g.lda = b.leading;
  g.ldb = a.leading;
  g.ldc = n.extent;
  g.batch = batch.extent;
  g.stride_a = b.batch_stride;
  g.stride_b = a.batch_stride;
  g.stride_c = batch.extent > 1 ? m.extent * n.extent : 0;
  r.a = {call.in[1].buffer, call.in[1].at.c};
  r.b = {call.in[0].buffer, call.in[0].at.c};
  r.c = {call.out[0].buffer, call.out[0].at.c};
  return r;
}

}  // namespace jaxpp::cuda
