// rewriter.h -- builds a new jaxpr while walking an old one.
#pragma once
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::passes {

using namespace internal;

class Rewriter {
 public:
  explicit Rewriter(const JaxprBody& from) : Rewriter(from, NoInputs()) {
    for (Var v : from.invars) env_[v] = Atom::var(input(from.types[v]));
  }
  /// Without inputs: whoever asks for other inputs sets the variables of the old ones.
  struct NoInputs {};
  Rewriter(const JaxprBody& from, NoInputs) : from_(from), env_(from.types.size()) {}
  JaxprBody to;

  Var input(Type t) {
    const Var v = to.new_var(t);
    to.invars.push_back(v);
    return v;
  }
  /// What an operand of the old program is in the new one.
  Atom get(const Atom& a) const { return a.is_var() ? env_[a.var()] : a; }
  void set(Var old, Atom now) { env_[old] = std::move(now); }
  /// Appends an equation whose operands are of the new program; returns its first result.
  Var emit(const Primitive& p, std::shared_ptr<const void> params, SmallVec<Atom, 2> in,
           std::span<const Type> out, Loc loc) {
    Equation e{&p,
               std::move(params),
               p.params,
               std::move(in),
               Var(to.types.size()),
               std::uint32_t(out.size()),
               loc};
    for (Type t : out) to.new_var(t);
    to.eqns.push_back(std::move(e));
    return to.eqns.back().out;
  }
  /// The types of the results of an old equation.
  std::span<const Type> old_types(const Equation& e) const {
    return {from_.types.data() + e.out, e.n_out};
  }
  /// Appends an old equation as it is, with other parameters if they are given.
  void copy(const Equation& e, std::shared_ptr<const void> params) {
    SmallVec<Atom, 2> in;
    for (auto& a : e.in) in.push_back(get(a));
    const Var v = emit(*e.prim, std::move(params), std::move(in),
                       {from_.types.data() + e.out, e.n_out}, e.loc);
    for (std::uint32_t i = 0; i < e.n_out; ++i) set(e.out + i, Atom::var(v + i));
  }
  JaxprPtr finish() {
    for (auto& a : from_.outs) to.outs.push_back(get(a));
    return std::make_shared<const JaxprBody>(std::move(to));
  }
  JaxprPtr finish(std::vector<Atom> outs) {
    to.outs = std::move(outs);
    return std::make_shared<const JaxprBody>(std::move(to));
  }

 private:
  const JaxprBody& from_;
  std::vector<Atom> env_;
};

/// Are there jaxprs among the parameters of e?  Quick: equations without them are not looked into.
bool nests(const Equation& e);
/// Has e effects?  As has_effects(), but quick.
inline bool effects(const Equation& e) { return e.prim->effects || (nests(e) && has_effects(e)); }
/// Runs a pass on a nested jaxpr, once however often it occurs.
inline JaxprPtr on_nested(const char* name, JaxprPtr (*pass)(const JaxprBody&), const JaxprPtr& j) {
  return *j->memo<JaxprPtr>(std::string("pass ") + name, [&] { return pass(*j); });
}

}  // namespace jaxpp::passes
