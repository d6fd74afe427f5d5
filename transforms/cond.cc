// cond.cc -- a choice among branches: operand 0 is an int32 index, clamped; the rest go to every branch.
//
// Transforms map over the branches until they agree on which results are active.
//
// vmap leaves an index that differs from lane to lane as it is: i32[n], after a second vmap i32[m,n], a prefix of the shape
// of every result.  Each branch then is a program over all lanes, and every lane of a result comes from the branch that
// its index names.  An operand whose shape begins with the index's has a value for each lane, and branches take lane to
// lane; any other operand is shared.  Executors may run one branch only for a lane, or all branches for all lanes.
// Where that contract cannot be kept (collectives mix lanes; the shape of a shared operand begins like the index's), and
// in reverse mode (residuals have any shape), the choice is made by select instead: see choose().
#include <algorithm>
#include "jaxpp/flat.h"
#include "transforms/calls.h"

namespace jaxpp {
namespace {
using namespace internal;
using Branches = std::vector<JaxprPtr>;

template <class T, class F>
std::vector<std::shared_ptr<const T>> agree(const Branches& branches, Mask T::*active, F f) {
  std::vector<std::shared_ptr<const T>> r;
  Mask force(branches[0]->outs.size(), false);
  for (bool grew = true; grew;) {
    r.clear();
    grew = false;
    for (auto& j : branches) {
      r.push_back(f(*j, force));
      grew |= merge(force, *r.back().*active, force.size());
    }
  }
  return r;
}
template <class R>
Branches jaxprs(const std::vector<R>& r) {
  Branches b;
  for (auto& t : r) b.push_back(t->jaxpr);
  return b;
}

bool is_prefix(const Shape& s, const Shape& of) {
  return s.size() <= of.size() && std::equal(s.begin(), s.end(), of.begin());
}

void cond_shape(Types in, Params q, Type* out) {
  auto& b = q.as<CondParams>().branches;
  need(!b.empty(), "cond", "there is no branch.");
  check(!in.empty() && in[0]->dtype == DType::i32, "cond", [&] {
    return "the index must be i32, got " + (in.empty() ? std::string("nothing") : in[0]->str()) +
           ".";
  });
  for (std::size_t k = 0; k < b.size(); ++k) {
    check_inputs("cond", *b[k], in.subspan(1));
    check(b[k]->out_types() == b[0]->out_types(), "cond",
          [&] { return "branch " + std::to_string(k) + " returns other types than branch 0."; });
  }
  for (auto& a : b[0]->outs) {
    const Type t = b[0]->type(a);
    check(is_prefix(in[0]->shape, t->shape), "cond", [&] {
      return "the shape of the index, " + in[0]->str() + ", is no prefix of that of a result, " +
             t->str() + ".";
    });
    *out++ = t;
  }
}

// ---- Choosing by select
// Runs every branch on x = (index, operands) and chooses lane by lane.  lanes: operands with a value for each lane.
// linear (or empty): operands that the result must stay linear in.
// Lanes that do not take a branch give it no gradient, so that its NaNs stay inside it.
void choose(const Branches& branches, Args x, const Mask& lanes, const Mask& linear, Results& y) {
  const Array which = lax::clamp(Array(0), x[0], Array(int(branches.size()) - 1));
  const auto spread = [](const Array& taken, const Array& over) {
    return lax::broadcast_in_dim(taken, over.shape(), iota_dims(taken.shape().size()));
  };
  for (std::size_t k = 0; k < branches.size(); ++k) {
    const Array taken = lax::eq(which, Array(int(k)));
    Results operands, out;
    for (std::size_t i = 1; i < x.size(); ++i) {
      if (!lanes[i - 1] || !has_tangent(x[i].type())) {
        operands.push_back(x[i]);
        continue;
      }
      const bool lin = !linear.empty() && linear[i - 1];
      operands.push_back(lax::select(spread(taken, x[i]), x[i],
                                     lin ? lax::zeros_like(x[i]) : lax::stop_gradient(x[i])));
    }
    eval_jaxpr(*branches[k], args(operands), out);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (k == 0)
        y.push_back(out[i]);
      else
        y[i] = lax::select(spread(taken, out[i]), out[i], y[i]);
  }
}
// The same as a program of (index, operands), for an index of rank > 0: shapes say which operands have lanes.
JaxprPtr chosen(const Branches& branches, Type index, const Mask& linear) {
  struct Chosen {
    JaxprPtr jaxpr;
    Branches of;  // keeps the addresses in the key from being reused
  };
  std::string key = mask_key("cond lanes", linear) + index->str();
  for (auto& j : branches) key += " " + std::to_string(reinterpret_cast<std::uintptr_t>(j.get()));
  return branches[0]
      ->memo<Chosen>(key,
                     [&] {
                       std::vector<Type> in = branches[0]->in_types();
                       Mask lanes;
                       for (Type t : in) lanes.push_back(is_prefix(index->shape, t->shape));
                       in.insert(in.begin(), index);
                       auto f = [&](Args x, Results& y) { choose(branches, x, lanes, linear, y); };
                       Scope none(nullptr);
                       return Chosen{trace_to_jaxpr(in, flat(f), Consts::embed).jaxpr, branches};
                     })
      ->jaxpr;
}

void cond_jvp(JvpRule& r) {
  Mask active = defined(r.dx.subspan(1));
  auto t =
      agree(r.params.as<CondParams>().branches, &JvpJaxpr::active,
            [&](const JaxprBody& j, const Mask& force) { return jvp_jaxpr(j, active, force); });
  Borrowed in(r.x);
  push_defined(in, r.dx.subspan(1));
  unpack_jvp(r, call(cond_p, in, CondParams{jaxprs(t)}), t[0]->active);
}

// Residuals of the branches share slots of equal type; a branch fills those it does not use with zeros.
struct LinearCond {
  Branches primal, tangent;
  std::vector<Type> slots;
};
LinearCond split_cond(const Branches& branches,
                      const std::vector<std::shared_ptr<const LinearJaxpr>>& t) {
  LinearCond s;
  std::vector<std::vector<std::size_t>> slot_of(t.size());  // of each residual of each branch
  for (std::size_t k = 0; k < t.size(); ++k) {
    auto types = t[k]->tangent->in_types();
    std::vector<char> used(s.slots.size());
    for (std::size_t i = 0; i < t[k]->residuals.size(); ++i) {
      std::size_t at = 0;
      while (at < s.slots.size() && (used[at] || s.slots[at] != types[i])) ++at;
      if (at == s.slots.size()) {
        s.slots.push_back(types[i]);
        used.push_back(0);
      }
      used[at] = 1;
      slot_of[k].push_back(at);
    }
  }
  Scope none(nullptr);
  const std::size_t n_y = t[0]->active.size();
  for (std::size_t k = 0; k < t.size(); ++k) {
    auto& lin = *t[k];
    auto forward = [&](Args x, Results& y) {
      Results out, candidates(x.begin(), x.end()), slots(s.slots.size());
      eval_jaxpr(*lin.primal, x, out);
      candidates.append(out.begin(), out.end());
      for (std::size_t i = 0; i < lin.residuals.size(); ++i)
        slots[slot_of[k][i]] = candidates[std::size_t(lin.residuals[i])];
      y = Results(out.begin(), out.begin() + n_y);
      for (std::size_t i = 0; i < slots.size(); ++i)
        y.push_back(slots[i].defined() ? slots[i] : lax::full(s.slots[i], 0));
    };
    s.primal.push_back(trace_to_jaxpr(branches[k]->in_types(), flat(forward), Consts::embed).jaxpr);
    auto linear = [&](Args x, Results& y) {
      Borrowed z;
      for (std::size_t at : slot_of[k]) z.push(x[at]);
      z.append(x.subspan(s.slots.size()));
      eval_jaxpr(*lin.tangent, z, y);
    };
    std::vector<Type> in = s.slots, dx = lin.tangent->in_types();
    in.insert(in.end(), dx.begin() + std::ptrdiff_t(lin.residuals.size()), dx.end());
    s.tangent.push_back(trace_to_jaxpr(in, flat(linear), Consts::embed).jaxpr);
  }
  return s;
}
void cond_linearize(JvpRule& r) {
  auto& branches = r.params.as<CondParams>().branches;
  if (r.x[0].ndim()) {
    const CallParams selects{chosen(branches, r.x[0].type(), {}), "cond"};
    JvpRule as_jit{jit_p, r.x, r.dx, selects, r.y, r.dy, r.tangent};
    return jit_p.linearize(as_jit);
  }
  Mask active = defined(r.dx.subspan(1));
  auto t = agree(branches, &LinearJaxpr::active, [&](const JaxprBody& j, const Mask& force) {
    return linearize_jaxpr(j, active, force);
  });
  LinearCond s = split_cond(branches, t);
  const std::size_t n_y = t[0]->active.size();
  Results out = call(cond_p, r.x, CondParams{s.primal});
  for (std::size_t i = 0; i < n_y; ++i) r.y[i] = out[i];
  Borrowed in(r.x.first(1));
  for (std::size_t i = n_y; i < out.size(); ++i) in.push(out[i]);
  push_defined(in, r.dx.subspan(1));
  Results dy = record(r, cond_p, in, CondParams{s.tangent});
  for (std::size_t i = 0, k = 0; i < n_y; ++i)
    if (t[0]->active[i]) r.dy[i] = dy[k++];
}

void cond_transpose(TransposeRule& r) {
  Mask known = defined(r.x.subspan(1)), ct = defined(r.ct);
  if (!r.x_types[0]->shape.empty()) {
    Mask linear;
    for (bool k : known) linear.push_back(!k);
    const CallParams selects{chosen(r.params.as<CondParams>().branches, r.x_types[0], linear),
                             "cond"};
    TransposeRule as_jit{jit_p, r.x, r.ct, selects, r.x_types, r.into};
    return jit_p.transpose(as_jit);
  }
  Branches branches;
  for (auto& j : r.params.as<CondParams>().branches)
    branches.push_back(transpose_jaxpr(*j, known, ct, true)->jaxpr);
  Borrowed in;
  push_defined(in, r.x);
  push_defined(in, r.ct);
  Results out = call(cond_p, in, CondParams{branches});
  for (std::size_t i = 0, k = 0; i < known.size(); ++i)
    if (!known[i]) r.add(i + 1, out[k++]);
}

void cond_batch(BatchRule& b) {
  auto& branches = b.params.as<CondParams>().branches;
  Mask batched = mapped(b);
  const Shape before = b.x[0].shape();  // of the index
  const bool lanes = batched[0] || !before.empty();
  Mask per_lane;  // operands with a value for each lane
  if (lanes) {
    Shape inner = before;
    if (batched[0]) inner.erase(std::size_t(b.axis[0]));
    for (std::size_t i = 1; i < b.x.size(); ++i) {
      Shape s = b.x[i].shape();
      if (batched[i]) s.erase(std::size_t(b.axis[i]));
      per_lane.push_back(inner.empty() ? batched[i] : is_prefix(inner, s));
      batched[i] = batched[i] || per_lane.back();
    }
    batched[0] = true;
  }
  Results in;
  for (std::size_t i = 0; i < b.x.size(); ++i)
    in.push_back(batched[i] ? lax::batch_to_front(b.x[i], b.axis[i], b.size) : b.x[i]);
  batched.erase(0);
  auto t = agree(branches, &BatchedJaxpr::batched, [&](const JaxprBody& j, const Mask& force) {
    return batch_jaxpr(j, b.size, b.axis_name, batched, lanes ? Mask(force.size(), true) : force);
  });
  bool by_select = false;
  if (lanes) {
    for (auto& j : branches) {
      for (auto& e : j->eqns)
        check(!has_effects(e), "cond", [&] {
          return std::string("`") + e.prim->name +
                 "` has effects; it cannot run under a batched index.";
        });
      by_select |= !b.axis_name.empty() && uses_axis(*j, b.axis_name);
    }
    for (std::size_t i = 1; i < in.size(); ++i)
      by_select |= is_prefix(in[0].shape(), in[i].shape()) != per_lane[i - 1];
  }
  Results out;
  if (by_select)
    choose(jaxprs(t), args(in), per_lane, {}, out);
  else
    out = call(cond_p, args(in), CondParams{jaxprs(t)});
  for (std::size_t i = 0; i < out.size(); ++i) {
    b.y[i] = out[i];
    b.y_axis[i] = t[0]->batched[i] ? 0 : -1;
  }
}

}  // namespace

const Primitive cond_p = {
    .name = "cond", .operands = {1},
    .shape = cond_shape,
    .jvp = cond_jvp,
    .linearize = cond_linearize,
    .transpose = cond_transpose,
    .batch = cond_batch,
    .num_outputs = [](Params p) { return p.as<CondParams>().branches[0]->outs.size(); },
    .params = &params_ops<CondParams>,
    .uses_axis =
        [](Params p, const std::string& name) {
          auto& b = p.as<CondParams>().branches;
          return std::any_of(b.begin(), b.end(),
                             [&](const JaxprPtr& j) { return uses_axis(*j, name); });
        }};

void internal::cond_flat(const Array& index, std::span<const FlatFn> fns, Args operands,
                         const char* who, Results& out, Loc loc) {
  TrailFrame frame(who, loc);
  if (index.ndim() != 0 || !(is_bool(index.dtype()) || is_integer(index.dtype())))
    fail(std::string(who) + ": the " + (fns.size() == 2 ? "predicate" : "index") +
             " must be a bool or integer scalar, got " + index.type()->str() + ".",
         loc, "E33");
  if (fns.empty()) fail(std::string(who) + ": there is no branch.", loc, "E33");
  std::vector<Type> types;
  for (const Array& a : operands) types.push_back(a.type());
  std::vector<Closed> closed;
  Results consts;
  for (auto& f : fns) {
    closed.push_back(trace_to_jaxpr(types, f));
    auto& c = closed.back().consts;
    consts.append(c.begin(), c.end());
  }
  auto result_types = [](const Closed& c) {
    std::string s;
    for (Type t : c.jaxpr->out_types()) s += (s.empty() ? "" : ", ") + t->str();
    return "(" + s + ")";
  };
  for (std::size_t k = 1; k < closed.size(); ++k)
    if (closed[k].jaxpr->out_types() != closed[0].jaxpr->out_types()) {
      bool pair = std::string_view(who) == "cond";  // branches are stored false, true
      fail(std::string(who) + ": the branches return different types: " +
               (pair ? result_types(closed[1]) + " if true, " + result_types(closed[0]) +
                           " if false."
                     : result_types(closed[0]) + " from branch 0, " + result_types(closed[k]) +
                           " from branch " + std::to_string(k) + "."),
           loc, "E34");
    }
  if (index.concrete()) {  // the value is known: just that branch
    std::int64_t n = std::int64_t(fns.size()) - 1;
    std::size_t k = std::size_t(std::clamp<std::int64_t>(index.item<std::int64_t>(), 0, n));
    Borrowed in(Args{closed[k].consts});
    in.append(operands);
    return eval_jaxpr(*closed[k].jaxpr, in, out);
  }
  CondParams p;  // every branch takes the constants of all
  std::size_t at = 0;
  for (auto& c : closed) {
    auto j = std::make_shared<JaxprBody>(c.jaxpr->copy());
    std::vector<Var> own(j->invars.begin(), j->invars.begin() + std::ptrdiff_t(c.consts.size())),
        rest(j->invars.begin() + std::ptrdiff_t(c.consts.size()), j->invars.end());
    j->invars.clear();
    for (std::size_t i = 0; i < consts.size(); ++i)
      j->invars.push_back(i >= at && i < at + own.size() ? own[i - at]
                                                         : j->new_var(consts[i].type()));
    j->invars.insert(j->invars.end(), rest.begin(), rest.end());
    at += own.size();
    p.branches.push_back(j);
  }
  Array which = lax::convert_element_type(index, DType::i32, loc);
  Borrowed in(which);
  in.append(args(consts));
  in.append(operands);
  std::size_t first = out.size();
  out.resize(first + p.branches[0]->outs.size());
  cond_p.bind(in, p, out.data() + first, loc);
}

}  // namespace jaxpp
