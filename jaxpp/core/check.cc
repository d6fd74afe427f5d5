// check.cc -- check_jaxpr: every variable is defined before it is used, every equation has the types that its shape rule
// gives.  Nested jaxprs are checked too, each once however often it occurs; a call's own types are its shape rule's matter.
#include "jaxpp/core/check.h"
#include <unordered_set>
#include "jaxpp/core/ignoring_visitor.h"

namespace jaxpp {
namespace internal {
namespace {
// Parameters that rules dereference: none may be missing.  A count may be negative only in hostile input.
struct MissingJaxpr final : IgnoringVisitor {
  using IgnoringVisitor::field;
  std::string missing;
  void field(const char* n, std::int64_t& v) override {
    const std::string_view s(n);
    if (v < 0 &&
        (s == "length" || s.ends_with("consts") || s == "num_carry" || s == "num_res" || s == "n"))
      missing = n;
  }
  void field(const char* n, JaxprPtr& j) override {
    if (!j) missing = n;
  }
  void field(const char* n, std::vector<JaxprPtr>& v) override {
    if (v.empty()) missing = n;
    for (auto& j : v) field(n, j);
  }
  void field(const char* n, CustomPtr& r) override {
    if (!r) missing = n;
  }
};
std::string count_text(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

using Checked = std::unordered_set<const JaxprBody*>;
[[noreturn]] void bad(const std::string& what) { throw Error("check_jaxpr: " + what); }

void check(const JaxprBody& j, Checked& done) {
  if (!done.insert(&j).second) return;
  std::vector<char> defined(j.types.size());
  auto define = [&](Var v) {
    if (v >= j.types.size() || !j.types[v]) bad("a variable has no type.");
    if (std::exchange(defined[v], 1)) bad("variable " + std::to_string(v) + " is defined twice.");
  };
  auto use = [&](const Atom& a, const char* who) {
    if (a.is_var() && (a.var() >= defined.size() || !defined[a.var()]))
      bad(std::string(who) + " uses variable " + std::to_string(a.var()) +
          " before its definition.");
  };
  for (Var v : j.invars) define(v);
  std::vector<Type> in;
  for (const Equation& e : j.eqns) {
    in.clear();
    for (auto& a : e.in) {
      use(a, e.prim->name);
      if (a.is_zero()) bad(std::string(e.prim->name) + " has a symbolic zero for an operand.");
      in.push_back(j.type(a));
    }
    for (auto& s : sub_jaxprs(e)) check(*s, done);
    std::vector<Type> out;
    try {
      out = infer_types(*e.prim, e.params(), in, e.n_out);
    } catch (const Error& err) {
      bad(err.what());
    }
    for (std::uint32_t i = 0; i < e.n_out; ++i) {
      define(e.out + i);
      if (out[i] != j.types[e.out + i])
        bad(std::string(e.prim->name) + " gives " + out[i]->str() + ", recorded is " +
            j.types[e.out + i]->str() + ".");
    }
  }
  for (auto& a : j.outs) use(a, "the list of outputs");
}
}  // namespace

std::vector<Type> infer_types(const Primitive& p, Params params, Types operands,
                              std::size_t n_out) {
  const std::string name = p.name;
  if (p.params != params.ops) throw Error(name + ": wrong kind of parameters.");
  if (params.ops) {
    MissingJaxpr v;
    params.ops->visit(params.data, v);
    if (!v.missing.empty())
      throw Error(name + ": parameter " + v.missing + " is missing or negative.");
  }
  const OperandRange r = p.operands;
  if (operands.size() < r.least || operands.size() > r.most)
    throw Error(name + ": takes " + (r.least == r.most ? "" : "at least ") +
                count_text(r.least, "operand") + ", has " + std::to_string(operands.size()) + ".");
  const std::size_t n = p.outputs(params);
  if (n != n_out)
    throw Error(name + ": gives " + count_text(n, "result") + ", not " + std::to_string(n_out) +
                ".");
  std::vector<Type> out(n, nullptr);
  p.shape(operands, params, out.data());
  return out;
}

void check_jaxpr(const JaxprBody& j) {
  Checked done;
  check(j, done);
}
}  // namespace internal

void Jaxpr::check() const {
  internal::check_jaxpr(*body_);
  if (consts_.size() > body_->invars.size())
    throw Error("check_jaxpr: more constants than inputs.");
  for (std::size_t i = 0; i < consts_.size(); ++i)
    if (consts_[i].type() != body_->types[body_->invars[i]])
      throw Error("check_jaxpr: constant " + std::to_string(i) + " is " + consts_[i].type()->str() +
                  ", its variable is " + body_->types[body_->invars[i]]->str() + ".");
}

}  // namespace jaxpp
