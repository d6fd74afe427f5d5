// transpose.cc -- the backward pass: a linear jaxpr walked from its outputs to its inputs.
//
// Each variable has an accumulator for its cotangent; a transpose rule adds to those of the operands.  Slices are added
// in place, so that the gradient of indexing in a loop costs O(1) an index, not O(n).
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/ops/rules.h"
#include "transforms/transforms.h"

namespace jaxpp {

void TransposeRule::add(std::size_t i, const Array& x_ct) const {
  if (into[i] && x_ct.defined()) into[i]->add(x_ct);
}
void TransposeRule::add_slice(std::size_t i, const Array& slice_ct, const Dims& start,
                              const Dims& limit, const Dims& strides) const {
  if (into[i]) into[i]->add_slice(slice_ct, start, limit, strides);
}

namespace internal {
namespace {
// Nobody sees the sum so far but this accumulator: it may be overwritten.
bool writable(const Array& a) { return !context.trace && a.unique() && !checking_nans(); }
}  // namespace

void Accumulator::add(const Array& ct) {
  if (!value.defined()) {
    value = ct;
  } else if (writable(value) && ct.concrete() && value.type() == ct.type()) {
    kernel_of(add_any_p, Loc::current()).run(Borrowed(value, ct), {}, &value);
  } else {
    value = lax::add_any(value, ct);
  }
}
void Accumulator::add_slice(const Array& ct, const Dims& start, const Dims& limit,
                            const Dims& strides) {
  if (!value.defined()) value = lax::full(type, 0);
  if (writable(value) && ct.concrete()) {
    SliceParams p{limit, start, strides.empty() ? std::nullopt : std::optional(strides)};
    kernel_of(add_slice_p, Loc::current()).run(Borrowed(value, ct), p, &value);
  } else {
    value = lax::add_slice(value, ct, start, limit, strides);
  }
}

void backward_pass(const JaxprBody& j, Args known, Args ct, Array* in_ct) {
  std::vector<Array> env(
      known.empty() ? 0 : j.types.size());  // values of variables that are not linear
  if (!known.empty()) {
    std::vector<char> linear(j.types.size());
    for (std::size_t i = 0; i < j.invars.size(); ++i) {
      env[j.invars[i]] = known[i];
      linear[j.invars[i]] = !known[i].defined();
    }
    for (const auto& e : j.eqns) {
      bool lin = false;
      for (auto& a : e.in) lin |= a.is_var() && linear[a.var()];
      for (Var v = e.out; v < e.out + e.n_out; ++v) linear[v] = lin;
      if (lin) continue;
      Borrowed x;
      for (auto& a : e.in) x.push(a.is_var() ? env[a.var()].node() : a.node());
      const DebugOrigin origin([&] { return e.origin; });
      Scope scope(context.trace, &e.loc);
      e.prim->bind(x, e.params(), e.n_out ? &env[e.out] : nullptr, e.loc);
    }
  }
  SmallVec<Accumulator, 16> acc(j.types.size());
  for (std::size_t i = 0; i < j.invars.size(); ++i)
    if (in_ct[i].defined()) {
      acc[j.invars[i]].type = in_ct[i].type();
      acc[j.invars[i]].value = std::move(in_ct[i]);
    }
  for (std::size_t i = 0; i < j.outs.size(); ++i)
    if (j.outs[i].is_var() && ct[i].defined()) {
      Accumulator& a = acc[j.outs[i].var()];
      a.type = ct[i].type();
      a.add(ct[i]);
    }
  auto value_of = [&](const Atom& a) {
    return !a.is_var() ? a.node() : env.empty() ? nullptr : env[a.var()].node();
  };
  for (std::size_t k = j.eqns.size(); k-- > 0;) {
    const Equation& e = j.eqns[k];
    SmallVec<Array, 2> cts;
    bool any = false;
    for (Var v = e.out; v < e.out + e.n_out; ++v) {
      cts.push_back(std::move(acc[v].value));
      any |= cts.back().defined();
    }
    if (!any || (!env.empty() && env[e.out].defined())) continue;
    if (!e.prim->transpose)
      fail<Error>(std::string("transpose: no rule for `") + e.prim->name + "`: it is not linear.",
                  e.loc, "E20");
    Borrowed x;
    SmallVec<Type, 4> types;
    SmallVec<Accumulator*, 4> into;
    for (auto& a : e.in) {
      Node* n = value_of(a);
      x.push(n);
      types.push_back(j.type(a));
      into.push_back(n ? nullptr : &acc[a.var()]);
      if (!n) into.back()->type = types.back();
    }
    const DebugOrigin origin([&] { return e.origin ? e.origin.reversed() : Origin(e.prim, true); });
    Scope scope(context.trace, &e.loc);
    TransposeRule r{*e.prim,
                    x,
                    {cts.data(), cts.size()},
                    e.params(),
                    {types.data(), types.size()},
                    {into.data(), into.size()}};
    try {
      e.prim->transpose(r);
    } catch (const RuleError& err) {
      fail<Error>(err.what(), e.loc, "E11");
    }
  }
  for (std::size_t i = 0; i < j.invars.size(); ++i) in_ct[i] = std::move(acc[j.invars[i]].value);
}

}  // namespace internal
}  // namespace jaxpp
