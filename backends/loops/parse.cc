// parse.cc -- reads the text of a loop program (print.cc) back.
//
// Blocks are lines of equal indentation, as in Python; brackets of parameters may span lines.  Parameters are read by the
// parser of jaxprs, as part of an equation on operands of the same types: so an operation with parameters is checked
// against its shape rule here, all others by verify().  Names stand for one symbol each, wherever they are used: scopes
// are verify()'s matter as well.  Any text gives a program or a ParseError with line and column.
#include <charconv>
#include <cstdio>
#include <unordered_map>
#include "backends/loops/text.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/scalar_text.h"

namespace jaxpp::loops {
namespace {
constexpr int kMaxDepth = 200;           // of nested blocks
constexpr std::size_t kMaxTerms = 1000;  // of an index
constexpr std::int64_t kMaxUniform = std::int64_t(1)
                                     << 30;  // bytes of a constant written as one number

class Parser {
 public:
  explicit Parser(std::string_view s) : text_(s) {}

  Program program() {
    next_line();
    const int indent = column_;
    while (column_ == indent && declaration(kNone)) {
    }
    p_.body = block(indent - 1);
    if (column_ >= 0) fail("unexpected indentation.");
    for (const Buffer& b : p_.buffers)
      if (b.offset >= 0 && !arena_given_)
        p_.arena = std::max(p_.arena, b.offset + b.size * std::int64_t(width(b.dtype)));
    return std::move(p_);
  }

 private:
  // ---- Characters
  char peek(std::size_t k = 0) const { return at_ + k < text_.size() ? text_[at_ + k] : '\0'; }
  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }
  bool is(std::string_view s) {
    skip_spaces();
    return text_.substr(at_, s.size()) == s;
  }
  bool accept(std::string_view s) {
    if (!is(s)) return false;
    at_ += s.size();
    return true;
  }
  void expect(std::string_view s) {
    if (!accept(s)) unexpected("`" + std::string(s) + "`");
  }
  [[noreturn]] void fail(const std::string& what) const { fail_at(at_, what); }
  [[noreturn]] void fail_at(std::size_t at, const std::string& what) const {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i < at && i < text_.size(); ++i) {
      ++column;
      if (text_[i] == '\n') ++line, column = 1;
    }
    throw ParseError("parse: " + std::to_string(line) + ":" + std::to_string(column) + ": " + what);
  }
  [[noreturn]] void unexpected(const std::string& wanted) {
    skip_spaces();
    if (at_ >= text_.size()) fail("expected " + wanted + ", the text ends.");
    if (peek() == '\n') fail("expected " + wanted + ", the line ends.");
    std::size_t n = 1;
    while (n < 24 && (is_letter(text_[at_]) || is_digit(text_[at_])) &&
           (is_letter(peek(n)) || is_digit(peek(n))))
      ++n;
    fail("expected " + wanted + ", found `" + std::string(text_.substr(at_, n)) + "`.");
  }

  // ---- Words and numbers
  std::string_view peek_word() {
    skip_spaces();
    std::size_t n = 0;
    if (is_letter(peek()))
      while (is_letter(peek(n)) || is_digit(peek(n))) ++n;
    return text_.substr(at_, n);
  }
  bool accept_word(std::string_view s) {
    if (peek_word() != s) return false;
    at_ += s.size();
    return true;
  }
  std::string_view word(const char* what) {
    const std::string_view s = peek_word();
    if (s.empty()) unexpected(what);
    at_ += s.size();
    return s;
  }
  void skip_word() { at_ += peek_word().size(); }
  std::int64_t integer(const char* what = "an integer") {
    skip_spaces();
    const std::size_t from = at_;
    std::size_t n = peek() == '-';
    if (!is_digit(peek(n))) unexpected(what);
    while (is_digit(peek(n))) ++n;
    at_ += n;
    std::int64_t v = 0;
    const char* p = text_.data() + from;
    if (std::from_chars(p, p + n, v).ec != std::errc()) fail_at(from, "the number is too large.");
    return v;
  }
  int small_integer() {
    skip_spaces();
    const std::size_t from = at_;
    const std::int64_t v = integer();
    if (v != int(v)) fail_at(from, "the number is too large.");
    return int(v);
  }
  DType dtype() {
    skip_spaces();
    const std::size_t from = at_;
    const std::string_view s = word("an element type");
    for (int d = 0; d < kNumDTypes; ++d)
      if (s == name(DType(d))) return DType(d);
    fail_at(from, "`" + std::string(s) + "` is no element type.");
  }

  // ---- Lines
  // To the next line that holds something: column_ is where that starts, -1 at the end of the text.
  void next_line() {
    for (;;) {
      const std::size_t from = at_;
      skip_spaces();
      if (peek() == '#')
        while (at_ < text_.size() && peek() != '\n') ++at_;
      if (at_ >= text_.size()) {
        column_ = -1;
        return;
      }
      if (peek() == '\r' && peek(1) == '\n') ++at_;
      if (peek() != '\n') {
        column_ = int(std::min<std::size_t>(at_ - from, 1 << 20));
        return;
      }
      ++at_;
    }
  }
  void end_line() {
    skip_spaces();
    if (peek() == '#')
      while (at_ < text_.size() && peek() != '\n') ++at_;
    if (at_ < text_.size() && peek() != '\n' && !(peek() == '\r' && peek(1) == '\n'))
      unexpected("the end of the line");
    next_line();
  }
  // The lines that are indented by more than `outer`.
  Block block(int outer, Sym owner = kNone) {
    if (++depth_ > kMaxDepth)
      fail("blocks are nested deeper than " + std::to_string(kMaxDepth) + ".");
    Block b;
    const int indent = column_;
    if (indent >= 0 && indent > outer) {
      while (column_ == indent && owner != kNone && declaration(owner)) {
      }
      while (column_ == indent) node(b);
      if (column_ > outer) fail("unexpected indentation.");
    }
    --depth_;
    return b;
  }

  // ---- Names
  // A loop variable, or % and letters and digits.
  std::string_view symbol(const char* what) {
    skip_spaces();
    if (peek() != '%') return word(what);
    std::size_t n = 1;
    while (is_letter(peek(n)) || is_digit(peek(n))) ++n;
    if (n == 1) unexpected(what);
    at_ += n;
    return text_.substr(at_ - n, n);
  }
  Sym define(std::string_view s, DType d) {
    if (!symbols_.emplace(s, p_.next_sym).second)
      fail_at(place(s), "`" + std::string(s) + "` is defined twice.");
    types_.push_back(d);
    return p_.next_sym++;
  }
  Sym loop_variable() { return define(word("a loop variable"), DType::i64); }
  Sym use(const char* what = "a value") {
    const std::string_view s = symbol(what);
    auto it = symbols_.find(s);
    if (it == symbols_.end()) fail_at(place(s), "`" + std::string(s) + "` is not defined.");
    return it->second;
  }
  Sym value() {
    if (!is("%")) unexpected("a value");
    return use();
  }
  int buffer() {
    const std::string_view s = word("a buffer");
    auto it = buffers_.find(s);
    if (it == buffers_.end()) fail_at(place(s), "there is no buffer `" + std::string(s) + "`.");
    return it->second;
  }
  std::size_t place(std::string_view s) const { return std::size_t(s.data() - text_.data()); }

  Affine affine() {
    Affine a;
    for (std::size_t n = 0;; ++n) {
      const bool minus = accept("-");
      if (!minus && !accept("+") && n) return a;
      if (n == kMaxTerms) fail("an index has at most " + std::to_string(n) + " terms.");
      skip_spaces();
      const std::size_t from = at_;
      std::uint64_t k = 1;
      Sym s = kNone;
      if (is_digit(peek())) {
        const auto r = std::from_chars(text_.data() + at_, text_.data() + text_.size(), k);
        if (r.ec != std::errc() || k > (std::uint64_t(1) << 63) - !minus)
          fail("the number is too large.");
        at_ = std::size_t(r.ptr - text_.data());
        if (accept("*")) s = use("a loop variable or a value");
      } else {
        s = use("an index");
      }
      const std::int64_t signed_k = std::int64_t(minus ? -k : k);
      std::int64_t sum;
      if (__builtin_add_overflow(s == kNone ? a.c : a.coef(s), signed_k, &sum))
        fail_at(from, "the number is too large.");
      a += s == kNone ? Affine(signed_k) : Affine::of(s, signed_k);
    }
  }
  Affine subscript() {
    expect("[");
    Affine a = affine();
    expect("]");
    return a;
  }

  // ---- Buffers
  bool declaration(Sym scope) {
    using Role = Buffer::Role;
    const std::string_view w = peek_word();
    if (scope != kNone && w != "local") return false;
    if (w == "arena") {
      skip_word();
      p_.arena = integer();
      arena_given_ = true;
      end_line();
      return true;
    }
    static constexpr std::string_view roles[] = {"in", "out", "const", "temp", "local"};
    const auto* role = std::find(std::begin(roles), std::end(roles), w);
    if (role == std::end(roles)) return false;
    skip_word();
    Buffer b;
    b.role = Role(role - std::begin(roles));
    const std::string_view name = word("a name");
    if (is_keyword(name)) fail_at(place(name), "`" + std::string(name) + "` is a keyword.");
    if (buffers_.count(name))
      fail_at(place(name), "buffer `" + std::string(name) + "` is declared twice.");
    b.name = name;
    b.scope = scope;
    expect(":");
    b.dtype = dtype();
    expect("[");
    b.size = integer();
    expect("]");
    if (b.role == Role::input) b.index = p_.inputs++;
    if (b.role == Role::output) b.index = p_.outputs++;
    if (b.role == Role::output && accept_word("donor")) {
      const std::size_t from = at_;
      const Buffer& donor = p_.buffers[std::size_t(buffer())];
      if (donor.role != Role::input) fail_at(from, "only an input can be a donor.");
      b.donor = donor.index;
    }
    if (b.role == Role::temp && accept("@")) b.offset = integer();
    if (b.role == Role::constant) {
      expect("=");
      b.value = elements(b.dtype, b.size);
    }
    buffers_.emplace(name, int(p_.buffers.size()));
    p_.buffers.push_back(std::move(b));
    end_line();
    return true;
  }
  std::string_view literal() {
    skip_spaces();
    std::size_t n = 0;
    while (at_ + n < text_.size() &&
           std::string_view(" ,]\r\n#").find(peek(n)) == std::string_view::npos)
      ++n;
    if (n == 0) unexpected("a number");
    at_ += n;
    return text_.substr(at_ - n, n);
  }
  void element(std::string_view s, DType d, void* out) {
    if (!parse_scalar(s, d, out))
      fail_at(place(s), "`" + std::string(s) + "` is no " + name(d) + ".");
  }
  // One number for all elements, or a list of them.
  Array elements(DType d, std::int64_t size) {
    skip_spaces();
    const std::size_t from = at_;
    const auto w = std::int64_t(width(d));
    std::vector<std::string_view> items;
    const bool list = accept("[");
    if (!list) {
      items.push_back(literal());
      if (size < 0 || size > kMaxUniform / w)
        fail_at(from, std::to_string(size) + " elements are too many.");
    } else if (!accept("]")) {
      do items.push_back(literal());
      while (accept(","));
      expect("]");
    }
    if (list && std::int64_t(items.size()) != size)
      fail_at(from,
              std::to_string(items.size()) + " elements instead of " + std::to_string(size) + ".");
    Array a = Array::make(make_type(d, Shape{size}));
    char* p = a.data<char>();
    alignas(16) char first[16];
    if (!items.empty()) element(items[0], d, first);
    for (std::int64_t i = 0; i < size; ++i, p += w) {
      if (list)
        element(items[std::size_t(i)], d, p);
      else
        std::memcpy(p, first, std::size_t(w));
    }
    return a;
  }

  // ---- Nodes
  void node(Block& b) {
    const std::string_view w = peek_word();
    if (peek() == '%')
      definition(b);
    else if (w == "parallel" || w == "serial")
      b.push_back(loop());
    else if (w == "while")
      b.push_back(while_());
    else if (w == "if")
      b.push_back(if_());
    else if (w == "call")
      b.push_back(call());
    else if (w.empty() || is_keyword(w))
      unexpected("a statement");
    else
      b.push_back(store());
  }
  Loop loop() {
    const int indent = column_;
    Loop l;
    l.order = word("a loop") == "serial" ? Order::serial : Order::parallel;
    l.var = loop_variable();
    expect("<");
    l.extent = integer();
    while (mark(l.marks)) {
    }
    end_line();
    l.body = block(indent, l.var);
    return l;
  }
  bool mark(Marks& m) {
    if (accept_word("lanes")) {
      m.lanes = small_integer();
      if (is("x")) {
        ++at_;
        m.interleave = small_integer();
      }
    } else if (accept_word("unroll")) {
      m.unroll = true;
    } else if (accept_word("grain")) {
      m.grain = integer();
    } else if (accept_word("chunk")) {
      m.chunk = loop_variable();
    } else if (accept_word("grid")) {
      m.bind = Marks::Bind::grid;
    } else if (accept_word("block")) {
      m.bind = Marks::Bind::block;
    } else if (accept_word("thread")) {
      m.bind = Marks::Bind::thread;
    } else {
      return false;
    }
    return true;
  }
  While while_() {
    const int indent = column_;
    While w;
    skip_word();
    end_line();
    w.cond = block(indent);
    if (column_ != indent || !accept_word("do")) unexpected("`do`");
    w.pred = value();
    end_line();
    w.body = block(indent);
    return w;
  }
  If if_() {
    const int indent = column_;
    If i;
    skip_word();
    i.pred = value();
    end_line();
    i.body = block(indent);
    if (column_ == indent && accept_word("else")) {
      end_line();
      i.otherwise = block(indent);
    }
    return i;
  }
  Store store() {
    Store s;
    s.buffer = buffer();
    s.at = subscript();
    for (int c = 0;; ++c) {
      if (c > int(Combine::xor_)) unexpected("`=`");
      if (!accept(loops::text(Combine(c)))) continue;
      s.combine = Combine(c);
      break;
    }
    s.value = value();
    end_line();
    return s;
  }
  // What starts with %.
  void definition(Block& b) {
    std::vector<std::string_view> names;
    do {
      if (!is("%")) unexpected("a value");
      names.push_back(symbol("a value"));
    } while (accept(","));
    if (accept(":")) {
      const DType d = dtype();
      expect("=");
      b.push_back(operation(names, d));
    } else {
      expect("=");
      if (names.size() > 1) unexpected("`:` and an element type before it");
      b.push_back(untyped(names[0]));
    }
    end_line();
  }
  Node untyped(std::string_view name) {
    if (peek_word() == "clip" && peek(4) != '[') {
      Clip c;
      skip_word();
      c.arg = value();
      c.lo = integer();
      c.hi = integer();
      c.sym = define(name, DType::i64);
      return c;
    }
    Load l;
    l.buffer = buffer();
    l.at = subscript();
    l.sym = define(name, p_.buffers[std::size_t(l.buffer)].dtype);
    return l;
  }
  Node operation(const std::vector<std::string_view>& names, DType d) {
    skip_spaces();
    const std::size_t from = at_;
    Element e;
    e.dtype = d;
    if (parse_scalar(literal(), d, e.bits.data())) {
      if (names.size() > 1) fail_at(from, "one number for several values.");
      return Const{define(names[0], d), e};
    }
    at_ = from;
    if (names.size() == 1 && accept_word("index")) {
      Affine a = affine();
      return Index{define(names[0], d), d, std::move(a)};
    }
    Let l;
    l.op = primitive("operation");
    const std::string_view params = brackets();
    while (is("%")) l.args.push_back(value());
    l.dtype = d;
    if (names.size() > 255) fail_at(from, "too many results.");
    l.results = std::uint8_t(names.size());
    std::vector<Type> in;
    for (Sym a : l.args) in.push_back(scalar_type(types_[std::size_t(a)]));
    l.params =
        parameters(*l.op, {}, params, from, in, std::vector<Type>(names.size(), scalar_type(d)));
    l.sym = p_.next_sym;
    for (std::string_view s : names) define(s, d);
    return l;
  }
  Call call() {
    Call c;
    skip_word();
    skip_spaces();
    const std::size_t definitions = at_;
    while (accept_word("let")) {
      word("a name");
      expect("=");
      skip_lines();
      if (peek() != '{') unexpected("`{`");
      at_ = closing();
      skip_lines();
      if (!accept_word("in")) unexpected("`in`");
      skip_lines();
    }
    const std::size_t from = at_;
    c.prim = primitive("primitive");
    const std::string_view params = brackets();
    c.in = operands();
    expect("->");
    c.out = operands();
    std::vector<Type> in, out;
    for (auto& o : c.in) in.push_back(o.type);
    for (auto& o : c.out) out.push_back(o.type);
    c.params =
        parameters(*c.prim, text_.substr(definitions, from - definitions), params, from, in, out);
    end_line();
    return c;
  }
  std::vector<Call::Operand> operands() {
    std::vector<Call::Operand> v;
    expect("(");
    if (accept(")")) return v;
    do {
      Call::Operand o;
      o.buffer = buffer();
      if (is("[")) o.at = subscript();
      expect(":");
      o.type = type();
      v.push_back(std::move(o));
    } while (accept(","));
    expect(")");
    return v;
  }
  Type type() {
    skip_spaces();
    const std::size_t from = at_;
    const DType d = dtype();
    Shape shape;
    expect("[");
    if (!accept("]")) {
      do shape.push_back(integer());
      while (accept(","));
      expect("]");
    }
    try {
      return make_type(d, shape);
    } catch (const Error& e) {
      fail_at(from, e.what());
    }
  }

  // ---- Operations and their parameters
  const Primitive* primitive(const char* what) {
    skip_spaces();
    std::size_t n = 0;
    if (is_letter(peek()))
      while (is_letter(peek(n)) || is_digit(peek(n)) || (peek(n) == '-' && is_letter(peek(n + 1))))
        ++n;
    const std::string_view s = text_.substr(at_, n);
    if (n == 0) unexpected("a number or an operation");
    const Primitive* p = find_primitive(s);
    if (!p) fail("there is no " + std::string(what) + " `" + std::string(s) + "`.");
    at_ += n;
    return p;
  }
  void skip_lines() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r') ++at_;
  }
  // Behind the bracket that closes the one here.
  std::size_t closing() const {
    int depth = 0;
    for (std::size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == '"' || c == '\'') {
        for (++i; i < text_.size() && text_[i] != c; ++i) i += text_[i] == '\\';
      } else if (c == '[' || c == '(' || c == '{') {
        ++depth;
      } else if ((c == ']' || c == ')' || c == '}') && --depth == 0) {
        return i + 1;
      }
    }
    fail("`" + std::string(1, peek()) + "` is not closed.");
  }
  std::string_view brackets() {
    if (peek() != '[') return {};
    const std::size_t from = at_;
    at_ = closing();
    return text_.substr(from, at_ - from);
  }
  std::shared_ptr<const void> parameters(const Primitive& p, std::string_view definitions,
                                         std::string_view brackets, std::size_t at, Types in,
                                         Types out) const {
    if (brackets.empty()) return p.params ? p.params->make() : nullptr;
    std::string s(definitions);
    s += "{ lambda ;";
    for (std::size_t i = 0; i < in.size(); ++i) s += " a" + std::to_string(i) + ":" + in[i]->str();
    s += ". let";
    for (std::size_t i = 0; i < out.size(); ++i)
      s += " b" + std::to_string(i) + ":" + out[i]->str();
    s += (out.empty() ? " _ = " : " = ") + std::string(p.name);
    const std::size_t start = s.size();
    s += brackets;
    for (std::size_t i = 0; i < in.size(); ++i) s += " a" + std::to_string(i);
    s += " in () }";
    try {
      const Jaxpr j = Jaxpr::parse(s);
      const auto& eqns = j.body()->eqns;
      if (eqns.size() == 1 && eqns[0].prim == &p) return eqns[0].params_data;
    } catch (const ParseError& e) {  // "parse: line:column: what", of s
      std::size_t line = 1, column = 1, k = 0;
      int what = 0;
      std::sscanf(e.what(), "parse: %zu:%zu: %n", &line, &column, &what);
      while (--line) k = s.find('\n', k) + 1;
      k += column - 1;
      if (k >= start && k < start + brackets.size())
        at = place(brackets) + k - start;
      else if (k < definitions.size())
        at = place(definitions) + k;
      fail_at(at, e.what() + what);
    } catch (const Error& e) {
      fail_at(at, e.what());
    }
    fail_at(at, "these parameters cannot be read.");
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  int column_ = 0, depth_ = 0;
  bool arena_given_ = false;
  Program p_;
  std::unordered_map<std::string_view, Sym> symbols_;
  std::vector<DType> types_;  // of symbols
  std::unordered_map<std::string_view, int> buffers_;
};
}  // namespace

Program parse(std::string_view text) { return Parser(text).program(); }

}  // namespace jaxpp::loops
