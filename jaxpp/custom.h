// custom.h -- functions with derivatives of one's own.
//
//   auto log1pexp = custom_jvp(
//       [](Array x) { return log(1 + exp(x)); },
//       [](Array x, Array dx) { return std::pair(log(1 + exp(x)), dx / (1 + exp(-x))); });
//   auto clipped = custom_vjp(
//       [](Array x) { return x; },
//       [](Array x) { return std::pair(x, None); },                  // value, residuals
//       [](NoneType, Array ct) { return clip(ct, -1.0, 1.0); });     // residuals, cotangent
//
// Either kind has both modes: the rule of custom_jvp is transposed, and so is the (linear) bwd of
// custom_vjp.  Rules may call the function itself, which then defines derivatives of every order.
// Array values that f captures are constants to its derivative; pass what should be differentiated
// as an argument.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {
namespace internal {

/// One call of a function with a derivative: what its rule needs besides Arrays.
template <class F, class D, class In>
struct CustomCall {
  using R = Out<F, In>;
  F f;
  D derivative;
  In in;  // structure only
  Loc loc;
  mutable std::optional<R>* seen =
      nullptr;  // set during the call itself: where to leave the structure of the result

  void note(const R& r) const {
    if (seen && !*seen) seen->emplace(skeleton(r));
  }
  In arguments(Args x) const { return unflatten(in, x); }
  void value(Args x, Results& y) const {
    In a = arguments(x);
    R r = call(f, a);
    note(r);
    flatten(r, y);
  }
};
/// A function and its derivative as plain functions of one shared object; either jvp, or fwd and bwd.
struct CustomFns {
  std::shared_ptr<const void> self;
  void (*call)(const void* self, Args x, Results& y) = nullptr;
  void (*jvp)(const void* self, Args x, Args dx, Results& y, Results& dy) = nullptr;
  void (*fwd)(const void* self, Args x, Results& y, Results& residuals) = nullptr;
  void (*bwd)(const void* self, Args residuals, Args ct, Results& x_ct) = nullptr;
};
void custom_call_flat(const char* name, const CustomFns& fns, Args x, Results& y, Loc loc);

/// Makes the call, and the result a tree again.
template <class Call>
typename Call::R custom_result(const char* name, const std::shared_ptr<Call>& held,
                               const CustomFns& rules, Args x) {
  using R = typename Call::R;
  std::optional<R> like;
  struct Watch {
    const Call& call;
    Watch(const Call& c, std::optional<R>* at) : call(c) { call.seen = at; }
    ~Watch() { call.seen = nullptr; }
  };
  Results y;
  {
    Watch watch(*held, &like);
    auto value = [](const void* self, Args in, Results& out) {
      static_cast<const Call*>(self)->value(in, out);
    };
    custom_call_flat(name, {held, value, rules.jvp, rules.fwd, rules.bwd}, x, y, held->loc);
  }
  return unflatten(std::move(*like), args(y));
}
template <class Rule, class In, class Dx, std::size_t... I>
decltype(auto) call_jvp_rule(const Rule& rule, In& x, Dx& dx, std::index_sequence<I...>) {
  return rule(std::get<I>(x)..., std::get<I>(dx)...);
}

/// fwd and bwd, and the structures that fwd returned: one call's are always the same.
template <class Fwd, class Bwd, class R, class Res>
struct FwdBwd {
  struct Structure {
    R value;
    Res residuals;
  };
  Fwd fwd;
  Bwd bwd;
  mutable std::atomic<std::shared_ptr<const Structure>> structure{};
  FwdBwd(const Fwd& f, const Bwd& b) : fwd(f), bwd(b) {}
  FwdBwd(const FwdBwd& o) : fwd(o.fwd), bwd(o.bwd), structure(o.structure.load()) {}
  void note(const R& value, const Res& residuals) const {
    if (!structure.load())
      structure =
          std::make_shared<const Structure>(Structure{skeleton(value), skeleton(residuals)});
  }
};
/// The cotangent that bwd returns for one argument, leaf by leaf; None is zero.
template <class P, class Ct>
void add_cotangent(const P& like, Ct&& ct, Results& out, Loc loc) {
  if constexpr (is_static_tree<P>)
    return;
  else if constexpr (std::is_same_v<std::decay_t<Ct>, NoneType>)
    visit_leaves(like, [&](const Array&) { out.push_back(Array()); });
  else {
    P g = as_tangent(like, std::forward<Ct>(ct));
    collect_tangents(array_refs(like), array_refs(g), true, out, "custom_vjp", loc);
  }
}
/// How many of the first K arguments hold Arrays.
template <class In, std::size_t K>
inline constexpr std::size_t traced_before = []<std::size_t... J>(std::index_sequence<J...>) {
  return (std::size_t(!is_static_tree<std::tuple_element_t<J, In>>) + ... + 0);
}
(std::make_index_sequence<K>());
/// What bwd returned, argument by argument: bare, or a tuple with an element for each argument
/// (that holds Arrays).
template <class In, class G>
void add_cotangents(const In& like, const G& g, Results& out, Loc loc) {
  constexpr std::size_t n = std::tuple_size_v<In>, traced = traced_before<In, n>;
  auto add = [&]<std::size_t K>(std::integral_constant<std::size_t, K>) {
    using P = std::tuple_element_t<K, In>;
    auto& arg = std::get<K>(like);
    if constexpr (is_static_tree<P>)
      return;
    else if constexpr (traced == 1 &&
                       (std::is_convertible_v<const G&, P> || !(is_tuple<G> || is_pair<G>)))
      add_cotangent(arg, g, out, loc);
    else {
      constexpr std::size_t before = traced_before<In, K>, given = std::tuple_size_v<G>;
      static_assert(given == n || given == traced,
                    "jaxpp: bwd of custom_vjp must return one cotangent, in a tuple, for each "
                    "argument (that holds "
                    "Arrays).");
      if constexpr (given == n)
        add_cotangent(arg, std::get<K>(g), out, loc);
      else if constexpr (given == traced)
        add_cotangent(arg, std::get<before>(g), out, loc);
    }
  };
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    (add(std::integral_constant<std::size_t, K>()), ...);
  }
  (std::make_index_sequence<n>());
}
}  // namespace internal

template <class F, class Rule>
struct CustomJvp {
  using Traced = F;
  F f;
  Rule rule;
  const char* name;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    using In = decltype(in);
    using R = internal::Out<F, In>;
    static_assert(
        is_rule(static_cast<In*>(nullptr)),
        "jaxpp: a custom_jvp rule takes the function's arguments, then one tangent for each.");
    if constexpr (is_rule(static_cast<In*>(nullptr))) {
      using I = std::make_index_sequence<std::tuple_size_v<In>>;
      using Pair = std::remove_cvref_t<decltype(internal::call_jvp_rule(rule, in, in, I()))>;
      static_assert(returns_pair<Pair, R>(),
                    "jaxpp: a custom_jvp rule must return std::pair(value, tangent), both of the "
                    "function's result "
                    "type.");
      internal::Results x = internal::leaves(in);
      using Call = internal::CustomCall<F, Rule, In>;
      auto held = std::make_shared<Call>(Call{f, rule, internal::skeleton(std::move(in)), loc});
      internal::CustomFns fns;
      fns.jvp = [](const void* self, internal::Args p, internal::Args t, internal::Results& y,
                   internal::Results& dy) {
        auto& c = *static_cast<const Call*>(self);
        In primals = c.arguments(p), tangents = c.arguments(t);
        auto out = internal::call_jvp_rule(c.derivative, primals, tangents, I());
        R value = std::move(out.first), tangent = std::move(out.second);
        c.note(value);
        internal::flatten(value, y);
        internal::collect_tangents(internal::array_refs(value), internal::array_refs(tangent), true,
                                   dy, "custom_jvp", c.loc);
      };
      return internal::custom_result(name, held, fns, args(x));
    }
  }

 private:
  template <class... X>
  static constexpr bool is_rule(std::tuple<X...>*) {
    return std::is_invocable_v<const Rule&, X&..., X&...>;
  }
  template <class Pair, class R>
  static constexpr bool returns_pair() {
    if constexpr (internal::is_pair<Pair>)
      return std::is_convertible_v<typename Pair::first_type, R> &&
             std::is_convertible_v<typename Pair::second_type, R>;
    else
      return false;
  }
};
/// f with the derivative   rule(x..., dx...) -> pair(y, dy).
template <class F, class Rule>
auto custom_jvp(F f, Rule rule, const char* name = "f", Loc loc = Loc::current()) {
  return CustomJvp<F, Rule>{std::move(f), std::move(rule), name, loc};
}

template <class F, class Fwd, class Bwd>
struct CustomVjp {
  using Traced = F;
  F f;
  Fwd fwd;
  Bwd bwd;
  const char* name;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    using In = decltype(in);
    using R = internal::Out<F, In>;
    static_assert(is_fwd(static_cast<In*>(nullptr)),
                  "jaxpp: fwd of custom_vjp takes the function's arguments.");
    if constexpr (is_fwd(static_cast<In*>(nullptr))) {
      using Pair = std::remove_cvref_t<decltype(internal::call_with(fwd, in))>;
      static_assert(internal::is_pair<Pair>,
                    "jaxpp: fwd of custom_vjp must return std::pair(value, residuals).");
      using Res = typename Pair::second_type;
      static_assert(
          std::is_invocable_v<const Bwd&, Res&, R&>,
          "jaxpp: bwd of custom_vjp takes the residuals and the cotangent of the result.");
      using Derivative = internal::FwdBwd<Fwd, Bwd, R, Res>;
      internal::Results x = internal::leaves(in);
      using Call = internal::CustomCall<F, Derivative, In>;
      auto held = std::make_shared<Call>(
          Call{f, Derivative(fwd, bwd), internal::skeleton(std::move(in)), loc});
      internal::CustomFns fns;
      fns.fwd = [](const void* self, internal::Args p, internal::Results& y,
                   internal::Results& res) {
        auto& c = *static_cast<const Call*>(self);
        In primals = c.arguments(p);
        Pair out = internal::call_with(c.derivative.fwd, primals);
        R value = std::move(out.first);
        c.note(value);
        internal::flatten(value, y);
        internal::flatten(out.second, res);
        c.derivative.note(value, out.second);
      };
      fns.bwd = [](const void* self, internal::Args res, internal::Args ct,
                   internal::Results& x_ct) {
        auto& c = *static_cast<const Call*>(self);
        auto s = c.derivative.structure.load();
        Res residuals = internal::unflatten(s->residuals, res);
        R cotangent = internal::unflatten(s->value, ct);
        internal::add_cotangents(c.in, c.derivative.bwd(residuals, cotangent), x_ct, c.loc);
      };
      return internal::custom_result(name, held, fns, args(x));
    }
  }

 private:
  template <class... X>
  static constexpr bool is_fwd(std::tuple<X...>*) {
    return std::is_invocable_v<const Fwd&, X...> || std::is_invocable_v<const Fwd&, X&...>;
  }
};
/// f with the derivative   fwd(x...) -> pair(y, residuals),   bwd(residuals, ct) -> the cotangent
/// of x, or a tuple of them. In a cotangent, None and null Arrays are zeros.
template <class F, class Fwd, class Bwd>
auto custom_vjp(F f, Fwd forward, Bwd backward, const char* name = "f", Loc loc = Loc::current()) {
  return CustomVjp<F, Fwd, Bwd>{std::move(f), std::move(forward), std::move(backward), name, loc};
}

}  // namespace jaxpp
