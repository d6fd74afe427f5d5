// trace.h -- who interprets an operation: the thread's current trace.
//
// No current trace means "compute now".  A value belongs to a trace only if its serial number says so; everything else,
// other traces' tracers included, is a constant to that trace.  That is the whole cure for perturbation confusion, and
// why there are no levels.
#pragma once
#include "jaxpp/core/primitive.h"

namespace jaxpp::internal {

/// A flat function, by reference: all that the library sees of a user's lambda.
struct FlatFn {
  void* self;
  void (*call)(void*, Args, Results&);
  void operator()(Args x, Results& y) const { call(self, x, y); }
};
template <class F>
FlatFn flat(F& f) {
  return {const_cast<void*>(static_cast<const void*>(&f)),
          [](void* s, Args x, Results& y) { (*static_cast<F*>(s))(x, y); }};
}

class Trace {
 public:
  const std::uint64_t serial;
  Trace* const parent;  // null: evaluation
  explicit Trace(Trace* parent);
  Trace(const Trace&) = delete;
  virtual ~Trace() = default;
  virtual void process(const Primitive&, Args, Params, Array* y, Loc) = 0;
  virtual void custom_call(const CustomPtr&, Args, Results&) = 0;
  bool owns(const Node* n) const { return n->trace == serial; }
  bool owns(const Array& a) const { return a.node()->trace == serial; }
};
void eval_primitive(const Primitive&, Args, Params, Array* y, Loc);
/// The same where an operand is on a GPU: there.
void eval_on_device(const Primitive&, Args, Params, Array* y, Loc);
const Kernel& install_kernel_of(const Primitive&,
                                Loc);  // the backend's kernels are installed on first use
inline const Kernel& kernel_of(const Primitive& p, Loc loc) {
  const Kernel* k = p.kernel.load(std::memory_order_acquire);
  return k ? *k : install_kernel_of(p, loc);
}
[[noreturn]] void throw_leak(const Node*, Loc);

/// Named axes in scope (vmap with axis_name), innermost first.  Lives on the stack of vmap.
struct AxisFrame {
  std::string name;
  std::int64_t size;
  const AxisFrame* outer;
};
struct Context {
  Trace* trace = nullptr;
  const Loc* rule_loc = nullptr;  // the user's line, while a rule runs
  const AxisFrame* axes = nullptr;
};
extern constinit thread_local Context context;
extern constinit thread_local TrailFrame* trail;
inline Loc user_loc(Loc loc) { return context.rule_loc ? *context.rule_loc : loc; }

/// Restores the context, also when user code throws.
class Scope {
 public:
  explicit Scope(Trace* t) : saved_(context) { context.trace = t; }
  Scope(Trace* t, const Loc* loc) : saved_(context) {  // while a rule runs
    context.trace = t;
    if (!saved_.rule_loc) context.rule_loc = loc;
  }
  Scope(const Scope&) = delete;
  ~Scope() { context = saved_; }

 private:
  Context saved_;
};
/// Runs user code under a trace: operations report their own lines again.
struct UserScope : Scope {
  explicit UserScope(Trace* t) : Scope(t) { context.rule_loc = nullptr; }
};

inline void bind_in(Trace* t, const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  if (t)
    t->process(p, x, params, y, loc);
  else
    eval_primitive(p, x, params, y, loc);
}
void custom_call(const CustomPtr&, Args, Results&);
const AxisFrame* find_axis(const std::string& name);

}  // namespace jaxpp::internal
namespace jaxpp {
inline void Primitive::bind(internal::Args x, internal::Params p, Array* y, Loc loc) const {
  internal::bind_in(internal::context.trace, *this, x, p, y, loc);
}
}  // namespace jaxpp
