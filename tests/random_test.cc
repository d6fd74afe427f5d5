// random_test.cc -- jaxpp::random against the numbers of JAX 0.10.2 (threefry2x32, partitionable, 64-bit types on).
#include <jaxpp/jaxpp.h>
#include <catch2/catch.hpp>
#include <cmath>

using namespace jaxpp;

namespace {
template <class T>
std::vector<T> values(const Array& a) {
  return a.to_vector<T>();
}
using I = std::vector<std::int64_t>;
using U = std::vector<std::uint64_t>;
using D = std::vector<double>;
I ints(const Array& a) { return values<std::int64_t>(a); }
U words(const Array& a) { return values<std::uint64_t>(a); }
D numbers(const Array& a) { return values<double>(a); }
// Within n units in the last place of f32 (or of 1 near 0).
void near(const Array& a, const D& want, double ulps, double unit = 0x1p-23) {
  const D got = numbers(a);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO(i << ": " << got[i] << " and " << want[i]);
    CHECK(std::abs(got[i] - want[i]) <= ulps * unit * std::max(std::abs(want[i]), 0.125));
  }
}
random::Key k42() { return random::key(42); }
}  // namespace

TEST_CASE("random: keys are JAX's") {
  CHECK(words(k42().data) == U{0, 42});
  CHECK(words(random::key(0x123456789abcdef0).data) == U{305419896, 2596069104});
  CHECK(words(random::key(-1).data) == U{4294967295, 4294967295});
  CHECK(words(random::key(Array(42)).data) == U{0, 42});
  CHECK(words(random::key(Array(0x123456789abcdef0L)).data) == U{305419896, 2596069104});
  CHECK(words(random::split(k42(), 2).data) == U{1832780943, 270669613, 64467757, 2916123636});
  auto [a, b, c] = random::split<3>(k42());
  CHECK(words(a.data) == U{1832780943, 270669613});
  CHECK(words(b.data) == U{64467757, 2916123636});
  CHECK(words(c.data) == U{2465931498, 255383827});
  CHECK(words(random::fold_in(k42(), 7).data) == U{2547012911, 1371500959});
}

TEST_CASE("random: bits and uniform numbers are JAX's") {
  CHECK(words(random::bits(k42(), {3}, u8)) == U{162, 217, 249});
  CHECK(words(random::bits(k42(), {3}, u16)) == U{5026, 12505, 63993});
  CHECK(words(random::bits(k42(), {3}, u32)) == U{2098992034, 2919706841, 2646866425});
  CHECK(words(random::bits(k42(), {2, 3}, u64)) == U{7871734211187709741u, 276886910877598708u,
                                                     10591095138341673235u, 13462782411356743825u,
                                                     12687676868490354166u, 11878554724538143822u});
  CHECK(words(random::bits(k42(), {}, u64)) == U{7871734211187709741u});
  CHECK(numbers(random::uniform(k42(), {3}, f16)) == D{0.076171875, 0.1904296875, 0.9755859375});
  CHECK(numbers(random::uniform(k42(), {3}, bf16)) == D{0.6328125, 0.84375, 0.96875});
  CHECK(numbers(random::uniform(k42(), {3})) ==
        D{0.48870956897735596, 0.6797971725463867, 0.6162714958190918});
  CHECK(numbers(random::uniform(k42(), {3}, f64)) ==
        D{0.4267275666499091, 0.015010069515314584, 0.5741444178995352});
  CHECK(numbers(random::uniform(k42(), {3}, f32, -1, 3)) ==
        D{0.9548382759094238, 1.7191886901855469, 1.4650859832763672});
  CHECK(random::uniform(k42(), {0, 3}).shape() == Shape{0, 3});
}

TEST_CASE("random: integers and permutations are JAX's") {
  CHECK(ints(random::randint(k42(), {8}, -5, 17)) == I{7, 7, 4, 14, 10, 12, 14, 2});
  CHECK(ints(random::randint(k42(), {8}, 0, 256, u8)) == I{196, 18, 183, 193, 141, 107, 129, 39});
  CHECK(ints(random::randint(k42(), {6}, -128, 128, i8)) == I{68, -110, 55, 65, 13, -21});
  CHECK(ints(random::randint(k42(), {4}, -300, 300, i16)) == I{144, -186, 171, -131});
  CHECK(ints(random::randint(k42(), {3}, 0, 1000000000000000L, i64)) ==
        I{679464050701877, 242604979476158, 727848944880791});
  CHECK(ints(random::randint(k42(), {3}, 0L, 1L << 32, u32)) ==
        I{3125294276, 3383865362, 780371127});
  CHECK(ints(random::randint(k42(), {3}, 0L, 1L << 40, u64)) ==
        I{1035216336437, 739902740158, 138006711447});
  CHECK(ints(random::randint(k42(), {2}, 5, 5)) == I{5, 5});
  CHECK(ints(random::randint(k42(), {2, 3}, Array{0, 10, 20}, Array{10, 20, 30})) ==
        I{4, 14, 21, 9, 19, 29});
  CHECK(ints(random::permutation(k42(), 10)) == I{7, 4, 2, 5, 3, 6, 8, 9, 0, 1});
  CHECK(ints(random::permutation(k42(), arange(12).reshape({4, 3}))) ==
        I{6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5});
  CHECK(ints(random::permutation(k42(), 3000)(Slice(0, 6))) == I{2629, 116, 2048, 2566, 2509, 255});
  CHECK(ints(random::choice(k42(), 10, {6}, false)) == I{7, 4, 2, 5, 3, 6});
  CHECK(ints(random::rademacher(k42(), {8})) == I{1, -1, -1, -1, 1, -1, 1, -1});
}

TEST_CASE("random: distributions agree with JAX's") {
  CHECK(ints(random::bernoulli(k42(), 0.3, {10}).astype(i32)) == I{0, 0, 0, 0, 0, 0, 1, 0, 0, 0});
  CHECK(ints(random::bernoulli(k42(), full({10}, 0.3f)).astype(i32)) ==
        I{0, 0, 0, 0, 0, 0, 1, 0, 0, 0});
  near(random::normal(k42(), {5}),
       {-0.02830461598932743, 0.4671318531036377, 0.2957029640674591, 0.15354591608047485,
        -0.12403281778097153},
       4);
  near(random::normal(k42(), {4}, f64),
       {-0.18471174528191162, -2.169824560397754, 0.18693555179382582, 0.6122653570510959}, 4,
       0x1p-52);
  const Array z = random::normal(k42(), {2}, c64);
  near(real(z), {0.053687464, -0.34389618}, 4);
  near(imag(z), {0.42833987, 0.5650095}, 4);
  near(random::truncated_normal(k42(), -1, 2, {4}),
       {0.14770004153251648, 0.5684448480606079, 0.42102542519569397, 0.29997000098228455}, 8);
  near(random::exponential(k42(), {3}), {0.670817494392395, 1.1388006210327148, 0.9578199982643127},
       4);
  near(random::gumbel(k42(), {3}), {0.3340933918952942, 0.9520195126533508, 0.7255305647850037}, 8);
  near(random::laplace(k42(), {3}),
       {0.022839652374386787, -0.4456535577774048, -0.2646729052066803}, 8);
  near(random::logistic(k42(), {3}), {-0.0451694130897522, 0.7528398036956787, 0.47375231981277466},
       8);
  near(random::cauchy(k42(), {3}), {-0.03548463061451912, 0.6337261199951172, 0.38244056701660156},
       8);
  const Array logits = log(Array{{.1f, .2f, .7f}, {.5f, .3f, .2f}});
  CHECK(ints(random::categorical(k42(), logits)) == I{2, 0});
  CHECK(ints(random::categorical(k42(), logits, -1, {6, 2})) ==
        I{2, 0, 2, 0, 1, 0, 1, 2, 1, 2, 2, 0});
  CHECK(ints(random::categorical(k42(), logits, 0)) == I{1, 0, 0});
  const Array p = {.1f, .2f, .3f, .4f};
  CHECK(ints(random::choice(k42(), 4, {8}, true, p)) == I{2, 2, 2, 2, 2, 2, 3, 1});
  CHECK(ints(random::choice(k42(), 4, {3}, false, p)) == I{3, 2, 1});
  CHECK(numbers(random::choice(k42(), Array{5., 6., 7., 8.}, {3}, false, p)) == D{8, 7, 6});
}

TEST_CASE("random: the same under transforms") {
  const auto f = [](random::Key k) { return random::uniform(k, {2}); };
  const random::Key keys = random::split(k42(), 3);
  const D want = {0.5302608013153076, 0.31336212158203125, 0.7276642322540283,
                  0.787867546081543,  0.6672406196594238,  0.7214866876602173};
  CHECK(numbers(vmap(f)(keys)) == want);
  CHECK(numbers(jit(vmap(f))(keys)) == want);
  CHECK(numbers(vmap(jit(f))(keys)) == want);
  CHECK(numbers(f(keys[1])) == D{want[2], want[3]});
  CHECK(ints(jit([](random::Key k) { return random::permutation(k, 10); })(k42())) ==
        I{7, 4, 2, 5, 3, 6, 8, 9, 0, 1});
  CHECK(words(vmap([](Array seed) { return random::key(seed).data; })(Array{1, 2})) ==
        U{0, 1, 0, 2});
  CHECK(words(vmap([](Array i) { return random::fold_in(k42(), i).data; })(Array{7, 7})) ==
        U{2547012911, 1371500959, 2547012911, 1371500959});
  auto [last, draws] = scan(
      [](random::Key k, Array i) {
        auto [next, now] = random::split(k);
        return std::pair(next, random::normal(now, {2}, f64) + i);
      },
      k42(), Array{0., 1., 2.});
  random::Key k = k42();
  for (int i = 0; i < 3; ++i) {
    auto [next, now] = random::split(k);
    near(draws(i), numbers(random::normal(now, {2}, f64) + double(i)), 1, 0x1p-52);
    k = next;
  }
  CHECK(words(last.data) == words(k.data));
  // Reparametrised: the derivative flows through the bounds.
  const auto g = [](Array a, Array b) { return sum(random::uniform(k42(), {3}, f64, a, b)); };
  auto [da, db] = grad<0, 1>(g)(-1.0, 3.0);
  CHECK(double(da) + double(db) == Approx(3.0));
}

TEST_CASE("random: moments") {
  const std::int64_t n = 200000;
  const Array x = random::normal(k42(), {n}, f64);
  CHECK(double(mean(x)) == Approx(0).margin(0.01));
  CHECK(double(mean(x * x)) == Approx(1).margin(0.02));
  const Array u = random::uniform(k42(), {n});
  CHECK(double(min(u)) >= 0);
  CHECK(double(max(u)) < 1);
  CHECK(double(mean(u)) == Approx(0.5).margin(0.01));
  const Array d = random::randint(k42(), {n}, 0, 6);
  CHECK(int(min(d)) == 0);
  CHECK(int(max(d)) == 5);
}

TEST_CASE("random: bad input") {
  CHECK_THROWS_AS(random::uniform(random::split(k42(), 2)), TypeError);
  CHECK_THROWS_AS(random::uniform(random::Key{}), TypeError);
  CHECK_THROWS_AS(random::uniform(k42(), {3}, i32), TypeError);
  CHECK_THROWS_AS(random::bits(k42(), {3}, f32), TypeError);
  CHECK_THROWS_AS(random::randint(k42(), {3}, 0.5, 2), TypeError);
  CHECK_THROWS_AS(random::randint(k42(), {3}, Array{0, 1}, 2), TypeError);
  CHECK_THROWS_AS(random::key(Array{1, 2}), TypeError);
  CHECK_THROWS_AS(random::choice(k42(), 3, {4}, false), TypeError);
  CHECK_THROWS_AS(random::choice(k42(), 3, {4}, true, Array{0.5, 0.5}), TypeError);
  CHECK_THROWS_AS(random::categorical(k42(), Array{1., 2.}, 1), TypeError);
}
