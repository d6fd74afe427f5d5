// transforms.h -- jvp, linearize, transpose and vmap: as traces, as functions of flat functions, and as maps from jaxpr
// to jaxpr.
#pragma once
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/flat.h"

namespace jaxpp::internal {

using Mask = SmallVec<bool, 8>;
using AxisList = SmallVec<int, 8>;

Array add_tangents(const Array& a, const Array& b);  // null is zero
bool has_tangent(Type t);                            // inexact
/// A symbolic zero made into an array of that type.
Array instantiate(const Array& tangent, Type t);

/// A value with a tangent.  A value whose tangent is zero is never wrapped, so `if (x < 2)` works under grad.
class JvpTrace : public Trace {
 public:
  using Trace::Trace;
  Array dual(const Array& primal, const Array& tangent, const Primitive* maker = nullptr,
             Loc loc = {}) const;
  void process(const Primitive&, Args, Params, Array* y, Loc) override;
  void custom_call(const CustomPtr&, Args, Results&) override;

 protected:
  virtual Trace* rule_trace() { return parent; }  // the trace that rules run in
  virtual bool keep(const Array& tangent) const { return tangent.defined(); }
  virtual JaxprTrace* tangent_trace() { return nullptr; }  // set when linearizing
};

/// Runs a jvp rule once: an operation with an operand of the tangent trace is recorded there (it is linear in it, by
/// construction); any other operation is done by the parent at once.  A call whose body mixes both (a scan over (x, dx)
/// inside a user's rule) is split by its own linearize rule, applied at dx = 0: being linear in dx, it loses nothing.
class SplitTrace final : public Trace {
 public:
  SplitTrace(Trace* outer, JaxprTrace& tangent) : Trace(outer), tangent_(tangent) {}
  void process(const Primitive&, Args, Params, Array* y, Loc) override;
  void custom_call(const CustomPtr&, Args, Results&) override;
  bool owns_operand(Args) const;

 private:
  JaxprTrace& tangent_;
};
class LinearizeTrace final : public JvpTrace {
 public:
  explicit LinearizeTrace(Trace* outer) : JvpTrace(outer), tangent(outer), split_(outer, tangent) {}
  JaxprTrace tangent;

 protected:
  Trace* rule_trace() override { return &split_; }
  bool keep(const Array& t) const override { return t.defined() && tangent.owns(t); }
  JaxprTrace* tangent_trace() override { return &tangent; }

 private:
  SplitTrace split_;
};

class BatchTrace final : public Trace {
 public:
  BatchTrace(Trace* outer, std::int64_t n, std::string axis_name)
      : Trace(outer), size(n), name(std::move(axis_name)) {}
  const std::int64_t size;
  const std::string name;  // "": unnamed
  Array batched(const Array& value, int axis, const Primitive* maker = nullptr,
                Loc loc = {}) const;  // -1: itself
  std::pair<Node*, int> unwrap(const Array& a) const {
    return owns(a) ? std::pair(a.node()->dual.primal, int(a.node()->index))
                   : std::pair(a.node(), -1);
  }
  void process(const Primitive&, Args, Params, Array* y, Loc) override;
  void custom_call(const CustomPtr&, Args, Results&) override;

 private:
  void find_lane(const Primitive&, Args x, const AxisList& axes, Params, Loc) const;
};

/// Where the cotangents of one linear variable are summed.
class Accumulator {
 public:
  Type type = nullptr;
  Array value;  // null: zero so far
  void add(const Array& ct);
  void add_slice(const Array& ct, const Dims& start, const Dims& limit, const Dims& strides);
};
/// Transposes j.  known[i] is the value of input i, or null if j is linear in it (known empty: linear in all); the
/// cotangents of linear inputs are added to what is in in_ct, null for zero.
void backward_pass(const JaxprBody& j, Args known, Args ct, Array* in_ct);

// ---- On jaxprs: memoised on identity
struct JvpJaxpr {
  JaxprPtr jaxpr;  // (x..., dx of active) -> (y..., dy of active)
  Mask active;     // outputs that have a tangent
};
std::shared_ptr<const JvpJaxpr> jvp_jaxpr(const JaxprBody&, const Mask& active,
                                          const Mask& instantiate);

struct LinearJaxpr {  // primal: x -> (y..., extra...);  tangent: (residuals, dx) -> dy
  JaxprPtr primal, tangent;
  Mask active;                 // outputs that have a tangent
  std::vector<int> residuals;  // each is entry k of (inputs of primal, outputs of primal)
};
std::shared_ptr<const LinearJaxpr> linearize_jaxpr(const JaxprBody&, const Mask& active,
                                                   const Mask& instantiate);

struct TransposedJaxpr {
  // (known..., ct of nonzero..., sums so far of `added_to`...) -> ct of linear inputs, nonzero ones
  JaxprPtr jaxpr;
  Mask active;
};
std::shared_ptr<const TransposedJaxpr> transpose_jaxpr(const JaxprBody&, const Mask& known,
                                                       const Mask& ct_nonzero, bool instantiate,
                                                       const Mask& added_to = {});
struct BatchedJaxpr {
  JaxprPtr jaxpr;
  Mask batched;  // batched inputs and outputs have axis 0
};
std::shared_ptr<const BatchedJaxpr> batch_jaxpr(const JaxprBody&, std::int64_t size,
                                                const std::string& axis_name, const Mask& batched,
                                                const Mask& force);

}  // namespace jaxpp::internal
