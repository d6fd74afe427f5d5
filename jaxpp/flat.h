// flat.h -- the transforms on flat functions.  The templates of grad.h, vmap.h, jit.h, ... only flatten arguments and
// results and call these; transforms/ defines them.  Not for users.
#pragma once
#include <optional>
#include "jaxpp/core/trace.h"
#include "jaxpp/jaxpr.h"

namespace jaxpp::internal {

struct SavePolicy;  // core/user_functions.h
struct HostFn;      // ops/host_fn.h

// ---- Differentiation
/// Null tangents in are zeros, null tangents out too.
void jvp_flat(FlatFn f, Args x, Args dx, Results& y, Results& dy, Loc loc);
/// Reverse mode.  f returns (value, aux...): value a real scalar (or complex, if holomorphic); grads[i] becomes an array
/// for every x[i], all of which must be inexact.  who: the transform's name, for messages.
void grad_flat(FlatFn f, Args x, Array& value, Results& aux, Array* grads, const char* who, Loc loc,
               bool holomorphic = false);

/// The derivative of a function at a point: recorded once, pushed forward and pulled back any number of times.
class LinearMap {
 public:
  /// Linearizes f at x; y receives the values.
  static LinearMap of(FlatFn f, Args x, Results& y, const char* who, Loc loc);
  /// f itself as a linear function of arrays of these types (linear_transpose); throws where f is not linear.
  static LinearMap linear(FlatFn f, Types x, Loc loc);
  std::span<const Type> in_types() const;
  std::span<const Type> out_types() const;
  /// One array (or null for zero) for every input, one array out for every output (zeros where nothing flows).
  void push(Args dx, Results& dy, Loc loc) const;
  /// One array (or null for zero) for every output, one array out for every input.
  void pull(Args ct, Results& x_ct, Loc loc) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};
/// Rows of a basis of all arrays of types t: leading axis of size sum of sizes; for jacobians by vmap.
/// Element k of the flattened inputs is 1 in row k.
void basis(Types t, Results& rows);

// ---- vmap
inline constexpr int kUnmapped = -1000000;
/// axes[i]: the mapped axis of x[i] (may be negative), or kUnmapped; axis_size -1: from the arguments.
/// out_axes: for each result, or one entry for all; looked at when f has returned, which may set it.
void vmap_flat(FlatFn f, Args x, std::span<const int> axes, const std::span<const int>& out_axes,
               std::int64_t axis_size, const std::string& axis_name, Results& y, Loc loc);

// ---- jit
/// What is part of the cache key but not traced: static leaves and the structure of containers.
struct StaticKey {
  const void* value = nullptr;  // borrowed by the call
  const void* type = nullptr;   // keys of different types differ
  bool (*equal)(const void*, const void*) = nullptr;
  std::shared_ptr<const void> (*clone)(const void*) = nullptr;
};
class JitCache {
 public:
  struct Entry;
  JitCache();
  JitCache(const JitCache&) = delete;
  ~JitCache();
  std::string explain()
      const;  // one line per compilation: what differed from the nearest earlier call
  std::size_t size() const;
  struct State;
  std::unique_ptr<State> state;
  std::atomic<const Entry*> last{nullptr};
};
struct JitTarget {
  std::optional<Device> device{};  // none: where an argument is, or default_device()
  bool contract = true;
};
/// Calls f through the cache.  donate: x is owned by the call, leaves that nobody else holds may be overwritten (false:
/// x is borrowed).  When f is traced it sets *out_tree; when it is not, *out_tree is set to what it was when the cached
/// entry was traced (left alone if that was null).
void jit_flat(JitCache&, const char* name, FlatFn f, std::span<Array> x, const StaticKey&,
              std::shared_ptr<const void>* out_tree, Results& y, bool donate, const JitTarget&,
              Loc loc);
/// Compiles for these arguments without running.
struct CompiledProgram {
  JaxprPtr jaxpr;  // owns the executable
  const struct Executable* executable = nullptr;
  std::vector<Array> consts{};  // captured arrays: the first inputs of the program
};
CompiledProgram jit_compile_flat(JitCache&, const char* name, FlatFn f, Args x, const StaticKey&,
                                 std::shared_ptr<const void>* out_tree, const JitTarget&, Loc loc);
std::string loops_text(const CompiledProgram&);
std::string cuda_text(const CompiledProgram&);
std::string llvm_text(const CompiledProgram&);
std::string assembly_text(const CompiledProgram&);
CompileTimes compile_times(const CompiledProgram&);
void call_raw(const CompiledProgram&, const void* const* in, void* const* out);
MemoryUse memory_use(const CompiledProgram&);
CostEstimate cost_estimate(const CompiledProgram&);
Jaxpr make_jaxpr_flat(FlatFn f, Types in, Loc loc);

// ---- Control flow
/// body: (carry..., x...) -> (carry..., y...).  out: carry, stacked ys.  length -1: from xs.
void scan_flat(FlatFn body, Args init, Args xs, std::int64_t length, bool reverse,
               std::int64_t unroll, Results& out, Loc loc);
/// max_steps > 0: at most that many iterations, as a scan, which reverse mode can go through.
void while_flat(FlatFn cond, FlatFn body, Args init, Results& out, Loc loc,
                std::int64_t max_steps = 0);
/// index: int32 (clamped) or bool.
void cond_flat(const Array& index, std::span<const FlatFn> branches, Args operands, const char* who,
               Results& out, Loc loc);

// ---- Custom derivatives, checkpoint, callbacks
void custom_call_flat(const CustomPtr&, Args x, Results& y, Loc loc);
void checkpoint_flat(FlatFn f, Args x, std::shared_ptr<const SavePolicy> policy, Results& y,
                     Loc loc);
/// Calls fn on concrete values, once per execution (and per lane under vmap).  debug: no results, an effect.
void debug_callback_flat(std::shared_ptr<const HostFn>, Args x, Loc loc);
void pure_callback_flat(std::shared_ptr<const HostFn>, Types out, Args x, Results& y, Loc loc);

}  // namespace jaxpp::internal
