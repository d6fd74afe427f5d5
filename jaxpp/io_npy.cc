// io_npy.cc -- numpy's .npy format: a magic number, a header that is a Python dictionary, and the elements.
//
//   \x93NUMPY <major> <minor> <length of header> {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n <elements>
//
// Only dictionaries of that form are understood: three keys, in any order, with a string, a bool and a tuple of integers.
#include <algorithm>
#include <cctype>
#include <optional>
#include "jaxpp/core/trace.h"
#include "jaxpp/io_internal.h"
#include "jaxpp/math.h"

namespace jaxpp {
namespace internal {
namespace {
constexpr std::uint64_t kMostHeader =
    1 << 16;  // a header of ours has 128 bytes, one of 64 axes less than 2,000

struct Kind {
  char letter;
  DType dtype;
};
constexpr Kind kKinds[] = {
    {'b', DType::b1},   {'i', DType::i8},  {'i', DType::i16}, {'i', DType::i32}, {'i', DType::i64},
    {'u', DType::u8},   {'u', DType::u16}, {'u', DType::u32}, {'u', DType::u64}, {'f', DType::f16},
    {'V', DType::bf16}, {'f', DType::f32}, {'f', DType::f64}, {'c', DType::c64}, {'c', DType::c128},
};

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// Python's literals, as far as headers have them.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}
  Header parse() {
    Header h;
    bool descr = false, order = false, shape = false;
    auto once = [&](bool& seen) {
      if (std::exchange(seen, true)) refuse("has a key twice");
    };
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        once(descr);
        if (peek() == '[')
          throw ParseError("structured elements are not read: there is no dtype for them.");
        h.descr = string();
      } else if (key == "fortran_order") {
        once(order);
        h.fortran_order = boolean();
      } else if (key == "shape") {
        once(shape);
        h.shape = tuple();
      } else {
        refuse("has an unknown key");
      }
      if (!accept(',') && peek() != '}') refuse("lacks a comma");
    }
    space();
    if (at_ != text_.size()) refuse("goes on after its dictionary");
    if (!descr || !order || !shape) refuse("lacks one of descr, fortran_order and shape");
    return h;
  }

 private:
  [[noreturn]] static void refuse(const char* what) {
    throw ParseError(std::string("the header of the .npy data ") + what + ".");
  }
  void space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  char peek() {
    space();
    if (at_ == text_.size()) refuse("ends early");
    return text_[at_];
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse("is no dictionary of the expected form");
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') refuse("has no string where one is expected");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) refuse("has a string without an end");
    std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    peek();
    for (std::string_view word : {"True", "False"})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    refuse("has no bool where one is expected");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> v;
    expect('(');
    while (!accept(')')) {
      v.push_back(integer());
      if (!accept(',') && peek() != ')') refuse("lacks a comma");
    }
    return v;
  }
  std::int64_t integer() {
    const bool negative = accept('-');
    if (!std::isdigit(static_cast<unsigned char>(peek())))
      refuse("has no integer where one is expected");
    std::int64_t v = 0;
    for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])); ++at_)
      if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, text_[at_] - '0', &v))
        refuse("has an integer that is too large");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2
    return negative ? -v : v;
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

struct Elements {
  DType dtype;
  bool swapped;
};
Elements elements(const std::string& descr) {
  std::string_view s = descr;
  char order = '=';
  if (!s.empty() && std::string_view("<>|=").find(s[0]) != s.npos) {
    order = s[0];
    s.remove_prefix(1);
  }
  for (const Kind& k : kKinds)
    if (s == k.letter + std::to_string(width(k.dtype))) return {k.dtype, order == '>'};
  throw ParseError("there is no dtype for elements of '" + descr + "'.");
}

template <class T>
void swap_bytes(T* p, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (sizeof(T) == 2)
      p[i] = __builtin_bswap16(p[i]);
    else if constexpr (sizeof(T) == 4)
      p[i] = __builtin_bswap32(p[i]);
    else
      p[i] = __builtin_bswap64(p[i]);
  }
}
void swap_bytes(Array& a) {
  const int parts = is_complex(a.dtype()) ? 2 : 1;
  const std::int64_t n = a.size() * parts;
  switch (width(a.dtype()) / std::size_t(parts)) {
    case 2: return swap_bytes(a.data<std::uint16_t>(), n);
    case 4: return swap_bytes(a.data<std::uint32_t>(), n);
    case 8: return swap_bytes(a.data<std::uint64_t>(), n);
  }
}
}  // namespace

Array read_npy(ByteStream& in) {
  unsigned char start[8];
  in.read(start, sizeof start);
  if (std::memcmp(start, "\x93NUMPY", 6) != 0)
    throw ParseError("it does not start as .npy data does.");
  if (start[6] < 1 || start[6] > 3 || start[7] != 0)
    throw ParseError("the .npy format has no version " + std::to_string(start[6]) + "." +
                     std::to_string(start[7]) + " here.");
  std::uint32_t length = 0;
  in.read(&length, start[6] == 1 ? 2 : 4);
  if (length > in.remaining() || length > kMostHeader)
    throw ParseError("the header of the .npy data says that it has " + std::to_string(length) +
                     " bytes.");
  std::string text(length, '\0');
  in.read(text.data(), length);

  Header h = HeaderParser(text).parse();
  const Elements e = elements(h.descr);
  const bool reversed = h.fortran_order && h.shape.size() > 1;
  if (reversed) std::reverse(h.shape.begin(), h.shape.end());
  Array a = Array::make(checked_type(e.dtype, h.shape, in.remaining()));
  in.read(a.data<char>(), bytes_of(a));
  if (e.swapped) swap_bytes(a);
  make_bools(a);
  if (!reversed) return a;
  Scope now(nullptr);  // not part of a program that is being traced
  return transpose(a);
}

std::string npy_header(const Array& a) {
  char letter = 0;
  for (const Kind& k : kKinds)
    if (k.dtype == a.dtype()) letter = k.letter;
  std::string dict = std::string("{'descr': '") + (width(a.dtype()) == 1 ? '|' : '<') + letter +
                     std::to_string(width(a.dtype())) +
                     "', 'fortran_order': False, 'shape': " + to_string(a.shape()) + ", }";
  constexpr std::size_t kBefore = 10, kAlign = 64;
  dict.resize((kBefore + dict.size() + 1 + kAlign - 1) / kAlign * kAlign - kBefore - 1, ' ');
  dict += '\n';
  std::string s("\x93NUMPY\x01\x00", 8);
  append(s, std::uint16_t(dict.size()));
  return s + dict;
}
}  // namespace internal

using namespace internal;

void save(const std::string& path, const Array& x, Loc loc) {
  check_written("save", "", x, loc);
  with_file("save", path, loc, [&] {
    FileWriter out(path);
    out.write(npy_header(x));
    out.write(x.data<char>(), bytes_of(x));
    out.commit();
  });
}
Array load(const std::string& path, Loc loc) {
  return with_file("load", path, loc, [&] {
    ByteSource source(path);
    RangeStream in(source, 0, source.size());
    return read_npy(in);
  });
}

}  // namespace jaxpp
