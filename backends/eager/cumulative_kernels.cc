// cumulative_kernels.cc -- running sums, products, extremes and log-sum-exps along one axis, from
// either end.
//
// One pass; halves are accumulated in float, so that a long sum keeps its digits.
#include <algorithm>
#include "backends/eager/fold_ops.h"

namespace jaxpp::internal {
namespace {

struct LogSumExp {
  template <class A>
  static A step(A a, A x) {
    if constexpr (is_complex_type<A>) {
      using R = typename A::value_type;
      const A most = before(a, x) ? x : a;
      const A sum = most + std::log(A(1) + std::exp(a + x - most - most));
      return A(sum.real(),
               std::remainder(sum.imag(), R(2 * M_PI)));  // the angle between -pi and pi
    } else {
      const A delta = a - x;
      return is_nan(delta) ? a + x : std::max(a, x) + std::log1p(std::exp(-std::abs(delta)));
    }
  }
};

template <class Op, class T>
void run(const T* x, T* y, std::int64_t outer, std::int64_t n, std::int64_t inner, bool reverse) {
  using A = Accumulated<T>;
  const std::int64_t step = reverse ? -inner : inner, start = reverse ? (n - 1) * inner : 0;
  SmallVec<A, 16> total(static_cast<std::size_t>(inner), A(0));
  for (std::int64_t k = 0; k < outer; ++k) {
    const T* from = x + k * n * inner + start;
    T* to = y + k * n * inner + start;
    if (inner == 1) {
      A sum = widen(*from);
      *to = T(sum);
      for (std::int64_t i = 1; i < n; ++i) {
        from += step;
        to += step;
        sum = Op::step(sum, widen(*from));
        *to = T(sum);
      }
      continue;
    }
    for (std::int64_t j = 0; j < inner; ++j) to[j] = T(total[std::size_t(j)] = widen(from[j]));
    for (std::int64_t i = 1; i < n; ++i) {
      from += step;
      to += step;
      for (std::int64_t j = 0; j < inner; ++j) {
        A& sum = total[std::size_t(j)];
        to[j] = T(sum = Op::step(sum, widen(from[j])));
      }
    }
  }
}
template <class Op>
void cumulative(Args x, Params p, Array* y) {
  const auto& q = p.as<CumParams>();
  const auto axis = std::size_t(q.axis);
  if (x[0].size() == 0) return;
  const std::int64_t n = x[0].shape()[axis], inner = strides_of(x[0].shape())[axis],
                     outer = x[0].size() / (n * inner);
  by_fold_type<Op>(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (!std::is_same_v<Op, LogSumExp> || !std::is_integral_v<T>)
      run<Op>(x[0].data<T>(), y->data<T>(), outer, n, inner, q.reverse);
  });
}

}  // namespace

void install_cumulative_kernels() {
  install<cumulative<Sum>, 1>(cumsum_p);
  install<cumulative<Product>, 1>(cumprod_p);
  install<cumulative<Max>, 1>(cummax_p);
  install<cumulative<Min>, 1>(cummin_p);
  install<cumulative<LogSumExp>, 1>(cumlogsumexp_p);
}

}  // namespace jaxpp::internal
