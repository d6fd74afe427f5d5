// emulator_gemm.cc -- Eigen under cuBLASLt's conventions: column-major, leading dimensions, strides of a batch; halves
// are computed in float; C is not read if beta is 0.
#include "backends/cuda/emulator_gemm.h"

#include <Eigen/Core>
#include <algorithm>
#include <complex>

#include "jaxpp/core/error.h"

namespace jaxpp::cuda::emulation {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

// Stored elements are S, numbers are T.
template <class S, class T>
Matrix<T> read(const S* p, std::int64_t rows, std::int64_t columns, std::int64_t leading,
               bool transposed) {
  if (transposed) std::swap(rows, columns);
  Matrix<T> m(rows, columns);
  for (std::int64_t j = 0; j < columns; ++j)
    for (std::int64_t i = 0; i < rows; ++i) m(i, j) = T(p[i + j * leading]);
  if (transposed) return m.transpose();
  return m;
}
template <class S, class T>
void multiply(const Gemm& g, const void* a, const void* b, void* c) {
  for (std::int64_t i = 0; i < g.batch; ++i) {
    auto* to = static_cast<S*>(c) + i * g.stride_c;
    Matrix<T> y =
        read<S, T>(static_cast<const S*>(a) + i * g.stride_a, g.m, g.k, g.lda, g.transpose_a) *
        read<S, T>(static_cast<const S*>(b) + i * g.stride_b, g.k, g.n, g.ldb, g.transpose_b);
    y *= T(g.alpha);
    if (g.beta != 0) y += T(g.beta) * read<S, T>(to, g.m, g.n, g.ldc, false);
    for (std::int64_t column = 0; column < g.n; ++column)
      for (std::int64_t row = 0; row < g.m; ++row) to[row + column * g.ldc] = S(y(row, column));
  }
}

}  // namespace

GemmExtent check_gemm(const Gemm& g) {
  auto bytes = [&](const char* which, std::int64_t rows, std::int64_t columns, std::int64_t leading,
                   std::int64_t stride, bool transposed) {
    if (transposed) std::swap(rows, columns);
    if (rows < 1 || columns < 1 || g.batch < 1 || leading < rows || stride < 0)
      throw Error(std::string("gemm: ") + which + " is " + std::to_string(rows) + " x " +
                  std::to_string(columns) + " with leading dimension " + std::to_string(leading) +
                  ", " + std::to_string(g.batch) + " times with stride " + std::to_string(stride) +
                  ": no matrices.");
    return std::size_t((g.batch - 1) * stride + (columns - 1) * leading + rows) * width(g.type);
  };
  return {bytes("A", g.m, g.k, g.lda, g.stride_a, g.transpose_a),
          bytes("B", g.k, g.n, g.ldb, g.stride_b, g.transpose_b),
          bytes("C", g.m, g.n, g.ldc, g.stride_c, false)};
}

void gemm(const Gemm& g, const void* a, const void* b, void* c) {
  switch (g.type) {
    case DType::f16: return multiply<float16, float>(g, a, b, c);
    case DType::bf16: return multiply<bfloat16, float>(g, a, b, c);
    case DType::f32: return multiply<float, float>(g, a, b, c);
    case DType::f64: return multiply<double, double>(g, a, b, c);
    case DType::c64: return multiply<std::complex<float>, std::complex<float>>(g, a, b, c);
    case DType::c128: return multiply<std::complex<double>, std::complex<double>>(g, a, b, c);
    default: throw Error("gemm: there is none for the type of these elements.");
  }
}

}  // namespace jaxpp::cuda::emulation
