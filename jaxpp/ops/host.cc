// host.cc -- identities with a meaning (name, optimization_barrier, device_put), and callbacks into the host program
// (debug_callback, pure_callback, io_callback).
//
// The identities move no data; what they mean is for others: `name` for checkpoint policies, the barrier for passes
// that merge equations.  A callback carries its function as an Opaque parameter.  Under vmap it becomes one callback
// that visits the lanes while it runs, so a batch of any size stays one equation.  A debug callback sees primal values
// only and is never dropped; a pure one has no derivative: its user wraps it in custom_jvp or custom_vjp.
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {

namespace internal {
const HostFn& host_fn(const Opaque& callback, const char* op) {
  check(callback.value != nullptr, op, [&] {
    return "the function \"" + callback.name +
           "\" is not available: a program read from text has no host functions.";
  });
  return *static_cast<const HostFn*>(callback.value.get());
}
void check_results(const char* op, std::span<const Type> declared, const Results& y) {
  check(y.size() == declared.size(), op, [&] {
    return "the function returned " + std::to_string(y.size()) + " results; " +
           std::to_string(declared.size()) + " were declared.";
  });
  for (std::size_t i = 0; i < y.size(); ++i)
    check(y[i].defined() && y[i].concrete() && y[i].type() == declared[i], op, [&] {
      return "result " + std::to_string(i) + " of the function is " +
             (!y[i].defined() ? "null" : y[i].type()->str()) + "; " + declared[i]->str() +
             " was declared.";
    });
}
}  // namespace internal

namespace {

using namespace internal;

// ---- Identities
void name_shape(Types x, Params, Type* y) {
  check(x.size() == 1, "name",
        [&] { return "takes 1 operand, was given " + std::to_string(x.size()) + "."; });
  *y = x[0];
}
void name_jvp(JvpRule& r) {  // only the value has the name
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  *r.dy = r.dx[0];
}
void name_batch(BatchRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  *r.y_axis = r.axis[0];
}
std::size_t arity(Params p) {
  const std::int64_t n = p.as<ArityParams>().n;
  return n < 0 ? 0 : std::size_t(n);
}
template <const Primitive& P>
void identity_shape(Types x, Params params, Type* y) {
  check(x.size() == arity(params), P.name, [&] {
    return "takes " + std::to_string(arity(params)) + " operands, was given " +
           std::to_string(x.size()) + ".";
  });
  std::copy(x.begin(), x.end(), y);
}
void identity_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  for (std::size_t i = 0; i < r.x.size(); ++i)
    if (r.dx[i].defined()) r.dy[i] = r.prim.apply(ArityParams{1}, Loc::current(), r.dx[i]);
}
void identity_transpose(TransposeRule& r) {
  for (std::size_t i = 0; i < r.ct.size(); ++i)
    if (r.ct[i].defined() && r.wanted(i))
      r.add(i, r.prim.apply(ArityParams{1}, Loc::current(), r.ct[i]));
}
void identity_batch(BatchRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  std::copy(r.axis, r.axis + r.x.size(), r.y_axis);
}

// ---- Callbacks
template <class P>
Opaque by_lanes(const BatchRule& r) {
  auto& p = r.params.as<P>();
  host_fn(p.callback, r.prim.name);
  auto lanes = [op = r.prim.name, inner = p.callback, types = p.out_types, size = r.size,
                axis = SmallVec<int, 4>(r.axis, r.axis + r.x.size())](Args x, Results& y) {
    std::vector<std::vector<Array>> rows(types.size());
    for (std::int64_t i = 0; i < size; ++i) {
      Results lane, out;
      for (std::size_t k = 0; k < x.size(); ++k)
        lane.push_back(axis[k] < 0
                           ? x[k]
                           : lax::squeeze(lax::slice_in_dim(x[k], i, i + 1, axis[k]), {axis[k]}));
      host_fn(inner, op).fn(args(lane), out);
      if (types.empty()) continue;
      check_results(op, types, out);
      for (std::size_t k = 0; k < out.size(); ++k) rows[k].push_back(out[k]);
    }
    for (std::size_t k = 0; k < rows.size(); ++k) {
      Dims s = types[k]->shape;
      s.insert(0, size);
      y.push_back(size ? lax::stack(rows[k], 0) : lax::full(make_type(types[k]->dtype, s), 0));
    }
  };
  return {p.callback.name, std::make_shared<const HostFn>(HostFn{p.callback.name, lanes})};
}
template <class P>
void callback_batch(BatchRule& r) {
  P p = r.params.as<P>();
  p.callback = by_lanes<P>(r);
  for (std::size_t i = 0; i < p.out_types.size(); ++i) {
    Dims s = p.out_types[i]->shape;
    s.insert(0, r.size);
    p.out_types[i] = make_type(p.out_types[i]->dtype, s);
    r.y_axis[i] = 0;
  }
  r.prim.bind(r.x, p, r.y, Loc::current());
}
void debug_shape(Types, Params, Type*) {}
std::size_t no_outputs(Params) { return 0; }
template <class P>
void declared_shape(Types, Params params, Type* y) {
  auto& types = params.as<P>().out_types;
  std::copy(types.begin(), types.end(), y);
}
template <class P>
std::size_t declared_outputs(Params params) {
  return params.as<P>().out_types.size();
}
void io_jvp(JvpRule& r) {
  rule_error("io_callback: the host function \"" + r.params.as<IoCallbackParams>().callback.name +
             "\" has effects, and no derivative; give it values that are not differentiated "
             "(stop_gradient).");
}
void io_batch(BatchRule& r) {
  if (r.params.as<IoCallbackParams>().ordered)
    rule_error("io_callback: vmap of an ordered callback has no order of its lanes.");
  callback_batch<IoCallbackParams>(r);
}
void pure_jvp(JvpRule& r) {
  auto& p = r.params.as<CallbackParams>();
  check(std::none_of(p.out_types.begin(), p.out_types.end(), has_tangent), "pure_callback", [&] {
    return "the derivative of the host function \"" + p.callback.name +
           "\" is unknown; give it with custom_jvp or custom_vjp around the call.";
  });
  r.prim.bind(r.x, r.params, r.y, Loc::current());
}

}  // namespace

const Primitive name_p = {.name = "name",
                          .operands = {1, 1},
                          .shape = name_shape,
                          .jvp = name_jvp,
                          .batch = name_batch,
                          .params = &params_ops<NameParams>};
const Primitive optimization_barrier_p = {.name = "optimization_barrier",
                                          .shape = identity_shape<optimization_barrier_p>,
                                          .jvp = identity_jvp,
                                          .transpose = identity_transpose,
                                          .batch = identity_batch,
                                          .num_outputs = arity,
                                          .params = &params_ops<ArityParams>};
const Primitive device_put_p = {.name = "device_put",
                                .operands = {1},
                                .shape = identity_shape<device_put_p>,
                                .jvp = identity_jvp,
                                .transpose = identity_transpose,
                                .batch = identity_batch,
                                .num_outputs = arity,
                                .params = &params_ops<ArityParams>};
const Primitive debug_callback_p = {.name = "debug_callback",
                                    .shape = debug_shape,
                                    .batch = callback_batch<CallbackParams>,
                                    .num_outputs = no_outputs,
                                    .params = &params_ops<CallbackParams>,
                                    .differentiable = false,
                                    .effects = true};
const Primitive pure_callback_p = {.name = "pure_callback",
                                   .shape = declared_shape<CallbackParams>,
                                   .jvp = pure_jvp,
                                   .batch = callback_batch<CallbackParams>,
                                   .num_outputs = declared_outputs<CallbackParams>,
                                   .params = &params_ops<CallbackParams>};
const Primitive io_callback_p = {.name = "io_callback",
                                 .shape = declared_shape<IoCallbackParams>,
                                 .jvp = io_jvp,
                                 .batch = io_batch,
                                 .num_outputs = declared_outputs<IoCallbackParams>,
                                 .params = &params_ops<IoCallbackParams>,
                                 .effects = true};

Array lax::optimization_barrier(const Array& x, Loc loc) {
  return optimization_barrier_p.apply(ArityParams{1}, loc, x);
}

}  // namespace jaxpp
