// json.cc -- writes programs as JSON, the format of docs/jaxpr-json.md.
//
// Ids are unique over a whole text.  Nested jaxprs are closed programs; array constants inside equations are literals.
// Derivative rules are written as jaxprs, to the depth of kRuleDepth.
#include "jaxpp/core/json.h"
#include <nlohmann/json.hpp>
#include "jaxpp/core/custom_text.h"
#include "jaxpp/ops/params.h"

namespace jaxpp {
namespace internal {
namespace {
using json = nlohmann::ordered_json;

json array_json(const Array& a) {
  if (!a.concrete())
    throw Error("json: the program closes over a traced value " + a.type()->str() + ".");
  return {{"dtype", numpy_name(a.dtype())},
          {"shape", std::vector<std::int64_t>(a.shape().begin(), a.shape().end())},
          {"data", encode_base64(a.data<char>(), std::size_t(a.size()) * width(a.dtype()))}};
}
json float_json(double v) {
  if (std::isfinite(v)) return v;
  return {{"float", std::isnan(v) ? "nan" : v < 0 ? "-inf" : "inf"}};
}
json dtype_json(DType d) { return {{"dtype", numpy_name(d)}}; }
json dims_json(const Dims& d) { return std::vector<std::int64_t>(d.begin(), d.end()); }

class Writer {
 public:
  json program(const JaxprBody& j, std::span<const Array> consts) {
    std::vector<std::int64_t> id(j.types.size(), -1);
    auto fresh = [&](Var v) { return id[v] = next_id_++; };
    auto var = [&](Var v) {
      return json{{"id", fresh(v)},
                  {"dtype", numpy_name(j.types[v]->dtype)},
                  {"shape", dims_json(j.types[v]->shape)},
                  {"weak_type", false}};
    };
    auto atom = [&](const Atom& a) -> json {
      if (a.is_var()) return {{"var", id[a.var()]}};
      if (a.is_zero()) throw Error("json: the program has a symbolic zero among its outputs.");
      return {{"literal", array_json(a.value())}};
    };
    std::vector<char> used(j.types.size());
    for (auto& e : j.eqns)
      for (auto& a : e.in)
        if (a.is_var()) used[a.var()] = 1;
    for (auto& a : j.outs)
      if (a.is_var()) used[a.var()] = 1;
    json constvars = json::array(), invars = json::array(), eqns = json::array(),
         outvars = json::array();
    json values = json::array();
    for (std::size_t i = 0; i < j.invars.size(); ++i)
      (i < consts.size() ? constvars : invars).push_back(var(j.invars[i]));
    for (const Array& c : consts) values.push_back(array_json(c));
    for (auto& e : j.eqns) {
      json inputs = json::array(), outputs = json::array();
      for (auto& a : e.in) inputs.push_back(atom(a));
      json parameters = params(j, e);
      for (Var v = e.out; v < e.out + e.n_out; ++v) {
        if (!used[v]) {
          outputs.push_back(nullptr);
          continue;
        }
        outputs.push_back({{"id", fresh(v)},
                           {"dtype", numpy_name(j.types[v]->dtype)},
                           {"shape", dims_json(j.types[v]->shape)}});
      }
      eqns.push_back({{"primitive", e.prim->name},
                      {"inputs", std::move(inputs)},
                      {"outputs", std::move(outputs)},
                      {"params", std::move(parameters)}});
    }
    for (auto& a : j.outs) outvars.push_back(atom(a));
    return {{"consts", std::move(values)},
            {"jaxpr",
             {{"constvars", std::move(constvars)},
              {"invars", std::move(invars)},
              {"eqns", std::move(eqns)},
              {"outvars", std::move(outvars)}}}};
  }

 private:
  class FieldWriter;
  json params(const JaxprBody& j, const Equation& e);
  std::int64_t next_id_ = 0;
  int rule_depth_ = 0;
};

class Writer::FieldWriter final : public FieldVisitor {
 public:
  FieldWriter(Writer& w, const JaxprBody& j, const Equation& e)
      : w_(w), body_(j), eqn_(e), at_(&out) {}
  json out = json::object();

  void field(const char* n, bool& v) override { at()[n] = v; }
  void field(const char* n, std::int64_t& v) override { at()[n] = v; }
  void field(const char* n, double& v) override { at()[n] = float_json(v); }
  void field(const char* n, std::string& v) override { at()[n] = v; }
  void field(const char* n, DType& v) override { at()[n] = dtype_json(v); }
  void field(const char* n, std::optional<DType>& v) override {
    at()[n] = v ? dtype_json(*v) : json();
  }
  void field(const char* n, std::optional<Number>& v) override {
    at()[n] = v ? number(*v) : json();
  }
  void field(const char* n, Dims& v) override { at()[n] = dims_json(v); }
  void field(const char* n, std::optional<Dims>& v) override {
    at()[n] = v ? dims_json(*v) : json();
  }
  void field(const char* n, std::vector<Dims>& v) override {
    json l = json::array();
    for (auto& d : v) l.push_back(dims_json(d));
    at()[n] = std::move(l);
  }
  void field(const char* n, std::vector<std::string>& v) override { at()[n] = v; }
  void field(const char* n, std::vector<Type>& v) override {
    json l = json::array();
    for (Type t : v) l.push_back({{"dtype", numpy_name(t->dtype)}, {"shape", dims_json(t->shape)}});
    at()[n] = std::move(l);
  }
  void field(const char* n, JaxprPtr& v) override { at()[n] = nested(v); }
  void field(const char* n, std::vector<JaxprPtr>& v) override {
    json l = json::array();
    for (auto& j : v) l.push_back(nested(j));
    at()[n] = std::move(l);
  }
  void field(const char*, CustomPtr& rule) override {
    out["name"] = rule->name;
    std::vector<Type> x, y;
    for (auto& a : eqn_.in) x.push_back(body_.type(a));
    for (Var v = eqn_.out; v < eqn_.out + eqn_.n_out; ++v) y.push_back(body_.types[v]);
    RuleJaxprs r;
    std::size_t consts = 0;
    if (eqn_.params_ops == &params_ops<CustomLinParams>) {
      const auto n = std::size_t(eqn_.params().as<CustomLinParams>().num_res);
      r.bwd = trace_bwd(*rule, Types(x).first(n), y, Types(x).subspan(n));
    } else {
      consts = std::size_t(eqn_.params().as<CustomParams>().num_consts);
      if (w_.rule_depth_ >= kRuleDepth)
        r.dropped = "depth";
      else
        r = trace_rule(*rule, Types(x).subspan(consts), y);
      const bool forward = std::string_view(eqn_.prim->name) == "custom_jvp_call";
      out["symbolic_zeros"] = false;
      out["diff_inputs"] = shifted(r.diff_inputs, consts);
      out["diff_outputs"] = dims_json(r.diff_outputs);
      if (forward) {
        out["jvp_jaxpr"] = nullptr;
      } else {
        out["num_residuals"] = r.num_residuals;
        out["fwd_jaxpr"] = out["bwd_jaxpr"] = nullptr;
      }
    }
    ++w_.rule_depth_;
    if (r.jvp) out["jvp_jaxpr"] = nested(with_consts(r.jvp, x, consts));
    if (r.fwd) out["fwd_jaxpr"] = nested(with_consts(r.fwd, x, consts));
    if (r.bwd) out["bwd_jaxpr"] = nested(r.bwd);
    --w_.rule_depth_;
    if (!r.dropped.empty()) out["rule_dropped"] = r.dropped;
  }
  void field(const char* n, Opaque& v) override {
    at()[n] = v.value || !v.name.empty() ? json{{"opaque", v.name}} : json();
  }
  void enumeration(const char* n, int& v, std::span<const char* const> names) override {
    at()[n] = names[std::size_t(v)];
  }
  void begin(const char* n, const char*) override {
    out[n] = json::object();
    at_ = &out[n];
  }
  void end() override { at_ = &out; }

 private:
  json& at() { return *at_; }
  json nested(const JaxprPtr& j) { return j ? w_.program(*j, {}) : json(); }
  static json shifted(const Dims& d, std::size_t by) {
    json l = json::array();
    for (auto i : d) l.push_back(i + std::int64_t(by));
    return l;
  }
  // Rules in JSON take all operands, closed-over constants included.
  static JaxprPtr with_consts(const JaxprPtr& j, const std::vector<Type>& x, std::size_t n) {
    if (n == 0) return j;
    auto r = std::make_shared<JaxprBody>(j->copy());
    for (std::size_t i = n; i-- > 0;) r->invars.insert(r->invars.begin(), r->new_var(x[i]));
    return r;
  }
  static json number(const Number& v) {
    return std::visit(
        [](auto x) -> json {
          if constexpr (std::is_same_v<decltype(x), double>)
            return float_json(x);
          else if constexpr (std::is_same_v<decltype(x), std::complex<double>>)
            return {{"complex", {float_json(x.real()), float_json(x.imag())}}};
          else
            return x;
        },
        v);
  }
  Writer& w_;
  const JaxprBody& body_;
  const Equation& eqn_;
  json* at_;
};

json Writer::params(const JaxprBody& j, const Equation& e) {
  if (!e.params_ops) return json::object();
  FieldWriter f(*this, j, e);
  e.params_ops->visit(e.params_data.get(), f);
  return std::move(f.out);
}
}  // namespace
}  // namespace internal

std::string Jaxpr::json() const { return internal::Writer().program(*body_, consts_).dump(); }

}  // namespace jaxpp
