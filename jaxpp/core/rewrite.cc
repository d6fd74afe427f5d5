// rewrite.cc -- replacing nested jaxprs, and the canonical order of equations.
#include "jaxpp/core/rewrite.h"
#include <unordered_map>
#include "jaxpp/core/ignoring_visitor.h"

namespace jaxpp::internal {
namespace {
struct JaxprMapper final : IgnoringVisitor {
  using IgnoringVisitor::field;
  const std::function<JaxprPtr(const JaxprPtr&)>& f;
  explicit JaxprMapper(const std::function<JaxprPtr(const JaxprPtr&)>& fn) : f(fn) {}
  void field(const char*, JaxprPtr& j) override {
    if (j) j = f(j);
  }
  void field(const char*, std::vector<JaxprPtr>& v) override {
    for (auto& j : v) field("", j);
  }
};

class Canonical {
 public:
  JaxprPtr operator()(const JaxprBody& j) {
    if (auto it = done_.find(&j); it != done_.end()) return it->second;
    auto to = std::make_shared<JaxprBody>();
    std::vector<Var> var(j.types.size());
    std::vector<std::size_t> maker(j.types.size(), kNone);
    for (std::size_t i = 0; i < j.eqns.size(); ++i)
      for (Var v = j.eqns[i].out; v < j.eqns[i].out + j.eqns[i].n_out; ++v) maker[v] = i;
    for (Var v : j.invars) {
      var[v] = to->new_var(j.types[v]);
      to->invars.push_back(var[v]);
    }
    auto mapped = [&](const Atom& a) { return a.is_var() ? Atom::var(var[a.var()]) : a; };
    std::vector<char> emitted(j.eqns.size());
    std::vector<std::pair<std::size_t, std::size_t>> stack;  // equation, next operand
    auto need = [&](std::size_t root) {
      if (root == kNone || emitted[root]) return;
      stack.emplace_back(root, 0);
      while (!stack.empty()) {
        auto& [i, k] = stack.back();
        const Equation& e = j.eqns[i];
        std::size_t next = kNone;
        while (k < e.in.size() && next == kNone) {
          const Atom& a = e.in[k++];
          if (a.is_var() && maker[a.var()] != kNone && !emitted[maker[a.var()]])
            next = maker[a.var()];
        }
        if (next != kNone) {
          stack.emplace_back(next, 0);
          continue;
        }
        Equation copy = e;
        for (auto& a : copy.in) a = mapped(a);
        copy.params_data = map_sub_jaxprs(e, [&](const JaxprPtr& s) { return (*this)(*s); });
        copy.out = Var(to->types.size());
        for (Var v = e.out; v < e.out + e.n_out; ++v) var[v] = to->new_var(j.types[v]);
        to->eqns.push_back(std::move(copy));
        emitted[i] = 1;
        stack.pop_back();
      }
    };
    for (std::size_t i = 0; i < j.eqns.size(); ++i)
      if (has_effects(j.eqns[i])) need(i);
    for (auto& a : j.outs)
      if (a.is_var()) need(maker[a.var()]);
    for (auto& a : j.outs) to->outs.push_back(mapped(a));
    return done_[&j] = to;
  }

 private:
  static constexpr std::size_t kNone = std::size_t(-1);
  std::unordered_map<const JaxprBody*, JaxprPtr> done_;  // keeps shared jaxprs shared
};
}  // namespace

std::shared_ptr<const void> map_sub_jaxprs(const Equation& e,
                                           const std::function<JaxprPtr(const JaxprPtr&)>& f) {
  if (sub_jaxprs(e).empty()) return e.params_data;
  auto copy = e.params_ops->clone(e.params_data.get());
  JaxprMapper m(f);
  e.params_ops->visit(copy.get(), m);  // nobody else has seen the copy
  return copy;
}
JaxprPtr canonical(const JaxprBody& j) { return Canonical()(j); }

}  // namespace jaxpp::internal
