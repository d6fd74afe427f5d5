// batch.cc -- vmap: values that carry a mapped axis, as a trace.
//
// A value is wrapped only while it is mapped; each primitive's batch rule says what it does to the extra axis.
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/flat.h"
#include "jaxpp/ops/rules.h"
#include "transforms/custom.h"

namespace jaxpp::internal {

Array BatchTrace::batched(const Array& value, int axis, const Primitive* maker, Loc loc) const {
  if (axis < 0) return value;
  Shape shape = value.shape();
  shape.erase(std::size_t(axis));
  Node* n = node_new(make_type(value.dtype(), shape), serial);
  retain(value.node());
  n->dual = {value.node(), nullptr};
  n->index = std::uint32_t(axis);
  n->maker = maker;
  n->loc = loc;
  return Array::adopt(n);
}

// debug_nans: the operation made a NaN for all lanes at once; which lane does so alone?
void BatchTrace::find_lane(const Primitive& p, Args x, const AxisList& axes, Params params,
                           Loc loc) const {
  if (p.uses_axis && !name.empty() && p.uses_axis(params, name)) return;  // lanes are not separate
  for (std::int64_t i = 0; i < size; ++i) {
    Results lane, y(p.outputs(params));
    {
      const NanCheckScope off(kNoChecks);
      for (std::size_t k = 0; k < x.size(); ++k)
        lane.push_back(axes[k] < 0
                           ? x[k]
                           : lax::squeeze(lax::slice_in_dim(x[k], i, i + 1, axes[k]), {axes[k]}));
    }
    const NanTrail here("lane " + std::to_string(i) + " of vmap" +
                        (name.empty() ? "" : " `" + name + "`"));
    p.bind(args(lane), params, y.data(), loc);
  }
}
void BatchTrace::process(const Primitive& p, Args in, Params params, Array* y, Loc loc) {
  Borrowed x;
  AxisList axes;
  bool any = p.uses_axis && !name.empty() && p.uses_axis(params, name);
  for (const Array& a : in) {
    auto [v, axis] = a.defined() ? unwrap(a) : std::pair<Node*, int>(nullptr, -1);
    x.push(v);
    axes.push_back(axis);
    any |= axis >= 0;
  }
  if (!any) return bind_in(parent, p, x, params, y, loc);
  if (!p.batch) fail<Error>(std::string(p.name) + ": no batching rule.", user_loc(loc), "E21");
  AxisList y_axes(p.outputs(params), -1);
  {
    const DebugOrigin origin([&] { return origin_of(p, in); });
    Scope scope(parent, &loc);
    BatchRule b{p, x, axes.data(), size, name, params, y, y_axes.data()};
    try {
      p.batch(b);
    } catch (const RuleError& e) {
      fail(e.what(), user_loc(loc), "E11");
    } catch (const FloatingPointError&) {
      if (!p.effects && checking_nans()) find_lane(p, x, axes, params, loc);
      throw;
    }
  }
  for (std::size_t i = 0; i < y_axes.size(); ++i)
    y[i] = batched(y[i], y_axes[i], &p, user_loc(loc));
}
void BatchTrace::custom_call(const CustomPtr& rule, Args in, Results& out) {
  Borrowed x;
  AxisList axes;
  bool any = !name.empty();  // the function may use the named axis
  for (const Array& a : in) {
    auto [v, axis] = unwrap(a);
    x.push(v);
    axes.push_back(axis);
    any |= axis >= 0;
  }
  Results y;
  {
    Scope scope(parent);
    internal::custom_call(any ? batch_custom_rule(rule, axes, size, name) : rule, x, y);
  }
  for (auto& a : y) out.push_back(any ? batched(a, 0) : a);
}

void vmap_flat(FlatFn f, Args x, std::span<const int> axes, const std::span<const int>& out_axes,
               std::int64_t axis_size, const std::string& axis_name, Results& y, Loc loc) {
  TrailFrame frame("vmap", loc);
  AxisList in_axes;
  std::int64_t size = axis_size;
  std::size_t sized_by = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (axes[i] == kUnmapped) {
      in_axes.push_back(-1);
      continue;
    }
    int rank = x[i].ndim(), axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    if (axis < 0 || axis >= rank)
      fail("vmap: argument " + std::to_string(i) + " is " + x[i].type()->str() +
               ", it has no axis " + std::to_string(axes[i]) + " to map over.",
           loc, "E22", "Mark it None in in_axes if it is not mapped.");
    auto n = x[i].shape()[std::size_t(axis)];
    if (size >= 0 && n != size)
      fail("vmap: mapped axes have different sizes: " + std::to_string(n) + " on axis " +
               std::to_string(axis) + " of argument " + std::to_string(i) + " (" +
               x[i].type()->str() + "), " + std::to_string(size) +
               (axis_size >= 0 ? std::string(" in axis_size")
                               : " in argument " + std::to_string(sized_by) + " (" +
                                     x[sized_by].type()->str() + ")") +
               ".",
           loc, "E23");
    if (size < 0) sized_by = i;
    size = n;
    in_axes.push_back(axis);
  }
  if (size < 0)
    fail("vmap: no argument is mapped.", loc, "E24",
         "Give one an axis in in_axes, or give axis_size.");
  BatchTrace trace(context.trace, size, axis_name);
  Results in, out;
  for (std::size_t i = 0; i < x.size(); ++i) in.push_back(trace.batched(x[i], in_axes[i]));
  {
    UserScope scope(&trace);
    AxisFrame axis_frame{axis_name, size, context.axes};
    if (!axis_name.empty()) context.axes = &axis_frame;
    f(args(in), out);
  }
  if (out_axes.size() > 1 && out_axes.size() != out.size())
    fail("vmap: out_axes has " + std::to_string(out_axes.size()) +
             " entries, the function returned " + std::to_string(out.size()) + " arrays.",
         loc, "E25");
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!out[i].defined()) {
      y.push_back(out[i]);
      continue;
    }
    auto [v, axis] = trace.unwrap(out[i]);
    int want = out_axes.empty() ? 0 : out_axes.size() == 1 ? out_axes[0] : out_axes[i];
    Array value = Array::share(v);
    if (want == kUnmapped) {
      if (axis >= 0)
        fail("vmap: output " + std::to_string(i) + " is mapped, out_axes says None.", loc, "E26",
             "Give it an axis, or reduce over the batch.");
      y.push_back(value);
      continue;
    }
    int rank = int(out[i].ndim()) + 1, to = want < 0 ? want + rank : want;
    if (to < 0 || to >= rank)
      fail("vmap: output " + std::to_string(i) + " is " + out[i].type()->str() + ", out_axes " +
               std::to_string(want) + " is out of range.",
           loc, "E25");
    y.push_back(axis < 0 ? lax::move_axis(lax::batch_to_front(value, -1, size), 0, to)
                         : lax::move_axis(value, axis, to));
  }
}

}  // namespace jaxpp::internal
