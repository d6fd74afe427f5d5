// indexing_test.cc -- x(...) and x.at(...) against numpy's rules, and the indexing primitives under every transform.
#include <jaxpp/jaxpp.h>
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

using namespace jaxpp;
using namespace jaxpp::internal;

namespace {
Array x234() { return arange(24., f64).reshape({2, 3, 4}); }
using D = std::vector<double>;
D values(const Array& a) { return a.to_vector<double>(); }
void same(const Array& got, const Array& want) {
  INFO(to_string(got) << "\n and \n" << to_string(want));
  CHECK(got.shape() == want.shape());
  const D a = values(got), b = values(want);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i)  // jit may group a sum otherwise
    CHECK((a[i] == b[i] || std::abs(a[i] - b[i]) <= 1e-14 * std::abs(b[i])));
}
std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}
bool contains(const std::string& s, const char* part) {
  INFO(s);
  return s.find(part) != s.npos;
}
}  // namespace

TEST_CASE("index: integers, slices, new axes, Ellipsis") {
  const Array x = {10., 11., 12., 13., 14.};
  CHECK(double(x(0)) == 10);
  CHECK(double(x(-1)) == 14);
  same(x(Slice(1, 4)), {11., 12., 13.});
  same(x(Slice()), {10., 11., 12., 13., 14.});
  same(x(Slice(2)), {10., 11.});
  same(x(Slice(None, None, 2)), {10., 12., 14.});
  same(x(Slice(None, None, -1)), {14., 13., 12., 11., 10.});
  same(x(Slice(3, 0, -2)), {13., 11.});
  same(x(Slice(-2, None)), {13., 14.});
  same(x(Slice(-100, 2)), {10., 11.});
  same(x(Slice(3, 100)), {13., 14.});
  same(x(Slice(100, None, -3)), {14., 11.});
  same(x(Slice(-100, None, -1)), zeros({1}, f64)(Slice(0, 0)));
  same(x(Slice(None, -100, -2)), {14., 12., 10.});
  same(x(Slice(4, 1)), zeros({0}, f64));
  same(x(Slice(2, 2, -1)), zeros({0}, f64));
  same(x(Slice(0, None, 100)), {10.});
  same(x(Slice(None, None, std::numeric_limits<std::int64_t>::min())), {14.});

  CHECK(x234()(1, 2, 3).shape() == Shape{});
  CHECK(double(x234()(1, 2, 3)) == 23);
  same(x234()(1), arange(12., f64).reshape({3, 4}) + 12);
  same(x234()(All, 1, All)(0), {4., 5., 6., 7.});
  same(x234()(Ellipsis, 1)(0), {1., 5., 9.});
  same(x234()(0, Ellipsis, Slice(1, 3))(2), {9., 10.});
  CHECK(x234()(None, 0, None, All, None).shape() == Shape{1, 1, 3, 1, 4});
  CHECK(x234()(Ellipsis, None).shape() == Shape{2, 3, 4, 1});
  same(x234()(0, Slice(None, None, -2), Slice(0, 4, 3)), {{8., 11.}, {0., 3.}});
  CHECK(x234()(Slice(0, 0), 0).shape() == Shape{0, 4});
}

TEST_CASE("index: arrays of integers and bools") {
  const Array x = arange(12., f64).reshape({3, 4});
  same(x({2, 0}), {{8., 9., 10., 11.}, {0., 1., 2., 3.}});
  same(x(All, {-1, 0}), {{3., 0.}, {7., 4.}, {11., 8.}});
  same(x({0, 2}, {1, 3}), {1., 11.});
  same(x(Array{{0}, {2}}, Array{1, 3}), {{1., 3.}, {9., 11.}});
  same(x(Array(1), Array(2)), 6.);
  same(x(Array(-1)), {8., 9., 10., 11.});
  same(x(Array{2, 0}, Slice(1, 3)), {{9., 10.}, {1., 2.}});
  same(x(Array{2, 0}, Slice(None, None, -2)), {{11., 9.}, {3., 1.}});
  same(x(Array{0, 1}.astype(u8), Array{0L, -4L}), {0., 4.});
  same(x(Array{7, -9}),
       {{8., 9., 10., 11.}, {0., 1., 2., 3.}});  // reads beyond the ends are clamped
  CHECK(x(zeros({0}, i32)).shape() == Shape{0, 4});
  CHECK(x(zeros({2, 0}, i32), 1).shape() == Shape{2, 0});

  // numpy's rule for where the dimensions of index arrays go.
  const Array big = arange(2. * 3 * 4 * 5, f64).reshape({2, 3, 4, 5}), i = {0, 1, 1};
  CHECK(big(All, i, All).shape() == Shape{2, 3, 4, 5});
  CHECK(big(All, i, i).shape() == Shape{2, 3, 5});
  CHECK(big(i, All, i).shape() == Shape{3, 3, 5});
  CHECK(big(All, i, All, i).shape() == Shape{3, 2, 4});
  CHECK(big(All, 0, i).shape() == Shape{2, 3, 5});
  CHECK(big(0, All, i).shape() == Shape{3, 3, 5});
  CHECK(big(All, i, None, 0).shape() == Shape{3, 2, 1, 5});
  CHECK(big(All, None, i, 0).shape() == Shape{2, 1, 3, 5});
  CHECK(big(i, Ellipsis, Array{{0}, {1}}).shape() == Shape{2, 3, 3, 4});
  CHECK(big(Ellipsis, Array(2), None).shape() == Shape{2, 3, 4, 1});
  for (int k = 0; k < 3; ++k) same(big(0, All, i)(k), big(0, All, i(k)));
  for (int k = 0; k < 3; ++k)
    same(big(All, i, Slice(1, 4, 2), i)(k), big(All, i(k), Slice(1, 4, 2), i(k)));
  for (int k = 0; k < 3; ++k)
    same(big(All, i, 1, Slice(3, 0, -1))(All, k), big(All, i(k), 1, Slice(3, 0, -1)));

  same(x(x > 8), {9., 10., 11.});
  same(x(Array{true, false, true}), {{0., 1., 2., 3.}, {8., 9., 10., 11.}});
  same(x(All, Array{false, true, true, false})(2), {9., 10.});
  same(x(Array{true, false, true}, {1, 2}), {1., 10.});
  CHECK(x(Array(true)).shape() == Shape{1, 3, 4});
  CHECK(x(Array(false), 0).shape() == Shape{0, 4});
}

TEST_CASE("index: derivatives, vmap and jit of reads") {
  const Array x = arange(12., f64).reshape({3, 4}) / 7.;
  const Array w = random::normal(random::key(1), {4, 4, 4}, f64);
  auto weigh = [w](Array y) {
    return sum(y * y * w.reshape({-1})(Slice(0, y.size())).reshape(y.shape()));
  };
  std::vector<std::function<Array(Array)>> reads = {
      [](Array a) { return a(1, 2); },
      [](Array a) { return a(Slice(None, None, -2), Slice(1, None)); },
      [](Array a) {
        return a({0, 2, 0, 0});
      },
      [](Array a) {
        return a({0, 2, 0, 0}, {1, 1, 1, 3});
      },
      [](Array a) { return a(Array(2), None, Slice(1, 3)); },
      [](Array a) {
        return a(Array{{0, -1}}, Slice(3, 0, -2));
      },
      [](Array a) { return a(a > 0.5); },
      [](Array a) {
        return lax::dynamic_slice(a, std::vector<Array>{Array(7), Array(-1)}, {2, 3});
      },
  };
  for (auto& read : reads) {
    auto f = [&](Array a) { return weigh(read(a)); };
    check_grads(f, std::tuple(x), {.order = 2});
    if (&read == &reads[6]) continue;  // shape depends on values
    same(jit(f)(x), f(x));
    same(jit(grad(f))(x), grad(f)(x));
    const Array xs = stack(std::vector<Array>{x, x + 1., x * x});
    const Array got = vmap(grad(f))(xs), moved = vmap(grad(f), {.in_axes = 2})(moveaxis(xs, 0, 2));
    for (int i = 0; i < 3; ++i) {
      same(got(i), grad(f)(xs(i)));
      same(moved(i), got(i));
    }
  }
  // The positions are mapped too.
  const Array i = {{0, 2}, {1, 1}, {2, 0}};
  auto take_both = [](Array a, Array k) { return a(All, k)(k); };
  const Array square = x(All, Slice(0, 3));
  const Array all = vmap(take_both, {.in_axes = {None, 0}})(square, i);
  for (int k = 0; k < 3; ++k) same(all(k), take_both(square, i(k)));
  const Array both = vmap([](Array a, Array k) { return a(k); })(x, i);
  for (int k = 0; k < 3; ++k) same(both(k), x(k)(i(k)));
  auto slice_at = [](Array a, Array k) {
    return lax::dynamic_slice(a, std::vector<Array>{k, Array(1)}, {2, 2});
  };
  const Array starts = {0, 1, 5};
  const Array slices = vmap(slice_at, {.in_axes = {None, 0}})(x, starts);
  for (int k = 0; k < 3; ++k) same(slices(k), slice_at(x, starts(k)));
  same(jacfwd([&](Array a) { return slice_at(a, 1); })(x),
       jacrev([&](Array a) { return slice_at(a, 1); })(x));
}

TEST_CASE("index: at(...).set, add, mul, min, max") {
  const Array x = {1., 2., 3., 4.};
  same(x.at(1).set(9), {1., 9., 3., 4.});
  same(x.at(-1).add(1), {1., 2., 3., 5.});
  same(x.at(Slice(1, 3)).mul(10), {1., 20., 30., 4.});
  same(x.at(Slice(None, None, 2)).set(Array{7., 8.}), {7., 2., 8., 4.});
  same(x.at(Slice(None, None, -1)).set(Array{5., 6., 7., 8.}), {8., 7., 6., 5.});
  same(x.at(Slice(3, 0, -2)).add(Array{10., 20.}), {1., 22., 3., 14.});
  same(x.at(Slice(3, 0, -2)).min(Array{0., 20.}), {1., 2., 3., 0.});
  same(x.at(Slice(1, 3)).max(2.5), {1., 2.5, 3., 4.});
  same(x.at({0, 2}).set(Array{7., 8.}), {7., 2., 8., 4.});
  same(x.at({0, 0, 3}).add(1), {3., 2., 3., 5.});
  same(x.at({0, 0, -1}).mul(3), {9., 2., 3., 12.});
  same(x.at({0, 1}).min(Array{0., 5.}), {0., 2., 3., 4.});
  same(x.at({0, 1}).max(Array{0., 5.}), {1., 5., 3., 4.});
  same(x.at({0, 9, -9}).set(7), {7., 2., 3., 4.});  // updates beyond the ends are dropped
  same(x.at(x > 2).set(0), {1., 2., 0., 0.});
  same(x.at(x > 2).add(Array{10., 20.}), {1., 2., 13., 24.});
  same(x.at(x > 2).mul(-1), {1., 2., -3., -4.});
  same(x.at(Array(9)).set(1), x);
  CHECK(x.at(0).set(9).dtype() == f64);
  const Array f = {1.f, 2.f};
  CHECK(f.at(0).set(9.5).dtype() == f32);
  CHECK(f.at({0, 1}).add(Array{1., 2.}).dtype() == f32);
  same(Array{1, 2}.at(0).set(3.7), {3, 2});
  same(x.at(1).get(), 2.);

  const Array m = arange(12., f64).reshape({3, 4});
  same(m.at(1).set(0), {{0., 1., 2., 3.}, {0., 0., 0., 0.}, {8., 9., 10., 11.}});
  same(m.at(All, 1).set(Array{7., 8., 9.}),
       {{0., 7., 2., 3.}, {4., 8., 6., 7.}, {8., 9., 10., 11.}});
  same(m.at({0, 2}, {1, 3}).add(100), {{0., 101., 2., 3.}, {4., 5., 6., 7.}, {8., 9., 10., 111.}});
  same(m.at({0, 2}, Slice(1, 3)).set(Array{{1.}, {2.}}),
       {{0., 1., 1., 3.}, {4., 5., 6., 7.}, {8., 2., 2., 11.}});
  same(m.at({0, 2}, Slice(3, 0, -2)).set(Array{{1., 2.}, {3., 4.}}),
       {{0., 2., 2., 1.}, {4., 5., 6., 7.}, {8., 4., 10., 3.}});
  same(m.at(Ellipsis, 1, None).set(Array{{7.}, {8.}, {9.}}), m.at(All, 1).set(Array{7., 8., 9.}));
  same(m.at(Array{true, false, true}).set(-1),
       {{-1., -1., -1., -1.}, {4., 5., 6., 7.}, {-1., -1., -1., -1.}});
  same(m.at(All, Array{true, false, false, true}).set(-1),
       {{-1., 1., 2., -1.}, {-1., 5., 6., -1.}, {-1., 9., 10., -1.}});
  same(m.at(Array{true, false, true}).set(Array{1., 2., 3., 4.}),
       {{1., 2., 3., 4.}, {4., 5., 6., 7.}, {1., 2., 3., 4.}});
  same(m.at(Array{true, false, true}, 0).set(Array{5., 6.}), m.at({0, 2}, 0).set(Array{5., 6.}));
  same(m.at(Slice(0, 0)).set(5), m);
  same(m.at(zeros({0}, i32)).add(5), m);
}

TEST_CASE("index: updates in place when the sole owner") {
  Array x = zeros({1000}, f64);
  const void* buffer = x.data<void>();
  for (int i = 0; i < 10; ++i) x = std::move(x).at(i).set(i);
  for (int i = 0; i < 10; ++i) x = std::move(x).at(i).add(1);
  x = std::move(x).at({0, 1}).mul(3);
  x = std::move(x).at(Slice(0, 4, 2)).max(2.5);
  CHECK(x.data<void>() == buffer);
  same(x(Slice(0, 5)), {3., 6., 3., 4., 5.});
  Array y = x;
  x = std::move(x).at(0).set(-1);
  CHECK(double(y(0)) == 3);
  CHECK(double(x(0)) == -1);
  IndexedArray again = y.at(0);
  CHECK(double(again.set(1)(0)) == 1);
  CHECK(double(again.add(1)(0)) == 4);
  IndexedArray once = zeros({3}, f64).at(0);
  CHECK(double(once.set(1)(0)) == 1);
  CHECK_THROWS_AS(once.set(2), TypeError);
}

TEST_CASE("index: derivatives, vmap and jit of updates") {
  const Array x = arange(12., f64).reshape({3, 4}) / 7. + 0.25;
  using Update = std::function<Array(Array, Array)>;
  const Array v4 = {0.3, -1.2, 2.5, 0.7};
  std::vector<std::pair<Update, Array>> updates = {
      {[](Array a, Array v) { return a.at(1).set(v); }, v4},
      {[](Array a, Array v) { return a.at(1).add(v); }, v4},
      {[](Array a, Array v) { return a.at(1).mul(v); }, v4},
      {[](Array a, Array v) { return a.at(1).min(v); }, v4},
      {[](Array a, Array v) { return a.at(Slice(2, None, -2), 0).max(v); }, Array{0.3, 1.7}},
      {[](Array a, Array v) { return a.at(Slice(None, None, 2), Slice(3, None, -3)).set(v); },
       Array{0.3, 1.7}},
      {[](Array a, Array v) {
         return a.at({0, 2, 0}).set(v);
       },
       stack(std::vector<Array>{v4, v4 * 2., v4 - 1.})},
      {[](Array a, Array v) {
         return a.at({0, 2, 0}).add(v);
       },
       stack(std::vector<Array>{v4, v4 * 2., v4 - 1.})},
      {[](Array a, Array v) {
         return a.at({0, 2}).mul(v);
       },
       v4},
      {[](Array a, Array v) {
         return a.at({0, 2, 0}, {1, 1, 1}).min(v);
       },
       Array{0.3, -1.2, 2.5}},
      {[](Array a, Array v) {
         return a.at({0, 2, 0}, {1, 1, 1}).max(v);
       },
       Array{0.3, -1.2, 2.5}},
      {[](Array a, Array v) { return a.at(Array(2), Slice(1, 3)).set(v); }, Array{0.3, -1.2}},
      {[](Array a, Array v) { return a.at(a > 1).set(v); }, Array(0.3)},
      {[](Array a, Array v) { return a.at(a > 1).mul(v); }, v4(Slice(0, 1))},
      {[](Array a, Array v) {
         return lax::dynamic_update_slice(a, v, std::vector<Array>{Array(9), Array(1)});
       },
       ones({2, 2}, f64)},
  };
  for (std::size_t k = 0; k < updates.size(); ++k) {
    INFO("update " << k);
    auto& [update, v] = updates[k];
    auto f = [&u = update](Array a, Array b) { return sum(sin(u(a, b)) * u(a, b)); };
    check_grads(f, std::tuple(x, v), {.order = 2});
    same(jit(f)(x, v), f(x, v));
    const auto [da, db] = grad<0, 1>(f)(x, v);
    const auto [ja, jb] = jit(grad<0, 1>(f))(x, v);
    same(ja, da);
    same(jb, db);
    const Array xs = stack(std::vector<Array>{x, x * x, x - 0.5}),
                vs = stack(std::vector<Array>{v, v + 1., v * 2.});
    const auto [ba, bb] = vmap(grad<0, 1>(f))(xs, vs);
    const auto [ca, cb] = vmap(grad<0, 1>(f), {.in_axes = {0, None}})(xs, v);
    const auto [ea, eb] = vmap(grad<0, 1>(f), {.in_axes = {None, 0}})(x, vs);
    for (int i = 0; i < 3; ++i) {
      const auto [wa, wb] = grad<0, 1>(f)(xs(i), vs(i));
      same(ba(i), wa);
      same(bb(i), wb);
      same(cb(i), std::get<1>(grad<0, 1>(f)(xs(i), v)));
      same(ea(i), std::get<0>(grad<0, 1>(f)(x, vs(i))));
    }
  }
  // Only the update that stays has a derivative.
  const Array d = grad([](Array v) {
    return sum(zeros({3}, f64).at({1, 1, 0}).set(v) * Array{1., 10., 100.});
  })(Array{1., 2., 3.});
  same(d, {0., 10., 1.});
  // Ties share it.
  const auto tie = [](Array a, Array v) { return sum(a.at({0, 0}).max(v)); };
  const auto [ta, tv] = grad<0, 1>(tie)(Array{2., 1.}, Array{2., 2.});
  CHECK(allclose(ta, {1. / 3, 1.}));
  CHECK(allclose(tv, {1. / 3, 1. / 3}));
  // A product in its factors, with zeros and factors that meet.
  const auto product = [](Array a, Array v) {
    return sum(a.at({0, 0, 1, 1, 2}).mul(v) * Array{2., 3., 5., 7.});
  };
  const auto [pa, pv] = grad<0, 1>(product)(Array{1., 2., 3., 4.}, Array{5., 6., 0., 7., 0.});
  same(pa, {60., 0., 0., 7.});
  same(pv, {12., 10., 42., 0., 15.});
  check_grads(product, std::tuple(Array{1., 2., 3., 4.}, Array{5., 6., 0., 7., 0.}), {.order = 2});
  // Mapped positions.
  const Array i = {{0, 2}, {1, 1}, {2, 0}};
  auto put = [](Array a, Array k, Array v) { return a.at(k).add(v); };
  const Array xs = stack(std::vector<Array>{x, x * x, x - 0.5});
  const Array all = vmap(put)(xs, i, Array{1., 2., 3.});
  const Array positions = vmap(put, {.in_axes = {None, 0, None}})(x, i, 5.);
  const Array starts = vmap(
      [](Array a, Array k) {
        return lax::dynamic_update_slice(a, ones({1, 2}, f64), std::vector<Array>{k(0), k(1)});
      },
      {.in_axes = {None, 0}})(x, i);
  for (int k = 0; k < 3; ++k) {
    same(all(k), put(xs(k), i(k), k + 1.));
    same(positions(k), put(x, i(k), 5.));
    same(starts(k),
         x.at(i(k, 0), Slice(std::min(2, int(i(k, 1))), std::min(2, int(i(k, 1))) + 2)).set(1));
  }
}

TEST_CASE("index: traced positions and masks") {
  const Array x = {1., 2., 3., 4.};
  const auto f = jit([](Array a, Array i) { return a(i) * 10 + a.at(i).set(-1)(0); });
  CHECK(double(f(x, Array(2))) == 31);
  CHECK(double(f(x, Array(-4))) == 9);
  const auto clipped = jit([](Array a) { return a.at(a > 2).set(0); });
  same(clipped(x), {1., 2., 0., 0.});
  same(vmap([](Array a) { return a.at(a > 2).add(1); })(stack(std::vector<Array>{x, x - 1.})),
       {{1., 2., 4., 5.}, {0., 1., 2., 4.}});
  CHECK_THROWS_AS(jit([](Array a) { return a(a > 2); })(x), ConcretizationError);
  CHECK_THROWS_AS(jit([](Array a) {
                    return a.at(a > 2).set(Array{1., 2.});
                  })(x),
                  ConcretizationError);
  const auto total = fori_loop(
      0, 4, [x](Array i, Array s) { return s + x(i) * x(3 - i); }, Array(0.));
  CHECK(double(total) == 20);
  const Array filled = fori_loop(
      0, 4, [](Array i, Array s) { return s.at(i).add(i * i); }, zeros({4}, f64));
  same(filled, {0., 1., 4., 9.});
}

TEST_CASE("index: errors") {
  const Array x = zeros({3}, f32), m = zeros({2, 3}, f32);
  CHECK(contains(error_of([&] { x(5); }), "index: 5 is out of range for axis 0 of f32[3]"));
  CHECK(contains(error_of([&] { x(5); }), "indexing_test.cc:"));
  CHECK(contains(error_of([&] { m(0, -4); }), "index: -4 is out of range for axis 1 of f32[2,3]"));
  CHECK(
      contains(error_of([&] { x.at(3).set(1); }), "index: 3 is out of range for axis 0 of f32[3]"));
  CHECK(contains(error_of([&] { x(0, 0); }), "too many indices: 2 for f32[3]"));
  CHECK(contains(error_of([&] { m(Ellipsis, 0, Ellipsis); }), "more than one Ellipsis"));
  CHECK(contains(error_of([&] { x(Slice(0, 2, 0)); }), "step other than 0"));
  CHECK(contains(error_of([&] { x(Array{0.5}); }), "integers or bools, not f64[1]"));
  CHECK(contains(error_of([&] { m(Array{0, 1}, Array{0, 1, 2}); }), "do not broadcast together"));
  CHECK(contains(error_of([&] {
                   x(Array{true, false});
                 }),
                 "the mask bool[2] does not fit axis 0 of f32[3]"));
  CHECK(contains(error_of([&] { x(Array()); }), "null"));
  CHECK(contains(error_of([&] {
                   x.at(Slice(0, 2)).set(Array{1., 2., 3.});
                 }),
                 "f32[3] does not broadcast to the shape (2,)"));
  CHECK(contains(error_of([&] { x.at({0, 1}).set(Array{1., 2., 3.}); }), "does not broadcast"));
  CHECK(contains(error_of([&] { x.at(0).set(std::complex(0., 1.)); }), "complex"));
  CHECK(contains(error_of([&] { zeros({0, 2})(Array(0)); }), "dynamic_slice"));
  const Array i = {{0}, {1}};
  const GatherParams good{
      .dimension_numbers = {{1}, {0}, {0}, {}, {}}, .fill_value = {}, .slice_sizes = {1, 3}};
  CHECK(lax::gather(m, i, good).shape() == Shape{2, 3});
  auto bad = [&](auto change, const Array& index) {
    GatherParams p = good;
    change(p);
    return error_of([&] { lax::gather(m, index, p); });
  };
  CHECK(contains(bad(
                     [](auto& p) {
                       p.slice_sizes = {1, 4};
                     },
                     i),
                 "slice size 4 does not fit dimension 1"));
  CHECK(contains(bad([](auto& p) { p.slice_sizes = {1}; }, i), "slice_sizes"));
  CHECK(contains(bad([](auto& p) { p.slice_sizes = {2, 3}; }, i), "must have slice size 1"));
  CHECK(contains(bad([](auto& p) { p.dimension_numbers.offset_dims = {2}; }, i),
                 "offset_dims has 2"));
  CHECK(contains(bad([](auto& p) { p.dimension_numbers.start_index_map = {5}; }, i),
                 "start_index_map has 5"));
  CHECK(contains(bad(
                     [](auto& p) {
                       p.dimension_numbers.start_index_map = {0, 1};
                     },
                     i),
                 "2 entries"));
  CHECK(contains(bad([](auto& p) { p.dimension_numbers.collapsed_slice_dims = {}; }, i),
                 "must cover"));
  CHECK(contains(bad([](auto& p) { p.dimension_numbers.operand_batching_dims = {0}; }, i),
                 "both name dimension 0"));
  CHECK(contains(bad([](auto&) {}, i.astype(f32)), "indices must be integers"));
  CHECK(contains(bad([](auto&) {}, Array(0)), "last dimension"));
  const ScatterParams put{.dimension_numbers = {{1}, {0}, {0}, {}, {}}};
  CHECK(contains(error_of([&] {
                   lax::scatter(m, i, zeros({2, 4}, f32), put);
                 }),
                 "larger than f32[2,3] on axis 1"));
  CHECK(contains(error_of([&] {
                   lax::scatter_add(m, i, zeros({3, 3}, f32), put);
                 }),
                 "scatter-add: updates"));
  CHECK(contains(error_of([&] {
                   lax::scatter(m, i, zeros({2, 3}, f64), put);
                 }),
                 "element types differ"));
  CHECK(contains(error_of([&] { lax::scatter(m, i, zeros({3}, f32), put); }), "rank"));
  CHECK(contains(error_of([&] {
                   lax::dynamic_slice(m, std::vector<Array>{Array(0)}, {1, 1});
                 }),
                 "dynamic_slice"));
  CHECK(contains(error_of([&] {
                   lax::dynamic_slice(m, std::vector<Array>{Array(0), Array(0)}, {1, 4});
                 }),
                 "slice size 4"));
  CHECK(contains(error_of([&] {
                   const Array starts[] = {Array(0), Array(0L)};
                   lax::dynamic_slice(m, starts, {1, 1});
                 }),
                 "one type"));
  CHECK(contains(
      error_of([&] {
        lax::dynamic_update_slice(m, zeros({3, 3}, f32), std::vector<Array>{Array(0), Array(0)});
      }),
      "larger"));
}

TEST_CASE("index: modes of gather and scatter") {
  const Array x = {1., 2., 3.}, i = {{-1}, {1}, {3}};
  auto read = [&](IndexMode mode, std::optional<Number> fill = {}) {
    return lax::gather(x, i,
                       {.dimension_numbers = {{}, {0}, {0}, {}, {}},
                        .fill_value = fill,
                        .mode = mode,
                        .slice_sizes = {1}});
  };
  same(read(IndexMode::CLIP), {1., 2., 3.});
  same(read(IndexMode::PROMISE_IN_BOUNDS), {1., 2., 3.});
  same(read(IndexMode::FILL_OR_DROP, 7.5), {7.5, 2., 7.5});
  CHECK(bool(isnan(read(IndexMode::FILL_OR_DROP)(0))));
  auto write = [&](IndexMode mode) {
    return lax::scatter_add(x, i, Array{10., 20., 30.},
                            {.dimension_numbers = {{}, {0}, {0}, {}, {}}, .mode = mode});
  };
  same(write(IndexMode::CLIP), {11., 22., 33.});
  same(write(IndexMode::FILL_OR_DROP), {1., 22., 3.});
  same(write(IndexMode::PROMISE_IN_BOUNDS), {1., 22., 3.});
  for (DType d : {b1, i8, u8, i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64, c64, c128}) {
    INFO(name(d));
    const Array y = arange(6).reshape({3, 2}).astype(d);
    same(real(y({2, 0}).astype(c128)),
         real(arange(6).reshape({3, 2}).astype(d).astype(c128)({2, 0})));
    CHECK(y.at({1}).add(y({0})).dtype() == d);
    for (DType index : {i8, u8, i16, u16, i32, u32, i64, u64})
      CHECK(array_equal(y(Array{2, 1}.astype(index)), y(Slice(2, 0, -1))));
  }
}
