// print.cc -- the text of a loop program (docs/loops.md has the grammar).
//
// One node a line, two spaces of indentation a level.  Symbols are numbered in order of appearance, loops i0, i1, ... and
// values %0, %1, ..., so that the text does not depend on how the tree was made.  A malformed program has a text too: a
// symbol that is used before its definition is printed as ?7, after its number.
#include <algorithm>
#include <unordered_map>
#include "backends/loops/text.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/lexer.h"
#include "jaxpp/core/scalar_text.h"

namespace jaxpp::loops {
namespace {

// The parameters as a printed jaxpr has them, which is where the text comes from: an equation of that primitive alone.
struct ParamsText {
  std::string definitions;  // of jaxprs that occur twice: let f = { ... } in
  std::string brackets;     // [axes=(0,)], or nothing
};
ParamsText params_text(const Primitive& p, const std::shared_ptr<const void>& params, Types in,
                       Types out) {
  if (!p.params || !params) return {};
  JaxprBody j;
  Equation e{&p, params, p.params, {}, 0, std::uint32_t(out.size()), Loc()};
  for (Type t : in) {
    j.invars.push_back(j.new_var(t));
    e.in.push_back(Atom::var(j.invars.back()));
  }
  e.out = Var(j.types.size());
  for (Type t : out) j.new_var(t);
  j.eqns.push_back(std::move(e));
  const std::string s = to_string(j, 0, {});

  const Lexer lex(s);
  const auto& tokens = lex.tokens;
  std::size_t at = 0;
  auto is = [&](std::size_t k, char c) { return tokens[k].size == 1 && s[tokens[k].at] == c; };
  auto close = [&](std::size_t k) {  // the bracket that closes the one at token k
    for (int depth = 0;; ++k) {
      depth += is(k, '{') || is(k, '[') || is(k, '(');
      depth -= is(k, '}') || is(k, ']') || is(k, ')');
      if (depth == 0) return k;
    }
  };
  while (!is(at, '{')) at = close(at + 3) + 2;  // let f = { ... } in
  ParamsText t;
  t.definitions = s.substr(0, tokens[at].at);
  while (!is(at, '=')) ++at;  // { lambda ; a:f32[]. let b:f32[] = name[...] a
  while (!is(at, '[') && !is(at, '(')) ++at;
  if (is(at, '(')) return t;
  const std::size_t from = tokens[at].at, to = tokens[close(at)].at + 1;
  t.brackets = s.substr(from, to - from);
  return t;
}
// Lines joined; inside brackets nothing separates what a line break did.
std::string flattened(const std::string& s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\n') {
      out += s[i];
      continue;
    }
    while (i + 1 < s.size() && s[i + 1] == ' ') ++i;
    const bool open = out.ends_with('[') || out.ends_with('(');
    if (!open && s[i + 1] != ']' && s[i + 1] != ')') out += ' ';
  }
  return out;
}
// Lines moved so that the last one starts at column `indent`.
std::string indented(const std::string& s, std::size_t indent) {
  const std::size_t last = s.rfind('\n');
  if (last == s.npos) return s;
  const std::size_t drop = std::min(s.find_first_not_of(' ', last + 1), s.size()) - (last + 1);
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    out += s[i];
    if (s[i] != '\n') continue;
    for (std::size_t k = 0; k < drop && s[i + 1] == ' '; ++k) ++i;
    out.append(indent, ' ');
  }
  return out;
}

class Printer {
 public:
  explicit Printer(const Program& p, const Node* wanted = nullptr) : p_(p), wanted_(wanted) {}
  std::string text;
  std::size_t found = std::string::npos;  // where the wanted node starts

  void program() {
    using Role = Buffer::Role;
    for (Role r : {Role::input, Role::output}) {
      std::vector<const Buffer*> sorted;
      for (const Buffer& b : p_.buffers)
        if (b.role == r) sorted.push_back(&b);
      std::stable_sort(sorted.begin(), sorted.end(),
                       [](auto* a, auto* b) { return a->index < b->index; });
      for (const Buffer* b : sorted) declare(*b);
    }
    for (Role r : {Role::constant, Role::temp})
      for (const Buffer& b : p_.buffers)
        if (b.role == r) declare(b);
    if (p_.arena) line("arena " + std::to_string(p_.arena));
    for (std::size_t i = 0; i < p_.buffers.size(); ++i)
      if (p_.buffers[i].role == Role::local) locals_[p_.buffers[i].scope].push_back(i);
    locals(kNone);
    block(p_.body);
  }

 private:
  // ---- Lines
  void line(const std::string& s) {
    text.append(indent_, ' ');
    text += s;
    text += '\n';
  }
  template <class F>
  void nested(F f) {
    indent_ += 2;
    f();
    indent_ -= 2;
  }

  // ---- Names
  const std::string& define(Sym s, bool loop) {
    Name& n = names_[s];
    n.order = int(names_.size());
    n.loop = loop;
    return n.text = loop ? "i" + std::to_string(loops_++) : "%" + std::to_string(values_++);
  }
  std::string use(Sym s) const {
    auto it = names_.find(s);
    return it == names_.end() ? "?" + std::to_string(s) : it->second.text;
  }
  std::string buffer(int b) const {
    return b >= 0 && std::size_t(b) < p_.buffers.size() ? p_.buffers[std::size_t(b)].name
                                                        : "?" + std::to_string(b);
  }
  // Terms in order of appearance, loop variables first: the numbers of symbols do not show.
  std::string affine(const Affine& a) const {
    struct Part {
      bool loop;
      int order;
      Affine::Term term;
    };
    SmallVec<Part, 4> parts;
    for (const auto& t : a.terms) {
      auto it = names_.find(t.sym);
      if (it == names_.end())
        parts.push_back(Part{false, 0, t});
      else
        parts.push_back(Part{it->second.loop, it->second.order, t});
    }
    std::sort(parts.begin(), parts.end(), [](const Part& x, const Part& y) {
      return x.loop != y.loop ? x.loop : x.order < y.order;
    });
    std::string s;
    for (const Part& part : parts) {
      const auto [sym, k] = part.term;
      if (!s.empty() && k >= 0) s += '+';
      if (k == -1) s += '-';
      if (k != 1 && k != -1) s += std::to_string(k) + "*";
      s += use(sym);
    }
    if (a.c >= 0 && !s.empty())
      s += a.c ? "+" + std::to_string(a.c) : "";
    else
      s += std::to_string(a.c);
    return s;
  }
  std::string at(int b, const Affine& a) const { return buffer(b) + "[" + affine(a) + "]"; }

  // ---- Buffers
  void declare(const Buffer& b) {
    static constexpr const char* roles[] = {"in", "out", "const", "temp", "local"};
    std::string s = std::string(roles[int(b.role)]) + " " + b.name + ": " + name(b.dtype) + "[" +
                    std::to_string(b.size) + "]";
    if (b.donor >= 0) s += " donor " + input(b.donor);
    if (b.offset >= 0) s += " @" + std::to_string(b.offset);
    if (b.role == Buffer::Role::constant) s += " = " + elements(b.value);
    line(s);
  }
  std::string input(int index) const {
    for (const Buffer& b : p_.buffers)
      if (b.role == Buffer::Role::input && b.index == index) return b.name;
    return "?" + std::to_string(index);
  }
  static std::string elements(const Array& a) {
    if (!a.defined() || !a.concrete()) return "?";
    const std::size_t w = width(a.dtype()), n = std::size_t(a.size());
    const char* p = a.data<char>();
    bool uniform = n > 0;
    for (std::size_t i = 1; i < n && uniform; ++i) uniform = !std::memcmp(p, p + i * w, w);
    if (uniform) return scalar_text(a.dtype(), p);
    std::string s = "[";
    for (std::size_t i = 0; i < n; ++i) (s += i ? ", " : "") += scalar_text(a.dtype(), p + i * w);
    return s + "]";
  }
  void locals(Sym scope) {
    if (auto it = locals_.find(scope); it != locals_.end())
      for (std::size_t i : it->second) declare(p_.buffers[i]);
  }

  // ---- Nodes
  void block(const Block& b) {
    for (const Node& n : b) {
      if (&n == wanted_) found = text.size();
      std::visit([&](const auto& x) { node(x); }, n.v);
    }
  }
  void node(const Loop& l) {
    const Marks& m = l.marks;
    std::string s = l.order == Order::parallel ? "parallel " : "serial ";
    s += define(l.var, true) + " < " + std::to_string(l.extent);
    if (m.lanes != 1 || m.interleave != 1) s += " lanes " + std::to_string(m.lanes);
    if (m.interleave != 1) s += " x" + std::to_string(m.interleave);
    if (m.unroll) s += " unroll";
    if (m.grain) s += " grain " + std::to_string(m.grain);
    if (m.chunk != kNone) s += " chunk " + define(m.chunk, true);
    static constexpr const char* binds[] = {"", " grid", " block", " thread"};
    line(s + binds[int(m.bind)]);
    nested([&] {
      locals(l.var);
      block(l.body);
    });
  }
  void node(const Let& l) {
    std::string s;
    for (int i = 0; i < l.results; ++i) s += (i ? ", " : "") + define(l.sym + i, false);
    s += std::string(": ") + name(l.dtype) + " = ";
    if (!l.op) return line(s + "?");
    const Type t = scalar_type(l.dtype);  // any will do: no parameter's text depends on it
    const std::vector<Type> in(l.args.size(), t), out(l.results, t);
    s += l.op->name + flattened(params_text(*l.op, l.params, in, out).brackets);
    for (Sym a : l.args) s += " " + use(a);
    line(s);
  }
  void node(const Const& c) {
    line(define(c.sym, false) + ": " + name(c.value.dtype) + " = " +
         scalar_text(c.value.dtype, c.value.bits.data()));
  }
  void node(const Index& i) {
    const std::string value = affine(i.at);
    line(define(i.sym, false) + ": " + name(i.dtype) + " = index " + value);
  }
  void node(const Clip& c) {
    const std::string arg = use(c.arg);
    line(define(c.sym, false) + " = clip " + arg + " " + std::to_string(c.lo) + " " +
         std::to_string(c.hi));
  }
  void node(const Load& l) {
    const std::string from = at(l.buffer, l.at);
    line(define(l.sym, false) + " = " + from);
  }
  void node(const Store& s) {
    line(at(s.buffer, s.at) + " " + loops::text(s.combine) + " " + use(s.value));
  }
  void node(const While& w) {
    line("while");
    nested([&] { block(w.cond); });
    line("do " + use(w.pred));
    nested([&] { block(w.body); });
  }
  void node(const If& i) {
    line("if " + use(i.pred));
    nested([&] { block(i.body); });
    if (i.otherwise.empty()) return;
    line("else");
    nested([&] { block(i.otherwise); });
  }
  void node(const Call& c) {
    std::vector<Type> in, out;
    for (auto& o : c.in) in.push_back(o.type);
    for (auto& o : c.out) out.push_back(o.type);
    auto typed = [](const std::vector<Type>& t) {
      return !std::count(t.begin(), t.end(), nullptr);
    };
    std::string s = "call ";
    if (!c.prim) {
      s += "?";
    } else if (!typed(in) || !typed(out)) {
      s += c.prim->name;
    } else {
      const ParamsText t = params_text(*c.prim, c.params, in, out);
      s += indented(t.definitions, indent_) + c.prim->name;
      s += t.brackets.find('{') == t.brackets.npos ? flattened(t.brackets)
                                                   : indented(t.brackets, indent_);
    }
    line(s + " (" + operands(c.in) + ") -> (" + operands(c.out) + ")");
  }
  std::string operands(const std::vector<Call::Operand>& v) const {
    std::string s;
    for (auto& o : v) {
      s += (s.empty() ? "" : ", ") + buffer(o.buffer);
      if (!(o.at == Affine())) s += "[" + affine(o.at) + "]";
      s += ": " + (o.type ? o.type->str() : "?");
    }
    return s;
  }

  struct Name {
    std::string text;
    int order = 0;
    bool loop = false;
  };
  const Program& p_;
  const Node* wanted_;
  std::size_t indent_ = 0;
  int loops_ = 0, values_ = 0;
  std::unordered_map<Sym, Name> names_;
  std::unordered_map<Sym, std::vector<std::size_t>> locals_;
};
}  // namespace

std::string print(const Program& p) {
  Printer printer(p);
  printer.program();
  return std::move(printer.text);
}

Place place_of(const Program& p, const Node& n) {
  Printer printer(p, &n);
  printer.program();
  const std::string& s = printer.text;
  if (printer.found == s.npos) return {};
  const std::size_t from = s.find_first_not_of(' ', printer.found);
  return {1 + std::size_t(std::count(s.begin(), s.begin() + std::ptrdiff_t(from), '\n')),
          s.substr(from, s.find('\n', from) - from)};
}

}  // namespace jaxpp::loops
