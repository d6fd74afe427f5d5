// special_test.cc -- special functions: values (mpmath, 40 digits) in both float types, derivatives, corners, transforms.
#include "jaxpp/special.h"
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include "jaxpp/check_grads.h"
#include "jaxpp/grad.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/jit.h"
#include "jaxpp/jvp.h"
#include "jaxpp/vmap.h"

using namespace jaxpp;

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();

using V = const std::vector<Array>&;
// A function, its operands (exact in f32), its values, and how many ulp it may be off in f64 and in f32.
struct Row {
  const char* name;
  Array (*f)(V);
  std::vector<std::vector<double>> x;
  std::vector<double> want;
  double f64_ulp, f32_ulp;
};
const Row rows[] = {
    // clang-format off
  {"ndtr", [](V x) { return ndtr(x[0]); }, {{-5.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 8.0}}, {2.866515718791939e-07, 0.02275013194817921, 0.15865525393145705, 0.3085375387259869, 0.5, 0.6914624612740131, 0.8413447460685429, 0.9986501019683699, 0.9999999999999993}, 16, 16},
  {"log_ndtr", [](V x) { return log_ndtr(x[0]); }, {{-1000.0, -40.0, -20.0, -8.0, -3.0, -1.0, -0.5, -0.0625, 0.0, 0.25, 1.0, 3.0, 6.0, 8.0}}, {-500007.82669481216, -804.6084420137538, -203.91715537109727, -35.01343715991455, -6.607726221510349, -1.8410216450092636, -1.1759117615936185, -0.7442671616076408, -0.6931471805599453, -0.5129840754094305, -0.17275377902344988, -0.0013508099647481938, -9.865876455243758e-10, -6.220960574271786e-16}, 48, 40},
  {"ndtri", [](V x) { return ndtri(x[0]); }, {{7.888609052210118e-31, 8.673617379884035e-19, 9.313225746154785e-10, 0.0009765625, 0.015625, 0.0625, 0.25, 0.5, 0.625, 0.875, 0.9375, 0.9990234375}}, {-11.484540434973038, -8.773321169027552, -6.009353565530744, -3.0972690781987846, -2.1538746940614564, -1.5341205443525463, -0.6744897501960817, 0.0, 0.31863936396437514, 1.150349380376008, 1.5341205443525463, 3.0972690781987846}, 8, 8},
  {"erfcx", [](V x) { return erfcx(x[0]); }, {{-4.0, -2.0, -0.5, 0.0, 0.125, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 1024.0, 1073741824.0}}, {17772220.904016286, 108.94090438997797, 1.952360489182557, 1.0, 0.8732218450821508, 0.6156903441929259, 0.427583576155807, 0.25539567631050575, 0.13699945762506138, 0.06998516620088092, 0.03519337782493084, 0.017622328215957786, 0.0005509661274624838, 5.25442495520931e-10}, 6, 6},
  {"gamma", [](V x) { return gamma(x[0]); }, {{-3.5, -2.25, -0.5, 0.125, 0.5, 1.0, 2.0, 3.5, 5.0, 10.0, 20.0}}, {0.2700882058522691, -1.7428148657282527, -3.544907701811032, 7.533941598797612, 1.772453850905516, 1.0, 1.0, 3.3233509704478426, 24.0, 362880.0, 1.21645100408832e+17}, 40, 40},
  {"gammasgn", [](V x) { return gammasgn(x[0]); }, {{-3.5, -2.5, -1.5, -0.5, 0.5, 3.0}}, {1.0, -1.0, 1.0, -1.0, 1.0, 1.0}, 0, 0},
  {"betaln", [](V x) { return betaln(x[0], x[1]); }, {{0.5, 2.0, 0.125, 12.0, 3.0, 1000000.0, 0.0009765625, 30.0}, {0.5, 3.0, 20.0, 15.0, 1000.0, 1000000.0, 1048576.0, 1000000000.0}}, {1.1447298858494002, -2.4849066497880004, 1.64770315799821, -18.568172732389435, -20.03311615938222, -1386300.003362921, 6.917370872014357, -550.4409365762243}, 8, 8},
  {"beta", [](V x) { return beta(x[0], x[1]); }, {{0.5, 2.0, 0.125, 12.0, -0.5}, {0.5, 3.0, 20.0, 15.0, 3.25}}, {3.141592653589793, 0.08333333333333333, 5.195033941368142, 8.628693512257922e-09, -5.6186947591974}, 60, 60},
  {"multigammaln 3", [](V x) { return multigammaln(x[0], 3); }, {{1.25, 2.0, 5.0, 100.0}}, {3.11012646848166, 1.596312591138855, 9.140644699192544, 1072.2257685414033}, 8, 8},
  {"factorial", [](V x) { return factorial(x[0]); }, {{0.0, 1.0, 2.5, 5.0, 10.0, 20.0}}, {1.0, 1.0, 3.3233509704478426, 120.0, 3628800.0, 2.43290200817664e+18}, 40, 40},
  {"comb", [](V x) { return comb(x[0], x[1]); }, {{5.0, 10.0, 60.0, 1000.0, 5.0, 5.0, 3.0}, {2.0, 5.0, 3.0, 2.0, 0.0, 6.0, -1.0}}, {10.0, 252.0, 34220.0, 499500.0, 1.0, 0.0, 0.0}, 60, 60},
  {"poch", [](V x) { return poch(x[0], x[1]); }, {{0.5, 3.0, -0.5, 2.0, 4.0}, {2.0, 2.5, 1.5, 0.0, -1.5}}, {0.75, 26.17138889227676, -0.28209479177387814, 1.0, 0.2215567313631895}, 40, 40},
  {"entr", [](V x) { return entr(x[0]); }, {{0.0, 0.125, 0.5, 1.0, 3.0}}, {0.0, 0.25993019270997947, 0.34657359027997264, 0.0, -3.295836866004329}, 4, 4},
  {"rel_entr", [](V x) { return rel_entr(x[0], x[1]); }, {{0.5, 0.0, 0.0, 3.0}, {0.25, 0.5, 0.0, 8.0}}, {0.34657359027997264, 0.0, 0.0, -2.9424877590351786}, 4, 4},
  {"kl_div", [](V x) { return kl_div(x[0], x[1]); }, {{0.5, 0.0, 3.0}, {0.25, 0.5, 8.0}}, {0.09657359027997266, 0.5, 2.0575122409648214}, 8, 8},
  {"boxcox", [](V x) { return boxcox(x[0], x[1]); }, {{2.0, 2.0, 0.25, 7.0}, {0.5, 0.0, -1.5, 2.0}}, {0.8284271247461901, 0.6931471805599453, -4.666666666666667, 24.0}, 8, 8},
  {"boxcox1p", [](V x) { return boxcox1p(x[0], x[1]); }, {{9.5367431640625e-07, 2.0, 0.25, 7.0}, {0.5, 0.0, -1.5, 2.0}}, {9.53674089032683e-07, 1.0986122886681098, 0.18963883146671154, 31.5}, 8, 8},
  {"exp1", [](V x) { return exp1(x[0]); }, {{9.5367431640625e-07, 0.125, 0.5, 1.0, 1.125, 2.0, 5.0, 20.0, 80.0}}, {13.285728899971462, 1.6234256405841687, 0.5597735947761608, 0.21938393439552029, 0.17860272743702818, 0.04890051070806112, 0.0011482955912753257, 9.835525290649882e-11, 2.228543258688473e-37}, 48, 16},
  {"expn", [](V x) { return expn(x[0], x[1]); }, {{0.0, 2.0, 2.0, 2.0, 3.0, 5.0, 5.0, 10.0, 40.0, 40.0, 1000.0}, {2.0, 0.0, 0.25, 1.5, 0.5, 0.75, 8.0, 0.25, 0.5, 3.0, 2.0}}, {0.06766764161830635, 1.0, 0.5177301244604703, 0.07310078653848084, 0.22160436427517846, 0.09582341642287355, 2.6521149556915645e-05, 0.0839219939386743, 0.01535016315893387, 0.0011833522726814045, 0.00013519981302504428}, 48, 24},
  {"expi", [](V x) { return expi(x[0]); }, {{-5.0, -1.0, -0.5, -0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 25.0, 39.0, 41.0, 80.0}}, {-0.0011482955912753257, -0.21938393439552029, -0.5597735947761608, -2.2569099008363493, -1.3732085249429833, -0.5425432646619137, 0.4542199048631736, 1.8951178163559368, 4.95423435600189, 40.18527535580318, 234955.8524907683, 3005950906.5255485, 2280446200301902.5, 1.6006649143245042e+16, 7.0146000049048e+32}, 24, 24},
  {"spence", [](V x) { return spence(x[0]); }, {{0.0, 0.0009765625, 0.25, 0.4375, 0.5, 0.75, 1.0, 1.25, 1.9375, 2.0, 2.5, 5.0, 1000.0, 1099511627776.0}}, {1.6449340668482264, 1.637184943054247, 0.9784693929303061, 0.6714162481806545, 0.5822405264650125, 0.2676526390827326, 0.0, -0.23590029768626344, -0.7787624450878221, -0.8224670334241132, -1.1473806603755707, -2.369939796998366, -25.495564102428908, -386.00734520138326}, 8, 8},
    // clang-format on
};
// In units of the last place of the type; near 0 of the least normal numbers of a table like this.
double off(double got, double want, double unit) {
  if (std::isnan(want) || std::isinf(want))
    return std::isnan(want) == std::isnan(got) && (std::isnan(want) || want == got) ? 0 : 1e9;
  return std::abs(got - want) / (unit * std::max(std::abs(want), 1e-36));
}
void check_row(const Row& r, DType d) {
  std::vector<Array> x;
  for (const auto& c : r.x) x.push_back(Array(c).astype(d));
  const Array eager = r.f(x);
  const Array compiled = jit([&](std::vector<Array> v) { return r.f(v); })(x);
  const double unit = d == f64 ? 0x1p-53 : 0x1p-24, most = d == f64 ? r.f64_ulp : r.f32_ulp;
  for (const Array& y : {eager, compiled}) {
    CHECK(y.dtype() == d);
    const auto got = y.to_vector<double>();
    REQUIRE(got.size() == r.want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO(r.name << " " << name(d) << " at " << r.x[0][i] << ": " << got[i] << ", should be "
                  << r.want[i] << ": " << off(got[i], r.want[i], unit));
      CHECK(off(got[i], r.want[i], unit) <= most);
    }
  }
}
void near(const Array& got, const std::vector<double>& want, double relative = 1e-13) {
  const auto v = got.to_vector<double>();
  REQUIRE(v.size() == want.size());
  for (std::size_t i = 0; i < v.size(); ++i) {
    INFO(i << ": " << v[i] << ", should be " << want[i]);
    CHECK(off(v[i], want[i], 1) <= relative);
  }
}
template <class F>
Array slopes(F f, const Array& x) {
  return jit(vmap(grad(f)))(x);
}
}  // namespace

TEST_CASE("special: values", "[special]") {
  for (const Row& r : rows) {
    check_row(r, f64);
    check_row(r, f32);
  }
}

TEST_CASE("special: corners", "[special]") {
  const Array ends = {-kInf, kInf, kNan};
  near(ndtr(ends), {0, 1, kNan});
  near(log_ndtr(ends), {-kInf, 0, kNan});
  near(ndtri(Array{0., 1., -0.5, 1.5, kNan}), {-kInf, kInf, kNan, kNan, kNan});
  near(erfcx(ends), {kInf, 0, kNan});
  near(gamma(Array{0., -1., kInf, kNan}), {kInf, kNan, kInf, kNan});
  near(gammasgn(Array{0., -0., -2., kNan}), {1, -1, kNan, kNan});
  near(loggamma(Array{-0.5, 3.}), {kNan, std::log(2.)});
  near(betaln(-0.5, Array{3.25}), {std::log(5.6186947591974)});
  near(entr(Array{-1., 0., kNan, kInf}), {-kInf, 0, kNan, -kInf});
  near(rel_entr(Array{-1., 0.5, kNan}, Array{1., 0., 1.}), {kInf, kInf, kNan});
  near(expn(Array{1., 2., 1., -1., 1., 0.}, Array{0., 0., -1., 1., kNan, kInf}),
       {kInf, 1, kNan, kNan, kNan, 0});
  near(exp1(Array{kInf}), {0});
  near(expi(Array{0., kInf, -kInf, kNan}), {-kInf, kInf, 0, kNan});
  near(spence(Array{-1., kNan}), {kNan, kNan});
  near(poch(Array{-1., -1.}, Array{0., 2.}), {1, kNan});
  near(comb(Array{4., 0., 0.}, Array{2., 0., 1.}, true), {10, 1, 0});
  near(bernoulli(12, f64),
       {1, -0.5, 1. / 6, 0, -1. / 30, 0, 1. / 42, 0, -1. / 30, 0, 5. / 66, 0, -691. / 2730});
  CHECK(bernoulli(0).shape() == Shape{1});
  // types, shapes, numbers
  CHECK(ndtr(1).dtype() == f64);
  CHECK(betaln(2, Array{1.f, 2.f}).dtype() == f32);
  CHECK(beta(ones({2, 1}), ones({3})).shape() == Shape{2, 3});
  CHECK(expi(zeros({0, 2})).shape() == Shape{0, 2});
  CHECK(expn(2, zeros({0}, f64)).shape() == Shape{0});
  CHECK_THROWS_WITH(gamma(Array(1.).astype(c128)), Catch::Contains("E76"));
  CHECK_THROWS_WITH(multigammaln(1., 0), Catch::Contains("E140"));
  CHECK_THROWS_WITH(bernoulli(-1), Catch::Contains("E140"));
}

TEST_CASE("special: derivatives", "[special]") {
  const Array x = {0.3, 0.8, 1.7, 3.2}, b = {2.2, 0.6, 4.1, 11.};
  const auto one = [&](auto f, Array at) {
    check_grads(f, std::tuple(at));
    check_grads([f](Array v) { return vmap(jit(f))(v); }, std::tuple(at));
  };
  one([](Array v) { return ndtr(v); }, x - 1.5);
  one([](Array v) { return log_ndtr(v); }, 3 * x - 5);
  one([](Array v) { return ndtri(v); }, Array{0.03, 0.3, 0.6, 0.97});
  one([](Array v) { return erfcx(v); }, x - 1);
  one([](Array v) { return gamma(v); }, x);
  one([](Array v) { return entr(v); }, x);
  one([](Array v) { return exp1(v); }, x);
  one([](Array v) { return expn(3, v); }, x);
  one([](Array v) { return expi(v); }, x - 2);
  one([](Array v) { return spence(v); }, x);
  one([](Array v) { return factorial(v); }, x);
  one([](Array v) { return multigammaln(v, 2); }, x + 1);
  check_grads([](Array u, Array v) { return betaln(u, v); }, std::tuple(x * 5, b));
  check_grads([](Array u, Array v) { return beta(u, v); }, std::tuple(x, b));
  check_grads([](Array u, Array v) { return poch(u, v); }, std::tuple(x, b));
  check_grads([](Array u, Array v) { return comb(u, v); }, std::tuple(b + 3, x));
  check_grads([](Array u, Array v) { return rel_entr(u, v); }, std::tuple(x, b));
  check_grads([](Array u, Array v) { return kl_div(u, v); }, std::tuple(x, b));
  check_grads([](Array u, Array v) { return boxcox(u, v); }, std::tuple(x, b));
  check_grads([](Array u, Array v) { return boxcox1p(u, v); }, std::tuple(x, b));
  // far out: the hazard of the normal distribution, and its slope
  near(slopes([](Array v) { return log_ndtr(v); }, Array{-1000., -30., -5., 0., 2., 40.}),
       {1000.000999998, 30.033259667433677, 5.186503967125842, 0.7978845608028654,
        0.055247862678989956, 0.0},
       1e-12);
  near(slopes(grad([](Array v) { return log_ndtr(v); }), Array{-30., -5., 0.}),
       {-0.9988962284881099, -0.9673035653828878, -0.6366197723675814}, 1e-10);
  near(slopes([](Array v) { return erfcx(v); }, Array{-1., 0., 4., 1e6}),
       {-11.14633932862008, -1.1283791670955126, -0.032383506095021455, -5.6418958354691e-13},
       1e-12);
  near(slopes([](Array v) { return exp1(v); }, Array{0.5, 2.}),
       {-1.2130613194252668, -0.06766764161830635});
  near(slopes(grad([](Array v) { return expn(2, v); }), Array{0.5, 2.}),
       {1.2130613194252668, 0.06766764161830635});
  near(slopes([](Array v) { return entr(v); }, Array{0., 1.}), {kInf, -1});
  near(slopes([](Array v) { return boxcox(2., v); }, Array{0., 1e-3}),
       {0.24022650695910072, 0.24033754403615187}, 1e-10);
}

TEST_CASE("special: sums of exponentials", "[special]") {
  const Array x = {{1., 2., 3.}, {1000., 1001., -kInf}}, b = {{1., -2., 3.}, {-1., 0.5, 7.}};
  const auto [l, s] = signed_logsumexp(x, b, 1);
  near(s, {1, 1});
  near(l, {3.8752922221483943, 998.975959551236});
  near(logsumexp(x, 1., 1), {3.4076059644443806, 1001.3132616875183});
  near(logsumexp(x, b, 1), {std::log(std::exp(1.) - 2 * std::exp(2.) + 3 * std::exp(3.)),
                            1000 + std::log(0.5 * std::exp(1.) - 1)});
  CHECK(logsumexp(x, b, {0, 1}, true).shape() == Shape{1, 1});
  near(logsumexp(Array{1., 2.}, Array{1., -1.}, 0), {kNan});
  near(signed_logsumexp(Array{1., 2.}, Array{1., -1.}).log,
       {std::log(std::exp(2.) - std::exp(1.))});
  near(signed_logsumexp(Array{1., 2.}, Array{1., -1.}).sign, {-1});
  near(signed_logsumexp(Array{1., 1.}, Array{1., -1.}).log, {-kInf});
  near(logsumexp(Array{kInf, 1.}, Array{0., 1.}, 0), {1});  // not counted
  near(signed_logsumexp(zeros({0}, f64)).log, {-kInf});
  check_grads([](Array u, Array v) { return logsumexp(u, v, 1); },
              std::tuple(Array{{1., 2., 3.}}, Array{{1., -2., 3.}}));
  near(vmap([](Array u) { return logsumexp(u, 2., 0); })(x),
       {3.4076059644443806 + std::log(2.), 1001.3132616875183 + std::log(2.)});
}
