// jaxpr_maps.cc -- transforms as maps from jaxpr to jaxpr: open traces, eval_jaxpr, close.
//
// Results are memoised inside the jaxpr they come from.  They are made with no current trace, so that a result does not
// depend on who asked first; constants that arise are embedded, so that it stands alone.
#include "jaxpp/flat.h"
#include "jaxpp/ops/rules.h"
#include "jaxpp/safe_gradients.h"
#include "transforms/transforms.h"

namespace jaxpp::internal {
namespace {

std::string key(const char* what, std::initializer_list<const Mask*> masks,
                const std::string& more = "") {
  std::string s = what + more;
  if (gradients_are_safe()) s += " safe";
  for (auto* m : masks) {
    s += '|';
    for (bool b : *m) s += b ? '1' : '0';
  }
  return s;
}
bool forced(const Mask& m, std::size_t i) { return i < m.size() && m[i]; }

template <class F>
JaxprPtr staged(const std::vector<Type>& in, F f) {
  auto body = [&](Args x, Results& y) { f(x, y); };
  Scope none(nullptr);
  return trace_to_jaxpr(in, flat(body), Consts::embed).jaxpr;
}

}  // namespace

std::shared_ptr<const JvpJaxpr> jvp_jaxpr(const JaxprBody& j, const Mask& active,
                                          const Mask& instantiated) {
  return j.memo<JvpJaxpr>(key("jvp", {&active, &instantiated}), [&] {
    std::vector<Type> in = j.in_types();
    std::size_t n = in.size();
    for (std::size_t i = 0; i < n; ++i)
      if (active[i]) in.push_back(in[i]);
    JvpJaxpr r;
    r.jaxpr = staged(in, [&](Args x, Results& out) {
      Borrowed dx;
      for (std::size_t i = 0, k = n; i < n; ++i) {
        if (active[i])
          dx.push(x[k++]);
        else
          dx.push(nullptr);
      }
      JvpTrace trace(context.trace);
      Results in_x, y, dy;
      Args tangents = dx;
      for (std::size_t i = 0; i < n; ++i)
        in_x.push_back(tangents[i].defined() && has_tangent(x[i].type())
                           ? trace.dual(x[i], tangents[i])
                           : x[i]);
      {
        UserScope scope(&trace);
        eval_jaxpr(j, args(in_x), y);
      }
      for (const Array& a : y) {
        bool own = trace.owns(a);
        out.push_back(own ? Array::share(a.node()->dual.primal) : a);
        dy.push_back(own ? Array::share(a.node()->dual.tangent) : Array());
      }
      for (std::size_t i = 0, m = out.size(); i < m; ++i) {
        r.active.push_back(dy[i].defined() ||
                           (forced(instantiated, i) && has_tangent(out[i].type())));
        if (r.active[i]) out.push_back(instantiate(dy[i], out[i].type()));
      }
    });
    return r;
  });
}

std::shared_ptr<const LinearJaxpr> linearize_jaxpr(const JaxprBody& j, const Mask& active,
                                                   const Mask& instantiated) {
  return j.memo<LinearJaxpr>(key("lin", {&active, &instantiated}), [&] {
    LinearJaxpr r;
    Scope none(nullptr);
    JaxprTrace primal(nullptr);
    Results x, y;
    for (Type t : j.in_types()) x.push_back(primal.input(t));
    Scope scope(&primal);
    LinearizeTrace lin(&primal);
    JaxprTrace& tangent = lin.tangent;
    Results in, out;
    for (std::size_t i = 0; i < x.size(); ++i)
      in.push_back(active[i] && has_tangent(x[i].type())
                       ? lin.dual(x[i], tangent.input(x[i].type()))
                       : x[i]);
    {
      UserScope user(&lin);
      eval_jaxpr(j, args(in), out);
    }
    std::vector<Atom> outs;
    for (std::size_t i = 0; i < out.size(); ++i) {
      bool own = lin.owns(out[i]);
      y.push_back(own ? Array::share(out[i].node()->dual.primal) : out[i]);
      r.active.push_back(own || (forced(instantiated, i) && has_tangent(out[i].type())));
      if (!r.active[i]) continue;
      if (own) {
        outs.push_back(Atom::var(out[i].node()->dual.tangent->index));
      } else {  // a zero the caller wants as an array
        Scope in_tangent(&tangent);
        outs.push_back(tangent.atom(lax::full(y[i].type(), 0), Loc::current()));
      }
    }
    Closed c = tangent.close_atoms(std::move(outs), Consts::embed);
    r.tangent = c.jaxpr;
    Results candidates = x;  // what a residual may be identical to: cheapest first
    candidates.append(y.begin(), y.end());
    Results results = y;
    for (const Array& res : c.consts) {
      std::size_t k = 0;
      while (k < candidates.size() && candidates[k].node() != res.node()) ++k;
      if (k == candidates.size()) {
        candidates.push_back(res);
        results.push_back(res);
      }
      r.residuals.push_back(int(k));
    }
    r.primal = primal.close(args(results), Consts::embed).jaxpr;
    return r;
  });
}

std::shared_ptr<const TransposedJaxpr> transpose_jaxpr(const JaxprBody& j, const Mask& known,
                                                       const Mask& ct_nonzero, bool instantiated,
                                                       const Mask& added_to) {
  return j.memo<TransposedJaxpr>(key(instantiated ? "T+" : "T", {&known, &ct_nonzero, &added_to}),
                                 [&] {
                                   std::vector<Type> in, types = j.in_types(), outs = j.out_types();
                                   for (std::size_t i = 0; i < known.size(); ++i)
                                     if (known[i]) in.push_back(types[i]);
                                   for (std::size_t i = 0; i < ct_nonzero.size(); ++i)
                                     if (ct_nonzero[i]) in.push_back(outs[i]);
                                   for (std::size_t i = 0; i < types.size(); ++i)
                                     if (forced(added_to, i)) in.push_back(types[i]);
                                   TransposedJaxpr r;
                                   r.jaxpr = staged(in, [&](Args x, Results& out) {
                                     Borrowed values, ct;
                                     std::size_t k = 0;
                                     for (bool b : known) {
                                       if (b)
                                         values.push(x[k++]);
                                       else
                                         values.push(nullptr);
                                     }
                                     for (bool b : ct_nonzero) {
                                       if (b)
                                         ct.push(x[k++]);
                                       else
                                         ct.push(nullptr);
                                     }
                                     SmallVec<Array, 4> in_ct(types.size());
                                     for (std::size_t i = 0; i < types.size(); ++i)
                                       if (forced(added_to, i)) in_ct[i] = x[k++];
                                     backward_pass(j, values, ct, in_ct.data());
                                     for (std::size_t i = 0; i < types.size(); ++i)
                                       if (!known[i]) {
                                         r.active.push_back(in_ct[i].defined() || instantiated);
                                         if (r.active.back())
                                           out.push_back(instantiate(in_ct[i], types[i]));
                                       }
                                   });
                                   return r;
                                 });
}

std::shared_ptr<const BatchedJaxpr> batch_jaxpr(const JaxprBody& j, std::int64_t size,
                                                const std::string& axis_name, const Mask& batched,
                                                const Mask& force) {
  return j.memo<BatchedJaxpr>(
      key("batch", {&batched, &force}, std::to_string(size) + axis_name), [&] {
        std::vector<Type> in = j.in_types();
        for (std::size_t i = 0; i < in.size(); ++i)
          if (batched[i]) {
            Shape s = in[i]->shape;
            s.insert(0, size);
            in[i] = make_type(in[i]->dtype, s);
          }
        BatchedJaxpr r;
        r.jaxpr = staged(in, [&](Args x, Results& out) {
          BatchTrace trace(context.trace, size, axis_name);
          Results values, y;
          for (std::size_t i = 0; i < x.size(); ++i)
            values.push_back(trace.batched(x[i], batched[i] ? 0 : -1));
          {
            UserScope scope(&trace);
            AxisFrame frame{axis_name, size, context.axes};
            if (!axis_name.empty()) context.axes = &frame;
            eval_jaxpr(j, args(values), y);
          }
          for (std::size_t i = 0; i < y.size(); ++i) {
            auto [v, axis] = trace.unwrap(y[i]);
            r.batched.push_back(axis >= 0 || forced(force, i));
            Array value = Array::share(v);
            out.push_back(r.batched[i] ? lax::batch_to_front(value, axis, size) : value);
          }
        });
        return r;
      });
}

}  // namespace jaxpp::internal
