// interpret_loops.cc -- moves by the width of an element, folds and combining scatters by its type.
#include "backends/loops/interpret_loops.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include "backends/eager/fold_ops.h"
#include "backends/eager/scalar.h"

namespace jaxpp::loops::interpret {
namespace {

// ---- Moving
template <class T>
void copy(const void* x, void* z, std::int64_t n) {
  if (n == 1)
    *static_cast<T*>(z) = *static_cast<const T*>(x);
  else if (x != z)
    std::memcpy(z, x, std::size_t(n) * sizeof(T));
}
template <class T>
void fill(const void* x, void* z, std::int64_t n) {
  std::fill_n(static_cast<T*>(z), n, T(*static_cast<const T*>(x)));
}
template <class T>
void gather(const void* x_, std::int64_t stride, void* z_, std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  T* z = static_cast<T*>(z_);
  for (std::int64_t i = 0; i < n; ++i, x += stride) z[i] = *x;
}
template <class T>
void gather_at(const void* x_, const std::int64_t* at, std::int64_t k, std::int64_t stride,
               void* z_, std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  T* z = static_cast<T*>(z_);
  for (std::int64_t i = 0; i < n; ++i, x += stride) z[i] = x[k * at[i]];
}
template <class T>
void scatter(const void* x_, bool x_full, void* z_, std::int64_t stride, const bool* mask,
             std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  T* z = static_cast<T*>(z_);
  if (mask && stride == 1) {
    if (x_full) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) z[i] = mask[i] ? x[i] : z[i];
    } else {
      const T v = *x;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) z[i] = mask[i] ? v : z[i];
    }
  } else if (mask) {
    for (std::int64_t i = 0; i < n; ++i, z += stride)
      if (mask[i]) *z = x[x_full ? i : 0];
  } else {
    for (std::int64_t i = 0; i < n; ++i, z += stride) *z = x[x_full ? i : 0];
  }
}

// ---- Folding and combining scatters
struct Set {
  template <class A>
  static A step(A, A x) {
    return x;
  }
};
template <class Op, class T>
void scatter_at(const void* x_, bool x_full, void* z_, const std::int64_t* at, std::int64_t k,
                std::int64_t stride, const bool* mask, std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  T* z = static_cast<T*>(z_);
  for (std::int64_t i = 0; i < n; ++i, z += stride) {
    if (mask && !mask[i]) continue;
    T& to = z[k * at[i]];
    const T v = x[x_full ? i : 0];
    if constexpr (std::is_same_v<Op, Set>)
      to = v;
    else
      to = T(Op::step(widen(to), widen(v)));
  }
}
template <class Op, class T>
void fold(const void* x, void* z_, std::int64_t n) {
  T* z = static_cast<T*>(z_);
  *z = T(Op::step(widen(*z), fold_row<Op>(static_cast<const T*>(x), n)));
}
template <class Op>
ScatterAtLoop scatter_at_of(DType d) {
  ScatterAtLoop f = nullptr;
  by_fold_type<Op>(d, [&](auto t) { f = scatter_at<Op, decltype(t)>; });
  return f;
}
template <class Op>
UnaryLoop fold_of(DType d) {
  UnaryLoop f = nullptr;
  by_fold_type<Op>(d, [&](auto t) { f = fold<Op, decltype(t)>; });
  return f;
}

// The sum of a row is added with what its rounding lost (Knuth's two-sum).
template <class T>
void accumulate(const void* x, void* z, std::int64_t n) {
  auto& to = *static_cast<Accumulator*>(z);
  auto add = [&](int part, double v) {
    const double s = to.sum[part], sum = s + v, of_v = sum - s;
    to.error[part] += (s - (sum - of_v)) + (v - of_v);
    to.sum[part] = sum;
  };
  const auto v = fold_row<Sum>(static_cast<const T*>(x), n);
  if constexpr (is_complex_type<T>) {
    add(0, double(v.real()));
    add(1, double(v.imag()));
  } else {
    add(0, double(v));
  }
}
template <class T>
void flush(const void* x, void* z_, std::int64_t) {
  auto& from = *const_cast<Accumulator*>(static_cast<const Accumulator*>(x));
  auto total = [&](int part) {  // infinities leave a NaN in the error
    const double s = from.sum[part], e = from.error[part];
    return std::isfinite(e) ? s + e : s;
  };
  T* z = static_cast<T*>(z_);
  if constexpr (is_complex_type<T>) {
    using R = typename T::value_type;
    *z = T(R(double(z->real()) + total(0)), R(double(z->imag()) + total(1)));
  } else if constexpr (is_half<T>) {
    *z = scalar::convert<T>(double(float(*z)) + total(0));
  } else {
    *z = T(double(*z) + total(0));
  }
  from = {};
}
template <class Go>
UnaryLoop by_sum_type(DType d, Go go) {
  switch (d) {
    case DType::f16: return go(float16());
    case DType::bf16: return go(bfloat16());
    case DType::f32: return go(float());
    case DType::f64: return go(double());
    case DType::c64: return go(std::complex<float>());
    case DType::c128: return go(std::complex<double>());
    default: return nullptr;
  }
}

// ---- Indices
template <class T>
void iota(std::int64_t first, std::int64_t step, void* z_, std::int64_t n) {
  T* z = static_cast<T*>(z_);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t v = first + step * i;
    if constexpr (is_complex_type<T>)
      z[i] = T(typename T::value_type(v));
    else
      z[i] = scalar::convert<T>(v);
  }
}
template <class T>
void clip(const void* x_, std::int64_t lo, std::int64_t hi, std::int64_t* z, std::int64_t n) {
  const T* x = static_cast<const T*>(x_);
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t v = std::int64_t(x[i]);
    if constexpr (std::is_same_v<T, std::uint64_t>)
      if (v < 0) v = std::numeric_limits<std::int64_t>::max();
    v = v < lo ? lo : v;
    z[i] = v > hi ? hi : v;
  }
}

}  // namespace

UnaryLoop copy_loop(DType d) {
  return by_width(d, [](auto t) -> UnaryLoop { return copy<decltype(t)>; });
}
UnaryLoop fill_loop(DType d) {
  return by_width(d, [](auto t) -> UnaryLoop { return fill<decltype(t)>; });
}
GatherLoop gather_loop(DType d) {
  return by_width(d, [](auto t) -> GatherLoop { return gather<decltype(t)>; });
}
GatherAtLoop gather_at_loop(DType d) {
  return by_width(d, [](auto t) -> GatherAtLoop { return gather_at<decltype(t)>; });
}
ScatterLoop scatter_loop(DType d) {
  return by_width(d, [](auto t) -> ScatterLoop { return scatter<decltype(t)>; });
}
ScatterAtLoop scatter_at_loop(Combine c, DType d) {
  switch (c) {
    case Combine::set:
      return by_width(d, [](auto t) -> ScatterAtLoop { return scatter_at<Set, decltype(t)>; });
    case Combine::add: return scatter_at_of<Sum>(d);
    case Combine::mul: return scatter_at_of<Product>(d);
    case Combine::max: return scatter_at_of<Max>(d);
    case Combine::min: return scatter_at_of<Min>(d);
    case Combine::and_: return scatter_at_of<And>(d);
    case Combine::or_: return scatter_at_of<Or>(d);
    case Combine::xor_: return scatter_at_of<Xor>(d);
  }
  return nullptr;
}
UnaryLoop fold_loop(Combine c, DType d) {
  switch (c) {
    case Combine::set: return nullptr;
    case Combine::add: return fold_of<Sum>(d);
    case Combine::mul: return fold_of<Product>(d);
    case Combine::max: return fold_of<Max>(d);
    case Combine::min: return fold_of<Min>(d);
    case Combine::and_: return fold_of<And>(d);
    case Combine::or_: return fold_of<Or>(d);
    case Combine::xor_: return fold_of<Xor>(d);
  }
  return nullptr;
}
bool accumulates(Combine c, DType d) { return c == Combine::add && is_inexact(d); }
UnaryLoop accumulate_loop(DType d) {
  return by_sum_type(d, [](auto t) -> UnaryLoop { return accumulate<decltype(t)>; });
}
UnaryLoop flush_loop(DType d) {
  return by_sum_type(d, [](auto t) -> UnaryLoop { return flush<decltype(t)>; });
}
IotaLoop iota_loop(DType d) {
  return by_dtype(d, [](auto t) -> IotaLoop { return iota<decltype(t)>; });
}
ClipLoop clip_loop(DType d) {
  return by_dtype(d, [](auto t) -> ClipLoop {
    using T = decltype(t);
    if constexpr (is_integer(dtype_of<T>)) return clip<T>;
    return nullptr;
  });
}

std::int64_t mask_and(const std::uint8_t* x, bool x_full, bool inverted, const bool* outer, bool* z,
                      std::int64_t n) {
  std::uint8_t* to = reinterpret_cast<std::uint8_t*>(z);
  const auto* o = reinterpret_cast<const std::uint8_t*>(outer);
  const std::uint8_t flip = inverted;
  const std::int64_t step = x_full;
  std::int64_t count = 0;
  if (o)
    for (std::int64_t i = 0; i < n; ++i) to[i] = std::uint8_t(o[i] & ((x[i * step] != 0) ^ flip));
  else
    for (std::int64_t i = 0; i < n; ++i) to[i] = std::uint8_t((x[i * step] != 0) ^ flip);
  for (std::int64_t i = 0; i < n; ++i) count += to[i];
  return count;
}

void reorder_row(void* row, std::size_t width, const std::int32_t* order, bool back, void* scratch,
                 std::int64_t n) {
  auto move = [&](auto t) {
    using T = decltype(t);
    T *x = static_cast<T*>(row), *z = static_cast<T*>(scratch);
    if (back)
      for (std::int64_t i = 0; i < n; ++i) z[order[i]] = x[i];
    else
      for (std::int64_t i = 0; i < n; ++i) z[i] = x[order[i]];
    std::memcpy(x, z, std::size_t(n) * sizeof(T));
  };
  switch (width) {
    case 1: return move(std::uint8_t());
    case 2: return move(std::uint16_t());
    case 4: return move(std::uint32_t());
    case 8: return move(std::uint64_t());
    default: return move(Bits128());
  }
}

}  // namespace jaxpp::loops::interpret
