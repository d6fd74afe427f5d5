// control.h -- control flow that is traced: loops and branches whose conditions are Arrays.
//
// Under grad and vmap alone plain C++ `if` and `for` work wherever the values are known; these
// functions also work where they are not (under jit, or batched), and keep a loop of any length
// one equation.
//
//   auto [end, path] = scan([](State s, Array force) { ...; return std::pair(s, s.position); },
//                           State{0.0, 1.0}, forces);
//   Array r = while_loop([](Array x) { return x > 1; }, [](Array x) { return x / 2; }, 100.0);
//   Array y = cond(x > 0, relu, elu, x);
//
// A carry is any tree; numbers in it become Arrays (with the dtype that the body returns for
// them).  What goes in must come out: the same structure, shapes and dtypes.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

/// Which carries the reverse mode of a scan of n steps keeps; it recomputes the rest.
/// every(k), or just the number k: every k-th, and those of one segment: memory n/k + k, each step runs twice.
/// sqrt: every(k) with k near the root of n: memory 2 sqrt(n), each step runs twice.
/// log: segments of segments, eight at a time: memory 8 log8(n), each step runs log8(n) + 1 times.
class Checkpointing {
 public:
  static const Checkpointing none, sqrt, log;
  static constexpr Checkpointing every(std::int64_t k) { return Checkpointing(k); }
  constexpr Checkpointing(std::int64_t k) : k_(k) {}
  constexpr std::int64_t interval() const { return k_; }  ///< k > 0; 0: none, -1: sqrt, -2: log
  bool operator==(const Checkpointing&) const = default;

 private:
  std::int64_t k_;
};
inline constexpr Checkpointing Checkpointing::none{0}, Checkpointing::sqrt{-1},
    Checkpointing::log{-2};

namespace internal {

template <class P, class A>
struct CarryFor {
  using type = std::conditional_t<std::is_convertible_v<A, P>, P, Promote<A>>;
};
template <class A>
struct CarryFor<void, A> {
  using type = Promote<A>;
};
/// What f's parameter I makes of a loop's initial value.
template <class F, std::size_t I, class A>
using Carry = typename CarryFor<Param<F, I>, A>::type;
template <class C, class A>
C as_carry(A&& init) {
  if constexpr (std::is_convertible_v<A, C>)
    return C(std::forward<A>(init));
  else
    return internal::promote(std::forward<A>(init));
}
/// Which Arrays of a carry were given as numbers.
using WeakMask = SmallVec<bool, 8>;
template <class T>
void mark_numbers(const T& init, WeakMask& weak) {
  if constexpr (Scalar<T>)
    weak.push_back(true);
  else if constexpr (is_tuple<T> || is_pair<T>)
    std::apply([&](auto&... e) { (mark_numbers(e, weak), ...); }, init);
  else if constexpr (ArrayLike<T>)
    weak.push_back(false);
  else
    visit_arrays(init, [&](const Array&) { weak.push_back(false); });
}
/// Numbers in a carry take the dtypes that the body returns for them.
void settle_weak_carry(FlatFn body, Results& carry, Args xs, const WeakMask& weak, const char* who,
                       Loc loc);
[[noreturn]] void structure_error(const char* who, const char* what, const char* id, Loc loc);

/// A step of a loop: (carry, rest of the arguments) -> a new carry and more, or only a carry.
template <class C>
void check_carry(const C& before, const C& after, const char* who, Loc loc) {
  if (!same_structure<false>(before, after))
    structure_error(who,
                    "the body returns a carry of another structure: the size of a container, a "
                    "null Array or a static "
                    "value changed",
                    "E31", loc);
}
void scan_checkpointed(FlatFn body, Args init, Args xs, std::int64_t length, bool reverse,
                       std::int64_t unroll, Checkpointing checkpoint, Results& out, Loc loc);
void associative_scan_flat(FlatFn op, Args xs, bool reverse, std::int64_t axis, Results& out,
                           Loc loc);

template <class F, class C, class X>
decltype(auto) scan_body(const F& f, C& carry, X& x) {
  if constexpr (std::is_same_v<X, NoneType> && std::is_invocable_v<const F&, C>)
    return f(std::move(carry));
  else
    return f(std::move(carry), std::move(x));
}
}  // namespace internal

struct ScanOptions {
  std::int64_t length = -1;                        ///< needed only without xs
  bool reverse = false;                            ///< from the last element to the first
  std::int64_t unroll = 1;                         ///< steps per iteration of the compiled loop
  Checkpointing checkpoint = Checkpointing::none;  ///< what reverse mode keeps: k, sqrt, log
};
/// Loops over the leading axis of xs:   carry = init;  for (x in xs) (carry, y) = f(carry, x);
/// gives pair(carry, all y stacked).  Differentiable in both modes.    scan(f, init, None,
/// {.length = n}) has no xs.
template <class F, class C, class X>
auto scan(const F& f, C&& init, const X& xs, ScanOptions options = {}, Loc loc = Loc::current()) {
  using Carry = internal::Carry<F, 0, C>;
  using Xs = typename internal::ArgFor<internal::Param<F, 1>, const X&>::type;
  using R = std::remove_cvref_t<decltype(internal::scan_body(f, std::declval<Carry&>(),
                                                             std::declval<Xs&>()))>;
  static_assert(internal::is_pair<R>, "jaxpp: the body of scan must return std::pair(carry, y).");
  using Y = internal::Promote<typename R::second_type>;
  static_assert(std::is_convertible_v<typename R::first_type, Carry>,
                "jaxpp: the body of scan must return a carry of the type of the initial one.");
  internal::WeakMask weak;
  internal::mark_numbers<std::remove_cvref_t<C>>(init, weak);
  Carry c0 = internal::as_carry<Carry>(std::forward<C>(init));
  Xs all = static_cast<Xs>(xs);
  internal::Results c = internal::leaves(c0), x = internal::leaves(all), out;
  std::optional<Y> y;
  auto body = [&](internal::Args in, internal::Results& result) {
    Carry carry = internal::unflatten(c0, in.first(c.size()));
    Xs row = internal::unflatten(all, in.subspan(c.size()));
    R r = internal::scan_body(f, carry, row);
    Carry next = std::move(r.first);
    internal::check_carry(c0, next, "scan", loc);
    y.emplace(internal::promote(std::move(r.second)));
    internal::flatten(next, result);
    internal::flatten(*y, result);
  };
  auto step = internal::flat(body);
  internal::settle_weak_carry(step, c, args(x), weak, "scan", loc);
  if (options.checkpoint != Checkpointing::none)
    internal::scan_checkpointed(step, args(c), args(x), options.length, options.reverse,
                                options.unroll, options.checkpoint, out, loc);
  else
    internal::scan_flat(step, args(c), args(x), options.length, options.reverse, options.unroll,
                        out, loc);
  return std::pair(internal::unflatten(std::move(c0), args(out).first(c.size())),
                   internal::unflatten(std::move(*y), args(out).subspan(c.size())));
}
/// f on every element of the leading axis, one after the other (vmap does them at once):   map(f,
/// xs).
template <class F, class X>
auto map(const F& f, const X& xs, Loc loc = Loc::current()) {
  auto body = [&](std::tuple<> none, const X& x) { return std::pair(none, f(x)); };
  return scan(body, std::tuple<>(), xs, {}, loc).second;
}

struct WhileOptions {
  std::int64_t max_steps = 0;  ///< n > 0: at most n steps, and reverse mode works
};
/// while (condition(carry)) carry = body(carry);   Without max_steps, forward mode only.
/// With max_steps = n the loop ends after n steps, whether or not the condition still holds (test it on the result, if that
/// matters).  Reverse mode keeps the carry of each step, in memory for n, and runs back as many steps as were taken:
/// grad([](Array a) { return while_loop([a](Array x) { return abs(x * x - a) > 1e-12; },
///                                      [a](Array x) { return (x + a / x) / 2; }, a, {.max_steps = 50}); })(2.0)
template <class P, class F, class C>
auto while_loop(const P& condition, const F& body, C&& init, WhileOptions options = {},
                Loc loc = Loc::current()) {
  using Carry = internal::Carry<F, 0, C>;
  static_assert(std::is_invocable_v<const P&, Carry> && std::is_invocable_v<const F&, Carry>,
                "jaxpp: both functions of while_loop take the carry.");
  static_assert(
      std::is_convertible_v<std::invoke_result_t<const F&, Carry>, Carry>,
      "jaxpp: the body of while_loop must return a carry of the type of the initial one.");
  internal::WeakMask weak;
  internal::mark_numbers<std::remove_cvref_t<C>>(init, weak);
  Carry c0 = internal::as_carry<Carry>(std::forward<C>(init));
  internal::Results c = internal::leaves(c0), out;
  auto test = [&](internal::Args in, internal::Results& result) {
    result.push_back(Array(condition(internal::unflatten(c0, in))));
  };
  auto step = [&](internal::Args in, internal::Results& result) {
    Carry next = body(internal::unflatten(c0, in));
    internal::check_carry(c0, next, "while_loop", loc);
    internal::flatten(next, result);
  };
  internal::settle_weak_carry(internal::flat(step), c, {}, weak, "while_loop", loc);
  internal::while_flat(internal::flat(test), internal::flat(step), args(c), out, loc,
                       options.max_steps);
  return internal::unflatten(std::move(c0), args(out));
}

/// for (i = lo; i < hi; ++i) carry = body(i, carry);    i is an Array.  With C++ numbers as bounds
/// this is a scan and has reverse mode; with Arrays it is a while_loop.
template <class Lo, class Hi, class F, class C>
auto fori_loop(const Lo& lo, const Hi& hi, const F& body, C&& init, Loc loc = Loc::current()) {
  using Carry = internal::Carry<F, 1, C>;
  static_assert(std::is_convertible_v<std::invoke_result_t<const F&, Array, Carry>, Carry>,
                "jaxpp: the body of fori_loop must return a carry of the type of the initial one.");
  using State = std::pair<Array, Carry>;
  if constexpr (std::is_integral_v<Lo> && std::is_integral_v<Hi>) {
    using I = std::common_type_t<Lo, Hi>;
    auto step = [&](State s) {
      Array i = s.first + I(1);
      return std::pair(State(std::move(i), body(s.first, std::move(s.second))), None);
    };
    auto begin = std::pair(Array(I(lo)), std::forward<C>(init));
    std::int64_t n = hi > lo ? std::int64_t(hi) - std::int64_t(lo) : 0;
    return scan(step, std::move(begin), None, {.length = n}, loc).first.second;
  } else {
    Array stop = hi;
    auto more = [&](const State& s) { return s.first < stop; };
    auto step = [&](State s) {
      Array i = s.first + 1;
      return State(std::move(i), body(s.first, std::move(s.second)));
    };
    auto begin = std::pair(Array(lo), std::forward<C>(init));
    return while_loop(more, step, std::move(begin), {}, loc).second;
  }
}

namespace internal {
/// The condition of a branch (or the index of one), and the line it stands on.
struct Selector {
  Array value;
  Loc loc;
  Selector(const Array& a, Loc l = Loc::current()) : value(a), loc(l) {}
  template <internal::Scalar T>
  Selector(T v, Loc l = Loc::current()) : value(v), loc(l) {}
};
template <class F, class In>
struct Branch {
  using R = Promote<Out<F, In>>;
  const F& f;
  const In& in;
  std::optional<R> result{};
  void operator()(Args x, Results& y) {
    In traced = unflatten(in, x);
    result.emplace(internal::promote(call(f, traced)));
    flatten(*result, y);
  }
};
template <class In, class F0, class... F>
auto branches(const Selector& which, const char* who, const In& in, const F0& f0, const F&... f) {
  using R = typename Branch<F0, In>::R;
  constexpr bool same = (std::is_same_v<R, typename Branch<F, In>::R> && ...);
  static_assert(same, "jaxpp: all branches must return the same type.");
  if constexpr (same) {
    std::tuple<Branch<F0, In>, Branch<F, In>...> all{{f0, in}, {f, in}...};
    Results x = leaves(in), y;
    return std::apply(
        [&](auto& b0, auto&... b) {
          FlatFn fns[] = {flat(b0), flat(b)...};
          cond_flat(which.value, fns, args(x), who, y, which.loc);
          if ((... || !same_structure<false>(*b0.result, *b.result)))
            structure_error(who, "the branches return different structures or static values", "E34",
                            which.loc);
          return unflatten(std::move(*b0.result), args(y));
        },
        all);
  }
}
}  // namespace internal
/// on_true(operands...) or on_false(operands...): both are traced, one runs.    cond(x > 0, relu,
/// elu, x)
template <class T, class E, class... A>
auto cond(const internal::Selector& pred, const T& on_true, const E& on_false, A&&... operands) {
  auto in = internal::as_args<T>(std::forward<A>(operands)...);
  return internal::branches(pred, "cond", in, on_false, on_true);
}
/// One of several functions, by index (clamped to their number):   switch_(i, std::tuple(f0, f1,
/// f2), x)
template <class... F, class... A>
auto switch_(const internal::Selector& index, const std::tuple<F...>& functions, A&&... operands) {
  static_assert(sizeof...(F) > 0, "jaxpp: switch_ needs at least one function.");
  return std::apply(
      [&](auto& f0, auto&... f) {
        auto in =
            internal::as_args<std::remove_cvref_t<decltype(f0)>>(std::forward<A>(operands)...);
        return internal::branches(index, "switch_", in, f0, f...);
      },
      functions);
}

struct AssociativeScanOptions {
  bool reverse = false;
  int axis = 0;
};
/// All prefixes combined by an associative function, in logarithmic depth:   xs -> x0, x0*x1,
/// x0*x1*x2, ... op takes and returns whole slices (batches of elements) of the tree xs.
template <class F, class X>
X associative_scan(const F& op, const X& xs, AssociativeScanOptions options = {},
                   Loc loc = Loc::current()) {
  static_assert(
      std::is_convertible_v<std::invoke_result_t<const F&, X, X>, X>,
      "jaxpp: the function given to associative_scan must take two trees like xs and return one.");
  internal::Results x = internal::leaves(xs), out;
  auto combine = [&](internal::Args in, internal::Results& y) {
    X r = op(internal::unflatten(xs, in.first(x.size())),
             internal::unflatten(xs, in.subspan(x.size())));
    internal::flatten(r, y);
  };
  internal::associative_scan_flat(internal::flat(combine), args(x), options.reverse, options.axis,
                                  out, loc);
  return internal::unflatten(xs, args(out));
}

}  // namespace jaxpp
