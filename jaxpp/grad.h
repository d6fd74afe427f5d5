// grad.h -- reverse mode: grad, value_and_grad, vjp, linear_transpose.
//
//   auto f = [](Array x, Array y) { return sin(x) * y; };
//   Array dx      = grad(f)(2.0, 3.0);
//   auto [gx, gy] = grad<0, 1>(f)(2.0, 3.0);        // argnums are template arguments: they choose
//   the return type auto [l, g]   = value_and_grad(loss)(params, x, y);      // params: any tree; g
//   has its type auto [z, pullback] = vjp(f, x, y);   auto [cx, cy] = pullback(ct);
#pragma once
#include "jaxpp/jvp.h"

namespace jaxpp {
namespace lax {
Array stop_gradient(const Array& x, Loc);
}

struct GradOptions {
  bool holomorphic = false;  ///< f is a complex-differentiable function of complex arguments
};

namespace internal {
/// Throws unless every leaf can carry a derivative.
void check_inexact(Args x, const char* who, int argnum, Loc loc);

/// The positions N..., negative ones counted from the end; the first argument if there are none.
template <std::size_t arguments, int... N>
constexpr auto argnums() {
  constexpr bool in_range = ((N < int(arguments) && N >= -int(arguments)) && ...);
  static_assert(arguments > 0, "jaxpp: there is no argument to differentiate with respect to.");
  static_assert(in_range, "jaxpp: an argnum is out of range; the function has fewer arguments.");
  if constexpr (sizeof...(N) == 0 || !in_range)
    return std::index_sequence<0>();
  else
    return std::index_sequence<std::size_t(N < 0 ? N + int(arguments) : N)...>();
}
template <class In, int... N>
using Argnums = decltype(argnums<std::tuple_size_v<In>, N...>());

template <class T>
auto bare_if_one(T t) {
  if constexpr (std::tuple_size_v<T> == 1)
    return std::get<0>(std::move(t));
  else
    return t;
}
template <class R>
constexpr bool is_value_or_pair() {
  if constexpr (is_pair<R>)
    return std::same_as<typename R::first_type, Array>;
  else
    return std::same_as<R, Array>;
}

/// f as a flat function of the Arrays of some of its arguments; the others are constants.
template <class F, class In, std::size_t... K>
struct PartlyFlattened {
  const F& f;
  const In& in;
  std::optional<Out<F, In>> result{};
  PartlyFlattened(const F& fn, const In& arguments, std::index_sequence<K...>)
      : f(fn), in(arguments) {}
  void operator()(Args x, Results& y) {
    In traced(in);
    std::size_t k = 0;
    (unflatten(std::get<K>(traced), x, k), ...);
    result.emplace(call(f, traced));
    flatten(*result, y);
  }
  Results leaves(const char* who, Loc loc) const {
    Results x;
    auto add = [&](const auto& tree, int argnum) {
      std::size_t first = x.size();
      flatten(tree, x);
      check_inexact(args(x).subspan(first), who, argnum, loc);
    };
    (add(std::get<K>(in), int(K)), ...);
    return x;
  }
  /// Arguments K... with other Arrays.
  auto with(Args x) const {
    return bare_if_one(
        unflatten(std::tuple<std::tuple_element_t<K, In>...>(std::get<K>(in)...), x));
  }
};

/// tuple(value, gradient) or tuple(value, aux, gradient)
template <int... N, class F, class... A>
auto value_and_grad_of(const F& f, const GradOptions& options, const char* who, Loc loc, A&&... a) {
  auto in = as_args<F>(std::forward<A>(a)...);
  using In = decltype(in);
  using R = Out<F, In>;
  constexpr bool ok = is_value_or_pair<R>();  // returning (loss, aux) needs no has_aux flag
  static_assert(
      ok, "jaxpp: grad needs a function that returns one scalar Array, or std::pair<Array, Aux>.");
  if constexpr (ok) {
    PartlyFlattened run(f, in, Argnums<In, N...>());
    Results x = run.leaves(who, loc), aux, g(x.size());
    Array value;
    grad_flat(flat(run), args(x), value, aux, g.data(), who, loc, options.holomorphic);
    auto grads = run.with(args(g));
    if constexpr (is_pair<R>) {
      return std::tuple(std::move(value), unflatten(std::move(run.result->second), args(aux)),
                        std::move(grads));
    } else {
      return std::tuple<Array, decltype(grads)>(std::move(value), std::move(grads));
    }
  }
}
}  // namespace internal

template <class F, int... N>
struct ValueAndGrad {
  using Traced = F;
  F f;
  GradOptions options;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    return internal::value_and_grad_of<N...>(f, options, "value_and_grad", loc,
                                             std::forward<A>(a)...);
  }
};
template <class F, int... N>
struct Grad {
  using Traced = F;
  F f;
  GradOptions options;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto r = internal::value_and_grad_of<N...>(f, options, "grad", loc, std::forward<A>(a)...);
    if constexpr (std::tuple_size_v<decltype(r)> == 3)
      return std::pair(std::get<2>(std::move(r)), std::get<1>(std::move(r)));
    else
      return std::get<1>(std::move(r));
  }
};

/// The gradient of a scalar-valued function with respect to the arguments N... (the first one by
/// default). grad(f)(x...): for one N that gradient, for several a tuple.  If f returns pair(loss,
/// aux): pair(gradient, aux).
template <int... N, class F>
auto grad(F f, GradOptions options = {}, Loc loc = Loc::current()) {
  return Grad<F, N...>{std::move(f), options, loc};
}
/// The same with the value: tuple(value, gradient), or tuple(value, aux, gradient).
template <int... N, class F>
auto value_and_grad(F f, GradOptions options = {}, Loc loc = Loc::current()) {
  return ValueAndGrad<F, N...>{std::move(f), options, loc};
}

/// The transposed derivative at a point, as a function of a cotangent of the result.
template <class In, class R>
struct Pullback {
  internal::TreeLinearMap<In, R> map;
  const char* who;
  /// The cotangent of the argument, or a tuple of them for several arguments.  May be called again.
  template <class Ct>
  auto operator()(Ct&& ct, Loc loc = Loc::current()) const {
    return internal::bare_if_one(
        map.pull(internal::as_tangent(map.out, std::forward<Ct>(ct)), who, loc));
  }
};
/// pair(f(x...), pullback).
template <class F, class... A>
auto vjp(const F& f, A&&... a) {
  auto in = internal::as_args<F>(std::forward<A>(a)...);
  auto [y, map] = internal::linear_map(f, in, "vjp", Loc());
  using In = decltype(in);
  return std::pair(std::move(y), Pullback<In, internal::Out<F, In>>{std::move(map), "vjp"});
}
/// The transpose of a linear function, as a function of a cotangent; of x... only the types matter.
template <class F, class... A>
auto linear_transpose(const F& f, A&&... a) {
  auto in = internal::as_args<F>(std::forward<A>(a)...);
  using In = decltype(in);
  internal::InexactFlattened<F, In> run{f, in};
  std::vector<internal::Type> types;
  for (const Array& x : internal::inexact_leaves(in)) types.push_back(x.type());
  auto map = internal::LinearMap::linear(internal::flat(run), types, Loc());
  auto out_types = map.out_types();
  std::size_t k = 0;
  visit_leaves(*run.result, [&](Array& y) {
    y = Array::view(out_types[k]->dtype, out_types[k]->shape, nullptr);
    ++k;
  });
  return Pullback<In, internal::Out<F, In>>{
      {std::move(map), internal::skeleton(in), std::move(*run.result)}, "linear_transpose"};
}

/// The identity, whose derivative is zero.  Of any tree.
template <class T>
auto stop_gradient(T&& tree, Loc loc = Loc::current()) {
  return tree_map([loc](const Array& x) { return lax::stop_gradient(x, loc); },
                  internal::promote(std::forward<T>(tree)));
}

}  // namespace jaxpp
