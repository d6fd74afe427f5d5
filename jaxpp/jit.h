// jit.h -- compilation: f is traced once for each combination of argument types and static values,
// then run as a compiled program.
//
//   auto step = jit([](Mlp m, Array x, int steps) { ... });  // Arrays are traced, `steps` is a key
//   m = step(std::move(m), x, 3);    // an argument moved in gives its buffers up: donation
//   std::cout << step.explain();     // one line per compilation, and why
//
// What f captures is read when f is traced.  Copies of a jitted function share its cache; it may
// be called from many threads at once.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

struct JitOptions {
  std::optional<Device> device{};  ///< where to run: where an argument is, or default_device()
  bool donate = true;              ///< may reuse the buffers of arguments that are moved in
  bool contract = true;            ///< x * y + z may be one fused operation (CPU)
  std::string name = "f";          ///< in jaxprs and messages
};

namespace internal {
/// What a jitted function returned, less the values of its Arrays: enough to rebuild it from a
/// flat result.
template <class R>
struct OutTree {
  R like;  // all of its Arrays are null
  Nulls nulls;
};
template <class In>
inline constexpr char args_type_id = 0;  // its address stands for the type

/// The arguments of a call: what is passed as an lvalue is only looked at, so that a cached call
/// touches no reference count; the rest is owned, and its Arrays are donated.
template <class F, class... A>
struct CallArgs {
  template <std::size_t I>
  using Given = std::tuple_element_t<I, std::tuple<A...>>;
  template <std::size_t I>
  using Value = Arg<F, I, Given<I>>;
  template <std::size_t I>
  static constexpr bool is_tree =
      std::is_same_v<std::remove_cvref_t<Given<I>>, Value<I>> && !is_static_tree<Value<I>>;
  template <std::size_t I>
  using Held = std::conditional_t<std::is_lvalue_reference_v<Given<I>> && is_tree<I>,
                                  const Value<I>&, Value<I>>;
  template <class Index>
  struct Types;
  template <std::size_t... I>
  struct Types<std::index_sequence<I...>> {
    static_assert(
        callable<F, Value<I>...>,
        "jaxpp: the transformed function cannot be called with these arguments; compare their "
        "number and "
        "types with its parameters (it is called as const: a lambda may not be mutable).");
    using In = std::tuple<Value<I>...>;
    using Tuple = std::tuple<Held<I>...>;
    static constexpr bool donates = ((is_tree<I> && !std::is_lvalue_reference_v<Given<I>>) || ...);
    static Tuple make(A&&... a) { return Tuple(static_cast<Held<I>>(std::forward<A>(a))...); }
    static In copy(const Tuple& t) { return In(std::get<I>(t)...); }
    static bool same(const In& stored, const Tuple& t) {
      return (same_structure<true, false, Value<I>>(std::get<I>(stored), std::get<I>(t)) && ...);
    }
  };
  using Index = std::make_index_sequence<sizeof...(A)>;
  using In = typename Types<Index>::In;
  using R = Out<F, In>;

  typename Types<Index>::Tuple values;
  Results owned;  // where something is donated, or
  SmallVec<Node*, 16> borrowed;
  bool donate;

  CallArgs(bool may_donate, A&&... a)
      : values(Types<Index>::make(std::forward<A>(a)...)),
        donate(may_donate && Types<Index>::donates) {
    std::apply([&](auto&... v) { (add(v), ...); }, values);
  }
  /// Null Arrays too: they are part of the key.
  std::span<Array> arrays() {
    if (donate) return {owned.data(), owned.size()};
    return {reinterpret_cast<Array*>(borrowed.data()), borrowed.size()};
  }
  /// A value for every argument, with these Arrays.
  In with(Args x) const {
    In in = Types<Index>::copy(values);
    std::size_t k = 0;
    visit_arrays(in, [&](Array& a) { a = x[k++]; });
    return in;
  }
  /// The static values, and what distinguishes one structure from another.
  StaticKey key() const {
    StaticKey k;
    k.type = &args_type_id<In>;
    if constexpr (!is_plain_tree<In>) {
      k.value = this;
      k.clone = [](const void* call) -> std::shared_ptr<const void> {
        auto in =
            std::make_shared<In>(Types<Index>::copy(static_cast<const CallArgs*>(call)->values));
        visit_arrays(*in, [](Array& a) { a = Array(); });
        return in;
      };
      k.equal = [](const void* stored, const void* call) {
        return Types<Index>::same(*static_cast<const In*>(stored),
                                  static_cast<const CallArgs*>(call)->values);
      };
    }
    return k;
  }

 private:
  template <class T>
  void add(T& tree) {
    visit_arrays(tree, [&](auto& a) {
      if (!donate)
        borrowed.push_back(a.node());
      else if constexpr (std::is_const_v<std::remove_reference_t<decltype(a)>>)
        owned.push_back(a);
      else
        owned.push_back(std::move(a));
    });
  }
};

/// What jit traces: f on a tree of arguments.  *tree receives the structure of the result where
/// its type does not say it.
template <class F, class Call>
struct JitTracer {
  const F& f;
  const Call& call_args;
  std::shared_ptr<const void> tree{};
  void operator()(Args x, Results& y) {
    using R = typename Call::R;
    auto in = call_args.with(x);
    R result = call(f, in);
    Nulls nulls;
    take_leaves(result, y, nulls);
    if (!is_plain_tree<R> || !nulls.empty())
      tree = std::make_shared<const OutTree<R>>(OutTree<R>{std::move(result), nulls});
  }
};
template <class R>
R rebuild(const void* tree, Results& y) {
  std::span<Array> leaves(y.data(), y.size());
  if constexpr (is_plain_tree<R>) {
    if (!tree) {
      if constexpr (std::is_same_v<R, Array>)
        return std::move(y[0]);
      else {
        R out{};
        fill_leaves(out, leaves, {});
        return out;
      }
    }
  }
  auto* t = static_cast<const OutTree<R>*>(tree);
  R out(t->like);
  fill_leaves(out, leaves, t->nulls);
  return out;
}
}  // namespace internal

template <class F>
struct Compiled;

template <class F>
struct Jit {
  using Traced = F;
  F f;
  JitOptions options;
  Loc loc;
  std::shared_ptr<internal::JitCache> cache = std::make_shared<internal::JitCache>();

  template <class... A>
  auto operator()(A&&... a) const {
    internal::CallArgs<F, A&&...> in(options.donate, std::forward<A>(a)...);
    internal::JitTracer<F, decltype(in)> run{f, in};
    internal::Results y;
    internal::jit_flat(*cache, options.name.c_str(), internal::flat(run), in.arrays(), in.key(),
                       &run.tree, y, in.donate, {options.device, options.contract}, loc);
    return internal::rebuild<typename decltype(in)::R>(run.tree.get(), y);
  }
  /// Traces and compiles for arguments like these, without running: the first call is then as fast
  /// as any.  What comes back can be called like this, and shows what was compiled.
  template <class... A>
  Compiled<F> compile(A&&... a) const {
    internal::CallArgs<F, A&&...> in(false, std::forward<A>(a)...);
    internal::JitTracer<F, decltype(in)> run{f, in};
    return {*this, internal::jit_compile_flat(*cache, options.name.c_str(), internal::flat(run),
                                              in.arrays(), in.key(), &run.tree,
                                              {options.device, options.contract}, loc)};
  }
  /// One line for each compilation so far: for which types, and what differed from the nearest
  /// earlier ones.
  std::string explain() const { return cache->explain(); }
  /// The number of compiled programs.
  std::size_t cache_size() const { return cache->size(); }
};

/// What jit(f).compile(args...) gives: f, and what it was compiled to for those arguments.
///   auto step = jit(f).compile(x, y);   step(x, y);   std::cout << step.loops();
template <class F>
struct Compiled : Jit<F> {
  internal::CompiledProgram program;
  /// The loop program (docs/loops.md).
  std::string loops() const { return internal::loops_text(program); }
  /// The CUDA kernels, or "" if it was compiled for the CPU.
  std::string cuda() const { return internal::cuda_text(program); }
  /// LLVM IR as it is compiled, and the machine code; "" on a GPU, or where there is no LLVM.
  std::string llvm() const { return internal::llvm_text(program); }
  std::string assembly() const { return internal::assembly_text(program); }
  CompileTimes times() const { return internal::compile_times(program); }
  /// Runs it on memory: in[i] are the elements of the i-th array of the arguments, out[k] has room
  /// for those of the k-th array of the result, all row-major, and no output overlaps anything.  A
  /// few nanoseconds beside the work itself; nothing is checked or allocated; thread-safe.  CPU only.
  ///   step.call({x.data(), u.data()}, {y.data()});
  void call(const void* const* in, void* const* out) const { internal::call_raw(program, in, out); }
  void call(std::initializer_list<const void*> in, std::initializer_list<void*> out) const {
    internal::call_raw(program, in.begin(), out.begin());
  }
  MemoryUse memory() const { return internal::memory_use(program); }  ///< bytes
  CostEstimate cost() const { return internal::cost_estimate(program); }
};

/// f, compiled.  jit(f, {.name = "step"})(args...);  jit(f).compile(args...);  jit(f).explain()
template <class F>
auto jit(F f, JitOptions options = {}, Loc loc = Loc::current()) {
  return Jit<F>{std::move(f), std::move(options), loc};
}

/// A copy of x on a device; of a traced array, the array itself.  Trees: each of their arrays.
Array device_put(const Array& x, Device = default_device(), Loc = Loc::current());
template <class T>
requires(!std::is_convertible_v<const T&, const Array&>) T
    device_put(const T& tree, Device device = default_device(), Loc loc = Loc::current()) {
  return tree_map([&](const Array& x) { return device_put(x, device, loc); }, tree);
}

}  // namespace jaxpp
