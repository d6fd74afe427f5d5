// json_parse.cc -- reads programs from JSON, the format of docs/jaxpr-json.md.
//
// The text may come from JAX (parameters that jaxpp has no use for are ignored, a few primitives are spelled differently)
// or from anywhere: every number, id, shape and type is checked, and anything wrong is a ParseError.  The recursion is
// over nested jaxprs, to a limit.
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include "jaxpp/core/check.h"
#include "jaxpp/core/custom_text.h"
#include "jaxpp/core/json.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/ops/params.h"

namespace jaxpp {
namespace internal {
namespace {
using nlohmann::json;
constexpr int kMaxDepth = 64;        // of nested jaxprs
constexpr int kMaxJsonDepth = 1000;  // of brackets

[[noreturn]] void refuse(const std::string& what) { throw ParseError("json: " + what); }

const json& member(const json& o, const char* key) {
  if (!o.is_object()) refuse(std::string("expected an object with `") + key + "`.");
  auto it = o.find(key);
  if (it == o.end()) refuse(std::string("`") + key + "` is missing.");
  return *it;
}
const json& list(const json& v, const char* what) {
  if (!v.is_array()) refuse(std::string(what) + " is no list.");
  return v;
}
std::string string(const json& v, const char* what) {
  if (!v.is_string()) refuse(std::string(what) + " is no string.");
  return v.get<std::string>();
}
std::int64_t integer(const json& v, const char* what) {
  if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t(INT64_MAX))
    refuse(std::string(what) + " is too large.");
  if (!v.is_number_integer()) refuse(std::string(what) + " is no integer.");
  return v.get<std::int64_t>();
}
Dims dims(const json& v, const char* what) {
  Dims d;
  for (auto& i : list(v, what)) d.push_back(integer(i, what));
  return d;
}
double real(const json& v, const char* what) {
  if (v.is_number()) return v.get<double>();
  const std::string s = string(member(v, "float"), what);
  if (s == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (s == "inf") return std::numeric_limits<double>::infinity();
  if (s == "-inf") return -std::numeric_limits<double>::infinity();
  refuse("`" + s + "` is no float.");
}
Number number(const json& v, const char* what) {
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t(INT64_MAX))
    return v.get<std::uint64_t>();
  if (v.is_number_integer()) return v.get<std::int64_t>();
  if (v.is_object() && v.contains("complex")) {
    const json& z = list(v["complex"], what);
    if (z.size() != 2) refuse("a complex number has two parts.");
    return std::complex<double>(real(z[0], what), real(z[1], what));
  }
  return real(v, what);
}
DType dtype(const json& v, const char* what) {
  return dtype_from_name(string(v.is_object() ? member(v, "dtype") : v, what));
}
Type type(const json& v) {
  const DType d = dtype(v, "dtype");
  return make_type(d, dims(member(v, "shape"), "shape"));
}

// The JSON library's own hook for this makes it quadratic.
void check_depth(const std::string& text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) refuse("brackets are nested too deeply.");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

class Reader {
 public:
  /// tensors: the arrays that the text names instead of writing them.
  explicit Reader(const std::map<std::string, Array>* tensors = nullptr) : tensors_(tensors) {}
  /// A program; constants are appended to `consts` and become leading inputs, or are embedded.
  JaxprPtr program(const json& p, std::vector<Array>* consts) {
    if (++depth_ > kMaxDepth)
      refuse("programs are nested deeper than " + std::to_string(kMaxDepth) + ".");
    Body b;
    const json& j = member(p, "jaxpr");
    const json& constvars = list(member(j, "constvars"), "constvars");
    const json& values = list(member(p, "consts"), "consts");
    if (constvars.size() != values.size()) refuse("constvars and consts differ in number.");
    for (std::size_t i = 0; i < values.size(); ++i) {
      Array a = array(values[i]);
      if (a.type() != type(constvars[i])) refuse("a constant has another type than its variable.");
      if (!consts) {
        define(b, constvars[i], Atom(a));
        continue;
      }
      consts->push_back(a);
      input(b, constvars[i]);
    }
    for (auto& v : list(member(j, "invars"), "invars")) input(b, v);
    for (auto& e : list(member(j, "eqns"), "eqns")) equation(b, e);
    for (auto& a : list(member(j, "outvars"), "outvars")) b.jaxpr.outs.push_back(atom(b, a));
    --depth_;
    return std::make_shared<const JaxprBody>(std::move(b.jaxpr));
  }

 private:
  struct Body {
    JaxprBody jaxpr;
    std::unordered_map<std::int64_t, Atom> vars;
  };
  class FieldReader;

  static void define(Body& b, const json& v, Atom a) {
    const std::int64_t id = integer(member(v, "id"), "id");
    if (!b.vars.emplace(id, std::move(a)).second)
      refuse("id " + std::to_string(id) + " is defined twice.");
  }
  static void input(Body& b, const json& v) {
    const Var x = b.jaxpr.new_var(type(v));
    b.jaxpr.invars.push_back(x);
    define(b, v, Atom::var(x));
  }
  Array array(const json& v) const {
    const std::string d = string(member(v, "dtype"), "dtype");
    const Dims shape = dims(member(v, "shape"), "shape");
    if (!v.contains("tensor")) return array_from_json(d, shape, string(member(v, "data"), "data"));
    const std::string name = string(v["tensor"], "tensor");
    if (!tensors_) refuse("the array `" + name + "` is in another file: use load_jaxpr.");
    auto it = tensors_->find(name);
    if (it == tensors_->end()) refuse("there is no array `" + name + "` among the weights.");
    if (it->second.type() != type(v))
      refuse("`" + name + "` is " + type(v)->str() + " in the program, " +
             it->second.type()->str() + " among the weights.");
    return it->second;
  }
  Atom atom(const Body& b, const json& a) const {
    if (a.is_object() && a.contains("literal")) return Atom(array(a["literal"]));
    const std::int64_t id = integer(member(a, "var"), "var");
    auto it = b.vars.find(id);
    if (it == b.vars.end()) refuse("id " + std::to_string(id) + " is not defined here.");
    return it->second;
  }

  void equation(Body& b, const json& e) {
    const std::string name = string(member(e, "primitive"), "primitive");
    try {
      read_equation(b, e, name);
    } catch (const ParseError&) {
      throw;
    } catch (const Error& err) {  // a shape rule, or a type beyond any size
      refuse(name + ": " + err.what());
    }
  }
  void read_equation(Body& b, const json& e, const std::string& name) {
    static const json none = json::object();
    const json& params = e.contains("params") ? e["params"] : none;
    if (!params.is_object()) refuse(name + ": params is no object.");
    const json& outputs = list(member(e, "outputs"), "outputs");
    std::vector<Atom> in;
    for (auto& a : list(member(e, "inputs"), "inputs")) in.push_back(atom(b, a));

    if (name == "platform_index") {  // which entry of the list this platform is: known now
      if (outputs.size() != 1 || !in.empty())
        refuse("platform_index has no operand and one result.");
      const Array index(std::int32_t(platform(member(params, "platforms"))));
      if (!outputs[0].is_null()) define(b, outputs[0], Atom(index));
      return;
    }
    if (name == "cond" && params.contains("branches_platforms") &&
        !params["branches_platforms"].is_null()) {
      const json& branches = list(member(params, "branches"), "branches");
      const std::size_t k = platform(params["branches_platforms"]);
      if (k >= branches.size() || in.empty())
        refuse("cond: branches_platforms does not fit the branches.");
      auto call = std::make_shared<CallParams>();
      call->jaxpr = program(branches[k], nullptr);
      call->name = "platform";
      in.erase(in.begin());
      return emit(b, *find_primitive("jit"), call, std::move(in), outputs);
    }
    const bool square_as_power = name == "square" && !find_primitive("square");
    const Primitive* p = find_primitive(square_as_power ? "integer_pow" : name);
    if (!p) throw UnknownPrimitive(name);
    std::shared_ptr<void> data = p->params ? p->params->make() : nullptr;
    if (square_as_power)
      static_cast<PowParams*>(data.get())->y = 2;
    else if (p->params)
      fill(*p, data.get(), params, in.size(), outputs.size());
    // mul may say that its result has another type than its operands.
    if (name == "mul" && params.contains("out_dtype") && !params["out_dtype"].is_null())
      for (auto& a : in) a = converted(b, std::move(a), dtype(params["out_dtype"], "out_dtype"));
    emit(b, *p, std::move(data), std::move(in), outputs);
  }
  static std::size_t platform(const json& platforms) {
    std::size_t otherwise = std::size_t(-1), i = 0;
    for (auto& p : list(platforms, "platforms")) {
      if (p.is_null())
        otherwise = i;
      else
        for (auto& s : list(p, "platforms"))
          if (s == "cpu") return i;
      ++i;
    }
    if (otherwise == std::size_t(-1)) refuse("no entry of `platforms` fits.");
    return otherwise;
  }
  static Atom converted(Body& b, Atom a, DType d) {
    const Type t = b.jaxpr.type(a);
    if (t->dtype == d) return a;
    auto data = std::make_shared<ConvertParams>();
    data->new_dtype = d;
    const Var v = b.jaxpr.new_var(make_type(d, t->shape));
    Equation e{
        find_primitive("convert_element_type"), data, &params_ops<ConvertParams>, {}, v, 1, Loc()};
    e.in.push_back(std::move(a));
    b.jaxpr.eqns.push_back(std::move(e));
    return Atom::var(v);
  }
  static void emit(Body& b, const Primitive& p, std::shared_ptr<const void> data,
                   std::vector<Atom> in, const json& outputs) {
    std::vector<Type> types;
    Equation e{&p, std::move(data), p.params, {}, 0, std::uint32_t(outputs.size()), Loc()};
    for (auto& a : in) {
      types.push_back(b.jaxpr.type(a));
      e.in.push_back(std::move(a));
    }
    const auto out = infer_types(p, e.params(), types, outputs.size());
    e.out = Var(b.jaxpr.types.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const Var v = b.jaxpr.new_var(out[i]);
      if (outputs[i].is_null()) continue;
      if (type(outputs[i]) != out[i])
        refuse(std::string(p.name) + " gives " + out[i]->str() + ", the text says " +
               type(outputs[i])->str() + ".");
      define(b, outputs[i], Atom::var(v));
    }
    b.jaxpr.eqns.push_back(std::move(e));
  }
  void fill(const Primitive&, void* data, const json& params, std::size_t n_in, std::size_t n_out);

  const std::map<std::string, Array>* tensors_;
  int depth_ = 0;
  OpenRules open_;
};

// Reads the fields of a parameter struct; what is missing or null keeps its default value.
class Reader::FieldReader final : public FieldVisitor {
 public:
  FieldReader(Reader& r, std::string_view prim, const json& p)
      : r_(r), prim_(prim), all_(p), at_(&p) {}

  void field(const char* n, bool& v) override {
    if (auto* j = find(n)) {
      if (!j->is_boolean()) refuse(std::string(n) + " is no bool.");
      v = j->get<bool>();
    }
  }
  void field(const char* n, std::int64_t& v) override {
    if (auto* j = find(n)) v = integer(*j, n);
  }
  void field(const char* n, double& v) override {
    if (auto* j = find(n)) v = real(*j, n);
  }
  void field(const char* n, std::string& v) override {
    if (auto* j = find(n)) v = string(*j, n);
  }
  void field(const char* n, DType& v) override {
    if (auto* j = find(n)) v = dtype(*j, n);
  }
  void field(const char* n, std::optional<DType>& v) override {
    if (auto* j = find(n)) v = dtype(*j, n);
  }
  void field(const char* n, std::optional<Number>& v) override {
    if (auto* j = find(n)) v = number(*j, n);
  }
  void field(const char* n, Dims& v) override {
    auto* j = find(n);
    if (j && j->is_object())
      for (auto* member : solver_functions(*j, n)) v.push_back(integer(*member, n));
    else if (j)
      v = dims(*j, n);
  }
  void field(const char* n, std::optional<Dims>& v) override {
    if (auto* j = find(n)) v = dims(*j, n);
  }
  void field(const char* n, std::vector<Dims>& v) override {
    if (auto* j = find(n))
      for (auto& d : list(*j, n)) v.push_back(dims(d, n));
  }
  void field(const char* n, std::vector<std::string>& v) override {
    if (auto* j = find(n))
      for (auto& s : list(*j, n)) v.push_back(string(s, n));
  }
  void field(const char* n, std::vector<Type>& v) override {
    if (auto* j = find(n))
      for (auto& t : list(*j, n)) v.push_back(type(t));
  }
  void field(const char* n, JaxprPtr& v) override {
    if (auto* j = find(n)) v = r_.program(*j, nullptr);
    if (std::string_view(n) == "call_jaxpr") call_ = v;
  }
  void field(const char* n, std::vector<JaxprPtr>& v) override {
    auto* j = find(n);
    if (j && j->is_object()) {  // some may be absent
      for (auto* member : solver_functions(*j, n))
        if (!member->is_null()) v.push_back(r_.program(*member, nullptr));
    } else if (j) {
      for (auto& b : list(*j, n)) v.push_back(r_.program(b, nullptr));
    }
  }
  void field(const char*, CustomPtr& v) override {
    RuleJaxprs j;
    std::string name = "f";
    auto rule = std::make_shared<CustomRule>();
    field("name", name);
    if (call_) r_.open_.entries.push_back({call_, rule});
    field("jvp_jaxpr", j.jvp);
    field("fwd_jaxpr", j.fwd);
    field("bwd_jaxpr", j.bwd);
    field("diff_inputs", j.diff_inputs);
    field("diff_outputs", j.diff_outputs);
    field("num_residuals", j.num_residuals);
    field("rule_dropped", j.dropped);
    if (!call_ && j.bwd) {  // custom_lin: residuals, then tangents
      field("num_res", j.num_residuals);
      const auto res = j.num_residuals;
      for (std::int64_t i = 0; i < std::int64_t(j.bwd->outs.size()); ++i)
        j.diff_inputs.push_back(i);
      for (std::int64_t i = 0; res >= 0 && i < std::int64_t(j.bwd->invars.size()) - res; ++i)
        j.diff_outputs.push_back(i);
    }
    if (!j.jvp && !(j.fwd && j.bwd) && !(j.bwd && !call_) && j.dropped.empty())
      j.dropped = "there is no rule in the JSON";
    *rule = *rule_from_jaxprs(name, call_, 0, std::move(j));
    if (call_) {
      r_.open_.entries.pop_back();
      r_.open_.complete(*rule, call_, prim_ == "custom_jvp_call");
    }
    v = rule;
  }
  void field(const char* n, Opaque&) override {
    if (auto* j = find(n); j && j->is_object())
      refuse(std::string(n) + " is code of the program that wrote it: it cannot be read back.");
  }
  void enumeration(const char* n, int& v, std::span<const char* const> names) override {
    auto* j = find(n);
    if (!j) return;
    const std::string s = string(*j, n);
    for (std::size_t i = 0; i < names.size(); ++i)
      if (s == names[i]) {
        v = int(i);
        return;
      }
    refuse("`" + s + "` is no value of " + n + ".");
  }
  void begin(const char* n, const char*) override {
    auto* j = find(n);
    static const json none = json::object();
    at_ = j ? j : &none;
    if (!at_->is_object()) refuse(std::string(n) + " is no object.");
  }
  void end() override { at_ = &all_; }

 private:
  const json* find(const char* n) const {
    auto it = at_->find(n);
    return it == at_->end() || it->is_null() ? nullptr : &*it;
  }
  // What JAX writes by the names of custom_linear_solve's functions, in their order here.
  std::vector<const json*> solver_functions(const json& members, const char* n) const {
    std::vector<const json*> found;
    for (const char* name : {"matvec", "vecmat", "solve", "transpose_solve"}) {
      auto it = members.find(name);
      if (it == members.end()) refuse(std::string(n) + " has no member " + name + ".");
      found.push_back(&*it);
    }
    if (members.size() != found.size()) refuse(std::string(n) + " has members of other names.");
    return found;
  }
  Reader& r_;
  std::string_view prim_;
  const json &all_, *at_;
  JaxprPtr call_;
};

void Reader::fill(const Primitive& p, void* data, const json& params, std::size_t n_in,
                  std::size_t n_out) {
  FieldReader r(*this, p.name, params);
  p.params->visit(data, r);
  // Parameters that JAX infers, and what rules take instead of num_consts.
  if (p.params == &params_ops<ArityParams>) static_cast<ArityParams*>(data)->n = std::int64_t(n_in);
  if (p.params == &params_ops<UnstackParams>)
    static_cast<UnstackParams*>(data)->n = std::int64_t(n_out);
  if (p.params == &params_ops<SortParams>) static_cast<SortParams*>(data)->n = std::int64_t(n_in);
  if (p.params == &params_ops<CustomParams>) static_cast<CustomParams*>(data)->num_consts = 0;
}

json parsed(const std::string& text) {
  try {
    check_depth(text);
    return json::parse(text);
  } catch (const json::exception& e) {
    throw ParseError(std::string("json: ") + e.what());
  }
}
Jaxpr checked_program(const json& p, const std::map<std::string, Array>* tensors) {
  std::vector<Array> consts;
  try {
    JaxprPtr body = Reader(tensors).program(p, &consts);
    check_jaxpr(*body);
    return Jaxpr(std::move(body), std::move(consts));
  } catch (const ParseError&) {
    throw;
  } catch (const Error& e) {
    throw ParseError(std::string("json: ") + e.what());
  }
}
std::vector<std::string> strings(const json& v, const char* what) {
  std::vector<std::string> out;
  for (auto& s : list(v, what)) out.push_back(string(s, what));
  return out;
}
}  // namespace

ExportedText exported_from_json(const std::string& text, const WeightsReader& weights) {
  const json p = parsed(text);
  std::map<std::string, Array> tensors;
  if (p.is_object() && p.contains("weights")) tensors = weights(string(p["weights"], "weights"));
  ExportedText t{checked_program(p, &tensors), {}, {}};
  for (auto& argument : list(member(p, "inputs"), "inputs"))
    t.inputs.push_back(strings(argument, "inputs"));
  t.outputs = strings(member(p, "outputs"), "outputs");
  std::size_t n = 0;
  for (auto& argument : t.inputs) n += argument.size();
  if (n != t.program.in_types().size()) refuse("`inputs` does not name every input.");
  if (t.outputs.size() != t.program.out_types().size())
    refuse("`outputs` does not name every output.");
  return t;
}
}  // namespace internal

Jaxpr Jaxpr::from_json(const std::string& text) {
  return internal::checked_program(internal::parsed(text), nullptr);
}

}  // namespace jaxpp
