// safe_gradients.h -- gradients that are not poisoned by what was not selected.
//
//   auto f = [](Array x) { return sum(where(x > 0, sqrt(x), 0.)); };
//   grad(f)({0., 4.})                    // {nan, 0.25}: the derivative of sqrt at 0 is inf, and 0 * inf is NaN
//   grad(safe_gradients(f))({0., 4.})    // {0, 0.25}
//
// A derivative is a linear map, and a linear map takes zero to zero.  In IEEE arithmetic it does not, where a factor is
// infinite or NaN.  With safe gradients, derivatives are recorded with products and quotients that do: what does not
// depend on a value (its cotangent is exactly 0) gives nothing to it, whatever the slope there.  Everything else is
// unchanged.  What they do not do: a slope that is infinite or NaN where the value is used still shows, and so
// does one inside a matrix product or a convolution, which mix elements.  See docs/adr/0021-zero-times-a-slope.md.
//
// They act where an operation is differentiated, so the scope, or the function, goes around the differentiated operations:
// grad(safe_gradients(f)), grad(safe_gradients(jit(f))), jit(grad(safe_gradients(f))), or a scope around the call of grad.
#pragma once
#include <type_traits>
#include <utility>

namespace jaxpp {

/// Restores the previous setting at the end of its scope.
class [[nodiscard]] SafeGradientsScope {
 public:
  explicit SafeGradientsScope(bool on);
  SafeGradientsScope(const SafeGradientsScope&) = delete;
  ~SafeGradientsScope();

 private:
  bool saved_;
};
/// Makes derivatives that are taken in this thread safe:   auto scope = safe_gradients();
SafeGradientsScope safe_gradients();

template <class F>
struct SafeGradients {
  using Traced = F;
  F f;
  template <class... A>
  decltype(auto) operator()(A&&... a) const {
    const SafeGradientsScope scope(true);
    return f(std::forward<A>(a)...);
  }
};
/// f with the same values, and derivatives in which zero times anything is zero.
template <class F>
SafeGradients<F> safe_gradients(F f) {
  return {std::move(f)};
}

namespace internal {
bool gradients_are_safe();
}
}  // namespace jaxpp
