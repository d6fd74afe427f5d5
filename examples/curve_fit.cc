// curve_fit.cc -- fitting curves: least squares, what a fit says about its parameters, outliers, and fits of many data sets at once.
#include <jaxpp/jaxpp.h>
#include <cmath>
#include <cstdio>
#include <iostream>

using namespace jaxpp;

// NIST's Misra1a (itl.nist.gov/div898/strd): y = a (1 - exp(-b x)).
const Array pressure = {77.6,  114.9, 141.1, 190.8, 239.9, 289.0, 332.8,
                        378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0},
            volume = {10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02,
                      44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78};

struct Curve {  // any tree of Arrays is a set of parameters
  Array a, b;
};
Array model(Curve c, Array at) { return c.a * (1. - exp(-c.b * at)); }

int main() {
  const Curve start{500., 1e-4};
  const auto fit =
      optimize::least_squares([](Curve c) { return model(c, pressure) - volume; }, start);
  std::printf("converged: %s   a = %.6g   b = %.6g   sum of squares = %.6g\n",
              fit.success() ? "yes" : "no", double(fit.x.a), double(fit.x.b), 2 * double(fit.cost));
  std::printf("NIST certifies   a = 238.942   b = 0.000550156   sum of squares = 0.124551\n");

  // Standard deviations of the parameters: the square roots of the diagonal of s^2 (J^T J)^-1.
  const auto residuals = [](Array p) { return model({p(0), p(1)}, pressure) - volume; };
  const Array best = stack({fit.x.a, fit.x.b}), j = jacobian(residuals)(best);
  const Array variance = 2. * fit.cost / double(volume.size() - 2);
  const Array deviations = sqrt(variance * diagonal(linalg::inv(matmul(transpose(j), j))));
  std::printf("deviations       a: %.4g   b: %.4g\n", double(deviations(0)), double(deviations(1)));

  // The fit as a function of the data: its derivative is that of the solution, whatever the solver did.
  const auto fitted_a = [&](Array data) {
    return optimize::least_squares([&](Curve c) { return model(c, pressure) - data; }, start,
                                   {.ftol = 0, .xtol = 1e-12, .gtol = 1e-12})
        .x.a;
  };
  const Array influence = grad(fitted_a)(volume);
  const double h = 1e-3, last = double(influence(-1));
  const double difference =
      double(fitted_a(volume.at(-1).add(h)) - fitted_a(volume.at(-1).add(-h))) / (2 * h);
  std::printf("da / dvolume_last = %.3f   by differences: %.3f\n", last, difference);

  // One measurement is wrong: a robust loss hardly notices.
  const Array wrong = volume.at(7).add(10.);
  for (const char* loss : {"linear", "cauchy"}) {
    const auto r = optimize::least_squares([&](Curve c) { return model(c, pressure) - wrong; },
                                           start, {.loss = loss, .f_scale = 0.1});
    std::printf("with an outlier, %s loss: a = %.1f\n", loss, double(r.x.a));
  }

  // A thousand data sets in one compiled call.
  const auto noisy = [&](random::Key key) {
    return volume + 0.1 * random::normal(key, volume.shape(), f64);
  };
  const Array many = vmap(noisy)(random::split(random::key(0), 1000));
  const auto fit_all = jit(vmap([&](Array data) {
    return optimize::least_squares([&](Curve c) { return model(c, pressure) - data; }, start);
  }));
  const auto all = fit_all(many);
  std::printf("of 1000 data sets with noise of 0.1 converged: %d   a = %.0f +- %.0f\n",
              int(sum(all.converged())), double(mean(all.x.a)), double(stddev(all.x.a)));
}
