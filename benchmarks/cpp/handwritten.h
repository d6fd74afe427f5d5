// handwritten.h -- derivatives (and a fit that uses them) as an expert writes them: plain loops, and the same with eight samples in the lanes of a
// register.  What jaxpp is measured against, and the oracle for its results.
//
// The models are those of ADBench (Srajer et al., 2018) and a few small ones.  Inputs come from a generator of our own.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cpp {

using Vec = std::vector<double>;

/// Numbers that look normal: sums of twelve uniform ones.
Vec normals(std::size_t n, std::uint64_t seed, double scale = 1);

/// A mixture of K Gaussians in d dimensions, and N points.
struct Gmm {
  int d, k, n;
  Vec parameters;  // alphas [K], means [K, d], icf [K, d (d + 1) / 2]: log-diagonal, lower columns
  Vec x;           // [N, d]
  Gmm(int dimensions, int components, int points);
  int icf_size() const { return d * (d + 1) / 2; }
};
/// Observations of points by cameras.
struct BundleAdjustment {
  int cameras, points, observations;
  Vec camera, point, weight, seen;  // [cameras, 11], [points, 3], [observations], [observations, 2]
  std::vector<int> camera_of, point_of;
  BundleAdjustment(int cameras, int points, int observations);
};
/// A recurrent network with diagonal weights.
struct LstmInput {
  int layers, steps, width;
  Vec parameters;       // main [layers, 2 (weight, bias), 4 (gates), width], extra [3, width]
  Vec state, sequence;  // [layers, 2 (hidden, cell), width], [steps, width]
  LstmInput(int layers, int steps, int width);
};

/// Sets of values y of the curve a (1 - exp(-b x)) with noise, like NIST's Misra1a.
struct Curves {
  int sets;
  Vec x, y;  // [14], [sets, 14]
  double start[2] = {250, 5e-4};
  explicit Curves(int sets);
};
/// One derivative of each workload; a null entry is not available.
struct Derivatives {
  const char* name;
  void (*sumexp)(const Vec& x, Vec& g);              // of sum(sin(x) exp(-x^2) + 0.1 x^2)
  void (*rosenbrock_hessian)(const Vec& x, Vec& h);  // [n, n]
  void (*lorenz)(int steps, const Vec& p, Vec& g);   // of |end|^2 by sigma, rho, beta, x, y, z
  void (*sincos2)(double a, double b, double* g);    // of sin(a) cos(b) + 0.1 (a^2 + b^2)
  void (*gmm)(const Gmm&, Vec& g);                   // by the parameters
  void (*bundle)(const BundleAdjustment&, Vec& j);   // [observations, 2, 15]: camera, point, weight
  void (*lstm)(const LstmInput&, Vec& g);            // by the parameters
  void (*curves)(const Curves&,
                 Vec& fits);  // a and b of each set, by Levenberg and Marquardt's method
};
extern const Derivatives scalar;
/// Eight samples in a register, vector mathematics from libmvec; null where the machine or the C library lacks them.
const Derivatives* simd();

}  // namespace cpp
