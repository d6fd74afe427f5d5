// parse.cc -- reads the text of a jaxpr (print.cc) back.
//
// Tokens first, then a descent over the grammar that recurses only into nested jaxprs (to a limit).  The parameters of an
// equation are found by name and read by the primitive's own list of fields; the types written in the text are compared
// with what the shape rules give.  Any input gives a program or a ParseError with line and column.
#include <map>
#include <unordered_map>
#include "jaxpp/core/check.h"
#include "jaxpp/core/custom_text.h"
#include "jaxpp/core/field_text.h"
#include "jaxpp/core/lexer.h"
#include "jaxpp/core/scalar_text.h"
#include "jaxpp/core/user_functions.h"

namespace jaxpp {
namespace internal {
namespace {
constexpr int kMaxDepth = 64;  // of nested jaxprs
constexpr std::int64_t kMaxUniform = std::int64_t(1)
                                     << 30;  // bytes of an array written as one number

// What JAX's text has and ours has not.
constexpr std::string_view kIgnored[] = {
    "weak_type",     "sharding",       "out_sharding", "symbolic_zeros", "accuracy",
    "update_consts", "differentiated", "prevent_cse",  "precision",      "axis_index_groups"};

class Parser {
 public:
  explicit Parser(const std::string& s) : lex_(s) {}

  Jaxpr program() {
    while (is("let") && is("=", 2)) {
      Definition d;
      ++at_;
      const std::string name(word("a name"));
      expect("=");
      d.at = at_;
      skip_jaxpr();
      expect("in");
      if (!definitions_.emplace(name, d).second) fail("`" + name + "` is defined twice.");
    }
    std::vector<std::string> consts;
    JaxprPtr body = jaxpr(&consts);
    std::unordered_map<std::string, Array> values;
    if (accept("where"))
      while (!is_end()) {
        const std::string name(word("a constant"));
        expect("=");
        if (!values.emplace(name, literal()).second) fail("`" + name + "` has two values.");
      }
    if (!is_end()) fail("unexpected `" + std::string(peek()) + "` after the program.");
    std::vector<Array> c;
    for (std::size_t i = 0; i < consts.size(); ++i) {
      auto it = values.find(consts[i]);
      if (it == values.end())
        fail("constant `" + consts[i] + "` has no value: add a line `where " + consts[i] +
             " = ...`.");
      Type t = body->types[body->invars[i]];
      if (it->second.type() != t)
        fail("constant `" + consts[i] + "` is " + it->second.type()->str() + ", its variable " +
             t->str() + ".");
      c.push_back(it->second);
      values.erase(it);
    }
    if (!values.empty()) fail("`" + values.begin()->first + "` is no constant of the program.");
    check_jaxpr(*body);
    return Jaxpr(std::move(body), std::move(c));
  }

 private:
  struct Definition {
    std::size_t at = 0;
    JaxprPtr jaxpr;
    bool open = false;
  };
  struct Scope {
    JaxprBody body;
    std::unordered_map<std::string, Var> vars;
  };

  // ---- Tokens
  std::string_view text(std::size_t i) const {
    const Token& t = lex_.tokens[std::min(i, lex_.tokens.size() - 1)];
    return std::string_view(lex_.text).substr(t.at, t.size);
  }
  std::string_view peek(std::size_t k = 0) const { return text(at_ + k); }
  Kind kind(std::size_t k = 0) const {
    return lex_.tokens[std::min(at_ + k, lex_.tokens.size() - 1)].kind;
  }
  bool is_end() const { return kind() == Kind::end; }
  bool is(std::string_view s, std::size_t k = 0) const {
    return peek(k) == s && (kind(k) == Kind::word || kind(k) == Kind::punct);
  }
  bool accept(std::string_view s) {
    if (!is(s)) return false;
    ++at_;
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const { fail_at(at_, what); }
  [[noreturn]] void fail_at(std::size_t token, const std::string& what) const {
    lex_.fail(lex_.tokens[std::min(token, lex_.tokens.size() - 1)].at, what);
  }
  [[noreturn]] void unexpected(const std::string& wanted) const {
    fail("expected " + wanted +
         (is_end() ? ", the text ends." : ", found `" + std::string(peek()) + "`."));
  }
  void expect(std::string_view s) {
    if (!accept(s)) unexpected("`" + std::string(s) + "`");
  }
  std::string_view word(const char* what) {
    if (kind() != Kind::word) unexpected(what);
    return text(at_++);
  }
  std::int64_t integer() {
    std::int64_t v = 0;
    if (kind() != Kind::number || !parse_scalar(peek(), DType::i64, &v)) unexpected("an integer");
    ++at_;
    return v;
  }
  void skip_jaxpr() {
    if (!is("{")) unexpected("`{`");
    int depth = 0;
    do {
      if (is_end()) fail("`{` without `}`.");
      depth += is("{") ? 1 : is("}") ? -1 : 0;
      ++at_;
    } while (depth);
  }

  template <class F>
  auto guarded(std::size_t at, F f) const {
    try {
      return f();
    } catch (const ParseError&) {
      throw;
    } catch (const Error& e) {
      fail_at(at, e.what());
    }
  }

  // ---- Types and literals
  Type type() {
    const std::size_t at = at_;
    const std::string_view s = word("a type");
    for (int d = 0; d < kNumDTypes; ++d) {
      if (s != name(DType(d))) continue;
      Shape shape;
      expect("[");
      while (!accept("]")) {
        if (!shape.empty()) expect(",");
        shape.push_back(integer());
      }
      return guarded(at, [&] { return make_type(DType(d), shape); });
    }
    fail_at(at, "`" + std::string(s) + "` is no element type.");
  }
  bool at_number() const { return kind() == Kind::number || is("True") || is("False"); }
  Array literal() {
    const std::size_t at = at_;
    std::vector<std::size_t> items;
    const bool list = accept("[");
    if (list) {
      if (is(".")) fail("the elements of this array are left out.");
      while (!accept("]")) {
        if (!items.empty()) expect(",");
        if (!at_number()) unexpected("a number");
        items.push_back(at_++);
      }
    } else {
      if (!at_number()) unexpected("a literal");
      items.push_back(at_++);
    }
    expect(":");
    const Type t = type();
    const auto w = std::int64_t(width(t->dtype));
    if (list ? t->size != std::int64_t(items.size()) : t->size > kMaxUniform / w)
      fail_at(at, list ? std::to_string(items.size()) + " elements for " + t->str() + "."
                       : t->str() + " is too large.");
    Array a = Array::make(t);
    char* p = a.data<char>();
    alignas(16) char element[16];
    for (std::size_t k = 0; k < items.size(); ++k, p += w) {
      if (!parse_scalar(text(items[k]), t->dtype, element))
        fail_at(items[k], "`" + std::string(text(items[k])) + "` is no " + name(t->dtype) + ".");
      if (t->size) std::memcpy(p, element, std::size_t(w));
    }
    if (!list)
      for (std::int64_t k = 1; k < t->size; ++k, p += w) std::memcpy(p, element, std::size_t(w));
    return a;
  }

  // ---- Jaxprs
  JaxprPtr jaxpr(std::vector<std::string>* consts = nullptr) {
    if (++depth_ > kMaxDepth)
      fail("jaxprs are nested deeper than " + std::to_string(kMaxDepth) + ".");
    JaxprPtr j = kind() == Kind::word ? shared() : lambda(consts);
    --depth_;
    return j;
  }
  JaxprPtr shared() {
    auto it = definitions_.find(std::string(peek()));
    if (it == definitions_.end()) fail("there is no `let " + std::string(peek()) + " = ...`.");
    Definition& d = it->second;
    if (d.open) fail("`" + it->first + "` contains itself.");
    ++at_;
    if (!d.jaxpr) {
      const std::size_t back = std::exchange(at_, d.at);
      d.open = true;
      d.jaxpr = lambda(nullptr);
      d.open = false;
      at_ = back;
    }
    return d.jaxpr;
  }
  JaxprPtr lambda(std::vector<std::string>* consts) {
    Scope s;
    expect("{");
    expect("lambda");
    while (!accept(";")) {
      if (!consts) fail("only the outermost jaxpr has constants.");
      consts->emplace_back(peek());
      input(s);
    }
    while (!accept(".")) input(s);
    expect("let");
    while (!(is("in") && is("(", 1))) {
      if (!accept(";")) equation(s);
    }
    expect("in");
    expect("(");
    while (!accept(")")) {
      if (!s.body.outs.empty()) expect(",");
      if (accept(")")) break;
      if (accept("zero"))
        s.body.outs.emplace_back();
      else
        s.body.outs.push_back(atom(s));
    }
    expect("}");
    return std::make_shared<const JaxprBody>(std::move(s.body));
  }
  void define(Scope& s, std::size_t at, Var v) {
    if (!s.vars.emplace(std::string(text(at)), v).second)
      fail_at(at, "`" + std::string(text(at)) + "` is defined twice.");
  }
  void input(Scope& s) {
    const std::size_t at = at_;
    word("a variable");
    expect(":");
    const Var v = s.body.new_var(type());
    s.body.invars.push_back(v);
    define(s, at, v);
  }
  Atom atom(const Scope& s) {
    if (at_number() || is("[")) return Atom(literal());
    if (kind() == Kind::opaque) fail("`" + std::string(peek()) + "` cannot be read back.");
    auto it = s.vars.find(std::string(word("a variable or a literal")));
    if (it == s.vars.end())
      fail_at(at_ - 1, "`" + std::string(text(at_ - 1)) + "` is not defined.");
    return Atom::var(it->second);
  }
  bool at_operand() const {
    if (at_number() || is("[") || kind() == Kind::opaque) return true;
    return kind() == Kind::word && peek() != "_" && !is(":", 1) && !(is("in") && is("(", 1));
  }
  void equation(Scope& s) {
    std::vector<std::pair<std::size_t, Type>> binders;
    while (is(":", 1)) {
      const std::size_t at = at_;
      word("a variable");
      ++at_;
      binders.emplace_back(at, type());
    }
    if (binders.empty()) accept("_");
    if (!binders.empty() || is("=")) expect("=");
    const std::size_t at = at_;
    const Primitive* p = find_primitive(word("an operation"));
    if (!p) fail_at(at, "there is no primitive `" + std::string(text(at)) + "`.");
    Given given;
    if (is("[") && kind(1) == Kind::word && is("=", 2)) given = parameters();
    Equation e{
        p, nullptr, p->params, {}, Var(s.body.types.size()), std::uint32_t(binders.size()), Loc()};
    while (at_operand()) e.in.push_back(atom(s));
    std::vector<Type> in;
    for (auto& a : e.in) in.push_back(s.body.type(a));
    e.params_data = guarded(at, [&] { return fill(*p, given, in); });
    const auto out = guarded(at, [&] { return infer_types(*p, e.params(), in, binders.size()); });
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto& [where, t] = binders[i];
      if (out[i] != t)
        fail_at(where,
                std::string(p->name) + " gives " + out[i]->str() + ", not " + t->str() + ".");
      const Var v = s.body.new_var(t);
      if (text(where) != "_") define(s, where, v);
    }
    s.body.eqns.push_back(std::move(e));
  }

  // ---- Parameters: where the value of each starts and ends
  struct Value {
    std::size_t at, end;
    bool read = false;
  };
  using Given = std::map<std::string, Value, std::less<>>;
  Given parameters() {
    Given g;
    expect("[");
    while (!accept("]")) {
      const std::size_t at = at_;
      const std::string key(word("a parameter"));
      expect("=");
      Value v{at_, at_};
      int depth = 0;
      while (depth || !(is("]") || (kind() == Kind::word && is("=", 1)))) {
        if (is_end()) fail("the list of parameters does not end.");
        if (is("(") || is("[") || is("{")) ++depth;
        if (is(")") || is("]") || is("}")) --depth;
        if (depth < 0) fail("unbalanced `" + std::string(peek()) + "`.");
        ++at_;
      }
      v.end = at_;
      if (!g.emplace(key, v).second) fail_at(at, "parameter `" + key + "` is given twice.");
    }
    return g;
  }
  std::shared_ptr<const void> fill(const Primitive& p, Given& given, Types operands);
  class FieldReader;

  Lexer lex_;
  std::size_t at_ = 0;
  int depth_ = 0;
  OpenRules open_;
  std::map<std::string, Definition> definitions_;
};

// Reads the fields of a parameter struct from their values in the text.
class Parser::FieldReader final : public FieldVisitor {
 public:
  FieldReader(Parser& p, const Primitive& prim, Given& g, Types x)
      : p_(p), prim_(prim), given_(g), operands_(x) {}

  void field(const char* n, bool& v) override {
    read(n, [&] {
      if (!p_.is("True") && !p_.is("False")) p_.unexpected("True or False");
      v = p_.is("True");
      ++p_.at_;
    });
  }
  void field(const char* n, std::int64_t& v) override {
    read(n, [&] { v = p_.integer(); });
  }
  void field(const char* n, double& v) override {
    read(n, [&] {
      if (!parse_scalar(p_.peek(), DType::f64, &v)) p_.unexpected("a number");
      ++p_.at_;
    });
  }
  void field(const char* n, std::string& v) override {
    read(n, [&] { v = string(); });
  }
  void field(const char* n, DType& v) override {
    read(n, [&] { v = dtype(); });
  }
  void field(const char* n, std::optional<DType>& v) override {
    optional(n, v, [&] { return dtype(); });
  }
  void field(const char* n, std::optional<Number>& v) override {
    optional(n, v, [&] { return number(); });
  }
  void field(const char* n, Dims& v) override {
    read(n, [&] { v = dims(); });
  }
  void field(const char* n, std::optional<Dims>& v) override {
    optional(n, v, [&] { return dims(); });
  }
  void field(const char* n, std::vector<Dims>& v) override {
    tuple(n, v, [&] { return dims(); });
  }
  void field(const char* n, std::vector<std::string>& v) override {
    tuple(n, v, [&] { return string(); });
  }
  void field(const char* n, std::vector<Type>& v) override {
    tuple(n, v, [&] { return p_.type(); });
  }
  void field(const char* n, JaxprPtr& v) override {
    read(n, [&] {
      if (!p_.accept("None")) v = p_.jaxpr();
    });
    if (std::string_view(n) == "call_jaxpr") call_ = v;
  }
  void field(const char* n, std::vector<JaxprPtr>& v) override {
    read(n, [&] {
      p_.expect("(");
      while (!p_.accept(")")) {
        v.push_back(p_.jaxpr());
        p_.accept(",");
      }
    });
  }
  void field(const char*, CustomPtr& v) override {
    RuleJaxprs r;
    std::string name = "f";
    std::int64_t num_consts = 0, num_res = 0;
    field("name", name);
    auto rule = std::make_shared<CustomRule>();
    if (call_) p_.open_.entries.push_back({call_, rule});
    if (given_.count("num_consts")) reread("num_consts", num_consts);
    if (given_.count("num_res")) reread("num_res", num_res);
    field("jvp_jaxpr", r.jvp);
    field("fwd_jaxpr", r.fwd);
    field("bwd_jaxpr", r.bwd);
    field("num_residuals", r.num_residuals);
    field("rule_dropped", r.dropped);
    if (call_) {
      if (num_consts < 0 || std::size_t(num_consts) > operands_.size() ||
          call_->invars.size() != operands_.size())
        throw Error(std::string(prim_.name) + ": the operands do not fit call_jaxpr.");
      r.diff_inputs = inexact_positions(operands_.subspan(std::size_t(num_consts)));
      r.diff_outputs = inexact_positions(call_->out_types());
      if (!r.jvp && !(r.fwd && r.bwd) && r.dropped.empty())
        r.dropped = "the text has no rule (JAX's own form shows none)";
    } else if (r.bwd) {
      if (num_res < 0 || std::size_t(num_res) > operands_.size())
        throw Error(std::string(prim_.name) + ": bad num_res.");
      r.num_residuals = num_res;
      r.diff_inputs = inexact_positions(operands_.subspan(std::size_t(num_res)));
      for (std::size_t i = std::size_t(num_res); i < r.bwd->invars.size(); ++i)
        r.diff_outputs.push_back(std::int64_t(r.diff_outputs.size()));
    }
    *rule = *rule_from_jaxprs(name, call_, num_consts, std::move(r));
    if (call_) {
      p_.open_.entries.pop_back();
      p_.open_.complete(*rule, call_, std::string_view(prim_.name) == "custom_jvp_call");
    }
    v = rule;
  }
  void field(const char* n, Opaque&) override {
    read(n, [&] {
      if (p_.accept("None")) return;
      if (p_.peek() == "<>") {
        ++p_.at_;
        return;
      }
      p_.fail("`" + std::string(n) + "=" + std::string(p_.peek()) +
              "` is code of the program that printed it: it cannot be read back.");
    });
  }
  void enumeration(const char* n, int& v, std::span<const char* const> names) override {
    read(n, [&] {
      if (p_.kind() == Kind::number) {  // as JAX prints rounding_method
        const std::int64_t i = p_.integer();
        if (i < 0 || i >= std::int64_t(names.size())) p_.fail("no such member.");
        v = int(i);
        return;
      }
      std::string_view s = p_.word("a name");
      if (p_.accept(".")) s = p_.word("a name");
      for (std::size_t i = 0; i < names.size(); ++i)
        if (s == names[i]) {
          v = int(i);
          return;
        }
      p_.fail_at(p_.at_ - 1, "`" + std::string(s) + "` is no value of " + n + ".");
    });
  }
  // A nested struct: Name(field=value, ...), or a tuple of tuples.
  void begin(const char* n, const char* type) override {
    if (inner_) throw Error("parameters are nested too deeply.");
    inner_ = true;
    auto it = given_.find(n);
    outer_ = it == given_.end() ? nullptr : &it->second;
    if (!outer_) return;
    outer_->read = true;
    p_.at_ = outer_->at;
    dot_ = is_dot_numbers(type);
    if (dot_) {
      p_.expect("(");
      position_ = 0;
      return;
    }
    if (p_.word("a name") != struct_name(type))
      p_.fail_at(p_.at_ - 1, "expected " + std::string(struct_name(type)) + ".");
    p_.expect("(");
    while (!p_.accept(")")) {
      if (!fields_.empty()) p_.expect(",");
      const std::string key(p_.word("a field"));
      p_.expect("=");
      Value v{p_.at_, p_.at_};
      dims();
      v.end = p_.at_;
      if (!fields_.emplace(key, v).second) p_.fail("field `" + key + "` is given twice.");
    }
    if (p_.at_ != outer_->end) p_.fail("unexpected text in the value of " + std::string(n) + ".");
  }
  void end() override {
    if (outer_ && dot_) {
      p_.expect(")");
      if (p_.at_ != outer_->end) p_.unexpected("the next parameter");
    }
    for (auto& [key, v] : fields_)
      if (!v.read) p_.fail_at(v.at, "there is no field `" + key + "`.");
    fields_.clear();
    inner_ = dot_ = false;
    outer_ = nullptr;
  }

 private:
  template <class F>
  void read(const char* n, F f) {
    if (inner_ && !outer_) return;  // the whole struct has its default value
    if (inner_ && dot_) {           // ((a, b), (c, d))
      if (position_ % 2 == 0) {
        if (position_) p_.expect(",");
        p_.expect("(");
      } else {
        p_.expect(",");
      }
      f();
      if (position_++ % 2) p_.expect(")");
      return;
    }
    Given& from = inner_ ? fields_ : given_;
    auto it = from.find(n);
    if (it == from.end()) return;
    it->second.read = true;
    const std::size_t back = std::exchange(p_.at_, it->second.at);
    f();
    if (p_.at_ != it->second.end) p_.unexpected(std::string("the end of the value of ") + n);
    p_.at_ = back;
  }
  void reread(const char* n, std::int64_t& v) { field(n, v); }
  template <class T, class F>
  void optional(const char* n, std::optional<T>& v, F f) {
    read(n, [&] {
      if (p_.accept("None"))
        v.reset();
      else
        v = f();
    });
  }
  template <class T, class F>
  void tuple(const char* n, std::vector<T>& v, F f) {
    read(n, [&] {
      v.clear();
      p_.expect("(");
      while (!p_.accept(")")) {
        if (!v.empty()) {
          p_.expect(",");
          if (p_.accept(")")) break;
        }
        v.push_back(f());
      }
    });
  }
  Dims dims() {
    const char* close = p_.is("[") ? "]" : ")";
    if (!p_.accept("[")) p_.expect("(");
    Dims d;
    while (!p_.accept(close)) {
      if (!d.empty()) {
        p_.expect(",");
        if (p_.accept(close)) break;
      }
      d.push_back(p_.integer());
    }
    return d;
  }
  DType dtype() {
    const std::string_view s = p_.word("an element type");
    for (int d = 0; d < kNumDTypes; ++d)
      if (s == numpy_name(DType(d))) return DType(d);
    p_.fail_at(p_.at_ - 1, "`" + std::string(s) + "` is no element type.");
  }
  Number number() {
    std::string_view s = p_.peek();
    if (!p_.at_number()) p_.unexpected("a number");
    ++p_.at_;
    if (s == "True" || s == "False") return s == "True";
    std::int64_t i = 0;
    if (parse_scalar(s, DType::i64, &i)) return i;
    std::uint64_t u = 0;
    if (s.back() == 'u' && parse_scalar(s.substr(0, s.size() - 1), DType::u64, &u)) return u;
    if (parse_scalar(s, DType::u64, &u)) return u;
    double d = 0;
    if (parse_scalar(s, DType::f64, &d)) return d;
    std::complex<double> z;
    if (parse_scalar(s, DType::c128, &z)) return z;
    p_.fail_at(p_.at_ - 1, "`" + std::string(s) + "` is no number.");
  }
  std::string string() {
    if (p_.kind() == Kind::opaque) return std::string(p_.text(p_.at_++));  // JAX's name=<lambda>
    if (p_.kind() == Kind::word || p_.kind() == Kind::number) return std::string(p_.text(p_.at_++));
    if (p_.kind() != Kind::string) p_.unexpected("a string");
    const std::string_view s = p_.text(p_.at_++);
    std::string out;
    for (std::size_t i = 1; i + 1 < s.size(); ++i) {
      if (s[i] == '\\' && i + 2 < s.size()) {
        ++i;
        out += s[i] == 'n' ? '\n' : s[i];
      } else {
        out += s[i];
      }
    }
    return out;
  }

  Parser& p_;
  const Primitive& prim_;
  Given& given_;
  Types operands_;
  JaxprPtr call_;
  bool inner_ = false, dot_ = false;
  int position_ = 0;
  Value* outer_ = nullptr;
  Given fields_;
};

std::shared_ptr<const void> Parser::fill(const Primitive& p, Given& given, Types operands) {
  std::shared_ptr<void> params;
  const std::size_t back = at_;
  if (p.params) {
    params = p.params->make();
    FieldReader r(*this, p, given, operands);
    p.params->visit(params.get(), r);
  }
  at_ = back;
  for (auto& [key, v] : given) {
    bool known = v.read;
    for (auto k : kIgnored) known |= key == k;
    if (!known) fail_at(v.at, std::string(p.name) + " has no parameter `" + key + "`.");
  }

  return params;
}
}  // namespace
}  // namespace internal

Jaxpr Jaxpr::parse(const std::string& text) { return internal::Parser(text).program(); }

}  // namespace jaxpp
