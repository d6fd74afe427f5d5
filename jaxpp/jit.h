// jit.h -- compilation: f is traced once for each combination of argument types and static values, then run as a
// compiled program.
//
//   auto step = jit([](Params p, Array x, int steps) { ... });    // Arrays are traced; `steps` is part of the cache key
//   p = step(std::move(p), x, 3);                                 // an argument moved in gives up its buffers: donation
//   std::cout << step.explain();                                  // one line per compilation, and why
//
// What f captures is read when f is traced.  Copies of a jitted function share its cache; it may be called from many
// threads at once.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

struct JitOptions {
  const char* name = "f";  ///< in jaxprs and messages
  bool donate = true;      ///< may reuse the buffers of arguments that are moved in
};

namespace internal {
/// What a jitted function returned, less the values of its Arrays: enough to rebuild it from a flat result.
template <class R>
struct OutTree {
  R like;  // all of its Arrays are null
  Nulls nulls;
};
template <class In>
inline constexpr char args_type_id = 0;  // its address stands for the type
/// The static part of the arguments.  `in` must outlive the key; its Arrays have been taken out.
template <class In>
StaticKey static_key(const In& in) {
  StaticKey key;
  key.type = &args_type_id<In>;
  if constexpr (!is_plain_tree<In>) {
    key.value = &in;
    key.equal = [](const void* a, const void* b) {
      return same_structure<true>(*static_cast<const In*>(a), *static_cast<const In*>(b));
    };
    key.clone = [](const void* a) -> std::shared_ptr<const void> {
      return std::make_shared<const In>(*static_cast<const In*>(a));
    };
  }
  return key;
}
}  // namespace internal

template <class F>
struct Jit {
  using Traced = F;
  F f;
  JitOptions options;
  Loc loc;
  std::shared_ptr<internal::JitCache> cache = std::make_shared<internal::JitCache>();

  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    Results x, y;
    take(in, x);
    auto run = tracer(in);
    std::shared_ptr<const void> tree;
    run.tree = &tree;
    internal::jit_flat(*cache, options.name, internal::flat(run), {x.data(), x.size()},
                       internal::static_key(in), &tree, y, options.donate, loc);
    return rebuild<internal::Out<F, decltype(in)>>(tree.get(), y);
  }
  /// Traces and compiles for arguments like these without running, so that the first call is fast.
  template <class... A>
  Jit compile(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    Results x;
    take(in, x);
    auto run = tracer(in);
    std::shared_ptr<const void> tree;
    run.tree = &tree;
    internal::jit_compile_flat(*cache, options.name, internal::flat(run), args(x),
                               internal::static_key(in), &tree, loc);
    return *this;
  }
  /// One line for each compilation so far: for which types, and what differed from the nearest earlier ones.
  std::string explain() const { return cache->explain(); }
  /// The number of compiled programs.
  std::size_t cache_size() const { return cache->size(); }

 private:
  // Moving the Arrays out keeps those of moved-in arguments solely owned.  Null ones are passed too: they are part of
  // the key.
  template <class In>
  static void take(In& in, Results& x) {
    internal::visit_arrays(in, [&](Array& a) { x.push_back(std::move(a)); });
  }
  template <class In>
  struct Tracer {
    const F& f;
    const In& in;
    std::shared_ptr<const void>* tree = nullptr;
    void operator()(Args x, Results& y) const {
      In traced(in);
      std::size_t k = 0;
      internal::visit_arrays(traced, [&](Array& a) { a = x[k++]; });
      using R = internal::Out<F, In>;
      R result = internal::call(f, traced);
      internal::Nulls nulls;
      internal::take_leaves(result, y, nulls);
      if (!is_plain_tree<R> || !nulls.empty())
        *tree = std::make_shared<const internal::OutTree<R>>(
            internal::OutTree<R>{std::move(result), nulls});
    }
  };
  template <class In>
  Tracer<In> tracer(const In& in) const {
    return {f, in};
  }
  template <class R>
  static R rebuild(const void* tree, Results& y) {
    std::span<Array> leaves(y.data(), y.size());
    if constexpr (is_plain_tree<R>) {
      if (!tree) {
        if constexpr (std::is_same_v<R, Array>) return std::move(y[0]);
        R out{};
        internal::fill_leaves(out, leaves, {});
        return out;
      }
    }
    auto* t = static_cast<const internal::OutTree<R>*>(tree);
    R out(t->like);
    internal::fill_leaves(out, leaves, t->nulls);
    return out;
  }
};

/// f, compiled.  jit(f, {.name = "step"})(args...);  jit(f).compile(args...);  jit(f).explain()
template <class F>
auto jit(F f, JitOptions options = {}, Loc loc = Loc::current()) {
  return Jit<F>{std::move(f), options, loc};
}

}  // namespace jaxpp
