// lexer.cc -- words, numbers, strings, <opaque values> and punctuation.
#include "jaxpp/core/lexer.h"
#include <string_view>
#include "jaxpp/core/error.h"

namespace jaxpp::internal {
namespace {
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_'; }
}  // namespace

Lexer::Lexer(const std::string& s) : text(s) {
  while (at_ < s.size()) next();
  tokens.push_back({Kind::end, s.size(), 0});
}

void Lexer::fail(std::size_t at, const std::string& what) const {
  std::size_t line = 1, column = 1;
  for (std::size_t i = 0; i < at && i < text.size(); ++i) {
    ++column;
    if (text[i] == '\n') ++line, column = 1;
  }
  throw ParseError("parse: " + std::to_string(line) + ":" + std::to_string(column) + ": " + what);
}

// After a sign: a digit, or the words inf and nan.
bool Lexer::starts_number(std::size_t k) const {
  return digit(peek(k)) || (peek(k) == 'i' && peek(k + 1) == 'n' && peek(k + 2) == 'f') ||
         (peek(k) == 'n' && peek(k + 1) == 'a' && peek(k + 2) == 'n');
}

void Lexer::next() {
  const std::size_t from = at_;
  const char c = peek();
  if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
    ++at_;
  } else if (digit(c) || ((c == '-' || c == '+') && starts_number(1))) {
    number(from);
  } else if (letter(c)) {
    while (letter(peek()) || digit(peek()) || (peek() == '-' && letter(peek(1)) && !special(from)))
      ++at_;
    if (special(from))
      number(from);
    else
      push(Kind::word, from);
  } else if (c == '"' || c == '\'') {
    for (++at_; peek() != c; ++at_) {
      if (peek() == '\\') ++at_;
      if (at_ >= text.size()) fail(from, "the string does not end.");
    }
    ++at_;
    push(Kind::string, from);
  } else if (c == '<') {
    int depth = 0;
    do {
      if (at_ >= text.size() || peek() == '\n') fail(from, "`<` without `>`.");
      depth += peek() == '<' ? 1 : peek() == '>' ? -1 : 0;
      ++at_;
    } while (depth);
    push(Kind::opaque, from);
  } else if (c && std::string_view("{}()[]:;,.=*").find(c) != std::string_view::npos) {
    ++at_;
    push(Kind::punct, from);
  } else {
    fail(from, "unexpected character.");
  }
}

// The word read so far is a number's.
bool Lexer::special(std::size_t from) const {
  const std::string_view s(text.data() + from, at_ - from);
  return s == "nan" || s == "inf";
}

// A run of number characters; a sign belongs to it where an exponent or an imaginary part starts.
void Lexer::number(std::size_t from) {
  for (at_ = from;;) {
    const char c = peek();
    const bool sign = c == '+' || c == '-';
    if (!(digit(c) || letter(c) || (c == '.' && digit(peek(1))) ||
          (sign && (at_ == from || text[at_ - 1] == 'e' || starts_number(1)))))
      break;
    ++at_;
    if (std::string_view(text.data() + from, at_ - from).ends_with("nan") && peek() == '(')
      while (at_ < text.size() && text[at_++] != ')') {
      }
  }
  push(Kind::number, from);
}

}  // namespace jaxpp::internal
