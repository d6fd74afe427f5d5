// io_callback.h -- functions of the host with effects: reading a sensor, writing a log, keeping a state.
//
//   auto f = jit([&](Array x) {
//     Array t = io_callback([&](Array) { return Array(clock.now()); }, make_type(f64, {}), x);    // at every run
//     return x * t;
//   });
// Where pure_callback may run any number of times or never, this one runs exactly once each time the program reaches it, also
// if its results are not used, and after whatever has effects before it.
#pragma once
#include <array>
#include "jaxpp/debug.h"

namespace jaxpp {

struct IoCallbackOptions {
  /// Calls happen in the order of the program.  Without it vmap may call lane by lane; with it, it refuses.
  bool ordered = false;
};

namespace internal {
void io_callback_flat(std::shared_ptr<const HostFn>, Types out, Args x, bool ordered, Results& y,
                      Loc);
template <class F, class Types_, class... X>
Results io_callback_on(F& fn, const Types_& out, bool ordered, Loc loc, const X&... x) {
  check_callback_operands<X...>();
  const Array v[] = {Array(x)..., Array()};
  Results y;
  io_callback_flat(host_function(std::move(fn)), {out.data(), out.size()}, {v, sizeof...(X)},
                   ordered, y, loc);
  return y;
}
}  // namespace internal

/// fn(x...) with concrete Arrays, once each time the program runs; it returns an Array of the given type (several types: a
/// std::vector of Arrays; none: nothing).  It has no derivative: jvp and grad throw if an operand is differentiated.
template <class F, class... X>
Array io_callback(F fn, const ResultType& out, const IoCallbackOptions& options, const X&... x) {
  auto run = [fn = std::move(fn)](internal::Args in, internal::Results& y) mutable {
    y.push_back(Array(internal::call_with(fn, in, std::index_sequence_for<X...>())));
  };
  return internal::io_callback_on(run, std::array{out.type}, options.ordered, out.loc, x...)[0];
}
template <class F, class... X>
std::vector<Array> io_callback(F fn, const ResultTypes& out, const IoCallbackOptions& options,
                               const X&... x) {
  auto run = [fn = std::move(fn)](internal::Args in, internal::Results& y) mutable {
    if constexpr (std::is_void_v<decltype(internal::call_with(fn, in,
                                                              std::index_sequence_for<X...>()))>)
      internal::call_with(fn, in, std::index_sequence_for<X...>());
    else
      for (Array a : internal::call_with(fn, in, std::index_sequence_for<X...>()))
        y.push_back(std::move(a));
  };
  const auto y = internal::io_callback_on(run, out.types, options.ordered, out.loc, x...);
  return {y.begin(), y.end()};
}
template <class F, class... X>
Array io_callback(F fn, const ResultType& out, const X&... x) {
  return io_callback(std::move(fn), out, IoCallbackOptions{}, x...);
}
template <class F, class... X>
std::vector<Array> io_callback(F fn, const ResultTypes& out, const X&... x) {
  return io_callback(std::move(fn), out, IoCallbackOptions{}, x...);
}

}  // namespace jaxpp
