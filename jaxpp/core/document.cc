// document.cc -- formats a Document.  The width of a group printed flat is the number of characters between its ends,
// so a scan with a stack finds them all before the layout starts.
#include "jaxpp/core/document.h"

namespace jaxpp::internal {

std::string Document::format(std::size_t width) const {
  std::vector<std::size_t> flat(tokens_.size()), groups;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].kind == Kind::open) {
      groups.push_back(i);
    } else if (tokens_[i].kind == Kind::close) {
      flat[groups.back()] = tokens_[i].at - tokens_[groups.back()].at;
      groups.pop_back();
    }
  }
  std::string out;
  std::size_t line = 0;  // where the current line starts
  int indent = 0;
  std::vector<char> is_flat{0};
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const Token& t = tokens_[i];
    switch (t.kind) {
      case Kind::text: out.append(chars_, t.at, t.size); break;
      case Kind::brk:
        if (is_flat.back()) {
          out.append(chars_, t.at, t.size);
        } else {
          out += '\n';
          line = out.size();
          out.append(std::size_t(indent), ' ');
        }
        break;
      case Kind::open:
        is_flat.push_back(is_flat.back() || out.size() - line + flat[i] <= width);
        break;
      case Kind::close: is_flat.pop_back(); break;
      case Kind::nest: indent += t.columns; break;
    }
  }
  return out;
}

}  // namespace jaxpp::internal
