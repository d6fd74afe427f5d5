// linear_solve.cc -- x with A x = b, for a linear function A and a solver of the user's.
//
// The derivative never looks into the solver: of A x = b it is A dx = db - dA x, another solve with the same A.  Reverse mode
// solves with the transpose of A.  Operands: what matvec, vecmat, solve and transpose_solve closed over, in this order, then
// b; every function takes what it closed over and arrays like b, and returns arrays like b.
#include "jaxpp/implicit.h"
#include "transforms/calls.h"

namespace jaxpp {
namespace {
using namespace internal;

enum Function : std::size_t { kMatvec, kVecmat, kSolve, kTransposeSolve, kFunctions };

struct Call {
  JaxprPtr jaxpr[kFunctions];      // null: not given
  std::size_t at[kFunctions + 1];  // where its operands begin; the last: where b begins
  std::size_t consts(std::size_t f) const { return at[f + 1] - at[f]; }
};
Call read(const LinearSolveParams& p) {
  need(p.const_lengths.size() == kFunctions && (p.jaxprs.size() == 2 || p.jaxprs.size() == 4),
       "custom_linear_solve", "it takes two functions or four, and four numbers of constants.");
  Call c;
  if (p.jaxprs.size() == 2) {
    c.jaxpr[kMatvec] = p.jaxprs[0];
    c.jaxpr[kSolve] = p.jaxprs[1];
  } else {
    std::copy(p.jaxprs.begin(), p.jaxprs.end(), c.jaxpr);
  }
  c.at[0] = 0;
  for (std::size_t f = 0; f < kFunctions; ++f) {
    need(p.const_lengths[f] >= 0 && (c.jaxpr[f] || p.const_lengths[f] == 0), "custom_linear_solve",
         "the numbers of constants do not fit the functions.");
    c.at[f + 1] = c.at[f] + std::size_t(p.const_lengths[f]);
  }
  return c;
}
LinearSolveParams params_of(const Call& c) {
  LinearSolveParams p;
  for (std::size_t f = 0; f < kFunctions; ++f) {
    p.const_lengths.push_back(std::int64_t(c.consts(f)));
    if (c.jaxpr[f]) p.jaxprs.push_back(c.jaxpr[f]);
  }
  return p;
}
Borrowed operands(const Call& c, std::size_t f, Args x, Args b) {
  Borrowed in(x.subspan(c.at[f], c.consts(f)));
  in.append(b);
  return in;
}

void linear_solve_shape(Types in, Params q, Type* out) {
  const Call c = read(q.as<LinearSolveParams>());
  need(in.size() >= c.at[kFunctions], "custom_linear_solve", "operands are missing.");
  const Types b = in.subspan(c.at[kFunctions]);
  for (std::size_t f = 0; f < kFunctions; ++f) {
    if (!c.jaxpr[f]) continue;
    const JaxprBody& j = *c.jaxpr[f];
    std::vector<Type> takes(in.begin() + std::ptrdiff_t(c.at[f]),
                            in.begin() + std::ptrdiff_t(c.at[f + 1]));
    takes.insert(takes.end(), b.begin(), b.end());
    check_inputs("custom_linear_solve", j, takes);
    check(j.out_types() == std::vector<Type>(b.begin(), b.end()), "custom_linear_solve",
          [] { return "every function must return arrays like b."; });
  }
  std::copy(b.begin(), b.end(), out);
}
void linear_solve_lower(Args x, Params q, Array* y) {
  const Call c = read(q.as<LinearSolveParams>());
  Results out;
  eval_jaxpr(*c.jaxpr[kSolve], operands(c, kSolve, x, x.subspan(c.at[kFunctions])), out);
  std::copy(out.begin(), out.end(), y);
}

// A dx = db - dA x.  What the other functions closed over says how to solve, not what.
void linear_solve_jvp(JvpRule& r) {
  const Call c = read(r.params.as<LinearSolveParams>());
  const std::size_t first = c.at[kFunctions], n = r.x.size() - first;
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Args x{r.y, n}, db = r.dx.subspan(first);
  const Args dA = r.dx.subspan(c.at[kMatvec], c.consts(kMatvec));
  bool moves = false, any = false;
  for (const Array& a : dA) moves |= a.defined();
  for (const Array& a : db) any |= a.defined();
  if (!moves && !any) return;
  Results rhs;
  for (std::size_t i = 0; i < n; ++i) rhs.push_back(instantiate(db[i], x[i].type()));
  if (moves) {
    const auto product = [&](Args a, Results& out) { eval_jaxpr(*c.jaxpr[kMatvec], a, out); };
    Borrowed tangents(dA);
    for (std::size_t i = 0; i < n; ++i) tangents.push(nullptr);
    Results y, dy;
    jvp_flat(flat(product), operands(c, kMatvec, r.x, x), tangents, y, dy, Loc::current());
    for (std::size_t i = 0; i < n; ++i)
      if (dy[i].defined()) rhs[i] = lax::sub(rhs[i], dy[i]);
  }
  Borrowed in(r.x.first(first));
  in.append(args(rhs));
  r.prim.bind(in, r.params, r.dy, Loc::current());
}
void linear_solve_transpose(TransposeRule& r) {
  const Call c = read(r.params.as<LinearSolveParams>());
  const std::size_t first = c.at[kFunctions];
  if (!c.jaxpr[kTransposeSolve])
    rule_error(
        "custom_linear_solve: reverse-mode differentiation needs a transpose_solve (or symmetric = "
        "true); forward mode works as it is.");
  for (std::size_t i = 0; i < first; ++i)
    if (r.linear(i)) rule_error("custom_linear_solve: it is linear in b only.");
  constexpr Function swapped[] = {kVecmat, kMatvec, kTransposeSolve, kSolve};
  Call t;
  Borrowed in;
  t.at[0] = 0;
  for (std::size_t f = 0; f < kFunctions; ++f) {
    t.jaxpr[f] = c.jaxpr[swapped[f]];
    t.at[f + 1] = t.at[f] + c.consts(swapped[f]);
    in.append(r.x.subspan(c.at[swapped[f]], c.consts(swapped[f])));
  }
  Results ct;
  for (std::size_t i = 0; i < r.ct.size(); ++i)
    ct.push_back(instantiate(r.ct[i], r.x_types[first + i]));
  in.append(args(ct));
  const Results b_ct = call(r.prim, in, params_of(t));
  for (std::size_t i = 0; i < b_ct.size(); ++i) r.add(first + i, b_ct[i]);
}
// What depends on the batch in one array like b does so in all functions.
void linear_solve_batch(BatchRule& r) {
  Call c = read(r.params.as<LinearSolveParams>());
  const std::size_t first = c.at[kFunctions], n = r.x.size() - first;
  const Mask all = mapped(r);
  Mask b = part(all, first, all.size());
  std::shared_ptr<const BatchedJaxpr> t[kFunctions];
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t f = 0; f < kFunctions; ++f) {
      if (!c.jaxpr[f]) continue;
      Mask in = part(all, c.at[f], c.at[f + 1]);
      in.append(b.begin(), b.end());
      t[f] = batch_jaxpr(*c.jaxpr[f], r.size, r.axis_name, in, b);
      grew |= merge(b, t[f]->batched, n);
    }
  }
  Results in = batch_operands(r);
  for (std::size_t i = 0; i < n; ++i)
    if (b[i]) in[first + i] = lax::batch_to_front(r.x[first + i], r.axis[first + i], r.size);
  for (std::size_t f = 0; f < kFunctions; ++f)
    if (c.jaxpr[f]) c.jaxpr[f] = t[f]->jaxpr;
  const Results out = call(r.prim, args(in), params_of(c));
  for (std::size_t i = 0; i < n; ++i) {
    r.y[i] = out[i];
    r.y_axis[i] = b[i] ? 0 : -1;
  }
}

std::size_t linear_solve_outputs(Params q) {
  return q.as<LinearSolveParams>().jaxprs.back()->outs.size();
}

}  // namespace

const Primitive custom_linear_solve_p = {
    .name = "custom_linear_solve",
    .shape = linear_solve_shape,
    .jvp = linear_solve_jvp,
    .transpose = linear_solve_transpose,
    .batch = linear_solve_batch,
    .lower = linear_solve_lower,
    .num_outputs = linear_solve_outputs,
    .params = &params_ops<LinearSolveParams>,
    .uses_axis = [](Params q, const std::string& name) {
      for (const JaxprPtr& j : q.as<LinearSolveParams>().jaxprs)
        if (uses_axis(*j, name)) return true;
      return false;
    }};

namespace internal {

void linear_solve_flat(FlatFn matvec, FlatSolver solve, const FlatSolver* transpose_solve,
                       bool symmetric, Args b, Results& x, Loc loc) {
  TrailFrame frame("custom_linear_solve", loc);
  std::vector<Type> types;
  for (const Array& a : b) types.push_back(a.type());
  const auto traced = [&](FlatFn f, const char* which) {
    Closed c = trace_to_jaxpr(types, f);
    if (c.jaxpr->out_types() != types)
      fail(std::string("custom_linear_solve: ") + which + " must return arrays like b.", loc,
           "E31");
    return c;
  };
  Closed given[kFunctions];
  given[kMatvec] = traced(matvec, "matvec");
  const auto forward = [&](Args in, Results& out) { solve.call(solve.self, matvec, in, out); };
  given[kSolve] = traced(flat(forward), "solve");
  if (symmetric) {
    given[kVecmat] = given[kMatvec];
    given[kTransposeSolve] = given[kSolve];
  } else if (transpose_solve) {
    const Closed& a = given[kMatvec];
    const auto transposed = [&](Args ct, Results& out) {
      Borrowed known(Args{a.consts});
      for (std::size_t i = 0; i < types.size(); ++i) known.push(nullptr);
      SmallVec<Array, 4> in_ct(a.jaxpr->invars.size());
      backward_pass(*a.jaxpr, known, ct, in_ct.data());
      for (std::size_t i = 0; i < types.size(); ++i)
        out.push_back(instantiate(in_ct[a.consts.size() + i], types[i]));
    };
    const FlatFn vecmat = flat(transposed);
    given[kVecmat] = traced(vecmat, "matvec");
    const auto backward = [&](Args in, Results& out) {
      transpose_solve->call(transpose_solve->self, vecmat, in, out);
    };
    given[kTransposeSolve] = traced(flat(backward), "transpose_solve");
  }
  LinearSolveParams p;
  Borrowed in;
  for (const Closed& c : given) {
    p.const_lengths.push_back(std::int64_t(c.consts.size()));
    if (c.jaxpr) p.jaxprs.push_back(c.jaxpr);
    in.append(Args{c.consts});
  }
  in.append(b);
  x.resize(b.size());
  custom_linear_solve_p.bind(in, p, x.data(), loc);
}

}  // namespace internal
}  // namespace jaxpp
