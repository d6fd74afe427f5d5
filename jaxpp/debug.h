// debug.h -- calls from a program back into C++: printing and inspecting values that are traced, and using functions that
// jaxpp cannot trace.
//
//   auto f = jit([](Array x) {
//     debug::print("x = {}, its square {:.3f}", x, x * x);   // when the program runs, not when it is traced
//     return sin(x);
//   });
// Under vmap a callback runs once per lane; under grad once, on the values (not the tangents); never dropped by jit.
// debug_nans, which finds the operation that made a NaN, is in core/nan_check.h.
#pragma once
#include <string>
#include "jaxpp/core/nan_check.h"
#include "jaxpp/flat.h"

namespace jaxpp {

namespace internal {
void debug_print(const std::string& format, Args x, Loc loc);
void debug_check(const std::string& format, Args pred_and_x, Loc loc);
std::shared_ptr<const HostFn> make_host_fn(std::shared_ptr<void> self,
                                           void (*call)(void* self, Args, Results&));
template <class F>
std::shared_ptr<const HostFn> host_function(F f) {
  return make_host_fn(std::make_shared<F>(std::move(f)),
                      [](void* self, Args x, Results& y) { (*static_cast<F*>(self))(x, y); });
}
template <class... X>
constexpr void check_callback_operands() {
  static_assert((std::is_convertible_v<const X&, Array> && ...),
                "jaxpp: the operands of a callback must be Arrays or numbers.");
}
template <class F, std::size_t... I>
decltype(auto) call_with(F& fn, Args x, std::index_sequence<I...>) {
  return fn(x[I]...);
}
}  // namespace internal

namespace debug {

/// A text with one {} for each operand, and the line it stands on.  {2} picks an operand by number, {:.3f} {:8.2e} {:6g}
/// format its elements as printf does, {{ and }} are braces.
struct Format {
  std::string text;
  Loc loc;
  Format(const char* t, Loc l = Loc::current()) : text(t), loc(l) {}
  Format(std::string t, Loc l = Loc::current()) : text(std::move(t)), loc(l) {}
};

/// Prints a line to std::cout every time the program runs.
template <class... X>
void print(const Format& format, const X&... x) {
  internal::check_callback_operands<X...>();
  const Array v[] = {Array(x)..., Array()};
  internal::debug_print(format.text, {v, sizeof...(X)}, format.loc);
}

/// Throws Error with that text if an element of pred is false, every time the program runs.
///   debug::check(all(x > 0), "x must be positive, it is {}", x);
template <class... X>
void check(const Array& pred, const Format& format, const X&... x) {
  internal::check_callback_operands<X...>();
  const Array v[] = {pred, Array(x)...};
  internal::debug_check(format.text, {v, sizeof...(X) + 1}, format.loc);
}

/// Calls fn(x...) with concrete Arrays every time the program runs; what it returns is ignored.
template <class F, class... X>
void callback(F fn, const Operand& first, const X&... x) {
  internal::check_callback_operands<X...>();
  const Array v[] = {Array::share(first.node), Array(x)...};
  auto run = [fn = std::move(fn)](internal::Args in, internal::Results&) mutable {
    internal::call_with(fn, in, std::make_index_sequence<sizeof...(X) + 1>());
  };
  internal::debug_callback_flat(internal::host_function(std::move(run)), v, first.loc);
}
template <class F>
void callback(F fn, Loc loc = Loc::current()) {
  auto run = [fn = std::move(fn)](internal::Args, internal::Results&) mutable { fn(); };
  internal::debug_callback_flat(internal::host_function(std::move(run)), {}, loc);
}

}  // namespace debug

/// The type a host function returns, and the line it stands on: x.type(), or make_type(f64, {3, 2}).
struct ResultType {
  internal::Type type;
  Loc loc;
  ResultType(internal::Type t, Loc l = Loc::current()) : type(t), loc(l) {}
};
struct ResultTypes {
  std::vector<internal::Type> types;
  Loc loc;
  ResultTypes(std::vector<internal::Type> t, Loc l = Loc::current())
      : types(std::move(t)), loc(l) {}
};

/// fn(x...) as a function of arrays, computed by C++ that jaxpp cannot trace.  fn gets concrete Arrays, under vmap those of
/// one lane, and returns an Array of the given type (several types: a std::vector of Arrays).  It must be pure: it may run
/// any number of times, or never, and on any thread.  It has no derivative: give one with custom_jvp or custom_vjp.
///   Array y = pure_callback([](Array a) { return legacy_solver(a.span<double>()); }, x.type(), x);
template <class F, class... X>
Array pure_callback(F fn, const ResultType& out, const X&... x) {
  internal::check_callback_operands<X...>();
  const Array v[] = {Array(x)..., Array()};
  auto run = [fn = std::move(fn)](internal::Args in, internal::Results& y) mutable {
    y.push_back(Array(internal::call_with(fn, in, std::index_sequence_for<X...>())));
  };
  internal::Results y;
  internal::pure_callback_flat(internal::host_function(std::move(run)), {&out.type, 1},
                               {v, sizeof...(X)}, y, out.loc);
  return y[0];
}
template <class F, class... X>
std::vector<Array> pure_callback(F fn, const ResultTypes& out, const X&... x) {
  internal::check_callback_operands<X...>();
  const Array v[] = {Array(x)..., Array()};
  auto run = [fn = std::move(fn)](internal::Args in, internal::Results& y) mutable {
    for (Array a : internal::call_with(fn, in, std::index_sequence_for<X...>()))
      y.push_back(std::move(a));
  };
  internal::Results y;
  internal::pure_callback_flat(internal::host_function(std::move(run)),
                               {out.types.data(), out.types.size()}, {v, sizeof...(X)}, y, out.loc);
  return {y.begin(), y.end()};
}

}  // namespace jaxpp
