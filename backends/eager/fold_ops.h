// fold_ops.h -- the binary steps of reductions and running sums: sum, product, max, min, bits.
//
// A step works in the accumulator's type: float for halves, unsigned integers where the sign does
// not matter.
#pragma once
#include <cmath>
#include <limits>
#include "backends/eager/kernels.h"

namespace jaxpp::internal {

/// What elements of type T are accumulated in.
template <class T>
using Accumulated = std::conditional_t<is_half<T>, float, T>;
template <class T>
Accumulated<T> widen(T v) {
  return Accumulated<T>(v);
}

template <class T>
bool is_nan(const T& v) {
  return v != v;
}
/// a < b; complex numbers by real, then imaginary part.
template <class T>
bool before(const T& a, const T& b) {
  if constexpr (is_complex_type<T>)
    return a.real() == b.real() ? a.imag() < b.imag() : a.real() < b.real();
  else
    return a < b;
}
template <class T>
T infinity(bool negative) {
  using L = std::numeric_limits<T>;
  if constexpr (is_complex_type<T>)
    return infinity<typename T::value_type>(negative);
  else if constexpr (L::has_infinity)
    return negative ? -L::infinity() : L::infinity();
  else
    return negative ? L::lowest() : L::max();
}

struct Sum {
  template <class A>
  static A identity() {
    return A(0);
  }
  template <class A>
  static A step(A a, A x) {
    return A(a + x);
  }
};
struct Product {
  template <class A>
  static A identity() {
    return A(1);
  }
  template <class A>
  static A step(A a, A x) {
    if constexpr (is_complex_type<A>)  // as JAX: no special care for infinities
      return A(a.real() * x.real() - a.imag() * x.imag(),
               a.real() * x.imag() + a.imag() * x.real());
    else
      return A(a * x);
  }
};
struct Max {  // NaN wins
  template <class A>
  static A identity() {
    return infinity<A>(true);
  }
  template <class A>
  static A step(A a, A x) {
    if constexpr (is_complex_type<A>)
      return is_nan(x) || (!is_nan(a) && before(a, x)) ? x : a;
    else
      return (x > a) | (x != x) ? x : a;
  }
};
struct Min {
  template <class A>
  static A identity() {
    return infinity<A>(false);
  }
  template <class A>
  static A step(A a, A x) {
    if constexpr (is_complex_type<A>)
      return is_nan(x) || (!is_nan(a) && before(x, a)) ? x : a;
    else
      return (x < a) | (x != x) ? x : a;
  }
};
struct And {
  template <class A>
  static A identity() {
    return A(~A(0));
  }
  template <class A>
  static A step(A a, A x) {
    return a & x;
  }
};
struct Or {
  template <class A>
  static A identity() {
    return A(0);
  }
  template <class A>
  static A step(A a, A x) {
    return a | x;
  }
};
struct Xor {
  template <class A>
  static A identity() {
    return A(0);
  }
  template <class A>
  static A step(A a, A x) {
    return a ^ x;
  }
};

/// go(T()) for the element types on which Op differs: sums, products and bit operations wrap, so
/// that only the width of an integer matters to them.  Bool: and, or, max, min (bytes of 0 and 1).
template <class Op, class Go>
void by_fold_type(DType d, Go go) {
  constexpr bool ordered = std::is_same_v<Op, Max> || std::is_same_v<Op, Min>;
  constexpr bool bits =
      std::is_same_v<Op, And> || std::is_same_v<Op, Or> || std::is_same_v<Op, Xor>;
  if constexpr (!bits) switch (d) {
      case DType::f16: return go(float16());
      case DType::bf16: return go(bfloat16());
      case DType::f32: return go(float());
      case DType::f64: return go(double());
      case DType::c64: return go(std::complex<float>());
      case DType::c128: return go(std::complex<double>());
      default: break;
    }
  if constexpr (ordered) switch (d) {
      case DType::i8: return go(std::int8_t());
      case DType::i16: return go(std::int16_t());
      case DType::i32: return go(std::int32_t());
      case DType::i64: return go(std::int64_t());
      default: break;
    }
  switch (width(d)) {
    case 1: return go(std::uint8_t());
    case 2: return go(std::uint16_t());
    case 4: return go(std::uint32_t());
    default: return go(std::uint64_t());
  }
}

// ---- Contiguous elements: several accumulators, blocks joined pairwise, in an order that depends on n alone
template <class Op, class T, class A = Accumulated<T>>
A fold_block(const T* x, std::int64_t n) {
  constexpr std::int64_t lanes = 32;
  std::int64_t i = 0;
  A total = Op::template identity<A>();
  if (n >= 2 * lanes) {
    A lane[lanes];
    for (std::int64_t k = 0; k < lanes; ++k) lane[k] = widen(x[k]);
    for (i = lanes; i + lanes <= n; i += lanes)
      for (std::int64_t k = 0; k < lanes; ++k) lane[k] = Op::step(lane[k], widen(x[i + k]));
    for (std::int64_t w = lanes / 2; w > 0; w /= 2)
      for (std::int64_t k = 0; k < w; ++k) lane[k] = Op::step(lane[k], lane[k + w]);
    total = lane[0];
  }
  for (; i < n; ++i) total = Op::step(total, widen(x[i]));
  return total;
}
inline constexpr std::int64_t kFoldBlock = 1024;
inline std::int64_t half_of(std::int64_t n) {
  return (n / 2 + kFoldBlock - 1) / kFoldBlock * kFoldBlock;
}
template <class Op, class T, class A = Accumulated<T>>
A fold_row(const T* x, std::int64_t n) {
  if (n <= kFoldBlock) return fold_block<Op>(x, n);
  const std::int64_t half = half_of(n);
  return Op::step(fold_row<Op>(x, half), fold_row<Op>(x + half, n - half));
}

/// Kernels of cumulative_kernels.cc; install_reduce_kernels() calls it.
void install_cumulative_kernels();

}  // namespace jaxpp::internal
