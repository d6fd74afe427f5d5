// root.cc -- x with f(x, u) = 0, u being what f closed over: dx solves  f_x dx = -f_u du,  by the implicit function theorem.
// What solve returns beside x (how many steps it took) has no derivative.
#include "jaxpp/core/user_functions.h"
#include "jaxpp/implicit.h"
#include "transforms/calls.h"

namespace jaxpp::internal {
namespace {

// The traced functions; operands of the call: what each closed over, then the guess.
struct Root {
  Closed f, solve,
      tangent;        // f: x -> f(x);  solve: guess -> x;  tangent: (x, y) -> g with f_x g = y
  std::size_t n = 0;  // arrays of x
};

CustomPtr rule_of(const std::shared_ptr<const Root>& root) {
  auto rule = std::make_shared<CustomRule>();
  rule->name = "custom_root";
  const std::size_t f = root->f.consts.size(), s = root->solve.consts.size(),
                    t = root->tangent.consts.size(), n = root->n;
  rule->call = [=](Args in, Results& x) {
    Borrowed operands(in.subspan(f, s));
    operands.append(in.subspan(f + s + t));
    eval_jaxpr(*root->solve.jaxpr, operands, x);
  };
  rule->jvp = [=](Args in, Args din, Results& x, Results& dx) {
    custom_call_flat(rule_of(root), in, x, Loc::current());  // again: for higher orders
    const auto equation = [&](Args u, Results& y) {
      Borrowed operands(u);
      operands.append(args(x).first(n));
      eval_jaxpr(*root->f.jaxpr, operands, y);
    };
    Results y, dy;
    jvp_flat(flat(equation), in.first(f), din.first(f), y, dy, Loc::current());
    Borrowed operands(in.subspan(f + s, t));
    operands.append(args(x).first(n));
    Results rhs;
    for (std::size_t i = 0; i < n; ++i) rhs.push_back(lax::neg(instantiate(dy[i], y[i].type())));
    operands.append(args(rhs));
    eval_jaxpr(*root->tangent.jaxpr, operands, dx);
    for (std::size_t i = n; i < x.size(); ++i) dx.push_back(Array());
  };
  return rule;
}

}  // namespace

void root_flat(FlatFn f, FlatSolver solve, FlatSolver tangent_solve, Args guess, Results& x,
               Loc loc) {
  TrailFrame frame("custom_root", loc);
  std::vector<Type> types;
  for (const Array& a : guess) types.push_back(a.type());
  const auto traced = [&](std::span<const Type> in, FlatFn g, const char* which,
                          bool more = false) {
    Closed c = trace_to_jaxpr(in, g);
    std::vector<Type> out = c.jaxpr->out_types();
    if (more && out.size() > types.size()) out.resize(types.size());
    if (out != types)
      fail(std::string("custom_root: ") + which + " must return arrays like the guess.", loc,
           "E31");
    return c;
  };
  auto root = std::make_shared<Root>();
  root->n = guess.size();
  root->f = traced(types, f, "the function");
  const auto solved = [&](Args in, Results& out) { solve.call(solve.self, f, in, out); };
  root->solve = traced(types, flat(solved), "solve", true);
  const auto tangent = [&](Args in, Results& out) {
    Results y;
    const LinearMap map = LinearMap::of(f, in.first(root->n), y, "custom_root", loc);
    const auto g = [&](Args dx, Results& dy) { map.push(dx, dy, loc); };
    tangent_solve.call(tangent_solve.self, flat(g), in.subspan(root->n), out);
  };
  std::vector<Type> both = types;
  both.insert(both.end(), types.begin(), types.end());
  root->tangent = traced(both, flat(tangent), "tangent_solve");
  Borrowed operands;
  for (const Closed* c : {&root->f, &root->solve, &root->tangent}) operands.append(Args{c->consts});
  operands.append(guess);
  custom_call_flat(rule_of(root), operands, x, loc);
}

}  // namespace jaxpp::internal
