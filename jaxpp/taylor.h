// taylor.h -- derivatives of high order along a curve: truncated Taylor series.
//
//   auto c = taylor([](Array x) { return sin(x) * exp(x); }, 10)(0.5, 1.0);   // 11 coefficients
//   auto d = taylor_series(f, std::vector{x0, x1, x2});                       // of a curve in x
//
// Coefficients, not derivatives: f(x + t v) = c[0] + c[1] t + ... + c[k] t^k + O(t^(k+1)); the j-th derivative is j! c[j].
// A primitive takes O(k^2) operations (nested jvp takes 2^k): products are convolved, linear operations work coefficient by
// coefficient, and any other one solves the differential equation that its jvp rule states.
#pragma once
#include "jaxpp/jvp.h"

namespace jaxpp {
namespace internal {
/// in[k], out[k]: coefficient k of all inputs, of all outputs; a null input is a zero.
void taylor_flat(FlatFn f, std::span<const Results> in, std::vector<Results>& out, const char* who,
                 Loc loc);

void need_coefficients(std::size_t n, Loc loc);
template <class F, class X>
auto taylor_args(const X& x) {
  if constexpr (is_tuple<X>)
    return std::apply([](auto&... e) { return as_args<F>(e...); }, x);
  else
    return as_args<F>(x);
}
template <class In, class V>
Results taylor_coefficient(const In& in, const V& v, const char* who, Loc loc) {
  constexpr auto all = std::make_index_sequence<std::tuple_size_v<In>>();
  Results t;
  if constexpr (is_tuple<V>) {
    auto dx = std::apply([&](auto&... e) { return tangent_args(in, all, e...); }, v);
    collect_tangents(array_refs(in), array_refs(dx), true, t, who, loc);
  } else {
    auto dx = tangent_args(in, all, v);
    collect_tangents(array_refs(in), array_refs(dx), true, t, who, loc);
  }
  return t;
}
template <class F, class In>
auto taylor_run(const F& f, const In& in, std::span<const Results> series, const char* who,
                Loc loc) {
  auto run = flattened(f, in);
  std::vector<Results> y;
  taylor_flat(flat(run), series, y, who, loc);
  std::vector<Out<F, In>> out;
  for (const Results& c : y) out.push_back(run.with(args(c)));
  return out;
}
}  // namespace internal

template <class F>
struct Taylor {
  using Traced = F;
  F f;
  int order;
  Loc loc;
  template <class X, class V>
  auto operator()(const X& x, const V& v) const {
    auto in = internal::taylor_args<F>(x);
    std::vector<internal::Results> series(std::size_t(order < 0 ? 0 : order) + 1);
    series[0] = internal::leaves(in);
    if (order > 0) series[1] = internal::taylor_coefficient(in, v, "taylor", loc);
    return internal::taylor_run(f, in, series, "taylor", loc);
  }
};
/// taylor(f, k)(x, v): the coefficients c[0..k] of t -> f(x + t v), a std::vector of k + 1 results of f.   x and v: one argument,
/// or a std::tuple of all; v has the types of x.  f is traced, as by jit: values inside are not known to C++ `if`.
/// taylor([](Array x) { return exp(x); }, 3)(0.0, 1.0)  ==  {1, 1, 1/2, 1/6}
template <class F>
auto taylor(F f, int order, Loc loc = Loc::current()) {
  return Taylor<F>{std::move(f), order, loc};
}

/// The coefficients of t -> f(x[0] + x[1] t + ... + x[k] t^k), as many as x has.   Each x[j] is an argument, or a std::tuple of all.
/// The series of the solution of y' = f(y):   for (k = 0; k < n; ++k) y.push_back(taylor_series(f, y)[k] / (k + 1));
template <class F, class X>
auto taylor_series(const F& f, const std::vector<X>& x, Loc loc = Loc::current()) {
  internal::need_coefficients(x.size(), loc);
  auto in = internal::taylor_args<F>(x[0]);
  std::vector<internal::Results> series;
  series.push_back(internal::leaves(in));
  for (std::size_t k = 1; k < x.size(); ++k)
    series.push_back(internal::taylor_coefficient(in, x[k], "taylor_series", loc));
  return internal::taylor_run(f, in, series, "taylor_series", loc);
}

}  // namespace jaxpp
