// tree.h -- pytrees: values that hold Arrays.
//
//   struct Layer { Array w, b; };
//   struct Mlp   { Layer hidden, out; int width = 64; };     // any aggregate is a tree: no macro,
//   no registration auto next = tree_map([](Array p, Array g) { return p - 0.1 * g; }, m, grads);
//
// An Array is a leaf.  Aggregates of up to 32 fields, std::tuple, pair, array, vector, optional,
// and maps (their values, in key order) are nodes.  Everything else (numbers, enums, strings,
// std::complex, ...) is static: it belongs to the structure and is never traced.  A null Array is
// an empty node.  Arrays inside an opaque class or behind a smart pointer are not seen; a class may
// offer them by a member that calls fn once, with all members of the tree:
//   template <class F> decltype(auto) visit(F&& fn) { return fn(w_, b_, width_); }
#pragma once
#include <array>
#include <bit>
#include <optional>
#include <tuple>
#include "jaxpp/core/primitive.h"

namespace jaxpp {
namespace internal {

// ---- Counting the fields of an aggregate: how many initializers does T{...} take?
template <class Owner>
struct AnyBut {  // converts to every type except Owner
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Owner>) operator T&() const&;
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Owner>) operator T&&() const&&;
};
template <class T, class... A>
constexpr int count_fields() {
  if constexpr (requires { T{A{}..., AnyBut<T>{}}; })
    return count_fields<T, A..., AnyBut<T>>();
  else
    return int(sizeof...(A));
}
// Two layouts that structured bindings cannot take apart; found by probing, so that the message is
// ours.
template <class Owner>
struct AnyBaseOf {
  template <class B>
  requires(std::is_base_of_v<B, Owner> && !std::same_as<B, Owner>) operator B() const;
};
template <class T>
constexpr bool has_base() {
  return requires { T{AnyBaseOf<T>{}}; };
}
template <class T, std::size_t P, std::size_t R>
constexpr bool takes_list_at() {  // is T{any * P, {any}, any * R} well formed?
  return
      []<std::size_t... I, std::size_t... J>(std::index_sequence<I...>, std::index_sequence<J...>) {
    return requires { T{(void(I), AnyBut<T>{})..., {AnyBut<T>{}}, (void(J), AnyBut<T>{})...}; };
  }
  (std::make_index_sequence<P>(), std::make_index_sequence<R>());
}
template <class T, std::size_t N, std::size_t P = 0>
constexpr bool has_c_array() {  // field P took more than one initializer
  if constexpr (P + 1 >= N)
    return false;
  else if constexpr (takes_list_at<T, P, 0>() && !takes_list_at<T, P, N - P - 1>())
    return true;
  else
    return has_c_array<T, N, P + 1>();
}

// A field as a function's argument: a number by const reference, since it may be a bit-field.
template <class M>
constexpr auto& field(
    std::conditional_t<std::is_arithmetic_v<M> || std::is_enum_v<M>, const M, M>& m) {
  return m;
}
struct AnyVisitor {
  template <class... A>
  void operator()(A&&...) const;
};
template <class T>
concept UserTree = requires(T& t) {
  t.visit(AnyVisitor());
};

/// fn(field...), for an aggregate or a class with a `visit` member.
template <class T, class F>
constexpr auto with_fields(T& t, F&& fn) {
  using U = std::remove_const_t<T>;
  if constexpr (UserTree<U>) {
    return const_cast<U&>(t).visit([&](auto&... m) {
      if constexpr (std::is_const_v<T>)
        return fn(std::as_const(m)...);
      else
        return fn(m...);
    });
  } else {
    constexpr int count = count_fields<U>();
    constexpr bool derived = has_base<U>(), c_array = has_c_array<U, count>();
    static_assert(
        count <= 32,
        "jaxpp: a parameter struct may have at most 32 fields; group some into an inner struct.");
    static_assert(!derived,
                  "jaxpp: a parameter struct may not inherit; make the base a member, or give the "
                  "struct a visit(fn) "
                  "member.");
    static_assert(!c_array,
                  "jaxpp: a parameter struct may not hold a C array; use std::array<T, N>.");
    constexpr int n = derived || c_array || count > 32 ? 0 : count;
#include "jaxpp/tree_fields.inc"
  }
}

// ---- Kinds of nodes
template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;
template <class T>
inline constexpr bool is_pair = false;
template <class A, class B>
inline constexpr bool is_pair<std::pair<A, B>> = true;
template <class T>
inline constexpr bool is_std_array = false;
template <class T, std::size_t N>
inline constexpr bool is_std_array<std::array<T, N>> = true;
template <class T>
concept OptionalLike = requires(T& t) {
  t.has_value();
  *t;
  t.reset();
};
template <class T>
concept RangeLike = requires(T& t) {
  t.begin();
  t.end();
}
&&!std::is_convertible_v<const T&, std::string>;
template <class T>
concept MapLike = RangeLike<T> && requires {
  typename T::mapped_type;
};
template <class T>
concept StaticLeaf = std::is_scalar_v<T> || std::is_empty_v<T> || Scalar<T> ||
    std::is_convertible_v<const T&, std::string> ||
    (!UserTree<T> && !OptionalLike<T> && !RangeLike<T> && !is_tuple<T> && !is_pair<T> &&
     (!std::is_aggregate_v<T> || std::is_union_v<T>));

template <class T, class... Outer>
constexpr bool holds_arrays();
template <class... Outer>
struct HoldsArrays {
  template <class... M>
  constexpr std::bool_constant<(holds_arrays<std::remove_const_t<M>, Outer...>() || ...)>
  operator()(M&...) const {
    return {};
  }
};
/// May a T hold Arrays?  Outer: the types that this one is being examined for (a struct may hold a
/// vector of itself).
template <class T, class... Outer>
constexpr bool holds_arrays() {
  if constexpr (std::same_as<T, Array>)
    return true;
  else if constexpr ((std::same_as<T, Outer> || ...))
    return false;
  else if constexpr (UserTree<T>)
    return true;
  else if constexpr (StaticLeaf<T>)
    return false;
  else if constexpr (MapLike<T>)
    return holds_arrays<typename T::mapped_type, T, Outer...>();
  else if constexpr (OptionalLike<T>)
    return holds_arrays<std::remove_cvref_t<decltype(*std::declval<T&>())>, T, Outer...>();
  else if constexpr (RangeLike<T>)
    return holds_arrays<std::remove_cvref_t<decltype(*std::declval<T&>().begin())>, T, Outer...>();
  else if constexpr (is_tuple<T> || is_pair<T>)
    return decltype(std::apply(HoldsArrays<T, Outer...>(), std::declval<T&>()))::value;
  else
    return decltype(with_fields(std::declval<T&>(), HoldsArrays<T, Outer...>()))::value;
}
template <class T>
inline constexpr bool is_static_tree = !holds_arrays<T>();

// ---- Trees that are nothing but Arrays in a fixed layout: their structure needs no run-time
// description.
template <class T>
constexpr int plain_leaves();
struct PlainLeaves {
  template <class... M>
  constexpr auto operator()(M&...) const {
    return std::integral_constant < int,
           ((plain_leaves<M>() < 0) || ... || false) ? -1 : (plain_leaves<M>() + ... + 0) > ();
  }
};
/// The number of Arrays of a plain tree, or -1.
template <class T>
constexpr int plain_leaves() {
  if constexpr (std::same_as<T, Array>)
    return 1;
  else if constexpr (is_static_tree<T>)
    return std::is_same_v<T, std::tuple<>> ? 0 : -1;
  else if constexpr (is_std_array<T>) {
    constexpr int each = plain_leaves<typename T::value_type>();
    return each < 0 ? -1 : each * int(std::tuple_size_v<T>);
  } else if constexpr (is_tuple<T> || is_pair<T>)
    return decltype(std::apply(PlainLeaves(), std::declval<T&>()))::value;
  else if constexpr (std::is_aggregate_v<T> && !UserTree<T> && std::is_default_constructible_v<T> &&
                     !OptionalLike<T> && !RangeLike<T>)
    return decltype(with_fields(std::declval<T&>(), PlainLeaves()))::value;
  else
    return -1;
}

// ---- Walks
/// fn(key, value) in the order of the keys, also for an unordered map.
template <class M, class F>
void in_key_order(M& map, F&& fn) {
  if constexpr (
      requires { typename std::remove_const_t<M>::hasher; } &&
      requires(const typename std::remove_const_t<M>::key_type& k) { k < k; }) {
    std::vector<decltype(&*map.begin())> entries;
    for (auto& e : map) entries.push_back(&e);
    std::sort(entries.begin(), entries.end(), [](auto* a, auto* b) { return a->first < b->first; });
    for (auto* e : entries) fn(e->first, e->second);
  } else {
    for (auto& e : map) fn(e.first, e.second);
  }
}
/// fn on every Array of a tree, null ones included.
template <class T, class F>
void visit_arrays(T& t, F&& fn) {
  using U = std::remove_const_t<T>;
  if constexpr (std::same_as<U, Array>)
    fn(t);
  else if constexpr (is_static_tree<U>)
    return;
  else if constexpr (UserTree<U>)
    with_fields(t, [&](auto&... m) { (visit_arrays(m, fn), ...); });
  else if constexpr (MapLike<U>)
    in_key_order(t, [&](auto&, auto& value) { visit_arrays(value, fn); });
  else if constexpr (OptionalLike<U>) {
    if (t.has_value()) visit_arrays(*t, fn);
  } else if constexpr (RangeLike<U>) {
    for (auto& e : t) visit_arrays(e, fn);
  } else if constexpr (is_tuple<U> || is_pair<U>)
    std::apply([&](auto&... e) { (visit_arrays(e, fn), ...); }, t);
  else
    with_fields(t, [&](auto&... m) { (visit_arrays(m, fn), ...); });
}

/// Statics are part of jit's cache key, so they need an equality.
template <class StaticLeafType>
struct NeedsEquality {
  static constexpr bool found = requires(const StaticLeafType& a, const StaticLeafType& b) {
    bool(a == b);
  };
  static_assert(
      found, "jaxpp: a static value in an argument needs operator==, to be part of the cache key.");
};
/// Do two trees agree in all but the values of their Arrays: containers' sizes, keys, null Arrays,
/// static values? strict: a static leaf without equality does not compile; otherwise it counts as
/// equal.
/// nulls: null Arrays are told from others.
template <bool strict, bool nulls = true, class T>
bool same_structure(const T& a, const T& b) {
  auto pairwise = [&](auto&... x) {
    return [&](auto&... y) { return (same_structure<strict, nulls>(x, y) && ...); };
  };
  if constexpr (std::same_as<T, Array>)
    return !nulls || a.defined() == b.defined();
  else if constexpr (std::is_floating_point_v<T> &&
                     sizeof(T) <= 8) {  // NaN finds its entry; -0.0 is not 0.0
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
  } else if constexpr (std::is_empty_v<T>)
    return true;
  else if constexpr (UserTree<T>)
    return with_fields(a, [&](auto&... x) { return with_fields(b, pairwise(x...)); });
  else if constexpr (MapLike<T>) {
    if (a.size() != b.size()) return false;
    std::vector<std::pair<const typename T::key_type*, const typename T::mapped_type*>> entries;
    in_key_order(b, [&](auto& k, auto& v) { entries.emplace_back(&k, &v); });
    std::size_t i = 0;
    bool same = true;
    in_key_order(a, [&](auto& k, auto& v) {
      same = same && *entries[i].first == k && same_structure<strict, nulls>(*entries[i].second, v);
      ++i;
    });
    return same;
  } else if constexpr (OptionalLike<T>)
    return a.has_value() == b.has_value() &&
           (!a.has_value() || same_structure<strict, nulls>(*a, *b));
  else if constexpr (RangeLike<T>) {
    auto p = a.begin(), q = b.begin();
    for (; p != a.end() && q != b.end(); ++p, ++q)
      if (!same_structure<strict, nulls, std::remove_cvref_t<decltype(*p)>>(*p, *q)) return false;
    return p == a.end() && q == b.end();
  } else if constexpr (is_tuple<T> || is_pair<T>)
    return std::apply([&](auto&... x) { return std::apply(pairwise(x...), b); }, a);
  else if constexpr (std::is_aggregate_v<T> && !std::is_union_v<T> && !StaticLeaf<T>)
    return with_fields(a, [&](auto&... x) { return with_fields(b, pairwise(x...)); });
  else if constexpr (requires { bool(a == b); })
    return a == b;
  else {
    static_assert(!strict || NeedsEquality<T>::found);
    return true;
  }
}

// ---- Flattening: the defined Arrays of a tree, in order
template <class T>
void flatten(const T& t, Results& out) {
  visit_arrays(t, [&](const Array& a) {
    if (a.defined()) out.push_back(a);
  });
}
template <class T>
Results leaves(const T& t) {
  Results r;
  flatten(t, r);
  return r;
}
/// Replaces the defined Arrays of `like` by x[k], x[k + 1], ...
template <class T>
void unflatten(T& like, Args x, std::size_t& k) {
  visit_arrays(like, [&](Array& a) {
    if (a.defined()) a = x[k++];
  });
}
template <class T>
T unflatten(T like, Args x) {
  std::size_t k = 0;
  unflatten(like, x, k);
  return like;
}

/// Positions, among all Arrays of a tree, of the null ones.  With them a tree whose leaves were
/// moved out can be filled again: moving keeps an argument's buffers solely owned, so that they can
/// be donated.
using Nulls = SmallVec<std::uint32_t, 2>;
template <class T, class Out>
void take_leaves(T& t, Out& out, Nulls& nulls) {
  std::uint32_t at = 0;
  visit_arrays(t, [&](Array& a) {
    if (a.defined())
      out.push_back(std::move(a));
    else
      nulls.push_back(at);
    ++at;
  });
}
template <class T, class X>  // X: Args to copy from, std::span<Array> to move from
void fill_leaves(T& t, X x, const Nulls& nulls) {
  std::uint32_t at = 0, next = 0;
  std::size_t k = 0;
  visit_arrays(t, [&](Array& a) {
    if (next < nulls.size() && nulls[next] == at)
      ++next;
    else if constexpr (std::is_same_v<X, Args>)
      a = x[k++];
    else
      a = std::move(x[k++]);
    ++at;
  });
}
/// Where a tree holds another number of leaves than expected.
[[noreturn]] void leaf_count_error(const char* who, std::size_t expected, std::size_t got, Loc loc);
void ravel_flat(Args x, Array& flat, Loc loc);
void unravel_flat(const Array& flat, std::span<const Type> types, Results& x, Loc loc);
}  // namespace internal

/// Only Arrays, in a layout fixed by the type: std::tuple, pair, array and aggregates of such.
template <class T>
inline constexpr bool is_plain_tree = internal::plain_leaves<T>() >= 0;

/// Calls fn on every Array of a tree.
template <class T, class F>
void visit_leaves(T& t, F&& fn) {
  internal::visit_arrays(t, [&](auto& a) {
    if (a.defined()) fn(a);
  });
}
template <class T>
std::vector<Array> tree_leaves(const T& t) {
  std::vector<Array> out;
  visit_leaves(t, [&](const Array& a) { out.push_back(a); });
  return out;
}
/// A tree of the structure of `like`, with these leaves.
template <class T>
T tree_unflatten(T like, std::span<const Array> leaves, Loc loc = Loc::current()) {
  std::size_t n = 0;
  visit_leaves(like, [&](const Array&) { ++n; });
  if (n != leaves.size()) internal::leaf_count_error("tree_unflatten", n, leaves.size(), loc);
  return internal::unflatten(std::move(like), leaves);
}
/// fn(leaf, leaf of each rest...) for every leaf; fn returns an Array.   tree_map([](Array p, Array
/// g) {...}, m, grads)
template <class F, class T, class... Rest>
T tree_map(F&& fn, T t, const Rest&... rest) {
  std::array<internal::Results, sizeof...(Rest)> others{internal::leaves(rest)...};
  std::size_t n = 0, i = 0;
  if constexpr (sizeof...(Rest) > 0) {
    visit_leaves(t, [&](const Array&) { ++n; });
    for (auto& o : others)
      if (o.size() != n) internal::leaf_count_error("tree_map", n, o.size(), {});
  }
  visit_leaves(t, [&](Array& a) {
    Array x = std::move(a);
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      static_assert(std::is_convertible_v<decltype(fn(std::move(x), others[K][i]...)), Array>,
                    "jaxpp: the function given to tree_map must return an Array.");
      a = Array(fn(std::move(x), others[K][i]...));
    }
    (std::index_sequence_for<Rest...>());
    ++i;
  });
  return t;
}
/// fn(...fn(fn(init, leaf 0), leaf 1)..., last leaf).
template <class F, class T, class A>
A tree_reduce(F&& fn, const T& t, A init) {
  visit_leaves(t, [&](const Array& a) { init = fn(std::move(init), a); });
  return init;
}
/// All of a tree but the values of its Arrays: tree_structure(a) == tree_structure(b).
template <class T>
struct TreeStructure {
  T skeleton;  // holds a scalar in the place of every Array
  bool operator==(const TreeStructure& o) const {
    return internal::same_structure<true>(skeleton, o.skeleton);
  }
  template <class U>
  bool operator==(const TreeStructure<U>&) const {
    return false;
  }
};
template <class T>
TreeStructure<T> tree_structure(T t) {
  visit_leaves(t, [](Array& a) { a = Array(false); });
  return {std::move(t)};
}

/// Undoes ravel: a vector becomes a tree again, each leaf with its own shape and dtype.
template <class T>
struct Unravel {
  T like;
  std::vector<internal::Type> types;
  T operator()(const Array& flat, Loc loc = Loc::current()) const {
    internal::Results x;
    internal::unravel_flat(flat, types, x, loc);
    return internal::unflatten(like, args(x));
  }
};
/// All leaves of a tree in one vector, of their common dtype, and the way back:
///   auto [flat, unravel] = ravel(params);          (Of a single Array, ravel is numpy's: math.h.)
template <class T>
requires(!std::is_convertible_v<const T&, Array>) std::pair<Array, Unravel<T>> ravel(
    const T& tree, Loc loc = Loc::current()) {
  internal::Results x = internal::leaves(tree);
  Unravel<T> back{tree, {}};
  for (const Array& a : x) back.types.push_back(a.type());
  visit_leaves(back.like, [](Array& a) { a = Array(false); });
  Array flat;
  internal::ravel_flat(args(x), flat, loc);
  return {std::move(flat), std::move(back)};
}

}  // namespace jaxpp
