// elementwise_loops.h -- how a row of elementwise.def becomes loops: one per element type over a
// contiguous run of elements.  Broadcasting happens outside of the loops, so that they stay small.
//
// A loop may run in place: element i of the result depends on element i of the operands only (hence
// ivdep).  Included by files that are compiled once per instruction set, JAXPP_ISA: their Codes have
// no linkage, so nothing of a loop is shared between them.
#pragma once
#include <utility>
#include "backends/eager/elementwise_kernels.h"
#include "backends/eager/scalar.h"

namespace jaxpp::internal {

// Inline functions of the standard library must not be compiled for more than every machine has.
namespace baseline {
inline constexpr bool is_baseline = true;
}
namespace avx2 {
inline constexpr bool is_baseline = false;
}
namespace avx512 {
inline constexpr bool is_baseline = false;
}

namespace JAXPP_ISA {

/// Rows that work on the stored format, not on what it is computed in.
template <class Code>
inline constexpr bool stored_format = false;
/// Rows whose complex numbers have loops in the baseline only: functions of the standard library; and the product, which GCC 12
/// makes vfmaddsub of whether it may contract or not.
template <class Code>
inline constexpr bool complex_in_baseline = false;
/// Rows with a shorter form of arguments that are not huge (scalar::usual_bound): a functor.
struct NoUsualForm {};
template <class Code>
inline constexpr auto usual_form = NoUsualForm();
template <class Code>
inline constexpr bool has_usual_form =
    !std::is_same_v<decltype(usual_form<Code>), const NoUsualForm>;

template <class T, class R, class F>
[[gnu::always_inline]] inline void map(const T* x, R* z, std::int64_t n, F f) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i]);
}
template <class Code, class T, class R>
void unary_loop(const void* x_, void* z_, std::int64_t n) {
  const auto* x = static_cast<const scalar::Stored<T>*>(x_);
  R* z = static_cast<R*>(z_);
  if constexpr (is_half<T> && !stored_format<Code>) {  // through the loop of float
    constexpr std::int64_t block = 256;
    using F = std::conditional_t<is_half<R>, float, R>;
    float a[block];
    F b[block];
    for (std::int64_t i = 0; i < n; i += block) {
      const std::int64_t m = n - i < block ? n - i : block;
      map(x + i, a, m, [](T v) { return scalar::compute(v); });
      unary_loop<Code, float, F>(a, b, m);
      map(b, z + i, m, [](F v) { return scalar::store<R>(v); });
    }
  } else {
    auto f = [](T v) __attribute__((always_inline)) {
      if constexpr (stored_format<Code>)
        return scalar::store<R>(Code::f(v));
      else
        return scalar::store<R>(Code::f(scalar::compute(v)));
    };
    if constexpr (has_usual_form<Code> && std::is_floating_point_v<T>) {
      constexpr std::int64_t block = 1024;
      for (std::int64_t i = 0; i < n; i += block) {
        const std::int64_t m = n - i < block ? n - i : block;
        int huge = 0;
        for (std::int64_t j = 0; j < m; ++j)
          huge |= scalar::fabs(x[i + j]) > scalar::usual_bound<T>();
        if (!huge)
          map(
              x + i, z + i, m,
              [](T v) __attribute__((always_inline)) { return usual_form<Code>(v); });
        else
          for (std::int64_t j = i; j < i + m; ++j) z[j] = f(x[j]);
      }
    } else {
      map(x, z, n, f);
    }
  }
}
template <class Code, class T, class R>
void binary_loop(const void* x_, bool x_full, const void* y_, bool y_full, void* z_,
                 std::int64_t n) {
  const auto *x = static_cast<const scalar::Stored<T>*>(x_),
             *y = static_cast<const scalar::Stored<T>*>(y_);
  R* z = static_cast<R*>(z_);
  if constexpr (is_half<T> && !stored_format<Code>) {
    constexpr std::int64_t block = 256;
    using F = std::conditional_t<is_half<R>, float, R>;
    float a[block], b[block];
    F c[block];
    auto widen = [](T v) { return scalar::compute(v); };
    if (!x_full) a[0] = widen(*x);
    if (!y_full) b[0] = widen(*y);
    for (std::int64_t i = 0; i < n; i += block) {
      const std::int64_t m = n - i < block ? n - i : block;
      if (x_full) map(x + i, a, m, widen);
      if (y_full) map(y + i, b, m, widen);
      binary_loop<Code, float, F>(a, x_full, b, y_full, c, m);
      map(c, z + i, m, [](F v) { return scalar::store<R>(v); });
    }
  } else {
    auto f = [](T v, T w) __attribute__((always_inline)) {
      if constexpr (stored_format<Code>)
        return scalar::store<R>(Code::f(v, w));
      else
        return scalar::store<R>(Code::f(scalar::compute(v), scalar::compute(w)));
    };
    if (!x_full) {
      map(
          y, z, n, [ f, v = T(*x) ](T w) __attribute__((always_inline)) { return f(v, w); });
    } else if (!y_full) {
      map(
          x, z, n, [ f, w = T(*y) ](T v) __attribute__((always_inline)) { return f(v, w); });
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i], y[i]);
    }
  }
}

// ---- By dtype: null where the row is not defined, or for another table to have
template <class Code, DType D>
constexpr bool has_loop() {
  return in_domain(Code::domain, D) &&
         (is_baseline || !is_complex(D) || !complex_in_baseline<Code>);
}
template <class Code>
constexpr UnaryLoops unary_loops_of() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    auto loop = []<DType D>() -> UnaryLoop {
      if constexpr (has_loop<Code, D>())
        return unary_loop<Code, Element<D>, Element<result_dtype(Code::result, D)>>;
      else
        return nullptr;
    };
    return UnaryLoops{loop.template operator()<DType(I)>()...};
  }
  (std::make_index_sequence<kNumDTypes>());
}
template <class Code>
constexpr BinaryLoops binary_loops_of() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    auto loop = []<DType D>() -> BinaryLoop {
      if constexpr (has_loop<Code, D>())
        return binary_loop<Code, Element<D>, Element<result_dtype(Code::result, D)>>;
      else
        return nullptr;
    };
    return BinaryLoops{loop.template operator()<DType(I)>()...};
  }
  (std::make_index_sequence<kNumDTypes>());
}

}  // namespace JAXPP_ISA
}  // namespace jaxpp::internal
