// build_calls.cc -- primitives without loop form: their kernel is called on whole arrays.
//
// Operands that are not row-major in memory are copied first.  Calls with effects read and write `world`, which keeps them
// in order and alive.
#include "backends/loops/build.h"

namespace jaxpp::loops::fusion {

Item::Operand Builder::array(Scope& s, const Atom& a) {
  const Type t = s.jaxpr.type(a);
  if (!a.is_var()) return {constant_array(a), {}, t};
  if (auto o = rows(s.env[a.var()], t)) return *o;
  return {materialise(s, s.env[a.var()]), {}, t};
}

void Builder::call(Scope& s, const Equation& e, std::shared_ptr<const void> params,
                   std::vector<Item::Operand> in, std::vector<Item::Operand> out) {
  auto it = std::make_unique<Item>(Item::Kind::call);
  it->prim = e.prim;
  it->params = std::move(params);
  it->loc = e.loc;
  it->in = std::move(in);
  it->out = std::move(out);
  for (auto* operands : {&it->in, &it->out})
    for (auto& o : *operands) f_.values[std::size_t(o.value)].whole = true;
  if (e.prim->effects) {
    if (f_.world < 0) {
      f_.world = value(nullptr, b1, {});
      f_.values[std::size_t(f_.world)].mut = true;
    }
    for (auto* operands : {&it->in, &it->out}) operands->push_back({f_.world, {}, scalar_type(b1)});
  }
  place(*s.region, std::move(it), {});
}
void Builder::call(Scope& s, const Equation& e) {
  std::vector<Item::Operand> in, out;
  std::vector<Variable> y;
  for (const Atom& a : e.in) in.push_back(array(s, a));
  for (Var v = e.out; v < e.out + e.n_out; ++v) {
    const Type t = s.jaxpr.types[v];
    const Space q = space(s, v);
    out.push_back({value(&s, t->dtype, q.shape()), {}, t});
    y.push_back({q.params, q.parts, make_read(out.back().value, t->dtype, q.fine)});
  }
  call(s, e, e.params_data, std::move(in), std::move(out));
  for (std::uint32_t i = 0; i < e.n_out; ++i) bind(s, e.out + i, std::move(y[i]));
}

}  // namespace jaxpp::loops::fusion
