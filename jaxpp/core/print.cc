// print.cc -- the text of a jaxpr.
//
//   { lambda CONSTANTS; INPUTS. let EQUATIONS in (OUTPUTS) }     an equation:  c:f32[3] = prim[param=value] a b
// Layout, names and parameters are JAX's.  Our own form keeps the whole meaning, so that parse() gives the program back:
// literals are exact, arrays are written out (a constant's value after `where`), derivative rules are jaxprs, and
// parameters that have their default value are left out.  A jaxpr used twice is printed once, as `let name = ... in`.
// The walk recurses over the nesting of jaxprs only.
#include <algorithm>
#include <deque>
#include <map>
#include <ostream>
#include <set>
#include <unordered_map>
#include "jaxpp/core/custom_text.h"
#include "jaxpp/core/document.h"
#include "jaxpp/core/field_text.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/core/scalar_text.h"
#include "jaxpp/ops/params.h"

namespace jaxpp {
namespace internal {
namespace {
constexpr std::size_t kWidth = 80;

// What JAX prints and jaxpp does not have (all constant here), and what JAX leaves out.
struct JaxOnly {
  std::string_view prim, key, value;
};
constexpr JaxOnly kJaxOnly[] = {{"convert_element_type", "weak_type", "False"},
                                {"reduce_sum", "out_sharding", "None"},
                                {"reshape", "sharding", "None"},
                                {"iota", "sharding", "None"},
                                {"scatter", "update_consts", "()"},
                                {"scatter", "update_jaxpr", "None"},
                                {"remat2", "differentiated", "False"},
                                {"remat2", "prevent_cse", "True"},
                                {"psum", "axis_index_groups", "None"},
                                {"custom_jvp_call", "jvp", "jvp"},
                                {"custom_jvp_call", "symbolic_zeros", "False"},
                                {"custom_vjp_call", "bwd", "bwd"},
                                {"custom_vjp_call", "fwd", "fwd"},
                                {"custom_vjp_call", "symbolic_zeros", "False"}};
constexpr std::pair<std::string_view, std::string_view> kJaxHides[] = {
    {"broadcast_in_dim", "shape"},
    {"optimization_barrier", "n"},
    {"device_put", "n"},
    {"unstack", "n"},
    {"sort", "n"},
    {"custom_jvp_call", "num_consts"},
    {"custom_vjp_call", "num_consts"}};

std::string tuple_text(const Dims& d, const char* open = "(", const char* close = ")") {
  std::string s = open;
  for (std::size_t i = 0; i < d.size(); ++i) s += (i ? ", " : "") + std::to_string(d[i]);
  return s + (d.size() == 1 && *open == '(' ? "," : "") + close;
}
std::string quoted(const std::string& s, char quote) {
  std::string out(1, quote);
  for (char c : s) {
    if (c == '\n')
      out += "\\n";
    else if (c == quote || c == '\\')
      (out += '\\') += c;
    else
      out += c;
  }
  return out + quote;
}
std::string number_text(const Number& n) {
  return std::visit(
      [](auto v) -> std::string {
        using T = decltype(v);
        if constexpr (std::is_same_v<T, std::uint64_t>)
          return std::to_string(v) + "u";
        else
          return scalar_text(dtype_of<T>, &v);
      },
      n);
}

// One parameter: text, or jaxprs that the printer lays out.
struct Field {
  std::string name, text;
  std::vector<JaxprPtr> jaxprs;
  bool list = false;  // of jaxprs
  bool keep = false;  // shown even if it is the default
  bool rule = false;  // a jaxpr that is a derivative rule
};

class FieldWriter final : public FieldVisitor {
 public:
  explicit FieldWriter(bool jax) : jax_(jax) {}
  std::vector<Field> fields;
  CustomPtr rule;

  void field(const char* n, bool& v) override { add(n, v ? "True" : "False"); }
  void field(const char* n, std::int64_t& v) override { add(n, std::to_string(v)); }
  void field(const char* n, double& v) override { add(n, scalar_text(DType::f64, &v)); }
  void field(const char* n, std::string& v) override {
    add(n, jax_ || is_plain_word(v) ? v : quoted(v, '"'));
  }
  void field(const char* n, DType& v) override { add(n, numpy_name(v)); }
  void field(const char* n, std::optional<DType>& v) override {
    add(n, v ? numpy_name(*v) : "None");
  }
  void field(const char* n, std::optional<Number>& v) override {
    add(n, v ? number_text(*v) : "None");
  }
  void field(const char* n, Dims& v) override {
    add(n, depth_ && is_dot_numbers(type_) ? tuple_text(v, "[", "]") : tuple_text(v));
  }
  void field(const char* n, std::optional<Dims>& v) override {
    add(n, v ? tuple_text(*v) : "None");
  }
  void field(const char* n, std::vector<Dims>& v) override {
    list(n, v.size(), [&](std::size_t i) { return tuple_text(v[i]); });
  }
  void field(const char* n, std::vector<std::string>& v) override {
    list(n, v.size(), [&](std::size_t i) { return quoted(v[i], '\''); });
  }
  void field(const char* n, std::vector<Type>& v) override {
    list(n, v.size(), [&](std::size_t i) { return v[i]->str(); });
  }
  void field(const char* n, JaxprPtr& v) override {
    if (v)
      fields.push_back({n, "", {v}, false, true, false});
    else
      add(n, "None");
  }
  void field(const char* n, std::vector<JaxprPtr>& v) override {
    fields.push_back({n, "", v, true, true, false});
  }
  void field(const char*, CustomPtr& v) override { rule = v; }
  void field(const char* n, Opaque& v) override {
    add(n, v.value || !v.name.empty() ? "<" + v.name + ">" : "None");
  }
  void enumeration(const char* n, int& v, std::span<const char* const> names) override {
    std::string s = names[std::size_t(v)];
    if (jax_ && std::string_view(n) == "mode") s = "GatherScatterMode." + s;
    if (jax_ && std::string_view(n) == "rounding_method") s = std::to_string(v);
    add(n, s);
  }
  void begin(const char* n, const char* type) override {
    if (depth_++ == 0) {
      outer_ = n;
      type_ = type;
      inner_ = std::exchange(fields, {});
    }
  }
  void end() override {
    if (--depth_ > 0) return;
    std::vector<Field> parts = std::exchange(fields, std::move(inner_));
    std::string s;
    if (is_dot_numbers(type_)) {
      s = "((" + parts[0].text + ", " + parts[1].text + "), (" + parts[2].text + ", " +
          parts[3].text + "))";
    } else {
      for (auto& p : parts)
        if (jax_ || p.text != "()") s += (s.empty() ? "" : ", ") + p.name + "=" + p.text;
      s = std::string(struct_name(type_)) + "(" + s + ")";
    }
    add(outer_.c_str(), s);
  }

 private:
  void add(const char* n, std::string s) {
    fields.push_back({n, std::move(s), {}, false, false, false});
  }
  template <class F>
  void list(const char* n, std::size_t size, F item) {
    std::string s = "(";
    for (std::size_t i = 0; i < size; ++i) s += (i ? ", " : "") + item(i);
    add(n, s + (size == 1 ? ",)" : ")"));
  }
  const bool jax_;
  int depth_ = 0;
  std::string outer_, type_;
  std::vector<Field> inner_;
};

using Names = std::vector<std::string>;

class Printer {
 public:
  explicit Printer(const PrintOptions& o) : options_(o) {}

  std::string program(const JaxprBody& j, std::size_t n_const, std::span<const Array> consts) {
    find_shared(j);
    for (const JaxprBody* s : definitions_) {
      doc_.text("let " + shared_[s] + " = ");
      skeleton(*s, 0, {});
      doc_.text(" in");
      doc_.brk();
    }
    Names names = skeleton(j, n_const, {});
    if (!options_.jax && !consts.empty()) {
      doc_.brk();
      doc_.text("where");
      doc_.nest(2);
      for (std::size_t i = 0; i < consts.size(); ++i) {
        doc_.brk();
        doc_.text(names[j.invars[i]] + " = " + constant(consts[i]));
      }
      doc_.nest(-2);
    }
    return doc_.format(kWidth);
  }

 private:
  // Jaxprs that occur more than once (for JAX: or are long), in the order of their definitions.
  void find_shared(const JaxprBody& top) {
    std::unordered_map<const JaxprBody*, std::pair<int, std::string>> seen;
    std::vector<const JaxprBody*> order;
    std::deque<const JaxprBody*> queue{&top};
    while (!queue.empty()) {
      const JaxprBody* j = queue.front();
      queue.pop_front();
      auto& [count, name] = seen[j];
      if (count == 0) order.push_back(j);
      if (++count > 2) continue;  // its own have been counted twice by now
      if (options_.jax && j != &top && j->eqns.size() > 10) count = 2;
      for (auto& e : j->eqns) {
        auto subs = sub_jaxprs(e);
        if (subs.empty()) continue;
        FieldWriter w(true);
        e.params_ops->visit(e.params_data.get(), w);
        std::string called;
        for (auto& f : w.fields)
          if (f.name == "name") called = f.text;
        if (w.rule) called = w.rule->name;
        for (auto& s : subs) {
          if (seen[s.get()].second.empty()) seen[s.get()].second = called;
          queue.push_back(s.get());
        }
      }
    }
    std::map<std::string, int> used;
    for (const JaxprBody* j : order) {
      auto& [count, called] = seen[j];
      if (count < 2 || j == &top) continue;
      std::string name = called;
      if (!name.empty() && name.front() == '<') name.erase(0, 1);
      if (!name.empty() && name.back() == '>') name.pop_back();
      if (name.empty()) name = "jaxpr";
      if (!options_.jax && (!is_plain_word(name) || is_reserved(name))) {
        for (char& c : name)
          if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
        name.insert(0, "f_");
      }
      std::string fresh = name;
      while (names_taken_.count(fresh)) fresh = name + std::to_string(++used[name]);
      names_taken_.insert(fresh);
      shared_[j] = fresh;
      definitions_.push_back(j);
    }
  }

  std::string fresh() {
    for (;;) {
      std::string s;
      std::size_t n = count_++;
      do s.insert(s.begin(), char('a' + n % 26));
      while (n /= 26);
      if (!names_taken_.count(s) && (options_.jax || !is_reserved(s))) return s;
    }
  }
  std::string constant(const Array& a) const {
    const std::string type = ":" + a.type()->str();
    if (!a.concrete()) return "<traced>" + type;
    const std::size_t w = width(a.dtype());
    const char* p = a.data<char>();
    if (a.ndim() == 0)
      return (options_.jax ? python_text(a.dtype(), p) : scalar_text(a.dtype(), p)) + type;
    const std::int64_t n = a.size();
    bool uniform = n > 0;
    for (std::int64_t i = 1; i < n && uniform; ++i)
      uniform = !std::memcmp(p, p + std::size_t(i) * w, w);
    if (uniform) return scalar_text(a.dtype(), p) + type;
    if (options_.jax || (options_.max_elements >= 0 && n > options_.max_elements))
      return "[...]" + type;
    std::string s = "[";
    for (std::int64_t i = 0; i < n; ++i)
      (s += i ? ", " : "") += scalar_text(a.dtype(), p + std::size_t(i) * w);
    return s + "]" + type;
  }
  std::string atom(const Atom& a, const Names& names) const {
    return a.is_var() ? names[a.var()] : a.is_zero() ? "zero" : constant(a.value());
  }
  std::string binder(const JaxprBody& j, Var v, Names& names) {
    if (names[v].empty()) names[v] = fresh();
    return names[v] + ":" + j.types[v]->str();
  }
  // Words with breaks between them, filled line by line as JAX does.
  void words(const std::vector<std::string>& w, const char* separator = "") {
    doc_.nest(2);
    doc_.open();
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (i) {
        doc_.text(separator);
        doc_.open();
        doc_.brk();
        doc_.close();
      }
      doc_.text(w[i]);
    }
    doc_.close();
    doc_.nest(-2);
  }

  // { lambda ... }.  names: what some variables are to be called.  Returns all names.
  Names skeleton(const JaxprBody& j, std::size_t n_const, Names names) {
    names.resize(j.types.size());
    std::vector<char> used(j.types.size());
    for (auto& e : j.eqns)
      for (auto& a : e.in)
        if (a.is_var()) used[a.var()] = 1;
    for (auto& a : j.outs)
      if (a.is_var()) used[a.var()] = 1;

    doc_.open();
    doc_.nest(2);
    doc_.text("{ lambda ");
    std::vector<std::string> consts, inputs, outs;
    for (std::size_t i = 0; i < j.invars.size(); ++i)
      (i < n_const ? consts : inputs).push_back(binder(j, j.invars[i], names));
    words(consts);
    doc_.text("; ");
    words(inputs);
    doc_.text(". let");
    doc_.nest(2);
    doc_.brk();
    for (std::size_t i = 0; i < j.eqns.size(); ++i) {
      if (i) doc_.brk("; ");
      equation(j, j.eqns[i], used, names);
    }
    doc_.nest(-2);
    doc_.brk();
    doc_.text("in (");
    for (auto& a : j.outs) outs.push_back(atom(a, names));
    words(outs, ",");
    doc_.text(j.outs.size() == 1 ? ",)" : ")");
    doc_.nest(-2);
    doc_.text(" }");
    doc_.close();
    return names;
  }

  void equation(const JaxprBody& j, const Equation& e, const std::vector<char>& used,
                Names& names) {
    std::vector<std::string> outs, ins;
    for (Var v = e.out; v < e.out + e.n_out; ++v)
      outs.push_back(used[v] ? binder(j, v, names) : "_:" + j.types[v]->str());
    if (e.n_out == 0 && !options_.jax) outs.push_back("_");
    if (!outs.empty()) {
      words(outs);
      doc_.text(" = ");
    }
    doc_.text(e.prim->name);
    std::vector<Field> fields = params(j, e);
    if (!fields.empty()) {
      doc_.open();
      doc_.nest(2);
      doc_.text("[");
      doc_.brk("");
      for (std::size_t i = 0; i < fields.size(); ++i) {
        if (i) doc_.brk();
        doc_.text(fields[i].name + "=");
        value(e, fields[i], names);
      }
      doc_.nest(-2);
      doc_.brk("");
      doc_.text("]");
      doc_.close();
    }
    for (auto& a : e.in) ins.push_back(atom(a, names));
    if (!ins.empty() || options_.jax) doc_.text(" ");
    words(ins);
  }
  void value(const Equation& e, const Field& f, const Names& names) {
    if (f.jaxprs.empty() && !f.list) return doc_.text(f.text);
    if (!f.list) {
      rule_depth_ += f.rule;
      nested(*f.jaxprs[0], e, names);
      rule_depth_ -= f.rule;
      return;
    }
    doc_.open();
    doc_.nest(2);
    doc_.text("(");
    doc_.brk("");
    for (std::size_t i = 0; i < f.jaxprs.size(); ++i) {
      if (i) doc_.brk();
      nested(*f.jaxprs[i], e, names);
    }
    doc_.nest(-2);
    doc_.brk("");
    doc_.text(")");
    doc_.close();
  }
  void nested(const JaxprBody& s, const Equation& e, const Names& names) {
    if (auto it = shared_.find(&s); it != shared_.end()) return doc_.text(it->second);
    Names given(s.types.size());
    if (std::string_view(e.prim->name) == "jit") {  // its variables are called as those outside
      std::set<Var> taken;
      auto suggest = [&](Var inner, Var outer) {
        if (given[inner].empty() && !names[outer].empty() && taken.insert(outer).second)
          given[inner] = names[outer];
      };
      for (std::size_t i = 0; i < std::min<std::size_t>(e.in.size(), s.invars.size()); ++i)
        if (e.in[i].is_var()) suggest(s.invars[i], e.in[i].var());
      taken.clear();
      std::vector<char> input(s.types.size());
      for (Var v : s.invars) input[v] = 1;
      for (std::size_t i = 0; i < std::min<std::size_t>(e.n_out, s.outs.size()); ++i)
        if (s.outs[i].is_var() && !input[s.outs[i].var()]) suggest(s.outs[i].var(), e.out + Var(i));
    }
    skeleton(s, 0, std::move(given));
  }

  // The parameters as they are to be printed.
  std::vector<Field> params(const JaxprBody& j, const Equation& e) {
    if (!e.params_ops) return {};
    const bool jax = options_.jax;
    FieldWriter w(jax);
    e.params_ops->visit(e.params_data.get(), w);
    std::vector<Field> fields = std::move(w.fields);
    if (w.rule) custom_fields(j, e, w.rule, fields);
    const std::string_view prim = e.prim->name;
    if (jax) {
      for (auto& [p, key] : kJaxHides)
        if (p == prim) std::erase_if(fields, [key = key](auto& f) { return f.name == key; });
      if (prim == "broadcast_in_dim" || prim == "dot_general")
        std::erase_if(fields, [](auto& f) { return f.text == "()" || f.text == "None"; });
      if (prim == "debug_callback" || prim == "pure_callback")
        std::erase_if(fields, [](auto& f) { return f.name == "out_types"; });
      for (auto& x : kJaxOnly)
        if (x.prim == prim)
          fields.push_back({std::string(x.key), std::string(x.value), {}, false, true, false});
    } else {
      FieldWriter d(false);
      auto defaults = e.params_ops->make();
      e.params_ops->visit(defaults.get(), d);
      std::erase_if(fields, [&](const Field& f) {
        if (f.keep) return false;
        auto it = std::find_if(d.fields.begin(), d.fields.end(),
                               [&](auto& g) { return g.name == f.name; });
        return it != d.fields.end() && it->jaxprs.empty() && it->text == f.text;
      });
    }
    std::sort(fields.begin(), fields.end(), [](auto& a, auto& b) {
      return std::pair(a.name != "name", std::string_view(a.name)) <
             std::pair(b.name != "name", std::string_view(b.name));
    });
    return fields;
  }
  void custom_fields(const JaxprBody& j, const Equation& e, const CustomPtr& rule,
                     std::vector<Field>& fields) {
    auto text = [&](const char* n, std::string s) {
      fields.push_back({n, std::move(s), {}, false, true, false});
    };
    auto jaxpr = [&](const char* n, const JaxprPtr& p) {
      if (p) fields.push_back({n, "", {p}, false, true, true});
    };
    text("name", options_.jax || is_plain_word(rule->name) ? rule->name : quoted(rule->name, '"'));
    if (options_.jax) return;
    std::vector<Type> x, y;
    for (auto& a : e.in) x.push_back(j.type(a));
    for (Var v = e.out; v < e.out + e.n_out; ++v) y.push_back(j.types[v]);
    RuleJaxprs r;
    if (e.params_ops == &params_ops<CustomLinParams>) {
      const auto n = std::size_t(e.params().as<CustomLinParams>().num_res);
      try {
        r.bwd = trace_bwd(*rule, Types(x).first(n), y, Types(x).subspan(n));
      } catch (const Error& err) {
        r.dropped = err.what();
      }
    } else if (rule_depth_ >= kRuleDepth) {
      r.dropped = "depth";
    } else {
      r = trace_rule(*rule, Types(x).subspan(std::size_t(e.params().as<CustomParams>().num_consts)),
                     y);
      if (r.num_residuals) text("num_residuals", std::to_string(r.num_residuals));
    }
    jaxpr("jvp_jaxpr", r.jvp);
    jaxpr("fwd_jaxpr", r.fwd);
    jaxpr("bwd_jaxpr", r.bwd);
    if (!r.dropped.empty())
      text("rule_dropped", is_plain_word(r.dropped) ? r.dropped : quoted(r.dropped, '"'));
  }

  const PrintOptions& options_;
  Document doc_;
  std::size_t count_ = 0;
  int rule_depth_ = 0;
  std::set<std::string> names_taken_;
  std::unordered_map<const JaxprBody*, std::string> shared_;
  std::vector<const JaxprBody*> definitions_;
};
}  // namespace

std::string to_string(const JaxprBody& j, std::size_t constvars, const PrintOptions& o,
                      std::span<const Array> consts) {
  if (!o.canonical) return Printer(o).program(j, constvars, consts);
  return Printer(o).program(*canonical(j), constvars, consts);
}

}  // namespace internal

std::string Jaxpr::to_string(const PrintOptions& o) const {
  return internal::to_string(*body_, consts_.size(), o, consts_);
}
std::ostream& operator<<(std::ostream& out, const Jaxpr& j) {
  return out << j.to_string({.max_elements = 64});
}

}  // namespace jaxpp
