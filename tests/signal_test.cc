// signal_test.cc -- signal and the cosine transforms, against SciPy 1.17's and JAX 0.10's values and against their definition.
#include "jaxpp/signal.h"
#include <catch2/catch.hpp>
#include "jaxpp/jaxpp.h"
#include "message.h"
#include "values.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {
Array normal(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  return a.size() ? double(max(abs(a - b))) : 0;
}
const Array kX = {{1., 2., 3., 4.}, {0., -1., 2., 5.}, {3., 1., -2., 0.}};
const Array kK = {{1., 2.}, {-1., 3.}};
const Array kV = {1., -2., 3., .5, 4.};
const char* const kModes[] = {"full", "same", "valid"};
}  // namespace

TEST_CASE("signal: convolutions", "[signal]") {
  using signal::Method;
  const Array full = {{1., 4., 7., 10., 8.},
                      {-1., 0., 3., 14., 22.},
                      {3., 8., -5., -3., 15.},
                      {-3., 8., 5., -6., 0.}};
  const Array correlated = {{3., 5., 7., 9., -4.},
                            {2., 2., 15., 24., -1.},
                            {9., -2., -4., 14., 5.},
                            {6., 5., -3., -2., 0.}};
  for (Method m : {Method::direct, Method::fft}) {
    check(signal::convolve(kX, kK, "full", m), full);
    check(signal::convolve(kX, kK, "same", m), full(Slice(0, 3), Slice(0, 4)));
    check(signal::convolve(kX, kK, "valid", m), full(Slice(1, 3), Slice(1, 4)));
    check(signal::convolve(kK, kX, "full", m), full);
    check(signal::convolve(kK, kX, "same", m), {{0., 3.}, {8., -5.}});
    check(signal::convolve(kK, kX, "valid", m), full(Slice(1, 3), Slice(1, 4)));
    check(signal::correlate(kX, kK, "full", m), correlated);
    check(signal::correlate(kX, kK, "same", m), correlated(Slice(0, 3), Slice(0, 4)));
    check(signal::correlate(kX, kK, "valid", m), correlated(Slice(1, 3), Slice(1, 4)));
    check(signal::correlate(kK, kX, "same", m), {{14., -4.}, {24., 15.}});
    check(signal::correlate(kK, kX, "valid", m), {{14., -4., -2.}, {24., 15., 2.}});
  }
  check(signal::convolve2d(kX, kK, "same"), signal::convolve(kX, kK, "same"));
  check(signal::correlate2d(kX, kK), correlated);
  check(signal::correlate2d(kX, kK, "same"), correlated(Slice(1, 4), Slice(1, 5)));
  check(signal::correlate2d(kX, kK, "valid"), correlated(Slice(1, 3), Slice(1, 4)));
  check(signal::correlate2d(kK, kX, "same"), {{-4., -2.}, {15., 2.}});
  const Array z = lax::complex(kX, 0.5 * kX), w = lax::complex(kK, transpose(kK));
  check(signal::correlate2d(w, z, "valid"),
        {{std::complex(10.5, 14.), std::complex(-7.5, 5.), std::complex(3., -11.)},
         {std::complex(33., -6.), std::complex(16.5, 4.5), std::complex(0., 5.)}});
  check(signal::correlate(w, z, "valid"), conj(signal::correlate2d(w, z, "valid")));
  // Any rank, and operands of which neither is the larger one.
  for (const char* mode : kModes) {
    const Array x = normal(1, {4, 3, 5}), y = normal(2, {2, 3, 2});
    CHECK(distance(signal::fftconvolve(x, y, mode), signal::convolve(x, y, mode)) < 1e-12);
    CHECK(distance(signal::convolve(x(0, 0), y(0, 0), mode),
                   signal::fftconvolve(x(0, 0), y(0, 0), mode)) < 1e-13);
    const Array batch = signal::fftconvolve(
        x, y(Slice(0, 1), All, All) + zeros_like(x(All, All, Slice(0, 2))), mode, 2);
    CHECK(distance(batch(1, 2), signal::convolve(x(1, 2), y(0, 2), mode)) < 1e-12);
    check_grads([=](Array u, Array v) { return signal::convolve(u, v, mode); }, std::tuple(kX, kK),
                {.order = 2});
    check_grads([=](Array u, Array v) { return signal::fftconvolve(u, v, mode); },
                std::tuple(kX, kK), {.order = 2});
    const auto f = [=](Array u, Array v) { return signal::convolve(u, v, mode); };
    const Array xs = normal(3, {3, 4, 4}), ks = normal(4, {3, 2, 2});
    CHECK(distance(vmap(f)(xs, ks)(2), f(xs(2), ks(2))) < 1e-13);
    CHECK(distance(jit(f)(kX, kK), f(kX, kK)) < 1e-13);
  }
  CHECK(distance(signal::fftconvolve(ones({2, 5}, f64), ones({4, 2}, f64)),
                 outer(Array{1., 2., 2., 2., 1.}, Array{1., 2., 2., 2., 2., 1.})) < 1e-14);
  CHECK(signal::convolve(Array{1, 2}, Array{3, 4}).dtype() == f64);
  CHECK(signal::convolve(kX.astype(f32), kK.astype(f32)).dtype() == f32);
  CHECK_THROWS_AS(signal::convolve(ones({2, 5}), ones({4, 2})), TypeError);
  CHECK_THROWS_AS(signal::convolve(kX, kV), TypeError);
  CHECK_THROWS_AS(signal::convolve(kX, kK, "half"), TypeError);
  CHECK_THROWS_AS(signal::convolve(zeros({0}), ones({2})), TypeError);
  CHECK_THROWS_AS(signal::convolve2d(kV, kV), TypeError);
  CHECK_THROWS_AS(signal::fftconvolve(kX, kK, "full", 0), TypeError);
}
TEST_CASE("signal: detrend", "[signal]") {
  check(signal::detrend(kV), {1.4, -2.45, 1.7, -1.65, 1.});
  check(signal::detrend(kV, -1, signal::Trend::constant), {-0.3, -3.3, 1.7, -0.8, 2.7});
  check(signal::detrend({1., 3., 2., 5., 9., 4.}, -1, signal::Trend::linear, {3}),
        {-0.5, 1., -0.5, -1.5, 3., -1.5});
  const auto f = [](Array x) { return signal::detrend(x, 0); };
  CHECK(distance(f(transpose(kX)), transpose(signal::detrend(kX))) < 1e-14);
  check_grads(f, std::tuple(kV), {.order = 2});
  CHECK(distance(vmap(f)(kX)(1), f(kX(1))) < 1e-14);
  CHECK(distance(jit(f)(kX), f(kX)) < 1e-14);
  CHECK_THROWS_AS(signal::detrend(kV, 0, signal::Trend::linear, {6}), TypeError);
}
TEST_CASE("fft: cosine transforms", "[fft][signal]") {
  using fft::Norm;
  check(fft::dct(kV),
        {13., -8.6452653592332869, 3.017220926874316, 1.2285710677209298, 11.517220926874314});
  check(fft::dct(kV, 2, {}, -1, Norm::ortho),
        {2.9068883707497268, -2.7338729511730984, 0.9541290332847181, 0.38850828413831096,
         3.6420650444278406});
  check(fft::dct(kV, 2, {}, -1, Norm::forward),
        {1.3, -0.86452653592332862, 0.30172209268743161, 0.12285710677209298, 1.1517220926874314});
  check(fft::dct(kV, 3),
        {5.1097971083611231, -10.628435446714308, 3., -4.0240403957842172, 11.542678734137406});
  check(fft::dct(kV, 3, {}, -1, Norm::ortho),
        {1.7468455538594563, -3.2300205680855187, 1.0796691275336334, -1.1415274752372351,
         3.7811013394294548});
  check(fft::dct(kV, 3, {}, -1, Norm::forward),
        {0.51097971083611238, -1.0628435446714308, 0.3, -0.4024040395784218, 1.1542678734137406});
  check(fft::dct(kV, 2, 3), {4., -3.4641016151377544, 8.});
  check(fft::dct(kV, 2, 7), {13., -2.0452375837435861, -8.8170032260426883, 5.24905374576994,
                             2.7355619999387408, 3.203816162026353, 14.552565225981432});
  const Array b = {{1., -2., 3.}, {-4., 5., 6.}};
  check(fft::dctn(b), {{36., -41.569219381653056, 0.},
                       {-14.142135623730946, 19.595917942265423, 22.627416997969512}});
  check(fft::idctn(b, 2, {}, Axes::every(), Norm::ortho),
        {{2.8733313399617257, -6.4208972940982205, -0.12666866003827248},
         {-2.3247839514651232, 3.7732922598881915, 4.6752160485348773}});
  check(fft::dctn(b, 2, Dims{2, 2}),
        {{0., -16.970562748477139}, {-5.6568542494923779, 23.999999999999996}});
  check(fft::dctn(b, 2, {}, 0), fft::dct(b, 2, {}, 0));
  for (std::int64_t n : {1, 2, 3, 8, 37})
    for (int type : {2, 3})
      for (Norm norm : {Norm::backward, Norm::ortho, Norm::forward}) {
        const Array x = normal(int(n), {3, n});
        const auto f = [=](Array v) { return fft::dct(v, type, {}, -1, norm); };
        CHECK(distance(fft::idct(f(x), type, {}, -1, norm), x) < 1e-13);
        if (norm == Norm::ortho) {
          const Array m = f(eye(n, f64));
          CHECK(distance(matmul(m, transpose(m)), eye(n, f64)) < 1e-13);
        }
        if (n != 3) continue;
        check_grads(f, std::tuple(x), {.order = 2});
        CHECK(distance(vmap(f)(x)(1), f(x(1))) < 1e-14);
        CHECK(distance(jit(f)(x), f(x)) < 1e-14);
      }
  const Array z = lax::complex(kV, flip(kV));
  check(fft::dct(z), lax::complex(fft::dct(kV), fft::dct(flip(kV))));
  CHECK(fft::dct(kV.astype(f32)).dtype() == f32);
  CHECK(fft::dct(Array{1, 2, 3}).dtype() == f64);
  CHECK(fft::dct(zeros({0, 4})).shape() == Shape{0, 4});
  CHECK_THROWS_AS(fft::dct(kV, 4), TypeError);
  CHECK_THROWS_AS(fft::dct(kV, 2, 0), TypeError);
  CHECK_THROWS_AS(fft::dctn(b, 2, Dims{1, 2, 3}), TypeError);
}
TEST_CASE("fft: hfft and ihfft in all norms", "[fft]") {
  using fft::Norm;
  const Array x = {std::complex(1., 0.), std::complex(2., 1.), std::complex(3., -2.),
                   std::complex(4., 0.)};
  check(fft::hfft(x), {15., -5.7320508075688767, 5.196152422706632, -1., -5.196152422706632,
                       -2.2679491924311224});
  check(fft::hfft(x, {}, -1, Norm::ortho), fft::hfft(x) / std::sqrt(6.));
  check(fft::hfft(x, {}, -1, Norm::forward), fft::hfft(x) / 6.);
  check(fft::ihfft(kV),
        {std::complex(1.3, 0.), std::complex(-0.24270509831248424, -0.84737519340794776),
         std::complex(0.092705098312484246, -1.1808705608985446)});
  check(fft::ihfft(kV, {}, -1, Norm::ortho), fft::ihfft(kV) * std::sqrt(5.));
  check(fft::ihfft(kV, {}, -1, Norm::forward), fft::ihfft(kV) * 5.);
}

TEST_CASE("signal: spectra", "[signal]") {
  const Array n = arange(20, f64), x = sin(0.7 * n) + 0.1 * n;
  using C = std::complex<double>;
  const signal::SpectrumOptions eight{.fs = 2, .nperseg = 8};
  const auto [f, t, z] = signal::stft(x, eight);
  check(f, {0., 0.25, 0.5, 0.75, 1.});
  check(t, {0., 2., 4., 6., 8., 10.});
  CHECK(z.shape() == Shape{5, 6});
  check(z(1), Array{C(-0.08218020864636183, 0.2905885618380921),
                    C(-0.3698225142735582, -0.36170665253065437),
                    C(-0.07997886620586282, 0.47222188845472846),
                    C(-1.0332396092203413, -0.15638653901372546),
                    C(-0.30360505645420766, 0.19426272778763393),
                    C(-0.3597104930387064, -0.644928659033791)});
  check(signal::istft(z, eight), x);
  const auto columns = stack({x, 2 * x, -x}, 1);
  const auto wide = signal::stft(columns, {.nperseg = 7, .noverlap = 5, .nfft = 9, .axis = 0});
  CHECK(wide.values.shape() == Shape{5, 3, 11});
  CHECK(allclose(
      signal::istft(
          wide.values,
          {.window = hanning(8, f64)(Slice(7)), .noverlap = 5, .nfft = 9, .axis = 0})(Slice(20)),
      columns, 1e-12, 1e-12));
  const Array c = lax::complex(x, cos(x));
  CHECK(allclose(
      signal::istft(signal::stft(c, {.nperseg = 8}).values, {.nperseg = 8, .onesided = false}), c,
      1e-12, 1e-12));

  const auto power = signal::welch(x, eight);
  check(power.frequencies, f);
  check(power.power, {0.27670162271489396, 1.1023359737508636, 0.2305401436362941,
                      0.00032619339925466406, 1.3566443004888165e-05});
  check(signal::welch(
            x, {.fs = 2, .nperseg = 7, .noverlap = 2, .nfft = 9, .density = false, .detrend = {}})
            .power,
        {0.9255771985459811, 1.1375611660482279, 0.24883027066014485, 0.011000041481964772,
         0.0002545444775133597});
  check(signal::csd(x, square(x), {.nperseg = 8}).power,
        Array{C(1.339005978199665, 0.0), C(4.281516864635958, -0.15894393604662777),
              C(0.8497626445979499, -0.13181017424856978),
              C(0.00502661197108025, -0.0003669033851611974), C(6.546453758321204e-05, 0.0)});
  const auto loss = [&](Array v) { return sum(square(signal::welch(v, eight).power)); };
  CHECK(allclose(jit(loss)(x), loss(x), 1e-12, 1e-12));
  check_grads(loss, std::tuple(x));
  CHECK_THAT(message([&] { signal::stft(x, {.nperseg = 0}); }), Contains("segments of 0 samples"));
  CHECK_THAT(message([&] { signal::welch(x, {.nperseg = 8, .noverlap = 8}); }),
             Contains("cannot share 8"));
  CHECK_THAT(message([&] { signal::welch(x, {.nperseg = 8, .nfft = 4}); }),
             Contains("is shorter than segments"));
  CHECK_THAT(message([&] { signal::istft(x); }), Contains("values are complex"));
  CHECK_THAT(message([&] { signal::csd(x, x(Slice(3))); }), Contains("differ"));
}

TEST_CASE("windows", "[signal]") {
  check(bartlett(5, f64), {0., 0.5, 1., 0.5, 0.});
  check(blackman(5, f64), {0., 0.34, 1., 0.34, 0.});
  check(hamming(5, f64), {0.08, 0.54, 1., 0.54, 0.08});
  check(hanning(5, f64), {0., 0.5, 1., 0.5, 0.});
  check(kaiser(5, 3.5, f64),
        {0.13553434913875384, 0.6784085910342919, 1., 0.6784085910342919, 0.13553434913875384});
  CHECK(hanning(4).dtype() == f32);
  check(blackman(1, f64), {1.});
  CHECK(bartlett(0).shape() == Shape{0});
  CHECK_THAT(message([] { hamming(-1); }), Contains("-1 samples"));
}
