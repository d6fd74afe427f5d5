// document.h -- layout of text that breaks lines only where it must (Lindig's strict variant of Wadler's pretty printer).
//
// A document is a stream of tokens: text, possible breaks, groups, indentation.  A group is printed flat if it alone
// fits into the rest of the line; otherwise its own breaks become newlines.  One pass, no recursion.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace jaxpp::internal {

class Document {
 public:
  void text(std::string_view s) { token(Kind::text, s); }
  void brk(std::string_view flat = " ") { token(Kind::brk, flat); }
  void open() { token(Kind::open, {}); }
  void close() { token(Kind::close, {}); }
  void nest(int columns) { token(Kind::nest, {}, columns); }  // until nest(-columns)
  std::string format(std::size_t width) const;

 private:
  enum class Kind : std::uint8_t { text, brk, open, close, nest };
  struct Token {
    Kind kind;
    int columns;
    std::size_t at, size;  // its characters, in chars_
  };
  void token(Kind kind, std::string_view s, int columns = 0) {
    tokens_.push_back({kind, columns, chars_.size(), s.size()});
    chars_ += s;
  }
  std::string chars_;
  std::vector<Token> tokens_;
};

}  // namespace jaxpp::internal
