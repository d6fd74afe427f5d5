// jaxpr.h -- the intermediate form: equations over typed variables, the trace that records it, and what is done to it.
// No function here recurses over the length of a program; nesting of jaxprs is the only recursion.
#pragma once
#include <map>
#include <mutex>
#include "jaxpp/core/origin.h"
#include "jaxpp/core/trace.h"
#include "jaxpp/jaxpr.h"

namespace jaxpp::internal {

using Var = std::uint32_t;

/// An operand: a variable, or a constant value.  One tagged word.  While a trace records, constants of any kind sit in
/// the equations; close() turns all but rank-0 literals into leading inputs.
class Atom {
 public:
  static Atom var(Var v) {
    Atom a;
    a.bits_ = std::uintptr_t(v) << 1 | 1;
    return a;
  }
  explicit Atom(const Array& a) : bits_(reinterpret_cast<std::uintptr_t>(a.node())) {
    retain(a.node());
  }
  Atom() : bits_(0) {}  // a symbolic zero (outputs of linear jaxprs)
  Atom(const Atom& o) : bits_(o.bits_) {
    if (!is_var()) retain(node());
  }
  Atom(Atom&& o) noexcept : bits_(std::exchange(o.bits_, 0)) {}
  Atom& operator=(Atom o) noexcept {
    std::swap(bits_, o.bits_);
    return *this;
  }
  ~Atom() {
    if (!is_var()) release(node());
  }
  bool is_var() const { return bits_ & 1; }
  bool is_zero() const { return bits_ == 0; }
  Var var() const { return Var(bits_ >> 1); }
  Node* node() const { return reinterpret_cast<Node*>(bits_); }
  Array value() const { return Array::share(node()); }

 private:
  std::uintptr_t bits_;
};

struct Equation {
  const Primitive* prim;
  std::shared_ptr<const void> params_data;
  const ParamsOps* params_ops;
  SmallVec<Atom, 2> in;
  Var out;  // outputs are numbered consecutively
  std::uint32_t n_out;
  Loc loc;
  Origin origin = {};
  Params params() const { return {params_data.get(), params_ops}; }
};
/// Does this equation have effects (itself, or in a jaxpr among its parameters)?
bool has_effects(const Equation&);

struct Executable;  // backends/backend.h
struct JaxprBody {
  std::vector<Type> types;  // of every variable
  std::vector<Var> invars;
  std::vector<Equation> eqns;
  std::vector<Atom> outs;

  JaxprBody() = default;
  JaxprBody(JaxprBody&& o) noexcept
      : types(std::move(o.types)),
        invars(std::move(o.invars)),
        eqns(std::move(o.eqns)),
        outs(std::move(o.outs)) {}
  JaxprBody& operator=(JaxprBody&& o) noexcept {
    types = std::move(o.types);
    invars = std::move(o.invars);
    eqns = std::move(o.eqns);
    outs = std::move(o.outs);
    return *this;
  }
  JaxprBody copy() const {
    JaxprBody j;
    j.types = types;
    j.invars = invars;
    j.eqns = eqns;
    j.outs = outs;
    return j;
  }
  Type type(const Atom& a) const { return a.is_var() ? types[a.var()] : a.node()->type; }
  Var new_var(Type t) {
    types.push_back(t);
    return Var(types.size() - 1);
  }
  std::vector<Type> in_types() const {
    std::vector<Type> t;
    for (Var v : invars) t.push_back(types[v]);
    return t;
  }
  std::vector<Type> out_types() const {
    std::vector<Type> t;
    for (auto& a : outs) t.push_back(type(a));
    return t;
  }
  /// Derived jaxprs and the executable live and die with the jaxpr they come from: memoisation on identity.
  /// `make` may run twice when threads race; the first result stays.
  template <class T, class Make>
  std::shared_ptr<const T> memo(const std::string& key, Make make) const {
    if (auto hit = memo_find(key)) return std::static_pointer_cast<const T>(hit);
    return std::static_pointer_cast<const T>(memo_insert(key, std::make_shared<T>(make())));
  }
  mutable std::atomic<const Executable*> executable{nullptr};  // for the CPU; owned by the memo

 private:
  std::shared_ptr<const void> memo_find(const std::string& key) const;
  std::shared_ptr<const void> memo_insert(const std::string& key,
                                          std::shared_ptr<const void> value) const;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::shared_ptr<const void>> memo_;
};

/// What becomes of constants that are not literals.  hoist: all are leading inputs (programs of users: captured arrays
/// stay run-time operands).  embed: concrete ones stay inside (memoised transforms: the result must stand alone).
enum class Consts { hoist, embed };
struct Closed {
  JaxprPtr jaxpr;
  std::vector<Array> consts;  // the leading inputs
};

class JaxprTrace final : public Trace {
 public:
  using Trace::Trace;
  JaxprBody body;
  Array input(Type t);
  void process(const Primitive&, Args, Params, Array* y, Loc) override;
  void custom_call(const CustomPtr&, Args, Results&) override;
  Atom atom(const Array& a, Loc loc) const;  // checks that a foreign tracer is alive
  Closed close(Args outs, Consts = Consts::hoist);
  Closed close_atoms(std::vector<Atom> outs, Consts = Consts::hoist);

 private:
  Array tracer(Type t, Var v, const Primitive* maker, Loc loc);
};

Closed trace_to_jaxpr(Types in, FlatFn f, Consts = Consts::hoist);
/// The same program with inputs and outputs chosen and ordered by index; dead equations dropped.
JaxprPtr reorder(const JaxprBody&, std::span<const std::size_t> in,
                 std::span<const std::size_t> out);
void eval_jaxpr(const JaxprBody&, Args in,
                Results& out);  // binds every equation in the current trace
/// Evaluates with the backend's executable.  donate: inputs that nobody else holds may be overwritten.
void run_jaxpr(const JaxprBody&, std::span<Array> in, Array* out, bool donate);
/// What an executable is compiled for.
struct CompileTarget {
  Device device{};
  bool contract = true;  // sums of products may be fused
  bool eager = false;    // control flow outside of jit: compiled only if that pays in one run
  bool operator==(const CompileTarget&) const = default;
};
void run_jaxpr(const JaxprBody&, std::span<Array> in, Array* out, bool donate,
               const CompileTarget&);
const Executable& executable_of(const JaxprBody&, const CompileTarget& = {});  // on first use
void run_jaxpr(const JaxprBody&, Args in, Array* out);
/// One operation on operands of these types, as a program; the last few hundred are remembered.
JaxprPtr program_of(const Primitive&, Args, Params, Loc);
/// Re-types every equation; throws Error naming the first that is wrong.  Nested jaxprs too.
void check_jaxpr(const JaxprBody&);
void dce(JaxprBody&);
std::size_t count_equations(const JaxprBody&);  // nested jaxprs included
/// The jaxprs among the parameters of an equation.
std::vector<JaxprPtr> sub_jaxprs(const Equation&);
bool uses_axis(const JaxprBody&, const std::string& name);

std::string to_string(const JaxprBody&, std::size_t constvars, const PrintOptions&,
                      std::span<const Array> consts = {});

}  // namespace jaxpp::internal
