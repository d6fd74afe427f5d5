// trace.cc -- evaluation (no current trace) and trace bookkeeping.
#include "jaxpp/core/trace.h"
#include <optional>
#include "jaxpp/core/backend.h"
#include "jaxpp/core/nan_check.h"
#include "jaxpp/core/user_functions.h"
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

const Kernel& install_kernel_of(const Primitive& p, Loc loc) {
  static std::once_flag once;
  std::call_once(once, backend().install_kernels);
  const Kernel* k = p.kernel.load(std::memory_order_acquire);
  if (!k && p.lower) {  // kept as long as the primitive, which is for ever
    auto made = std::make_unique<Kernel>(Kernel{.run = p.lower, .allocates = true});
    if (p.kernel.compare_exchange_strong(k, made.get())) k = made.release();
  }
  if (!k) fail<Error>(std::string(p.name) + ": no kernel.", loc, "E10");
  return *k;
}

Trace::Trace(Trace* p) : serial(next_serial()), parent(p) {}

void throw_leak(const Node* n, Loc loc) {
  std::string made = n->maker
                         ? std::string("the result of `") + n->maker->name + "` at " + where(n->loc)
                         : "an argument of the transformed function";
  fail<TracerLeakError>("tracer leak: a " + n->type->str() + ", " + made +
                            ", is used after the transform that made it has ended.",
                        loc, "E08",
                        "Return values from the function instead of storing them outside it.");
}

namespace {
// The less common shapes of a call: several results, kernels that make their own results, long operand lists.
[[gnu::noinline]] void eval_general(const Primitive& p, const Kernel& k, Args x, Params params,
                                    Array* y) {
  SmallVec<Type, 8> types;
  for (const Array& a : x) types.push_back(a.type());
  SmallVec<Type, 4> out(p.outputs(params));
  p.shape({types.data(), types.size()}, params, out.data());
  if (k.allocates) return k.run(x, params, y);
  Results r;
  for (Type t : out) r.push_back(Array::make(t));
  k.run(x, params, r.data());
  for (std::size_t i = 0; i < r.size(); ++i) y[i] = std::move(r[i]);
}
[[noreturn, gnu::noinline]] void not_a_value(const Primitive& p, const Array& a, Loc loc) {
  if (!a.defined()) fail(std::string(p.name) + ": an operand is null.", user_loc(loc), "E04");
  throw_leak(a.node(), user_loc(loc));
}
[[gnu::always_inline]] inline void eval_plainly(const Primitive& p, Args x, Params params, Array* y,
                                                Loc loc) {
  constexpr std::size_t kFew = 4;
  const Kernel& k = kernel_of(p, loc);
  const std::size_t n = x.size();
  Type types[kFew];
  for (std::size_t i = 0; i < n; ++i) {
    if (!x[i].defined() || !x[i].concrete()) [[unlikely]]
      not_a_value(p, x[i], loc);
    if (x[i].on_device()) [[unlikely]]
      return eval_on_device(p, x, params, y, loc);
    if (i < kFew) types[i] = x[i].type();
  }
  try {
    if (k.allocates || p.num_outputs || n > kFew) [[unlikely]]
      return eval_general(p, k, x, params, y);
    Type t;
    p.shape({types, n}, params, &t);
    Array r = Array::make(t);
    k.run(x, params, &r);
    *y = std::move(r);
  } catch (const RuleError& e) {
    fail(e.what(), user_loc(loc), "E11");
  }
}

// debug_nans: the operation, and a look at what it returned.
[[gnu::noinline]] void eval_checked(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  const std::size_t n = p.outputs(params);
  Results kept(x.begin(), x.end()), out(n);  // y may be among the operands
  {
    std::optional<NanCheckScope> off;
    if (p.lower) off.emplace(kNoChecks);  // how it computes is no business of the user's
    eval_plainly(p, args(kept), params, out.data(), loc);
  }
  check_results_of(p, args(kept), params, args(out), loc);
  for (std::size_t i = 0; i < n; ++i) y[i] = std::move(out[i]);
}
}  // namespace

void eval_primitive(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  if (checking_nans()) [[unlikely]]
    return eval_checked(p, x, params, y, loc);
  eval_plainly(p, x, params, y, loc);
}

void custom_call(const CustomPtr& rule, Args x, Results& y) {
  if (context.trace)
    context.trace->custom_call(rule, x, y);
  else
    rule->call(x, y);
}
void custom_call_flat(const CustomPtr& rule, Args x, Results& y, Loc) { custom_call(rule, x, y); }

const AxisFrame* find_axis(const std::string& name) {
  for (const AxisFrame* f = context.axes; f; f = f->outer)
    if (f->name == name) return f;
  return nullptr;
}

}  // namespace jaxpp::internal
