// lexer.h -- the tokens of a jaxpr's text.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace jaxpp::internal {

enum class Kind : std::uint8_t { word, number, string, opaque, punct, end };
struct Token {
  Kind kind;
  std::size_t at, size;  // where it stands in the text
};

/// Splits a text into tokens, the last of kind end.  Throws ParseError on characters that belong to none.
class Lexer {
 public:
  explicit Lexer(const std::string& s);
  const std::string& text;
  std::vector<Token> tokens;
  /// Throws ParseError with the line and column of that character.
  [[noreturn]] void fail(std::size_t at, const std::string& what) const;

 private:
  char peek(std::size_t k = 0) const { return at_ + k < text.size() ? text[at_ + k] : '\0'; }
  void push(Kind k, std::size_t from) { tokens.push_back({k, from, at_ - from}); }
  void next();
  void number(std::size_t from);
  bool special(std::size_t from) const;
  bool starts_number(std::size_t k) const;
  std::size_t at_ = 0;
};

}  // namespace jaxpp::internal
