// jvp.h -- forward mode: jvp, and linearize, which records the derivative at a point for repeated
// use.
//
//   auto [y, dy]   = jvp(f, std::tuple(x, z), std::tuple(dx, dz));      // one argument may be
//   passed bare auto [y, push] = linearize(f, x, z);   push(dx, dz);   push(dx2, dz2);     // f is
//   not run again
//
// Tangents have the types of their primals; those of integer leaves and of static values are
// ignored.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {
namespace internal {
/// Tangents of results, where null means zero.
void instantiate_tangents(const Results& y, Results& dy);

template <class In, class... T, std::size_t... I>
In tangent_args(const In& in, std::index_sequence<I...>, T&&... dx) {
  static_assert(sizeof...(T) == std::tuple_size_v<In>,
                "jaxpp: one tangent for each argument is needed.");
  if constexpr (sizeof...(T) == std::tuple_size_v<In>)
    return In(as_tangent(std::get<I>(in), std::forward<T>(dx))...);
}

/// A derivative recorded at a point, and the structures of both its ends (no elements).
template <class In, class R>
struct TreeLinearMap {
  LinearMap map;
  In in;
  R out;

  R push(const In& dx, Loc loc) const {
    Results t, dy;
    collect_tangents(array_refs(in), array_refs(dx), false, t, "linearize", loc);
    map.push(args(t), dy, loc);
    return unflatten(out, args(dy));
  }
  /// Integer leaves of the arguments get zeros.
  In pull(const R& ct, const char* who, Loc loc) const {
    Results c, g;
    collect_tangents(array_refs(out), array_refs(ct), true, c, who, loc);
    map.pull(args(c), g, loc);
    In x_ct(in);
    std::size_t k = 0;
    visit_leaves(x_ct, [&](Array& a) { a = is_inexact(a.dtype()) ? g[k++] : zeros_of(a.type()); });
    return x_ct;
  }
};

/// f as a flat function of the inexact Arrays of `in`; the others are constants.
template <class F, class In>
struct InexactFlattened {
  const F& f;
  const In& in;
  std::optional<Out<F, In>> result{};
  void operator()(Args x, Results& y) {
    In traced(in);
    std::size_t k = 0;
    visit_leaves(traced, [&](Array& a) {
      if (is_inexact(a.dtype())) a = x[k++];
    });
    result.emplace(call(f, traced));
    flatten(*result, y);
  }
};
template <class In>
Results inexact_leaves(const In& in) {
  Results x;
  visit_leaves(in, [&](const Array& a) {
    if (is_inexact(a.dtype())) x.push_back(a);
  });
  return x;
}
/// (value, map)
template <class F, class In>
auto linear_map(const F& f, const In& in, const char* who, Loc loc) {
  InexactFlattened<F, In> run{f, in};
  Results x = inexact_leaves(in), y;
  LinearMap map = LinearMap::of(flat(run), args(x), y, who, loc);
  auto value = unflatten(std::move(*run.result), args(y));
  auto out = skeleton(value);
  return std::pair(std::move(value),
                   TreeLinearMap<In, Out<F, In>>{std::move(map), skeleton(in), std::move(out)});
}
}  // namespace internal

/// pair(f(x...), the derivative of f at x... along dx...).
template <class F, class P, class T>
auto jvp(const F& f, const P& primals, const T& tangents, Loc loc = Loc::current()) {
  if constexpr (!internal::is_tuple<P>) {
    return jvp(f, std::tuple<const P&>(primals), std::tuple<const T&>(tangents), loc);
  } else {
    static_assert(internal::is_tuple<T>,
                  "jaxpp: jvp takes its tangents as it takes its primals: both in tuples.");
    auto in = std::apply([](auto&... x) { return internal::as_args<F>(x...); }, primals);
    auto dx = std::apply(
        [&](auto&... t) {
          return internal::tangent_args(
              in, std::make_index_sequence<std::tuple_size_v<decltype(in)>>(), t...);
        },
        tangents);
    auto run = internal::flattened(f, in);
    internal::Results x = internal::leaves(in), t, y, dy;
    internal::collect_tangents(internal::array_refs(in), internal::array_refs(dx), true, t, "jvp",
                               loc);
    internal::jvp_flat(internal::flat(run), args(x), args(t), y, dy, loc);
    internal::instantiate_tangents(y, dy);
    return std::pair(run.with(args(y)), run.with(args(dy)));
  }
}

/// The derivative at a point as a function of tangents.
template <class In, class R>
struct Pushforward {
  internal::TreeLinearMap<In, R> map;
  template <class... T>
  R operator()(T&&... dx) const {
    return map.push(
        internal::tangent_args(map.in, std::make_index_sequence<std::tuple_size_v<In>>(),
                               std::forward<T>(dx)...),
        Loc());
  }
};
/// pair(f(x...), push): push(dx...) gives the tangents of the result, as often as wanted.
template <class F, class... A>
auto linearize(const F& f, A&&... a) {
  auto in = internal::as_args<F>(std::forward<A>(a)...);
  auto [y, map] = internal::linear_map(f, in, "linearize", Loc());
  using In = decltype(in);
  return std::pair(std::move(y), Pushforward<In, internal::Out<F, In>>{std::move(map)});
}

}  // namespace jaxpp
