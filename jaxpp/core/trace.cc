// trace.cc -- evaluation (no current trace) and trace bookkeeping.
#include "jaxpp/core/trace.h"
#include "jaxpp/core/backend.h"
#include "jaxpp/flat.h"

namespace jaxpp::internal {

constinit thread_local Context context;

namespace {
std::uint64_t next_serial() {  // unique over threads without a contended counter
  static std::atomic<std::uint64_t> threads{0};
  static thread_local std::uint64_t last = threads.fetch_add(1) << 40;
  return ++last;
}
}  // namespace

const Kernel& kernel_of(const Primitive& p, Loc loc) {
  const Kernel* k = p.kernel.load(std::memory_order_acquire);
  if (!k) [[unlikely]] {
    static std::once_flag once;
    std::call_once(once, backend().install_kernels);
    k = p.kernel.load(std::memory_order_acquire);
    if (!k) fail<Error>(std::string(p.name) + ": no kernel.", loc, "E10");
  }
  return *k;
}

Trace::Trace(Trace* p) : serial(next_serial()), parent(p) {}

void throw_leak(const Node* n, Loc loc) {
  std::string made = n->maker ? std::string("the result of `") + n->maker->name + "` at " + where(n->loc)
                              : "an argument of the transformed function";
  fail<TracerLeakError>("tracer leak: a " + n->type->str() + ", " + made +
                            ", is used after the transform that made it has ended.",
                        loc, "E08", "Return values from the function instead of storing them outside it.");
}

void eval_primitive(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  for (const Array& a : x) {
    if (!a.defined()) [[unlikely]]
      fail(std::string(p.name) + ": an operand is null.", user_loc(loc), "E04");
    if (!a.concrete()) [[unlikely]]
      throw_leak(a.node(), user_loc(loc));
  }
  const Kernel& k = kernel_of(p, loc);
  try {
    if (k.allocates) {
      if (p.shape) {  // operands are checked even where the kernel finds its own result types
        SmallVec<Type, 6> types;
        SmallVec<Type, 4> out(p.outputs(params));
        for (const Array& a : x) types.push_back(a.type());
        p.shape({types.data(), types.size()}, params, out.data());
      }
      return k.run(x, params, y);
    }
    SmallVec<Type, 6> types;
    for (const Array& a : x) types.push_back(a.type());
    const std::size_t n = p.outputs(params);
    if (n == 1) [[likely]] {
      Type t;
      p.shape({types.data(), types.size()}, params, &t);
      Array r = Array::make(t);
      k.run(x, params, &r);
      *y = std::move(r);
      return;
    }
    SmallVec<Type, 4> out(n);
    p.shape({types.data(), types.size()}, params, out.data());
    Results r;
    for (Type t : out) r.push_back(Array::make(t));
    k.run(x, params, r.data());
    for (std::size_t i = 0; i < n; ++i) y[i] = std::move(r[i]);
  } catch (const RuleError& e) { fail(e.what(), user_loc(loc), "E11"); }
}

void custom_call(const CustomPtr& rule, Args x, Results& y) {
  if (context.trace) context.trace->custom_call(rule, x, y);
  else rule->call(x, y);
}
void custom_call_flat(const CustomPtr& rule, Args x, Results& y, Loc) { custom_call(rule, x, y); }

const AxisFrame* find_axis(const std::string& name) {
  for (const AxisFrame* f = context.axes; f; f = f->outer)
    if (f->name == name) return f;
  return nullptr;
}

}  // namespace jaxpp::internal
