// random_distributions_test.cc -- distributions with parameters: the numbers of JAX 0.10.2 (threefry2x32, partitionable), implicit
// derivatives, transforms, moments, and errors.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/grad.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/jit.h"
#include "jaxpp/linalg.h"
#include "jaxpp/random.h"
#include "jaxpp/special.h"
#include "jaxpp/vmap.h"

using namespace jaxpp;

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();
using D = std::vector<double>;
random::Key k42() { return random::key(42); }

struct Row {
  const char* name;
  DType d;
  Array (*draw)(DType);
  D want;
  double ulps;  // of the greatest element: sums and differences are rounded at its size
};
const Row rows[] = {
    // clang-format off
  {"gamma", f32, []([[maybe_unused]] DType d) { return random::gamma(k42(), 2.5, {4}, d); }, {4.378075122833252, 1.5007864236831665, 4.194111347198486, 1.564313530921936}, 8},
  {"gamma", f64, []([[maybe_unused]] DType d) { return random::gamma(k42(), 2.5, {4}, d); }, {2.8769331987267917, 1.8851142907505218, 5.75709708230657, 2.764149407028277}, 8},
  {"gamma", f32, []([[maybe_unused]] DType d) { return random::gamma(k42(), Array{0.25, 1., 30., 1e4}, {}, d); }, {0.29553067684173584, 0.33158406615257263, 35.993221282958984, 9954.30078125}, 32},
  {"gamma", f64, []([[maybe_unused]] DType d) { return random::gamma(k42(), Array{0.25, 1., 30., 1e4}, {}, d); }, {0.01901737330343701, 0.5161877343182824, 39.92551051517378, 10037.056418306376}, 32},
  {"gamma", f32, []([[maybe_unused]] DType d) { return random::gamma(k42(), 0.5, {40}, d)(Slice(36, None)); }, {1.3574265241622925, 0.9772031903266907, 0.20024840533733368, 2.313882827758789}, 32},
  {"gamma", f64, []([[maybe_unused]] DType d) { return random::gamma(k42(), 0.5, {40}, d)(Slice(36, None)); }, {0.7509736777301503, 0.7108918129147102, 0.6784844094101945, 0.014434500763228034}, 32},
  {"loggamma", f32, []([[maybe_unused]] DType d) { return random::loggamma(k42(), Array{1e-3, 0.25, 1., 30.}, {}, d); }, {-537.9234008789062, -1.316563367843628, 0.6967637538909912, 3.305421829223633}, 16},
  {"loggamma", f64, []([[maybe_unused]] DType d) { return random::loggamma(k42(), Array{1e-3, 0.25, 1., 30.}, {}, d); }, {-1075.138230732641, -8.695358633162341, -0.8579717054671963, 3.457814584308681}, 16},
  {"beta", f32, []([[maybe_unused]] DType d) { return random::beta(k42(), 0.5, 2, {3}, d); }, {0.27497145533561707, 0.15737295150756836, 0.5494621992111206}, 32},
  {"beta", f64, []([[maybe_unused]] DType d) { return random::beta(k42(), 0.5, 2, {3}, d); }, {0.05412583995929669, 0.016976737327934654, 0.0605913600496202}, 32},
  {"chisquare", f32, []([[maybe_unused]] DType d) { return random::chisquare(k42(), 3, {3}, d); }, {5.87071418762207, 1.3978509902954102, 5.559423446655273}, 16},
  {"chisquare", f64, []([[maybe_unused]] DType d) { return random::chisquare(k42(), 3, {3}, d); }, {3.4123750492211147, 1.9269875304255157, 8.271386696089039}, 16},
  {"f", f32, []([[maybe_unused]] DType d) { return random::f(k42(), 3, 5, {3}, d); }, {0.7283635139465332, 0.35692548751831055, 0.23560737073421478}, 32},
  {"f", f64, []([[maybe_unused]] DType d) { return random::f(k42(), 3, 5, {3}, d); }, {1.158641615967818, 0.4334901445978058, 6.869564969322846}, 32},
  {"t", f32, []([[maybe_unused]] DType d) { return random::t(k42(), 4, {3}, d); }, {0.0862121731042862, -1.2958955764770508, 2.0797083377838135}, 16},
  {"t", f64, []([[maybe_unused]] DType d) { return random::t(k42(), 4, {3}, d); }, {-0.6868952295334372, -0.49185716623639475, 2.0658955546227156}, 16},
  {"dirichlet", f32, []([[maybe_unused]] DType d) { return random::dirichlet(k42(), Array{0.5, 1., 3.}, {2}, d); }, {0.16127800941467285, 0.05350642278790474, 0.7852154970169067, 0.016318079084157944, 0.10349566489458084, 0.8801862597465515}, 32},
  {"dirichlet", f64, []([[maybe_unused]] DType d) { return random::dirichlet(k42(), Array{0.5, 1., 3.}, {2}, d); }, {0.027462761091563287, 0.07136011651241299, 0.9011771223960237, 0.05723775475066185, 0.05373408950105422, 0.889028155748284}, 32},
  {"lognormal", f32, []([[maybe_unused]] DType d) { return random::lognormal(k42(), 0.5, {3}, d); }, {0.9859473705291748, 1.2630960941314697, 1.159340739250183}, 8},
  {"lognormal", f64, []([[maybe_unused]] DType d) { return random::lognormal(k42(), 0.5, {3}, d); }, {0.9117806140267735, 0.33793142787224595, 1.0979752215045038}, 8},
  {"pareto", f32, []([[maybe_unused]] DType d) { return random::pareto(k42(), 2, {3}, d); }, {1.3985118865966797, 1.7672069072723389, 1.6143138408660889}, 8},
  {"pareto", f64, []([[maybe_unused]] DType d) { return random::pareto(k42(), 2, {3}, d); }, {1.3207465067932376, 1.0075905939607959, 1.532388301438321}, 8},
  {"rayleigh", f32, []([[maybe_unused]] DType d) { return random::rayleigh(k42(), 2, {3}, d); }, {2.3933022022247314, 1.7571814060211182, 1.9678773880004883}, 8},
  {"rayleigh", f64, []([[maybe_unused]] DType d) { return random::rayleigh(k42(), 2, {3}, d); }, {2.6101486342144358, 5.795884058247333, 2.1068921475580344}, 8},
  {"maxwell", f32, []([[maybe_unused]] DType d) { return random::maxwell(k42(), {3}, d); }, {0.553582489490509, 0.293285071849823, 1.708603024482727}, 8},
  {"maxwell", f64, []([[maybe_unused]] DType d) { return random::maxwell(k42(), {3}, d); }, {2.1856811186160847, 0.866467331447922, 0.8407561365101462}, 8},
  {"double_sided_maxwell", f32, []([[maybe_unused]] DType d) { return random::double_sided_maxwell(k42(), 1, 2, {3}, d); }, {-1.7620434761047363, -0.3513779640197754, 5.444042682647705}, 16},
  {"double_sided_maxwell", f64, []([[maybe_unused]] DType d) { return random::double_sided_maxwell(k42(), 1, 2, {3}, d); }, {-2.6956351413757687, -3.6877952518604795, 4.7138077011187836}, 16},
  {"wald", f32, []([[maybe_unused]] DType d) { return random::wald(k42(), 1.5, {3}, d); }, {1.6461201906204224, 2.6983466148376465, 0.3518810272216797}, 64},
  {"wald", f64, []([[maybe_unused]] DType d) { return random::wald(k42(), 1.5, {3}, d); }, {3.529976562489182, 1.0915612562479036, 0.24683423568313878}, 64},
  {"weibull_min", f32, []([[maybe_unused]] DType d) { return random::weibull_min(k42(), 2, 1.5, {3}, d); }, {1.5326144695281982, 2.181030750274658, 1.943356990814209}, 16},
  {"weibull_min", f64, []([[maybe_unused]] DType d) { return random::weibull_min(k42(), 2, 1.5, {3}, d); }, {1.3529603556444487, 0.12231276251644208, 1.7997751636072923}, 16},
  {"triangular", f32, []([[maybe_unused]] DType d) { return random::triangular(k42(), 0, 0.25, 1, {4}, d); }, {0.38075220584869385, 0.5099468231201172, 0.4635334610939026, 0.42620742321014404}, 16},
  {"triangular", f64, []([[maybe_unused]] DType d) { return random::triangular(k42(), 0, 0.25, 1, {4}, d); }, {0.34429097534610054, 0.06125779443326903, 0.4348525090072959, 0.5498491060527294}, 16},
  {"generalized_normal", f32, []([[maybe_unused]] DType d) { return random::generalized_normal(k42(), 1.5, {3}, d); }, {-0.8782375454902649, -0.2061624526977539, 1.160470962524414}, 32},
  {"generalized_normal", f64, []([[maybe_unused]] DType d) { return random::generalized_normal(k42(), 1.5, {3}, d); }, {-0.4028062414861481, -0.09948843483645729, 0.35442502223499145}, 32},
  {"ball", f32, []([[maybe_unused]] DType d) { return random::ball(k42(), 3, 2, {2}, d); }, {-0.3234022855758667, -0.061338748782873154, -0.01824338734149933, 0.4372413158416748, -0.07705393433570862, -0.3594384789466858}, 32},
  {"ball", f64, []([[maybe_unused]] DType d) { return random::ball(k42(), 3, 2, {2}, d); }, {-0.04422263011031423, -0.26116012882271694, -0.49768540810316086, 0.4324718391701501, -0.33135913797182875, -0.18032268701433754}, 32},
  {"orthogonal", f32, []([[maybe_unused]] DType d) { return random::orthogonal(k42(), 3, {}, d); }, {-0.01952970027923584, 0.9952677488327026, 0.09518947452306747, 0.10594390332698822, -0.09261152893304825, 0.9900500178337097, -0.99418044090271, -0.02941983938217163, 0.10363386571407318}, 64},
  {"orthogonal", f64, []([[maybe_unused]] DType d) { return random::orthogonal(k42(), 3, {}, d); }, {-0.24985348168396393, -0.9679399318215844, 0.025797792068838043, 0.8281911415011259, -0.19982480469811714, 0.5236119560957534, 0.5016698823224919, -0.15219177314357468, -0.851566200220483}, 64},
  {"orthogonal", f32, []([[maybe_unused]] DType d) { return random::orthogonal(k42(), 2, {}, d, 3); }, {-0.08792734146118164, 0.918591320514679, -0.3853037655353546, 0.8722633719444275, 0.2578020691871643, 0.41556572914123535}, 64},
  {"orthogonal", f64, []([[maybe_unused]] DType d) { return random::orthogonal(k42(), 2, {}, d, 3); }, {-0.3323982541017758, 0.3364001079140078, 0.8811051969348128, -0.9177473674466865, 0.09995078745710298, -0.3843821140888083}, 64},
  {"multivariate_normal", f32, []([[maybe_unused]] DType d) { return random::multivariate_normal(k42(), Array{1., -1.}, Array{{2., 0.5}, {0.5, 1.}}, {2}, d); }, {0.9599712491035461, -0.5730453729629517, 1.418187141418457, -0.751824140548706}, 16},
  {"multivariate_normal", f64, []([[maybe_unused]] DType d) { return random::multivariate_normal(k42(), Array{1., -1.}, Array{{2., 0.5}, {0.5, 1.}}, {2}, d); }, {0.738778144692716, -3.094990487430765, 1.2643667926365265, -0.36118650287186393}, 16},
  {"poisson", f32, []([[maybe_unused]] DType d) { return random::poisson(k42(), Array{0.5, 3., 9., 12., 200., 0.}, {3, 6}); }, {1, 2, 12, 9, 180, 0, 0, 3, 13, 12, 193, 0, 2, 5, 12, 11, 184, 0}, 0},
  {"poisson", f64, []([[maybe_unused]] DType d) { return random::poisson(k42(), Array{0.5, 3., 9., 12., 200., 0.}, {3, 6}); }, {1, 2, 12, 9, 180, 0, 0, 3, 13, 12, 193, 0, 2, 5, 12, 11, 184, 0}, 0},
  {"geometric", f32, []([[maybe_unused]] DType d) { return random::geometric(k42(), full({}, 0.2, d), {8}); }, {4, 2, 3, 3, 4, 3, 12, 2}, 0},
  {"geometric", f64, []([[maybe_unused]] DType d) { return random::geometric(k42(), full({}, 0.2, d), {8}); }, {4, 19, 3, 2, 2, 2, 2, 3}, 0},
  {"binomial", f32, []([[maybe_unused]] DType d) { return random::binomial(k42(), Array{5., 10., 100., 1000.}, Array{0.5, 0.25, 0.75, 0.01}.astype(d), {3, 4}, d); }, {3, 4, 75, 7, 1, 3, 72, 12, 5, 4, 68, 8}, 0},
  {"binomial", f64, []([[maybe_unused]] DType d) { return random::binomial(k42(), Array{5., 10., 100., 1000.}, Array{0.5, 0.25, 0.75, 0.01}.astype(d), {3, 4}, d); }, {3, 1, 83, 9, 0, 1, 81, 8, 3, 2, 75, 7}, 0},
  {"multinomial", f32, []([[maybe_unused]] DType d) { return random::multinomial(k42(), 50, Array{0.2, 0.3, 0.5}.astype(d), {2, 3}, d); }, {13, 16, 21, 8, 16, 26}, 0},
  {"multinomial", f64, []([[maybe_unused]] DType d) { return random::multinomial(k42(), 50, Array{0.2, 0.3, 0.5}.astype(d), {2, 3}, d); }, {10, 19, 21, 8, 14, 28}, 0},
  {"categorical", f32, []([[maybe_unused]] DType d) { return random::categorical(k42(), log(Array{{0.1, 0.2, 0.7}, {0.5, 0.3, 0.2}}).astype(d), -1, {2, 2}, false); }, {2, 0, 1, 1}, 0},
  {"categorical", f64, []([[maybe_unused]] DType d) { return random::categorical(k42(), log(Array{{0.1, 0.2, 0.7}, {0.5, 0.3, 0.2}}).astype(d), -1, {2, 2}, false); }, {2, 0, 0, 1}, 0},
  {"permutation", f32, []([[maybe_unused]] DType d) { return random::permutation(k42(), arange(12).reshape({3, 4}).astype(d), 1); }, {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9}, 0},
  {"permutation", f64, []([[maybe_unused]] DType d) { return random::permutation(k42(), arange(12).reshape({3, 4}).astype(d), 1); }, {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9}, 0},
  {"permutation", f32, []([[maybe_unused]] DType d) { return random::permutation(k42(), arange(12).reshape({3, 4}).astype(d), 1, true); }, {2, 3, 0, 1, 7, 4, 5, 6, 10, 11, 8, 9}, 0},
  {"permutation", f64, []([[maybe_unused]] DType d) { return random::permutation(k42(), arange(12).reshape({3, 4}).astype(d), 1, true); }, {2, 3, 0, 1, 7, 4, 5, 6, 10, 11, 8, 9}, 0},
  {"choice", f32, []([[maybe_unused]] DType d) { return random::choice(k42(), arange(12).reshape({3, 4}).astype(d), {2}, true, {}, 1); }, {0, 2, 4, 6, 8, 10}, 0},
  {"choice", f64, []([[maybe_unused]] DType d) { return random::choice(k42(), arange(12).reshape({3, 4}).astype(d), {2}, true, {}, 1); }, {0, 2, 4, 6, 8, 10}, 0},
  {"choice", f32, []([[maybe_unused]] DType d) { return random::choice(k42(), arange(12).reshape({3, 4}).astype(d), {2}, false, {}, 1); }, {2, 3, 6, 7, 10, 11}, 0},
  {"choice", f64, []([[maybe_unused]] DType d) { return random::choice(k42(), arange(12).reshape({3, 4}).astype(d), {2}, false, {}, 1); }, {2, 3, 6, 7, 10, 11}, 0},
  {"logistic", f32, []([[maybe_unused]] DType d) { return random::logistic(k42(), {3}, d); }, {-0.0451694130897522, 0.7528398036956787, 0.47375231981277466}, 16},
  {"logistic", f64, []([[maybe_unused]] DType d) { return random::logistic(k42(), {3}, d); }, {-0.29521526220084393, -4.183910141360207, 0.29878068416298553}, 16},
  {"key_data", f32, []([[maybe_unused]] DType d) { return random::key_data(random::split(k42(), {2, 2})); }, {1832780943, 270669613, 64467757, 2916123636, 2465931498, 255383827, 3134548294, 894150801}, 0},
  {"key_data", f64, []([[maybe_unused]] DType d) { return random::key_data(random::split(k42(), {2, 2})); }, {1832780943, 270669613, 64467757, 2916123636, 2465931498, 255383827, 3134548294, 894150801}, 0},
    // clang-format on
};
void near(const Array& got, const D& want, double ulps, double unit) {
  const D v = got.to_vector<double>();
  REQUIRE(v.size() == want.size());
  for (std::size_t i = 0; i < v.size(); ++i) {
    INFO(i << ": " << v[i] << ", should be " << want[i] << ": "
           << std::abs(v[i] - want[i]) / (unit * std::abs(want[i])) << " ulp");
    CHECK((v[i] == want[i] || std::abs(v[i] - want[i]) <= ulps * unit * std::abs(want[i])));
  }
}
double unit_of(DType d) { return d == f64 ? 0x1p-53 : 0x1p-24; }
// The mean of many numbers, and their variance, within so many standard errors.
void moments(const Array& x, double m, double variance) {
  const double n = double(x.size()), error = std::sqrt(variance / n);
  INFO("mean " << double(mean(x)) << ", variance " << double(var(x)));
  CHECK(std::abs(double(mean(x)) - m) < 5 * error);
  CHECK(double(var(x)) == Approx(variance).epsilon(0.1));
}
}  // namespace

TEST_CASE("random distributions: numbers of JAX", "[random]") {
  const auto scope = default_dtype(f64);  // the mode of JAX in which they were drawn
  for (const Row& r : rows) {
    INFO(r.name << " " << name(r.d));
    near(r.draw(r.d), r.want, r.ulps, unit_of(r.d));
    near(jit([&] { return r.draw(r.d); })(), r.want, r.ulps, unit_of(r.d));
  }
}

TEST_CASE("random distributions: keys", "[random]") {
  const random::Key k = k42();
  CHECK(array_equal(random::PRNGKey(42).data, k.data));
  CHECK(array_equal(random::wrap_key_data(random::key_data(k)).data, k.data));
  CHECK(array_equal(random::clone(k).data, k.data));
  CHECK(random::split(k, {2, 3}).data.shape() == Shape{2, 3, 2});
  CHECK(array_equal(random::split(k, Shape{6}).data, random::split(k, 6).data));
  CHECK(array_equal(random::split(k, {2, 3}).data.reshape({6, 2}), random::split(k, 6).data));
  CHECK_THROWS_WITH(random::wrap_key_data(Array{1, 2}), Catch::Contains("E53"));
  CHECK_THROWS_WITH(random::split(k, {2, -1}), Catch::Contains("E53"));
}

TEST_CASE("random distributions: derivatives", "[random]") {
  const auto slopes = [](auto f, Array a) { return jit(vmap(grad(f)))(a); };
  const auto gamma64 = [](Array a) { return random::gamma(k42(), a, {}, f64); };
  const auto loggamma64 = [](Array a) { return random::loggamma(k42(), a, {}, f64); };
  near(slopes(gamma64, Array{0.1, 0.5, 1., 3., 50.}),
       {0.002639112988909411, 0.7907794298746188, 1.2266369661596563, 1.1322768987667835,
        1.0310751344484292},
       1e4, 0x1p-53);
  near(slopes(loggamma64, Array{0.1, 0.5, 3., 50.}),
       {101.32113985000574, 3.9806962046807484, 0.3284617320639876, 0.019522126053620314}, 1e4,
       0x1p-53);
  near(
      slopes([](Array a) { return random::gamma(k42(), a, {}, f32); }, Array{0.5f, 1.f, 3.f, 50.f}),
      {1.877781629562378, 1.6827938556671143, 1.3574944734573364, 1.082827091217041}, 64, 0x1p-24);
  near(grad([](Array a) { return random::beta(k42(), a, 2., {}, f64); })(0.5),
       {0.24123775446023496}, 1e4, 0x1p-53);
  near(grad([](Array a) { return random::dirichlet(k42(), a, {}, f64)(0); })(Array{0.5, 1., 3.}),
       {0.10631865484525578, -0.0031199494715216364, -0.005767377220451826}, 1e6, 0x1p-53);
  // where the sample is 0 in the type: its probability moves with the shape all the same
  const double a = 1e-4, y = double(loggamma64(a)), h = 1e-7;
  CHECK(y < -1000);
  const double at_a = a * y - std::lgamma(a + 1);
  CHECK(double(grad(loggamma64)(a)) == Approx(((at_a + std::lgamma(a + h + 1)) / (a + h) -
                                               (at_a + std::lgamma(a - h + 1)) / (a - h)) /
                                              (2 * h))
                                           .epsilon(1e-4));
  // E[x] = a: the mean of the derivatives is 1
  const Array many = grad([](Array v) { return mean(random::gamma(k42(), v, {50000}, f64)); })(1.5);
  CHECK(double(many) == Approx(1).epsilon(0.03));
  // formulas
  CHECK(double(grad([](Array s) { return random::lognormal(k42(), s, {}, f64); })(0.5)) ==
        Approx(double(random::normal(k42(), {}, f64) * random::lognormal(k42(), 0.5, {}, f64))));
  CHECK(all(isfinite(jacfwd(
                [](Array m) { return random::triangular(k42(), 0., m, 1., {50}, f64); })(0.25)))
            .item<bool>());
  const Array cov = {{2., 0.5}, {0.5, 1.}};
  for (const char* method : {"cholesky", "eigh", "svd"})
    CHECK(all(isfinite(jacrev([&](Array c) {
            return random::multivariate_normal(k42(), zeros({2}, f64), c, {3}, f64, method);
          })(cov)))
              .item<bool>());
}

TEST_CASE("random distributions: under vmap and jit", "[random]") {
  const random::Key keys = random::split(k42(), 3);
  const D gammas = {1.8112812864062475, 0.8053018428042443, 2.199260644478232,
                    0.5615329199367962, 1.261962259210033,  3.702566888120141};
  const auto two = [](random::Key k) { return random::gamma(k, 2., {2}, f64); };
  near(vmap(two)(keys), gammas, 16, 0x1p-53);
  near(jit(vmap(two))(keys), gammas, 16, 0x1p-53);
  const D counts = {19, 13, 23, 20, 16, 17};
  const auto poissons = [](random::Key k) { return random::poisson(k, 20., {2}); };
  near(vmap(poissons)(keys), counts, 0, 1);
  near(jit(vmap(poissons))(keys), counts, 0, 1);
  for (std::int64_t i = 0; i < 3; ++i) {
    near(two(keys[i]), D(gammas.begin() + 2 * i, gammas.begin() + 2 * i + 2), 16, 0x1p-53);
    near(poissons(keys[i]), D(counts.begin() + 2 * i, counts.begin() + 2 * i + 2), 0, 1);
  }
  // one key, many shapes
  const Array a = {0.5, 3.};
  near(vmap([](Array v) { return random::gamma(k42(), v, {}, f64); })(a),
       {double(random::gamma(k42(), 0.5, {}, f64)), double(random::gamma(k42(), 3., {}, f64))}, 16,
       0x1p-53);
  const auto binomials = [](random::Key k, Array p) {
    return random::binomial(k, 40., p, {}, f64);
  };
  const Array p = {0.1, 0.5, 0.8};
  const Array b = jit(vmap(binomials))(keys, p);
  for (std::int64_t i = 0; i < 3; ++i) CHECK(double(b(i)) == double(binomials(keys[i], p(i))));
}

TEST_CASE("random distributions: moments", "[random]") {
  const random::Key k = k42();
  const Shape n{20000};
  moments(random::gamma(k, 0.3, n, f64), 0.3, 0.3);
  moments(random::gamma(k, 7., n), 7, 7);
  moments(exp(random::loggamma(k, 2., n)), 2, 2);
  moments(random::gamma(k, 3., n, f16).astype(f64), 3, 3);
  moments(random::beta(k, 2, 3, n), 0.4, 0.04);
  moments(random::chisquare(k, 5, n), 5, 10);
  moments(random::t(k, 8, n), 0, 8. / 6);
  moments(random::rayleigh(k, 1, n), std::sqrt(M_PI / 2), 2 - M_PI / 2);
  moments(random::maxwell(k, n), 2 * std::sqrt(2 / M_PI), 3 - 8 / M_PI);
  moments(random::wald(k, 1, n), 1, 1);
  moments(random::triangular(k, 0, 1, 2, n), 1, 1. / 6);
  moments(random::poisson(k, 4., n).astype(f64), 4, 4);
  moments(random::poisson(k, 40., n).astype(f64), 40, 40);
  moments(random::geometric(k, 0.25, n).astype(f64), 4, 12);
  moments(random::binomial(k, 12., 0.25, n), 3, 2.25);
  moments(random::binomial(k, 200., 0.7, n), 140, 42);
  const Array counts = random::multinomial(k, 30., Array{0.2, 0.3, 0.5}, {2000, 3});
  CHECK(all(sum(counts, -1) == 30.).item<bool>());
  moments(counts(All, 0), 6, 4.8);
  const Array x =
      random::multivariate_normal(k, Array{1., 2.}, Array{{2., 0.5}, {0.5, 1.}}, n, f64, "svd");
  moments(x(All, 0), 1, 2);
  CHECK(double(mean((x(All, 0) - 1) * (x(All, 1) - 2))) == Approx(0.5).margin(0.05));
  const Array q = random::orthogonal(k, 4, {5}, f64);
  CHECK(allclose(matmul(q, matrix_transpose(q)), broadcast_to(eye(4, f64), {5, 4, 4}), 0, 1e-14));
  CHECK(double(max(linalg::norm(random::ball(k, 3, 2, n), {}, -1))) <= 1);
  // every permutation of rows by itself
  const Array rows_of = random::permutation(k, broadcast_to(arange(5), {4, 5}), 1, true);
  CHECK(array_equal(sort(rows_of, 1), broadcast_to(arange(5), {4, 5})));
}

TEST_CASE("random distributions: corners and bad input", "[random]") {
  const random::Key k = k42();
  near(random::gamma(k, Array{0., kInf}, {}, f64), {0, kInf}, 0, 1);
  CHECK(std::isnan(double(random::gamma(k, kNan, {}, f64))));
  CHECK(std::isnan(double(random::gamma(k, -1., {}, f64))));
  near(random::poisson(k, Array{0., kNan, kInf}), {0, -1, -1}, 0, 1);
  near(random::binomial(k, Array{0., 5., 5., kInf}, Array{0.5, 0., 1., 0.5}, {}, f64),
       {0, 0, 5, kInf}, 0, 1);
  CHECK(std::isnan(double(random::binomial(k, -1., 0.5))));
  CHECK(std::isnan(double(random::binomial(k, 5., kNan))));
  CHECK(random::gamma(k, 1., {0, 3}).shape() == Shape{0, 3});
  CHECK(random::poisson(k, zeros({0})).shape() == Shape{0});
  CHECK(random::beta(k, ones({3, 1}), ones({2})).shape() == Shape{3, 2});
  CHECK(random::poisson(k, 3., {2}, u8).dtype() == u8);
  CHECK(random::dirichlet(k, ones({3}), {0}).shape() == Shape{0, 3});
  CHECK_THROWS_WITH(random::gamma(k, 1., {}, i32), Catch::Contains("E53"));
  CHECK_THROWS_WITH(random::poisson(k, 1., {}, f32), Catch::Contains("E53"));
  CHECK_THROWS_AS(random::gamma(k, ones({3}), {2}), TypeError);
  CHECK_THROWS_WITH(random::dirichlet(k, 1.), Catch::Contains("E53"));
  CHECK_THROWS_WITH(random::multivariate_normal(k, ones({2}), eye(3)), Catch::Contains("E53"));
  CHECK_THROWS_WITH(random::multivariate_normal(k, ones({2}), eye(2), {}, f32, "lu"),
                    Catch::Contains("cholesky, eigh and svd"));
  CHECK_THROWS_WITH(random::categorical(k, Array{1., 2.}, 0, {3}, false), Catch::Contains("E53"));
}
