// driver_source.cc -- a tokenizer that knows as much C++ as finding kernels and shared memory needs.
#include "backends/cuda/driver_source.h"

#include <cctype>
#include <cstdio>

namespace jaxpp::cuda {
namespace {

bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The next word or sign of s from `at` on, which moves past it; "" at the end.  Comments, strings and preprocessor lines
// are skipped.
std::string_view next(std::string_view s, std::size_t& at) {
  bool line_start = at == 0;
  while (at < s.size()) {
    const char c = s[at];
    const std::string_view rest = s.substr(at);
    if (c == '\n' || std::isspace(static_cast<unsigned char>(c))) {
      line_start |= c == '\n';
      ++at;
    } else if (rest.starts_with("//")) {
      at = std::min(s.find('\n', at), s.size());
    } else if (rest.starts_with("/*")) {
      at = std::min(s.find("*/", at + 2), s.size() - 2) + 2;
    } else if (c == '#' && line_start) {
      do at = std::min(s.find('\n', at + 1), s.size());
      while (at < s.size() && s[at - 1] == '\\');
    } else if (c == '"' || c == '\'') {
      for (++at; at < s.size() && s[at] != c; ++at) at += s[at] == '\\';
      ++at;
      line_start = false;
    } else {
      std::size_t end = at + 1;
      if (word(c))
        while (end < s.size() && (word(s[end]) || s[end] == '\'')) ++end;  // 1'000 is one word
      const std::string_view token = s.substr(at, end - at);
      at = end;
      return token;
    }
  }
  return {};
}

// After an opening parenthesis: moves past the one that closes it; what is between.
std::string_view parentheses(std::string_view s, std::size_t& at) {
  const std::size_t begin = at;
  std::size_t last = at;
  for (int depth = 1; depth;) {
    last = at;
    const std::string_view t = next(s, at);
    if (t.empty()) return {};
    depth += (t == "(") - (t == ")");
    if (depth == 0) last = at - 1;
  }
  return s.substr(begin, last - begin);
}

}  // namespace

std::string numbered(std::string_view source) {
  std::string s;
  for (int line = 1; !source.empty(); ++line) {
    const std::string_view text = source.substr(0, source.find('\n'));
    char number[16];
    std::snprintf(number, sizeof number, "%5d  ", line);
    s.append(number).append(text) += '\n';
    source.remove_prefix(std::min(source.size(), text.size() + 1));
  }
  return s;
}

std::vector<KernelText> kernels_of(std::string_view s) {
  std::vector<KernelText> all;
  std::size_t at = 0;
  for (std::string_view t = next(s, at); !t.empty(); t = next(s, at)) {
    if (t != "__global__") continue;
    KernelText k;
    // Up to the parameters: the word before the parenthesis that no attribute opened is the name.
    for (std::string_view before, u = next(s, at); !u.empty() && u != ";" && u != "{";
         before = u, u = next(s, at)) {
      if (u != "(") continue;
      if (before == "__launch_bounds__") {
        const std::string_view bounds = parentheses(s, at);
        k.launch_bound = bounds.substr(0, bounds.find(','));
      } else if (before == "__attribute__" || before == "__align__" || before == "(") {
        parentheses(s, at);
      } else {
        k.name = before;
        break;
      }
    }
    if (!k.name.empty()) all.push_back(std::move(k));
  }
  return all;
}

std::string with_dynamic_shared(std::string_view s) {
  std::string out;
  std::size_t at = 0, copied = 0;
  for (std::string_view t = next(s, at); !t.empty(); t = next(s, at)) {
    if (t != "extern") continue;
    const auto begin = std::size_t(t.data() - s.data());
    std::size_t look = at;
    if (next(s, look) != "__shared__") continue;
    std::string type, name;  // the words before the bracket: a type and, last, the name
    std::string_view u = next(s, look);
    for (; !u.empty() && u != "[" && u != ";"; u = next(s, look)) {
      if (u == "__align__" || u == "alignas") {  // all of dynamic shared memory is aligned
        next(s, look);
        parentheses(s, look);
        continue;
      }
      if (!name.empty()) type += (type.empty() ? "" : " ") + name;
      name = u;
    }
    if (u != "[" || next(s, look) != "]" || next(s, look) != ";") continue;
    out += s.substr(copied, begin - copied);
    out += type + "* const " + name + " = reinterpret_cast<" + type + "*>(jx_dynamic);";
    for (char c : s.substr(begin, look - begin))
      if (c == '\n') out += c;
    copied = at = look;
  }
  return out += s.substr(copied);
}

}  // namespace jaxpp::cuda
