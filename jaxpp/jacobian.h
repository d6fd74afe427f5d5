// jacobian.h -- whole derivatives: jacfwd, jacrev, jacobian, hessian, hvp.
//
//   auto f = [](Array x) { return Array{x(0) * x(0) + x(1), x(0) * x(1)}; };
//   jacobian(f)(Array{1., 2.})  ==  {{2., 1.}, {2., 1.}}
//   hessian([](Array x) { return sum(x * x * x); })(x)              // x.shape() + x.shape()
//
// The result has the shape of f's result followed by that of the argument.  f may return a tree of
// Arrays, or take one: the result is that tree of Jacobians.  (Both would give a tree of trees:
// ravel one of them.)
#pragma once
#include "jaxpp/grad.h"

namespace jaxpp {

struct JacobianOptions {
  std::int64_t chunk = 0;  ///< columns (jacfwd) or rows (jacrev) computed at a time; 0: all at once
  bool holomorphic = false;  ///< f is a complex-differentiable function of complex arguments
};
namespace internal {
enum class JacobianMode { forward, reverse, automatic };
/// The Jacobian of result o by input i is entry o * x.size() + i.
void jacobian_flat(FlatFn f, Args x, JacobianMode mode, const JacobianOptions&, Results& out,
                   const char* who, Loc loc);

/// The Jacobians by one argument, whose leaves are the inputs first ... of n.
template <class R, class P>
auto jacobian_tree(const R& result, const P& arg, Args all, std::size_t n, std::size_t& first) {
  Results j;
  if constexpr (std::same_as<R, Array>) {
    visit_leaves(arg, [&](const Array&) { j.push_back(all[first++]); });
    return unflatten(arg, args(j));
  } else {
    static_assert(std::same_as<P, Array>,
                  "jaxpp: the Jacobian of a struct by a struct is a tree of trees; ravel() the "
                  "argument or the result.");
    if constexpr (std::same_as<P, Array>) {
      for (std::size_t o = first++; o < all.size(); o += n) j.push_back(all[o]);
      return unflatten(result, args(j));
    } else
      return 0;
  }
}
}  // namespace internal

template <class F, internal::JacobianMode mode, int... N>
struct Jacobian {
  using Traced = F;
  F f;
  JacobianOptions options;
  const char* who;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    using In = decltype(in);
    return by_args(in, internal::Argnums<In, N...>());
  }

 private:
  template <class In, std::size_t... K>
  auto by_args(const In& in, std::index_sequence<K...> k) const {
    internal::PartlyFlattened run(f, in, k);
    internal::Results x = run.leaves(who, loc), out;
    internal::jacobian_flat(internal::flat(run), args(x), mode, options, out, who, loc);
    std::size_t first = 0;
    auto tree = [&](const auto& arg) {
      return internal::jacobian_tree(*run.result, arg, args(out), x.size(), first);
    };
    return internal::bare_if_one(
        std::tuple<decltype(tree(std::get<K>(in)))...>{tree(std::get<K>(in))...});
  }
};

/// The Jacobian by forward mode, a column for each element of the argument: for few inputs.
template <int... N, class F>
auto jacfwd(F f, JacobianOptions options = {}, Loc loc = Loc::current()) {
  return Jacobian<F, internal::JacobianMode::forward, N...>{std::move(f), options, "jacfwd", loc};
}
/// The Jacobian by reverse mode, a row for each element of the result: for few outputs.
template <int... N, class F>
auto jacrev(F f, JacobianOptions options = {}, Loc loc = Loc::current()) {
  return Jacobian<F, internal::JacobianMode::reverse, N...>{std::move(f), options, "jacrev", loc};
}
/// The Jacobian by the mode that needs fewer passes.
template <int... N, class F>
auto jacobian(F f, JacobianOptions options = {}, Loc loc = Loc::current()) {
  return Jacobian<F, internal::JacobianMode::automatic, N...>{std::move(f), options, "jacobian",
                                                              loc};
}
/// The matrix of second derivatives of a scalar function: jacfwd(jacrev(f)).
template <int... N, class F>
auto hessian(F f, JacobianOptions options = {}, Loc loc = Loc::current()) {
  return jacfwd<N...>(jacrev<N...>(std::move(f), options, loc), options, loc);
}
/// The Hessian of a scalar function at x, times v: at the cost of a few evaluations.  x, v: trees,
/// or tuples of arguments.
template <class F, class X, class V>
auto hvp(const F& f, const X& x, const V& v, Loc loc = Loc::current()) {
  if constexpr (internal::is_tuple<X>) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      auto g = [&](const internal::Arg<F, I, std::tuple_element_t<I, X>>&... e) {
        if constexpr (sizeof...(I) == 1)
          return std::tuple(grad(f, {}, loc)(e...));
        else
          return grad<int(I)...>(f, {}, loc)(e...);
      };
      return jvp(g, x, v, loc).second;
    }
    (std::make_index_sequence<std::tuple_size_v<X>>());
  } else
    return jvp(grad(f, {}, loc), x, v, loc).second;
}

}  // namespace jaxpp
