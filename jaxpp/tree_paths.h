// tree_paths.h -- names of the leaves of a tree: "hidden.w", "layers.0.b".
//
// The names of an aggregate's fields are what the compiler writes into the name of a function that has a pointer to the
// field as its template argument; fields that have no address (bit-fields), tuples, ranges and classes with a `visit`
// member are numbered, a map gives its keys.
#pragma once
#include <string>
#include <string_view>
#include "jaxpp/tree.h"

namespace jaxpp {
namespace internal {

template <class T>
struct Holder {
  const T value;
};
template <class T>
extern const Holder<T> no_object;  // never defined: only the addresses of its fields are looked at
template <class P>
struct FieldAddress {
  P pointer;
};
template <auto P>
constexpr std::string_view pointer_text() {
#if defined(_MSC_VER)
  return __FUNCSIG__;
#else
  return __PRETTY_FUNCTION__;
#endif
}
template <class T, std::size_t I>
constexpr auto field_address() {
  return with_fields(no_object<T>.value,
                     [](auto&... m) { return std::get<I>(std::tuple<decltype(&m)...>(&m...)); });
}
template <class T, std::size_t I>
constexpr std::string_view field_text() {
  constexpr auto p = field_address<T, I>();
  return pointer_text<FieldAddress<decltype(p)>{p}>();
}
template <auto>
struct IsConstant;
template <class T, std::size_t I>
concept NamedField = requires {
  typename IsConstant<FieldAddress<decltype(field_address<T, I>())>{field_address<T, I>()}>;
};

struct FieldNamesProbe {
  int probe;
};
/// What follows the name of a field in field_text is the same for every field: known from one whose name is.
constexpr std::size_t field_text_tail() {
  constexpr std::string_view text = field_text<FieldNamesProbe, 0>();
  return text.size() - text.rfind("probe") - 5;
}
template <class T, std::size_t I>
std::string field_name() {
  if constexpr (NamedField<T, I>) {
    std::string_view text = field_text<T, I>();
    text.remove_suffix(field_text_tail());
    const std::size_t before = text.find_last_of(".:>& )(");
    return std::string(text.substr(before + 1));  // npos + 1 == 0
  } else {
    return std::to_string(I);
  }
}

template <class K>
std::string key_text(const K& key, std::size_t position) {
  if constexpr (std::is_convertible_v<const K&, std::string>)
    return key;
  else if constexpr (std::is_integral_v<K>)
    return std::to_string(key);
  else
    return std::to_string(position);
}

/// fn(path, Array&) on every Array of a tree, null ones included, in the order of visit_arrays.
template <class T, class F>
void visit_paths(T& t, const std::string& path, F&& fn) {
  using U = std::remove_const_t<T>;
  auto below = [&](const std::string& name, auto& part) {
    visit_paths(part, path.empty() ? name : path + "." + name, fn);
  };
  std::size_t i = 0;
  auto numbered = [&](auto&... m) { (below(std::to_string(i++), m), ...); };
  if constexpr (std::same_as<U, Array>)
    fn(path, t);
  else if constexpr (is_static_tree<U>)
    return;
  else if constexpr (UserTree<U>)
    with_fields(t, numbered);
  else if constexpr (MapLike<U>)
    in_key_order(t, [&](auto& key, auto& value) { below(key_text(key, i++), value); });
  else if constexpr (OptionalLike<U>) {
    if (t.has_value()) visit_paths(*t, path, fn);
  } else if constexpr (RangeLike<U>) {
    for (auto& e : t) numbered(e);
  } else if constexpr (is_tuple<U> || is_pair<U>)
    std::apply(numbered, t);
  else
    with_fields(t, [&](auto&... m) {
      [&]<std::size_t... I>(std::index_sequence<I...>) { (below(field_name<U, I>(), m), ...); }
      (std::index_sequence_for<decltype(m)...>());
    });
}
}  // namespace internal

/// The name of every leaf, in the order of tree_leaves: fields, keys and positions, joined by dots.
///   struct Layer { Array w, b; };   tree_paths(std::vector<Layer>{l, l})  ==  {"0.w", "0.b", "1.w", "1.b"}
template <class T>
std::vector<std::string> tree_paths(const T& t) {
  std::vector<std::string> out;
  internal::visit_paths(t, "", [&](const std::string& path, const Array& a) {
    if (a.defined()) out.push_back(path);
  });
  return out;
}

}  // namespace jaxpp
