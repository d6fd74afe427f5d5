// primitive.h -- a primitive is a value: a name, a shape rule, and one rule for each transform.
//
// Rules call ordinary operations (lax.h); they never look into values.  Only jvp rules are written for derivatives:
// reverse mode transposes the linear primitives that a jvp rule leaves behind.
#pragma once
#include "jaxpp/core/params.h"

namespace jaxpp {

namespace internal {
using Args = std::span<const Array>;
using Types = std::span<const Type>;
using Results = SmallVec<Array, 4>;
}  // namespace internal
inline internal::Args args(const internal::Results& r) { return {r.data(), r.size()}; }

namespace internal {
class JaxprTrace;
class Accumulator;
}  // namespace internal

/// Forward mode.  At least one dx is not a zero; a null dx is a symbolic zero, and so is a null dy (the initial value).
struct JvpRule {
  const Primitive& prim;
  internal::Args x, dx;
  internal::Params params;
  Array *y, *dy;
  internal::JaxprTrace* tangent = nullptr;  // linearize rules: where to record what is linear in dx
};
/// vmap.  axis[i] is the mapped axis of x[i], -1 where unmapped; at least one is mapped (or the operation names the
/// axis).  A rule sets y and y_axis (initially -1).
struct BatchRule {
  const Primitive& prim;
  internal::Args x;
  const int* axis;
  std::int64_t size;
  const std::string& axis_name;  // "" when the axis has none
  internal::Params params;
  Array* y;
  int* y_axis;
};
/// Transposition of a linear operation.  x[i] is null where the operand is linear; a null ct is a zero (at least one is
/// not).  A rule adds to the cotangents of the operands that are wanted.
struct TransposeRule {
  const Primitive& prim;
  internal::Args x, ct;
  internal::Params params;
  internal::Types x_types;
  std::span<internal::Accumulator* const>
      into;  // null where x[i] is known or its cotangent unwanted
  bool linear(std::size_t i) const { return !x[i].defined(); }
  bool wanted(std::size_t i) const { return into[i]; }
  void add(std::size_t i, const Array& ct) const;
  /// Adds ct to a slice of the cotangent (in place where possible): start, limit, strides (empty: all 1).
  void add_slice(std::size_t i, const Array& ct, const Dims& start, const Dims& limit,
                 const Dims& strides) const;
};

/// How a primitive computes.  Block and library kernels are installed by a backend (backends/backend.h); a user's own
/// primitive brings its kernel.
namespace internal {
struct Kernel {
  void (*run)(Args x, Params, Array* y) = nullptr;
  bool allocates =
      false;  // run makes its outputs itself; otherwise they are allocated from the shape rule
  std::uint32_t in_place =
      0;  // bit i: output 0 may share the buffer of operand i, if their types agree
};
}  // namespace internal

/// The fewest and the most operands of a primitive: readers refuse other equations before a shape rule looks at operands that
/// are not there.
struct OperandRange {
  std::size_t least = 0, most = std::size_t(-1);
};

struct Primitive {
  const char* name;
  OperandRange operands = {};  // any number: for the shape rule to decide
  void (*shape)(internal::Types x, internal::Params, internal::Type* y) =
      nullptr;  // throws internal::RuleError: a message without location
  // Mutable: a test puts wrong ones in their place, to see that they are found (tests/mutation_test.cc).
  mutable void (*jvp)(JvpRule&) = nullptr;
  mutable void (*linearize)(JvpRule&) =
      nullptr;  // instead of jvp where one call must be split into a known and a linear part
  mutable void (*transpose)(TransposeRule&) = nullptr;  // linear primitives only
  void (*batch)(BatchRule&) = nullptr;
  void (*lower)(internal::Args x, internal::Params,
                Array* y) = nullptr;  // computes by other operations: instead of kernels
  std::size_t (*num_outputs)(internal::Params) = nullptr;  // null: one
  const ParamsOps* params = nullptr;                       // null: none
  bool differentiable = true;                              // false: outputs never carry tangents
  bool effects = false;                                    // never dropped, merged or reordered
  bool (*uses_axis)(internal::Params, const std::string& name) =
      nullptr;  // collectives and calls: mentions a named axis
  mutable std::atomic<const internal::Kernel*> kernel{nullptr};

  std::size_t outputs(internal::Params p) const { return num_outputs ? num_outputs(p) : 1; }
  /// Hands the operation to the thread's current trace.  A member, not a free function: with a std::span argument,
  /// std::bind would win overload resolution and do nothing.
  void bind(internal::Args, internal::Params, Array* y, Loc) const;
  template <std::same_as<Array>... A>
  Array apply(internal::Params p, Loc loc, const A&... x) const {
    internal::Node* in[] = {x.node()..., nullptr};
    Array y;
    bind({reinterpret_cast<const Array*>(in), sizeof...(A)}, p, &y, loc);
    return y;
  }
};

/// The primitive of that name (built in, or registered), or null.
const Primitive* find_primitive(std::string_view name);
/// Every primitive known so far.
std::vector<const Primitive*> all_primitives();
/// Makes a user's own primitive known to the parser, the JSON reader and the rule checks.  It must outlive the program.
void register_primitive(const Primitive&);

namespace internal {
/// Operands of a call, by reference: copying pointers instead of Arrays keeps reference counts out of the hot paths.
class Borrowed {
 public:
  Borrowed() = default;
  template <std::same_as<Array>... A>
  explicit Borrowed(const A&... a) {
    (push(a), ...);
  }
  explicit Borrowed(Args a) { append(a); }
  void push(const Array& a) { v_.push_back(a.node()); }
  void push(Node* n) { v_.push_back(n); }
  void append(Args a) {
    for (const Array& x : a) push(x);
  }
  std::size_t size() const { return v_.size(); }
  operator Args() const { return {reinterpret_cast<const Array*>(v_.data()), v_.size()}; }

 private:
  SmallVec<Node*, 6> v_;
};
}  // namespace internal
}  // namespace jaxpp
