// elementwise_kernels.h -- how a row of elementwise.def becomes a kernel: one loop per element type
// over a contiguous run of elements, chosen from a table by dtype.  Broadcasting happens outside of
// the loops, so that they stay small.  block_ops.h makes the same loops known to other executors.
//
// A loop may run in place: element i of the result depends on element i of the operands only (hence
// ivdep).
#pragma once
#include <array>
#include <tuple>
#include <utility>

#include "backends/eager/block_ops.h"
#include "backends/eager/kernels.h"
#include "backends/eager/scalar.h"
#include "jaxpp/ops/elementwise.h"

namespace jaxpp::internal {

void install_unary_kernels();
void install_binary_kernels();
void install_compare_kernels();
void install_convert_kernels();

using UnaryLoops = std::array<UnaryLoop, kNumDTypes>;
using BinaryLoops = std::array<BinaryLoop, kNumDTypes>;

/// Runs a loop over operands that broadcast: equal shapes, rank 0, or sizes 1.
void run_broadcast(BinaryLoop loop, const Array& x, const Array& y, const Array& z);

// ---- Element types by dtype
using ElementTypes = std::tuple<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t,
                                std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t, float16,
                                bfloat16, float, double, std::complex<float>, std::complex<double>>;
template <DType D>
using Element = std::tuple_element_t<std::size_t(D), ElementTypes>;

/// Rows that work on the stored format, not on what it is computed in.
template <class Code>
inline constexpr bool stored_format = false;
template <class Code, class T>
auto load(T v) {
  if constexpr (stored_format<Code>)
    return v;
  else
    return scalar::compute(v);
}

// ---- Loops of one row for one element type.  R: the element type of the result
template <class Code, class T, class R>
void unary_loop(const void* x_, void* z_, std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  R* z = static_cast<R*>(z_);
  auto f = [](T v) { return scalar::store<R>(Code::f(load<Code>(v))); };
  if (n == 1) {
    *z = f(*x);
    return;
  }
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i]);
}
template <class Code, class T, class R>
void binary_loop(const void* x_, bool x_full, const void* y_, bool y_full, void* z_,
                 std::int64_t n) {
  const T *x = static_cast<const T*>(x_), *y = static_cast<const T*>(y_);
  R* z = static_cast<R*>(z_);
  auto f = [](T v, T w) { return scalar::store<R>(Code::f(load<Code>(v), load<Code>(w))); };
  if (n == 1) {
    *z = f(*x, *y);
  } else if (!x_full) {
    const T v = *x;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = f(v, y[i]);
  } else if (!y_full) {
    const T w = *y;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i], w);
  } else {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i], y[i]);
  }
}

// ---- Tables: null where the row is not defined
template <class Code>
inline constexpr UnaryLoops unary_loops = []<std::size_t... I>(std::index_sequence<I...>) {
  auto loop = []<DType D>() -> UnaryLoop {
    if constexpr (in_domain(Code::domain, D))
      return unary_loop<Code, Element<D>, Element<result_dtype(Code::result, D)>>;
    else
      return nullptr;
  };
  return UnaryLoops{loop.template operator()<DType(I)>()...};
}
(std::make_index_sequence<kNumDTypes>());
template <class Code>
inline constexpr BinaryLoops binary_loops = []<std::size_t... I>(std::index_sequence<I...>) {
  auto loop = []<DType D>() -> BinaryLoop {
    if constexpr (in_domain(Code::domain, D))
      return binary_loop<Code, Element<D>, Element<result_dtype(Code::result, D)>>;
    else
      return nullptr;
  };
  return BinaryLoops{loop.template operator()<DType(I)>()...};
}
(std::make_index_sequence<kNumDTypes>());

// ---- Rows of block_ops.h
template <class Code>
BlockOp unary_op(Params, std::span<const DType> x, DType) {
  return unary_loops<Code>[std::size_t(x[0])];
}
template <class Code>
BlockOp binary_op(Params, std::span<const DType> x, DType) {
  return binary_loops<Code>[std::size_t(x[0])];
}

// ---- Kernels
template <class Code>
void unary_kernel(Args x, Params, Array* z) {
  unary_loops<Code>[std::size_t(x[0].dtype())](x[0].data<char>(), z->data<char>(), z->size());
}
template <class Code>
void binary_kernel(Args x, Params, Array* z) {
  const BinaryLoop loop = binary_loops<Code>[std::size_t(x[0].dtype())];
  const std::int64_t n = z->size(), nx = x[0].size(), ny = x[1].size();
  if ((nx == n || nx == 1) && (ny == n || ny == 1)) [[likely]]
    loop(x[0].data<char>(), nx == n, x[1].data<char>(), ny == n, z->data<char>(), n);
  else
    run_broadcast(loop, x[0], x[1], *z);
}

}  // namespace jaxpp::internal
