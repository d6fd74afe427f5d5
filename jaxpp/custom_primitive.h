// custom_primitive.h -- primitives of your own, from C++ functions.
//
//   static const CustomPrimitive<> cube =
//       custom_primitive("cube")
//           .eval([](const Array& x) { return x * x * x; })            // concrete arrays in, concrete arrays out
//           .shape([](const Aval* x) { return x; })                    // the types of the results
//           .jvp([](const Array& x, const Array& dx) { return 3 * x * x * dx; });
//   grad([](Array x) { return cube(x); })(2.0);                        // 12
//   make_jaxpr(...) prints  b:f64[] = cube a;  parse, JSON, jit, vmap and check_jaxpr know it too.
//
// When to: for computations that jaxpp should not look into (a library call, hand-written loops), and for names that
// should survive in a jaxpr.  A function built from jaxpp's operations needs no primitive; to give it its own derivative,
// use custom_jvp or custom_vjp.
//
// The functions given here may not capture anything (they become plain function pointers: a primitive lives for ever), but
// they may name the primitive itself if its type is spelled out, not `auto`.  A static parameter comes first if there are
// parameters:
//
//   struct ScaleParams { double by = 1;  JAXPP_PARAMS(ScaleParams, by) };
//   static const CustomPrimitive<ScaleParams> scale =
//       custom_primitive<ScaleParams>("scale")
//           .eval([](const ScaleParams& p, const Array& x) { return p.by * x; })
//           .elementwise()
//           .jvp([](const ScaleParams& p, const Array&, const Array& dx) { return scale(p, dx); })
//           .transpose([](const ScaleParams& p, const Array& ct) { return scale(p, ct); });
//   scale(ScaleParams{2.0}, x);
//
// Below all this is struct Primitive (core/primitive.h), an aggregate of function pointers: every built-in primitive is
// such a value (jaxpp/ops/), and register_primitive makes any other known.  A rule written for it may be given here too:
// .batch and .transpose take functions of BatchRule& and TransposeRule&.
#pragma once
#include <array>
#include <tuple>
#include "jaxpp/core/trace.h"

namespace jaxpp {

namespace internal {

struct NoParams {};

/// A new primitive of that name, known to the registry; lives for ever.  Throws if the name is taken.
Primitive* new_primitive(const char* name, const ParamsOps* params, Loc loc);
/// Results must be what the shape function says.
void check_custom_results(const Primitive&, Args x, Params, const Array* y);
Array zeros_tangent(Type);
void custom_bind(const Primitive&, Args x, Params, Array* y, Loc loc);
void elementwise_shape(Types x, Params, Type* y);
void elementwise_batch(BatchRule&);
/// Binds the operation lane by lane and stacks the results: right for every primitive, fast for none.
void lanes_batch(BatchRule&);
[[noreturn]] void wrong_arity(const Primitive&, const char* rule, std::size_t expected,
                              std::size_t given);
[[noreturn]] void wrong_results(const Primitive&, const char* rule, std::size_t expected,
                                std::size_t given);

// Parameters of a function, by its call operator.
template <class F>
struct Signature : Signature<decltype(&F::operator())> {};
template <class F>
concept PlainFunction = std::is_empty_v<F> && std::is_default_constructible_v<F> && requires {
  &F::operator();
};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) const> {
  static constexpr std::size_t arity = sizeof...(A);
};

// A stateless F, as a function of (params, operands): F{}(p, x0, x1, ...), or F{}(p, span) where F takes one span.
template <class P, class F, class T>
struct Callee {
  static constexpr bool kParams = !std::is_same_v<P, NoParams>;
  static constexpr std::size_t arity() { return Signature<F>::arity - (kParams ? 1 : 0); }
  static constexpr bool takes_span() {
    if constexpr (kParams)
      return std::is_invocable_v<F, const P&, std::span<const T>>;
    else
      return std::is_invocable_v<F, std::span<const T>>;
  }
  template <std::size_t... I>
  static decltype(auto) spread(Params p, std::span<const T> x, std::index_sequence<I...>) {
    if constexpr (kParams)
      return F{}(p.as<P>(), x[I]...);
    else
      return F{}(x[I]...);
  }
  static decltype(auto) call(const Primitive& prim, const char* rule, Params p,
                             std::span<const T> x) {
    if constexpr (takes_span()) {
      if constexpr (kParams)
        return F{}(p.as<P>(), x);
      else
        return F{}(x);
    } else {
      if (x.size() != arity()) wrong_arity(prim, rule, arity(), x.size());
      return spread(p, x, std::make_index_sequence<arity()>());
    }
  }
};

// What a function returned: one result, or a vector, array, pair or tuple of them.
template <class T, class R>
void store(const Primitive& prim, const char* rule, R&& r, T* y, std::size_t n) {
  if constexpr (std::is_convertible_v<R, T>) {
    if (n != 1) wrong_results(prim, rule, n, 1);
    *y = T(std::forward<R>(r));
  } else if constexpr (requires { std::tuple_size<std::remove_cvref_t<R>>::value; }) {
    constexpr std::size_t m = std::tuple_size_v<std::remove_cvref_t<R>>;
    if (n != m) wrong_results(prim, rule, n, m);
    std::apply([&](auto&&... v) { ((*y++ = T(v)), ...); }, r);
  } else {
    if (n != r.size()) wrong_results(prim, rule, n, r.size());
    for (auto&& v : r) *y++ = T(v);
  }
}

// The rules of a custom primitive, one function for each function type given.
template <class P, class F>
struct CustomRules {
  // A lambda's type is its own, so it belongs to the one primitive it was given to.
  static inline std::atomic<const Primitive*> owner{nullptr};

  static void eval(Args x, Params p, Array* y) {
    const Primitive& prim = *owner;
    UserScope eager(nullptr);
    store(prim, "eval", Callee<P, F, Array>::call(prim, "eval", p, x), y, prim.outputs(p));
    check_custom_results(prim, x, p, y);
  }
  static void shape(Types x, Params p, Type* y) {
    const Primitive& prim = *owner;
    store(prim, "shape", Callee<P, F, Type>::call(prim, "shape", p, x), y, prim.outputs(p));
  }
  static void jvp(JvpRule& r) {
    using C = Callee<P, F, Array>;
    const std::size_t n = r.x.size(), m = r.prim.outputs(r.params);
    r.prim.bind(r.x, r.params, r.y, Loc::current());
    Results operands;
    for (const Array& x : r.x) operands.push_back(x);
    if constexpr (!C::takes_span())
      if (C::arity() == 2 * n + m)
        for (std::size_t i = 0; i < m; ++i) operands.push_back(r.y[i]);
    for (std::size_t i = 0; i < n; ++i)
      operands.push_back(r.dx[i].defined() ? r.dx[i] : zeros_tangent(r.x[i].type()));
    store(r.prim, "jvp", C::call(r.prim, "jvp", r.params, args(operands)), r.dy, m);
    for (std::size_t i = 0; i < m; ++i)
      if (!is_inexact(r.y[i].dtype())) r.dy[i] = Array();
  }
  static void transpose(TransposeRule& r) {  // one operand, one result
    if (r.x.size() != 1 || r.ct.size() != 1) wrong_arity(r.prim, "transpose", 1, r.x.size());
    r.add(0, Callee<P, F, Array>::call(r.prim, "transpose", r.params, r.ct));
  }
};
[[noreturn]] void function_reused(const Primitive&, const char* rule, Loc loc);

}  // namespace internal

/// A primitive under a handle that can be called like a function.  Made by custom_primitive; give it static storage.
template <class P = internal::NoParams>
class CustomPrimitive {
  static constexpr bool kParams = !std::is_same_v<P, internal::NoParams>;

 public:
  CustomPrimitive(const char* name, Loc loc) : loc_(loc) {
    if constexpr (kParams)
      prim_ = internal::new_primitive(name, &params_ops<P>, loc);
    else
      prim_ = internal::new_primitive(name, nullptr, loc);
  }

  /// Computes the results from concrete arrays: eval(x, y, ...), or eval(Args x) for any number of operands.  Returns an
  /// Array, or a pair, tuple, array or vector of them.  Required.
  template <class F>
  CustomPrimitive eval(F) && {
    own<F>("eval");
    static constexpr internal::Kernel k{
        .run = internal::CustomRules<P, F>::eval, .allocates = true, .in_place = 0};
    prim_->kernel.store(&k, std::memory_order_release);
    return *this;
  }
  /// The result types from the operand types: shape(Type x, ...) or shape(Types x).  Throw Error for operands that do not
  /// fit.  Required (elementwise() gives one).
  template <class F>
  CustomPrimitive shape(F) && {
    own<F>("shape");
    prim_->shape = internal::CustomRules<P, F>::shape;
    return *this;
  }
  /// The tangents of the results: jvp(x..., dx...) or, where the results help, jvp(x..., y..., dx...); or jvp(Args) of
  /// them all.  Made of jaxpp's operations, linear in dx; reverse mode follows by transposition.
  template <class F>
  CustomPrimitive jvp(F) && {
    own<F>("jvp");
    prim_->jvp = internal::CustomRules<P, F>::jvp;
    return *this;
  }
  /// For a linear primitive of one operand: transpose(ct) gives the operand's cotangent.  In general a function of
  /// TransposeRule&.
  template <class F>
  CustomPrimitive transpose(F f) && {
    if constexpr (std::is_convertible_v<F, void (*)(TransposeRule&)>)
      prim_->transpose = f;
    else {
      own<F>("transpose");
      prim_->transpose = internal::CustomRules<P, F>::transpose;
    }
    return *this;
  }
  /// A batching rule: a function of BatchRule&.  Without one, vmap runs the primitive once per lane.
  template <class F>
  CustomPrimitive batch(F f) && {
    prim_->batch = f;
    return *this;
  }
  /// Element by element: operands and results are all of one type, and a batch is just a larger array.
  CustomPrimitive elementwise() && {
    prim_->shape = internal::elementwise_shape;
    prim_->batch = internal::elementwise_batch;
    return *this;
  }
  /// The number of results, if it is not one.
  template <std::size_t N>
  CustomPrimitive outputs() && {
    prim_->num_outputs = [](internal::Params) { return N; };
    return *this;
  }
  /// Results never carry tangents.
  CustomPrimitive nondifferentiable() && {
    prim_->differentiable = false;
    return *this;
  }
  /// Every call counts: never dropped or merged by the passes.
  CustomPrimitive effects() && {
    prim_->effects = true;
    return *this;
  }

  /// The single result.
  template <class... X>
  requires(!kParams) Array operator()(const Operand& first, const X&... rest) const {
    return one(internal::Params(), first, Array(rest)...);
  }
  template <class... X>
  requires kParams Array operator()(const P& params, const Operand& first, const X&... rest) const {
    return one(internal::Params(params), first, Array(rest)...);
  }
  /// All results, from any number of operands.
  std::vector<Array> all(internal::Args x, Loc loc = Loc::current()) const requires(!kParams) {
    return bind(x, internal::Params(), loc);
  }
  std::vector<Array> all(const P& params, internal::Args x,
                         Loc loc = Loc::current()) const requires kParams {
    return bind(x, internal::Params(params), loc);
  }
  const Primitive& primitive() const { return *prim_; }

 private:
  template <class F>
  void own(const char* rule) {
    static_assert(
        internal::PlainFunction<F>,
        "jaxpp: the functions of a primitive are lambdas without captures, their parameters "
        "spelled out (const Array&, Type; not auto).");
    const Primitive* expected = nullptr;
    if (!internal::CustomRules<P, F>::owner.compare_exchange_strong(expected, prim_) &&
        expected != prim_)
      internal::function_reused(*expected, rule, loc_);
  }
  template <std::same_as<Array>... A>
  Array one(internal::Params p, const Operand& first, const A&... rest) const {
    internal::Borrowed x;
    x.push(first.node);
    (x.push(rest), ...);
    Array y;
    if (prim_->outputs(p) != 1)
      internal::fail<TypeError>(std::string(prim_->name) + ": has several results.", first.loc, "",
                                "Call .all({x, ...}), which returns a vector.");
    internal::custom_bind(*prim_, x, p, &y, first.loc);
    return y;
  }
  std::vector<Array> bind(internal::Args x, internal::Params p, Loc loc) const {
    std::vector<Array> y(prim_->outputs(p));
    internal::custom_bind(*prim_, x, p, y.data(), loc);
    return y;
  }
  Primitive* prim_;
  Loc loc_;
};

/// Starts the definition of a primitive.
template <class P = internal::NoParams>
CustomPrimitive<P> custom_primitive(const char* name, Loc loc = Loc::current()) {
  return CustomPrimitive<P>(name, loc);
}

}  // namespace jaxpp
