// text.h -- where a node stands in the text of its program, for messages about it.
#pragma once
#include <string>
#include "backends/loops/tree.h"

namespace jaxpp::loops {

struct Place {
  std::size_t line = 0;  // 0: not found
  std::string text;      // of that line
};
Place place_of(const Program&, const Node&);

/// What a name is made of, in the text; it does not start with a digit.
constexpr bool is_letter(char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// Words that start a line: no buffer may be called so.
constexpr bool is_keyword(std::string_view s) {
  for (std::string_view k : {"in", "out", "const", "temp", "local", "arena", "parallel", "serial",
                             "while", "do", "if", "else", "call"})
    if (s == k) return true;
  return false;
}

}  // namespace jaxpp::loops
