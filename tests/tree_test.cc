// tree_test.cc -- pytrees: which C++ types are trees, what is a leaf, what is static, and the
// functions on trees.
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {

struct Layer {
  Array w, b;
};
enum class Activation { relu, tanh };
struct Mlp {
  Layer hidden, out;
  int width = 64;
  const int depth = 2;
  Activation activation = Activation::relu;
  unsigned bits : 3 = 5;
  std::string name = "mlp";
  std::complex<double> z = {1, 2};
};
struct Containers {
  std::vector<Layer> layers;
  std::array<Array, 2> pair;
  std::tuple<Array, int> tuple;
  std::optional<Array> maybe;
  std::map<std::string, Array> map;
  std::unordered_map<int, Array> unordered;
  std::vector<bool> flags;
  std::set<int> set;
};
struct Branch {  // holds itself
  Array value;
  std::vector<Branch> children;
};
struct Wide {
  Array f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20,
      f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32;
};
class Hidden {  // not an aggregate: says itself what it holds
 public:
  Hidden(Array a, int n) : a_(std::move(a)), n_(n) {}
  template <class F>
  decltype(auto) visit(F&& fn) {
    return fn(a_, n_);
  }
  int n() const { return n_; }
  const Array& a() const { return a_; }

 private:
  Array a_;
  int n_;
};
struct Opaque1 {  // a static value with equality
  int id;
  std::shared_ptr<int> p;
  bool operator==(const Opaque1&) const = default;
};
struct Config {
  int steps;
  double rate;
  std::string name;
  Opaque1 opaque;
};

Containers containers() {
  Containers c{.layers = {{1.0, 2.0}, {3.0, 4.0}},
               .pair = {Array(5.0), Array(6.0)},
               .tuple = {7.0, 8},
               .maybe = Array(9.0),
               .map = {{"b", 11.0}, {"a", 10.0}},
               .unordered = {},
               .flags = {true, false},
               .set = {1, 2}};
  for (int k : {3, 1, 2}) c.unordered.emplace(k, Array(double(11 + k)));
  return c;
}
std::vector<double> numbers(const std::vector<Array>& v) {
  std::vector<double> r;
  for (auto& a : v) r.push_back(double(a));
  return r;
}

static_assert(is_plain_tree<Array> && is_plain_tree<Layer> &&
              is_plain_tree<std::tuple<Layer, Array>> &&
              is_plain_tree<std::pair<std::array<Layer, 2>, Array>> && is_plain_tree<Wide> &&
              is_plain_tree<std::tuple<>>);
static_assert(!is_plain_tree<Mlp> && !is_plain_tree<Containers> &&
              !is_plain_tree<std::vector<Array>> && !is_plain_tree<std::tuple<Array, int>> &&
              !is_plain_tree<Hidden>);
static_assert(internal::is_static_tree<Config> && internal::is_static_tree<std::vector<int>> &&
              internal::is_static_tree<std::tuple<int, std::string>> &&
              !internal::is_static_tree<Branch> &&
              !internal::is_static_tree<std::optional<Layer>> &&
              !internal::is_static_tree<std::vector<std::vector<Array>>>);

}  // namespace

TEST_CASE("tree: leaves of structs and containers, in order") {
  Mlp m{{1.0, 2.0}, {3.0, 4.0}};
  CHECK(numbers(tree_leaves(m)) == std::vector<double>{1, 2, 3, 4});
  std::vector<double> want;
  for (int i = 1; i <= 14; ++i)
    if (i != 8) want.push_back(i);
  CHECK(numbers(tree_leaves(containers())) == want);
  Branch b{1.0, {{2.0, {{3.0, {}}}}, {4.0, {}}}};
  CHECK(numbers(tree_leaves(b)) == std::vector<double>{1, 2, 3, 4});
  CHECK(tree_leaves(Config{}).empty());
  Wide w;
  w.f1 = 1.0, w.f32 = 32.0;
  CHECK(numbers(tree_leaves(w)) == std::vector<double>{1, 32});  // null Arrays are empty nodes
  CHECK(numbers(tree_leaves(Hidden(5.0, 3))) == std::vector<double>{5});
  CHECK(numbers(tree_leaves(Array(3.0))) == std::vector<double>{3});
}

TEST_CASE("tree: unflatten keeps structure and static values") {
  Mlp m{{1.0, 2.0}, {3.0, 4.0}};
  m.width = 7;
  m.name = "other";
  const std::vector<Array> leaves{10.0, 20.0, 30.0, 40.0};
  Mlp n = tree_unflatten(m, leaves);
  CHECK(numbers(tree_leaves(n)) == std::vector<double>{10, 20, 30, 40});
  CHECK(n.width == 7);
  CHECK(n.name == "other");
  CHECK(n.bits == 5);
  CHECK(n.depth == 2);
  CHECK(n.activation == Activation::relu);
  CHECK_THROWS_AS(tree_unflatten(m, std::vector<Array>{1.0}), TypeError);
  Hidden h = tree_unflatten(Hidden(1.0, 9), std::vector<Array>{2.0});
  CHECK(double(h.a()) == 2);
  CHECK(h.n() == 9);
}

TEST_CASE("tree: map and reduce") {
  Layer p{Array{1., 2.}, 3.0}, g{Array{10., 20.}, 30.0};
  Layer q = tree_map([](Array a, Array b) { return a + b; }, p, g);
  CHECK(q.w.to_vector() == std::vector<double>{11, 22});
  CHECK(double(q.b) == 33);
  CHECK(p.w.to_vector() == std::vector<double>{1, 2});
  Containers c = tree_map([](Array a) { return 2 * a; }, containers());
  CHECK(double(c.unordered[3]) == 28);
  CHECK(double(c.map["a"]) == 20);
  CHECK(std::get<1>(c.tuple) == 8);
  double sum =
      tree_reduce([](double s, const Array& a) { return s + double(a); }, containers(), 0.0);
  CHECK(sum == 97);
  Array total = tree_reduce([](Array s, Array a) { return s + a; },
                            std::tuple(Array(1.0), Array(2.0)), Array(0.0));
  CHECK(double(total) == 3);
  std::vector<Array> two{1.0, 2.0}, three{1.0, 2.0, 3.0};
  CHECK_THROWS_AS(tree_map([](Array a, Array) { return a; }, two, three), TypeError);
}

TEST_CASE("tree: structure is everything but the values") {
  auto same = [](auto a, auto b) { return tree_structure(a) == tree_structure(b); };
  CHECK(same(Mlp{{1.0, 2.0}, {3.0, 4.0}}, Mlp{{5.0, 6.0}, {7.0, 8.0}}));
  Mlp wide{{1.0, 2.0}, {3.0, 4.0}};
  wide.width = 65;
  CHECK_FALSE(same(wide, Mlp{{1.0, 2.0}, {3.0, 4.0}}));
  Mlp bits{{1.0, 2.0}, {3.0, 4.0}};
  bits.bits = 6;
  CHECK_FALSE(same(bits, Mlp{{1.0, 2.0}, {3.0, 4.0}}));
  CHECK_FALSE(same(Layer{1.0, 2.0}, Layer{1.0, Array()}));
  CHECK(same(containers(), containers()));
  auto fewer = containers();
  fewer.maybe.reset();
  CHECK_FALSE(same(containers(), fewer));
  auto other_key = containers();
  other_key.map.erase("a");
  other_key.map["c"] = 1.0;
  CHECK_FALSE(same(containers(), other_key));
  auto flags = containers();
  flags.flags[0] = false;
  CHECK_FALSE(same(containers(), flags));
  CHECK_FALSE(same(std::vector<Array>{1.0}, std::vector<Array>{1.0, 2.0}));
  CHECK_FALSE(tree_structure(std::pair(Array(1.0), 1)) == tree_structure(std::pair(Array(1.0), 2)));
  CHECK_FALSE(tree_structure(Array(1.0)) == tree_structure(std::tuple(Array(1.0))));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(same(std::pair(Array(1.0), nan), std::pair(Array(1.0), nan)));
  CHECK_FALSE(same(std::pair(Array(1.0), 0.0), std::pair(Array(1.0), -0.0)));
  CHECK_FALSE(same(Hidden(1.0, 1), Hidden(1.0, 2)));
  CHECK(same(Hidden(1.0, 1), Hidden(2.0, 1)));
}

TEST_CASE("tree: ravel promotes and casts back") {
  std::tuple<Array, Layer, int> t{Array{{1.f, 2.f}, {3.f, 4.f}}, {Array(5.0), Array{6, 7}}, 8};
  auto [flat, unravel] = ravel(t);
  CHECK(flat.dtype() == f64);
  CHECK(flat.to_vector() == std::vector<double>{1, 2, 3, 4, 5, 6, 7});
  auto [a, l, n] = unravel(flat * 2);
  CHECK(a.dtype() == f32);
  CHECK(a.shape() == Shape{2, 2});
  CHECK(a.to_vector() == std::vector<double>{2, 4, 6, 8});
  CHECK(l.b.dtype() == i32);
  CHECK(l.b.to_vector<int>() == std::vector<int>{12, 14});
  CHECK(n == 8);
  CHECK_THROWS_AS(unravel(Array{1., 2.}), TypeError);
  auto [none, back] = ravel(std::tuple<>());
  CHECK(none.size() == 0);
  (void)back;
  // Through transforms: the Hessian of a function of a struct.
  Layer p{Array{1., 2.}, 3.0};
  auto [v, un] = ravel(p);
  auto f = [un = un](Array x) {
    Layer l2 = un(x);
    return sum(l2.w * l2.w) * l2.b;
  };
  Array h = hessian(f)(v);
  CHECK(h.to_vector() == std::vector<double>{6, 0, 2, 0, 6, 4, 2, 4, 0});
}

TEST_CASE("tree: every transform takes and returns trees") {
  auto loss = [](const Mlp& m, Array x) {
    return sum(tanh(x * m.hidden.w + m.hidden.b) * m.out.w + m.out.b) * double(m.width);
  };
  Mlp m{{0.5, 0.1}, {-0.3, 0.2}, 2};
  Mlp g = grad(loss)(m, 1.5);
  CHECK(g.width == 2);
  CHECK(double(g.out.b) == Approx(2));
  CHECK(double(g.out.w) == Approx(2 * std::tanh(0.85)));
  auto [y, dy] = jvp(
      [](Layer l) {
        return Layer{l.w * l.b, l.b};
      },
      Layer{2.0, 3.0}, Layer{1.0, 0.0});
  CHECK(double(y.w) == 6);
  CHECK(double(dy.w) == 3);
  CHECK(double(dy.b) == 0);
  auto stacked = vmap(
      [](Layer l, Array x) {
        return std::map<std::string, Array>{{"y", l.w * x + l.b}};
      },
      {.in_axes = {None, 0}})(Layer{2.0, 1.0}, Array{1., 2., 3.});
  CHECK(stacked["y"].to_vector() == std::vector<double>{3, 5, 7});
  auto jitted = jit([](Branch b) { return tree_map([](Array a) { return a * 2; }, b); })(
      Branch{1.0, {{2.0, {}}}});
  CHECK(double(jitted.children.at(0).value) == 4);
  auto maybe = jit([](std::optional<Array> a, Array b) { return a ? *a + b : b; });
  CHECK(double(maybe(std::optional<Array>(1.0), 2.0)) == 3);
  CHECK(double(maybe(std::optional<Array>(), 2.0)) == 2);
  CHECK(maybe.cache_size() == 2);
  Layer half = jit([](Layer l) { return Layer{l.w * 2, Array()}; })(Layer{1.0, 2.0});
  CHECK(double(half.w) == 2);
  CHECK_FALSE(half.b.defined());
  auto [yv, pullback] =
      vjp([](std::vector<Array> v) { return v[0] * v[1]; }, std::vector<Array>{2.0, 3.0});
  CHECK(numbers(pullback(1.0)) == std::vector<double>{3, 2});
  CHECK(double(yv) == 6);
}
