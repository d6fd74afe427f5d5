// field_text.h -- the spelling of parameters that printer and parser share.
#pragma once
#include <string_view>
#include <utility>

namespace jaxpp::internal {

// Nested parameter structs go by JAX's names.
inline constexpr std::pair<std::string_view, std::string_view> kStructNames[] = {
    {"GatherDims", "GatherDimensionNumbers"},
    {"ScatterDims", "ScatterDimensionNumbers"},
    {"ConvDims", "ConvDimensionNumbers"}};
inline std::string_view struct_name(std::string_view type) {
  for (auto& [ours, jax] : kStructNames)
    if (type == ours) return jax;
  return type;
}
/// dot_general's numbers are printed as JAX does, as tuples: (([1], [0]), ([], [])).
inline bool is_dot_numbers(std::string_view type) { return type == "DotDims"; }

/// Words that a variable must not be called in our text.
inline constexpr std::string_view kReserved[] = {"in",  "inf",   "lambda", "let",
                                                 "nan", "where", "zero"};
inline bool is_reserved(std::string_view name) {
  for (auto r : kReserved)
    if (r == name) return true;
  return false;
}
/// Strings that need no quotes.
inline bool is_plain_word(std::string_view s) {
  if (s.empty() || !((s[0] | 32) >= 'a' && (s[0] | 32) <= 'z')) return s == "_";
  for (char c : s)
    if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
  return true;
}

}  // namespace jaxpp::internal
