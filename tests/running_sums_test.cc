// running_sums_test.cc -- cumsum and the like along long axes: segments side by side give what one loop gives.
#include <jaxpp/jaxpp.h>
#include <catch2/catch.hpp>
#include "jaxpp/lax.h"

using namespace jaxpp;

TEST_CASE("running sums: long axes are cut into segments") {
  const auto check = [](auto f, const Array& x) {
    const auto compiled = jit(f).compile(x);
    const Array now = jit(f)(x), eager = f(x);
    CHECK(now.dtype() == eager.dtype());
    CHECK(bool(allclose(now, eager, 1e-5, 1e-5)));
    return compiled.cost().loops;
  };
  const std::int64_t n = 1 << 16;
  const Array x = sin(arange(n) * 0.7), ints = (arange(n) % 7).astype(i64);
  for (const bool reverse : {false, true}) {
    CHECK(check([=](Array v) { return lax::cumsum(v, 0, reverse); }, x) == 3);
    CHECK(check([=](Array v) { return lax::cumsum(v, 0, reverse); }, ints) == 3);
    CHECK(check([=](Array v) { return lax::cumprod(v, 0, reverse); }, 1 + x / 1000) == 3);
    CHECK(check([=](Array v) { return lax::cummax(v, 0, reverse); }, x) == 3);
    CHECK(check([=](Array v) { return lax::cummin(exp(v), 0, reverse); }, x) >= 3);
    CHECK(check([=](Array v) { return lax::cumlogsumexp(v, 0, reverse); }, x) == 1);
    const Array some = reshape(concatenate({x, x, -x}), {3, n});
    CHECK(check([=](Array v) { return lax::cumsum(v, 1, reverse) * 2; }, some) >= 1);
    CHECK(check([=](Array v) { return lax::cumsum(transpose(v), 0, reverse); }, some) >= 1);
  }
  CHECK(check([](Array v) { return lax::cumsum(v, 0); }, sin(arange(65537) * 0.7)) ==
        1);  // a prime
  CHECK(check([](Array v) { return grad([](Array w) { return sum(square(cumsum(w))); })(v); },
              x / 100) >= 3);
}
