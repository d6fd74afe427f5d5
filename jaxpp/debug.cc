// debug.cc -- callbacks as operations, and the format strings of debug::print.
//
// A format is parsed where print is called, so a bad one is an error at the user's line; elements are formatted where the
// program runs.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include "jaxpp/io_callback.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {
namespace internal {
namespace {

Opaque opaque(std::shared_ptr<const HostFn> fn) {
  std::string name = fn->name;
  return {std::move(name), std::move(fn)};
}

// One placeholder, with the text before it.
struct Field {
  std::string before;
  std::size_t operand = 0;
  std::string spec;  // as in printf, without the %: "8.3f"; empty: as the array prints itself
};
struct Template {
  std::vector<Field> fields;
  std::string after;
};
[[noreturn]] void bad_format(const std::string& text, const std::string& why, Loc loc) {
  fail<TypeError>("debug::print: " + why + " in \"" + text + "\".", loc, "E43",
                  "Placeholders are {}, {0}, {:.3f}; {{ and }} are braces.");
}
bool valid_spec(const std::string& s) {
  std::size_t i = 0;
  auto digits = [&] {
    std::size_t from = i;
    while (i < s.size() && s[i] >= '0' && s[i] <= '9') ++i;
    return i - from <= 3;
  };
  if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
  if (!digits()) return false;
  if (i < s.size() && s[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  return i + 1 == s.size() && std::string("feg").find(s[i]) != std::string::npos;
}
Template parse(const std::string& text, std::size_t operands, Loc loc) {
  Template t;
  std::string plain;
  std::size_t next = 0;
  std::vector<bool> used(operands);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      plain += c;
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == c) {
      plain += c;
      ++i;
      continue;
    }
    const std::size_t close = text.find('}', i);
    if (c == '}' || close == std::string::npos) bad_format(text, "unmatched brace", loc);
    std::string inside = text.substr(i + 1, close - i - 1);
    Field f{std::move(plain), 0, ""};
    plain.clear();
    if (auto colon = inside.find(':'); colon != std::string::npos) {
      f.spec = inside.substr(colon + 1);
      inside.resize(colon);
      if (!valid_spec(f.spec)) bad_format(text, "unknown format \"" + f.spec + "\"", loc);
    }
    if (inside.empty())
      f.operand = next++;
    else if (inside.size() < 4 && inside.find_first_not_of("0123456789") == std::string::npos)
      f.operand = std::size_t(std::stoi(inside));
    else
      bad_format(text, "\"" + inside + "\" is not the number of an operand", loc);
    if (f.operand >= operands)
      bad_format(text,
                 "placeholder for operand " + std::to_string(f.operand) + ", but " +
                     std::to_string(operands) + " are given,",
                 loc);
    used[f.operand] = true;
    t.fields.push_back(std::move(f));
    i = close;
  }
  for (std::size_t k = 0; k < operands; ++k)
    if (!used[k]) bad_format(text, "no placeholder for operand " + std::to_string(k), loc);
  t.after = std::move(plain);
  return t;
}

// A number as printf prints it; an array as nested brackets of such numbers.
void print_as(const std::string& spec, const std::vector<double>& v, const Shape& shape,
              std::size_t dim, std::size_t& at, std::string& out) {
  if (dim == shape.size()) {
    char buffer[512];
    std::snprintf(buffer, sizeof buffer, ("%" + spec).c_str(), v[at++]);
    out += buffer;
    return;
  }
  out += '[';
  for (std::int64_t i = 0; i < shape[dim]; ++i) {
    if (i) out += ' ';
    print_as(spec, v, shape, dim + 1, at, out);
  }
  out += ']';
}
std::string formatted(const Array& x, const std::string& spec) {
  if (spec.empty() || is_complex(x.dtype())) return to_string(x);
  std::string out;
  std::size_t at = 0;
  print_as(spec, x.to_vector<double>(), x.shape(), 0, at, out);
  return out;
}

}  // namespace

namespace {
std::string filled(const Template& t, Args in) {
  std::string line;
  for (auto& f : t.fields) line += f.before + formatted(in[f.operand], f.spec);
  return line + t.after;
}
}  // namespace
void debug_print(const std::string& format, Args x, Loc loc) {
  auto run = [t = parse(format, x.size(), loc)](Args in, Results&) {
    const std::string line = filled(t, in) + '\n';
    std::cout << line << std::flush;  // one write: lines of several threads do not mix
  };
  debug_callback_flat(std::make_shared<const HostFn>(HostFn{"print", run}), x, loc);
}
void debug_check(const std::string& format, Args x, Loc loc) {
  auto run = [t = parse(format, x.size() - 1, loc), loc](Args in, Results&) {
    const auto held = in[0].to_vector<std::uint8_t>();
    if (std::all_of(held.begin(), held.end(), [](auto h) { return h != 0; })) return;
    fail<Error>("debug::check: " + filled(t, in.subspan(1)), loc, "E124");
  };
  debug_callback_flat(std::make_shared<const HostFn>(HostFn{"check", run}), x, loc);
}
std::shared_ptr<const HostFn> make_host_fn(std::shared_ptr<void> self,
                                           void (*call)(void* self, Args, Results&)) {
  auto run = [self = std::move(self), call](Args x, Results& y) { call(self.get(), x, y); };
  return std::make_shared<const HostFn>(HostFn{"callback", run});
}
void debug_callback_flat(std::shared_ptr<const HostFn> fn, Args x, Loc loc) {
  debug_callback_p.bind(x, CallbackParams{opaque(std::move(fn)), {}}, nullptr, loc);
}
void io_callback_flat(std::shared_ptr<const HostFn> fn, Types out, Args x, bool ordered, Results& y,
                      Loc loc) {
  const std::size_t first = y.size();
  y.resize(first + out.size());
  const IoCallbackParams p{opaque(std::move(fn)), ordered, {out.begin(), out.end()}};
  io_callback_p.bind(x, p, y.data() + first, loc);
}
void pure_callback_flat(std::shared_ptr<const HostFn> fn, Types out, Args x, Results& y, Loc loc) {
  const std::size_t first = y.size();
  y.resize(first + out.size());
  pure_callback_p.bind(x, CallbackParams{opaque(std::move(fn)), {out.begin(), out.end()}},
                       y.data() + first, loc);
}

}  // namespace internal
}  // namespace jaxpp
