// kernels.h -- what the kernels share: dispatch on element types, walks over strided index spaces, and how a kernel is
// installed.  A kernel is a function (operands, parameters, outputs allocated from the shape rule).
#pragma once
#include "backends/host/pool.h"
#include "jaxpp/core/backend.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::internal {

// Each file of kernels has one of these; backends/backend.cc calls them all, once.
void install_elementwise_kernels();
void install_shape_kernels();
void install_reduce_kernels();
void install_sort_kernels();
void install_dot_kernels();
void install_indexing_kernels();
void install_linalg_kernels();
void install_decomposition_kernels();
void install_conv_kernels();
void install_fft_kernels();
void install_window_kernels();
void install_random_kernels();
void install_control_kernels();

inline void install(const Primitive& p, const Kernel* k) {
  p.kernel.store(k, std::memory_order_release);
}
/// install<&kernel, in_place>(prim): a kernel whose outputs are allocated by the caller.
template <auto Run, std::uint32_t InPlace = 0>
void install(const Primitive& p) {
  static constexpr Kernel k{.run = Run, .allocates = false, .in_place = InPlace};
  install(p, &k);
}
/// A kernel that makes its outputs itself.
template <auto Run>
void install_allocating(const Primitive& p) {
  static constexpr Kernel k{.run = Run, .allocates = true, .in_place = 0};
  install(p, &k);
}

/// go(T()) for the C++ type of d.
template <class Go>
decltype(auto) by_dtype(DType d, Go&& go) {
  switch (d) {
    case DType::b1: return go(bool());
    case DType::i8: return go(std::int8_t());
    case DType::i16: return go(std::int16_t());
    case DType::i32: return go(std::int32_t());
    case DType::i64: return go(std::int64_t());
    case DType::u8: return go(std::uint8_t());
    case DType::u16: return go(std::uint16_t());
    case DType::u32: return go(std::uint32_t());
    case DType::u64: return go(std::uint64_t());
    case DType::f16: return go(float16());
    case DType::bf16: return go(bfloat16());
    case DType::f32: return go(float());
    case DType::f64: return go(double());
    case DType::c64: return go(std::complex<float>());
    case DType::c128: break;
  }
  return go(std::complex<double>());
}
/// go(T()) for an unsigned type of the element's width (16 bytes: a pair): for kernels that only move elements.
struct Bits128 {
  std::uint64_t lo, hi;
};
template <class Go>
decltype(auto) by_width(DType d, Go&& go) {
  switch (width(d)) {
    case 1: return go(std::uint8_t());
    case 2: return go(std::uint16_t());
    case 4: return go(std::uint32_t());
    case 8: return go(std::uint64_t());
  }
  return go(Bits128());
}

/// f(begin, end) for all of 0 .. n, where each costs a nanosecond or so: in pieces on several threads if there are many.
inline constexpr std::int64_t kPiece = 1 << 15;
template <class F>
void in_pieces(std::int64_t n, F f) {
  if (n < 2 * kPiece) [[likely]]
    f(std::int64_t(0), n);
  else
    host::parallel_ranges(n, kPiece, f);
}

inline Dims strides_of(const Shape& shape) {
  Dims s(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) s[i - 1] = s[i] * shape[i];
  return s;
}
inline std::int64_t product(const Dims& d) {
  std::int64_t n = 1;
  for (auto v : d) n *= v;
  return n;
}
/// Visits every index of `shape` in row-major order: visit(linear index, offset + sum(index * strides)).
template <class Visit>
void walk(const Shape& shape, const Dims& strides, std::int64_t offset, Visit visit) {
  const std::int64_t n = product(shape);
  if (n == 0) return;
  const std::size_t rank = shape.size();
  if (rank == 0) return visit(std::int64_t(0), offset);
  const std::int64_t inner = shape[rank - 1], step = strides[rank - 1];
  Dims index(rank, 0);
  for (std::int64_t i = 0; i < n;) {
    std::int64_t at = offset;
    for (std::int64_t k = 0; k < inner; ++k, ++i, at += step) visit(i, at);
    std::size_t d = rank - 1;
    while (d-- > 0) {
      offset += strides[d];
      if (++index[d] < shape[d]) break;
      offset -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace jaxpp::internal
