// make_jaxpr.h -- a function as a program: make_jaxpr, eval_shape.
//
//   std::cout << make_jaxpr(grad(f))(2.0);   // JAX's text form; also .json(), .dot()
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

template <class F>
struct MakeJaxpr {
  using Traced = F;
  F f;
  Loc loc;
  template <class... A>
  Jaxpr operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    auto run = internal::flattened(f, in);
    std::vector<internal::Type> types;
    visit_leaves(in, [&](const Array& x) { types.push_back(x.type()); });
    return internal::make_jaxpr_flat(internal::flat(run), types, loc);
  }
};
/// make_jaxpr(f)(args...): the program that f is for arguments of these types.
template <class F>
auto make_jaxpr(F f, Loc loc = Loc::current()) {
  return MakeJaxpr<F>{std::move(f), loc};
}

template <class F>
struct EvalShape {
  using Traced = F;
  F f;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    using R = internal::Out<F, decltype(internal::as_args<F>(std::forward<A>(a)...))>;
    std::vector<internal::Type> types =
        MakeJaxpr<const F&>{f, loc}(std::forward<A>(a)...).out_types();
    if constexpr (std::same_as<R, Array>)
      return types[0];
    else
      return types;
  }
};
/// eval_shape(f)(args...): the type of the result (for a tree, of each leaf), found without
/// computing it.
///   eval_shape(f)(x)->shape    eval_shape(f)(x)->str()
template <class F>
auto eval_shape(F f, Loc loc = Loc::current()) {
  return EvalShape<F>{std::move(f), loc};
}

}  // namespace jaxpp
