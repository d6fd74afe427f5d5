// args.h -- how the arguments of a call become traced values.  Not for users.
//
// The parameter types of the transformed function decide: an `Array` parameter takes a number or an
// Eigen matrix as an Array, which is traced; a `double` or `int` parameter keeps its number, which
// is static.  A generic lambda says nothing, so every number it is given is traced.
#pragma once
#include "jaxpp/flat.h"
#include "jaxpp/tree.h"

namespace jaxpp::internal {

// ---- The I-th parameter type of a callable, without const and reference; void where it cannot be
// read.
template <std::size_t I, class... A>
struct NthParam {
  using type = void;
};
template <std::size_t I, class... A>
requires(I < sizeof...(A)) struct NthParam<I, A...> {
  using type = std::remove_cvref_t<std::tuple_element_t<I, std::tuple<A...>>>;
};
template <class Signature>
struct ParamList {
  template <std::size_t I>
  using at = void;
};
template <class R, class... A>
struct ParamList<R(A...)> {
  template <std::size_t I>
  using at = typename NthParam<I, A...>::type;
};
template <class S>
struct PlainSignature {
  using type = void;
};
template <class R, class C, class... A>
struct PlainSignature<R (C::*)(A...)> {
  using type = R(A...);
};
template <class R, class C, class... A>
struct PlainSignature<R (C::*)(A...) const> {
  using type = R(A...);
};
template <class R, class C, class... A>
struct PlainSignature<R (C::*)(A...) noexcept> {
  using type = R(A...);
};
template <class R, class C, class... A>
struct PlainSignature<R (C::*)(A...) const noexcept> {
  using type = R(A...);
};
template <class R, class... A>
struct PlainSignature<R (*)(A...)> {
  using type = R(A...);
};
template <class R, class... A>
struct PlainSignature<R (*)(A...) noexcept> {
  using type = R(A...);
};
template <class F>
struct SignatureOf : PlainSignature<F> {};
template <class F>
requires requires { &F::operator(); }
struct SignatureOf<F> : PlainSignature<decltype(&F::operator())> {};
template <class F>  // a transform looks through to the function it transforms
requires requires { typename F::Traced; }
struct SignatureOf<F> : SignatureOf<typename F::Traced> {};
template <class F, std::size_t I>
using Param = typename ParamList<typename SignatureOf<F>::type>::template at<I>;

// ---- What an argument of type A becomes
template <class T>
using Promoted = std::conditional_t<Scalar<T> || ArrayLike<T>, Array, T>;
template <class P, class A>
struct ArgFor {
  using type = std::conditional_t<std::is_convertible_v<A, P>, P, std::decay_t<A>>;
};
template <class A>
struct ArgFor<void, A> {
  using type = Promoted<std::decay_t<A>>;
};
template <class F, std::size_t I, class A>
using Arg = typename ArgFor<Param<F, I>, A>::type;

template <class F, class... A>
inline constexpr bool callable =
    std::is_invocable_v<const F&, A...> || std::is_invocable_v<const F&, A&...>;

/// The arguments as a tuple of trees.  Arguments moved in stay solely owned.
template <class F, class... A>
auto as_args(A&&... a) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    static_assert(
        callable<F, Arg<F, I, A>...>,
        "jaxpp: the transformed function cannot be called with these arguments; compare their "
        "number and "
        "types with its parameters (it is called as const: a lambda may not be mutable).");
    return std::tuple<Arg<F, I, A>...>(static_cast<Arg<F, I, A>>(std::forward<A>(a))...);
  }
  (std::index_sequence_for<A...>());
}

// ---- What a function returns: a number is an Array, void an empty tuple
template <class F, class... A>
decltype(auto) call_with(const F& f, std::tuple<A...>& in) {
  return [&]<std::size_t... I>(std::index_sequence<I...>)->decltype(auto) {
    if constexpr (std::is_invocable_v<const F&, A...>)
      return f(std::forward<A>(std::get<I>(in))...);
    else
      return f(std::get<I>(in)...);
  }
  (std::index_sequence_for<A...>());
}
template <class R>
struct OutFor {
  using type = Promoted<std::remove_cvref_t<R>>;
};
template <>
struct OutFor<void> {
  using type = std::tuple<>;
};
template <class F, class In>
using Out =
    typename OutFor<decltype(call_with(std::declval<const F&>(), std::declval<In&>()))>::type;
/// f(in...), which may move from `in`.
template <class F, class In>
Out<F, In> call(const F& f, In& in) {
  if constexpr (std::is_void_v<decltype(call_with(f, in))>) {
    call_with(f, in);
    return {};
  } else
    return call_with(f, in);
}

/// f as a flat function of the Arrays of `in`.  The result's structure is kept, for the transformed
/// values.
template <class F, class In>
struct Flattened {
  const F& f;
  const In& in;
  std::optional<Out<F, In>> result{};
  void operator()(Args x, Results& y) {
    In traced(in);
    std::size_t k = 0;
    unflatten(traced, x, k);
    result.emplace(call(f, traced));
    flatten(*result, y);
  }
  Out<F, In> with(Args y) const { return unflatten(*result, y); }
};
template <class F, class In>
Flattened<F, In> flattened(const F& f, const In& in) {
  return {f, in};
}

/// Numbers inside tuples become Arrays too: what a loop carries, and what branches return.
template <class T>
struct DeepPromoted {
  using type = Promoted<T>;
};
template <class... T>
struct DeepPromoted<std::tuple<T...>> {
  using type = std::tuple<typename DeepPromoted<T>::type...>;
};
template <class A, class B>
struct DeepPromoted<std::pair<A, B>> {
  using type = std::pair<typename DeepPromoted<A>::type, typename DeepPromoted<B>::type>;
};
template <class T, std::size_t N>
struct DeepPromoted<std::array<T, N>> {
  using type = std::array<typename DeepPromoted<T>::type, N>;
};
template <class T>
using Promote = typename DeepPromoted<std::decay_t<T>>::type;
template <class T>
Promote<T> promote(T&& t) {
  using D = std::decay_t<T>;
  if constexpr (std::is_same_v<Promote<T>, D>)
    return std::forward<T>(t);
  else if constexpr (is_std_array<D>) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return Promote<T>{internal::promote(std::get<I>(std::forward<T>(t)))...};
    }
    (std::make_index_sequence<std::tuple_size_v<D>>());
  } else if constexpr (is_tuple<D> || is_pair<D>) {
    return std::apply(
        [](auto&&... e) { return Promote<T>(internal::promote(std::forward<decltype(e)>(e))...); },
        std::forward<T>(t));
  } else
    return Promote<T>(std::forward<T>(t));
}

// ---- Tangents: where a leaf carries no derivative (an integer), none is looked at
using ArrayRefs = SmallVec<const Array*, 8>;
template <class T>
ArrayRefs array_refs(const T& t) {
  ArrayRefs r;
  visit_arrays(t, [&](const Array& a) { r.push_back(&a); });
  return r;
}
/// The tangents (or cotangents) `dx` of the arrays `x`, checked: null for a zero and, if
/// keep_integers, for an integer.
void collect_tangents(const ArrayRefs& x, const ArrayRefs& dx, bool keep_integers, Results& t,
                      const char* who, Loc loc);
/// A number as a tangent takes the dtype of its primal.
Array weak_tangent(const Array& number, const Array& primal);
Array zeros_of(Type t);
/// dx in the type of its primal x; a static x has no tangent, whatever dx is.
template <class P, class T>
P as_tangent(const P& x, T&& dx) {
  using D = std::decay_t<T>;
  if constexpr (std::is_same_v<P, Array> && Scalar<D>)
    return weak_tangent(Array(dx), x);
  else if constexpr (is_static_tree<P>)
    return x;
  else {
    static_assert(std::is_convertible_v<T, P>,
                  "jaxpp: a tangent (or cotangent) must have the type of the value it belongs to.");
    return P(std::forward<T>(dx));
  }
}
/// The structure of a tree and the types of its leaves, without their elements.
template <class T>
T skeleton(T t) {
  visit_arrays(t, [](Array& a) {
    if (a.defined()) a = Array::view(a.dtype(), a.shape(), nullptr);
  });
  return t;
}

}  // namespace jaxpp::internal
