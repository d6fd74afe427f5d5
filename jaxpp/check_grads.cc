// check_grads.cc -- derivatives against finite differences and against each other.
//
//   jvp:  J v = (f(x + h v) - f(x - h v)) / 2h + O(h^2)
//   vjp:  Re <u, J v> = Re <J^T u, v>, exactly
// A higher order checks the derivative function itself: x -> J(x) v and x -> J(x)^T u, for fixed v
// and u.
#include "jaxpp/check_grads.h"

#include <cmath>

#include "jaxpp/lax.h"

namespace jaxpp::internal {

namespace {

using Vector = std::vector<std::complex<double>>;

Vector values(Args x, Loc loc) {
  Vector v;
  for (const Array& a : x)
    for (auto e : a.to_vector<std::complex<double>>(loc)) v.push_back(e);
  return v;
}
double norm(const Vector& v) {
  double s = 0;
  for (auto e : v) s = std::max(s, std::abs(e));
  return s;
}
double dot(const Vector& a,
           const Vector& b) {  // the pairing that transposition preserves: no conjugate
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += (a[i] * b[i]).real();
  return s;
}
double error(const Vector& a, const Vector& b) {
  double e = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double d = std::abs(a[i] - b[i]);
    if (!(d <= e)) e = d;  // NaN stays
  }
  return e / std::max(1.0, norm(a));
}
bool all_finite(const Vector& v) {
  for (auto e : v)
    if (!std::isfinite(e.real()) || !std::isfinite(e.imag())) return false;
  return true;
}

class Checker {
 public:
  Checker(const CheckGradsOptions& options, Loc loc)
      : options_(options), loc_(loc), state_(options.seed) {}
  GradReport report;

  void check(FlatFn f, Args x, int order, const std::string& name) {
    Results v = direction(x), y, dy;
    jvp_flat(f, x, args(v), y, dy, loc_);
    instantiate_tangents(y, dy);
    keep_inexact(y, dy);
    const Vector exact = values(args(dy), loc_), at = values(args(y), loc_);
    if (!all_finite(at) || !all_finite(exact)) wrong(name + ", or its derivative, is not finite");
    ++report.checks;
    if (unsigned(options_.modes) & unsigned(GradModes::forward))
      compare_differences(f, x, args(v), at, exact, name);
    Results u = direction(args(y));
    if (unsigned(options_.modes) & unsigned(GradModes::reverse)) {
      if (!(unsigned(options_.modes) & unsigned(GradModes::forward)))
        compare_differences(f, x, args(v), at, exact, name);
      Results value, g;
      LinearMap::of(f, x, value, "check_grads", loc_).pull(args(at_inexact(value, u)), g, loc_);
      const double forward = dot(values(args(u), loc_), exact),
                   reverse = dot(values(args(g), loc_), values(args(v), loc_)),
                   e = std::abs(forward - reverse) / std::max(1.0, std::abs(forward));
      report.dot_product = std::max(report.dot_product, e);
      if (!(e <= 1e-9))
        wrong("forward and reverse mode of " + name + " disagree: <u, J v> is " + text(forward) +
              ", <J^T u, v> is " + text(reverse));
    }
    if (order <= 1) return;
    if (unsigned(options_.modes) & unsigned(GradModes::forward)) {
      auto tangent = [&](Args p, Results& t) {
        Results value;
        jvp_flat(f, p, args(v), value, t, loc_);
        instantiate_tangents(value, t);
        keep_inexact(value, t);
      };
      check(flat(tangent), x, order - 1, "the jvp of " + name);
    }
    if (unsigned(options_.modes) & unsigned(GradModes::reverse)) {
      auto cotangent = [&](Args p, Results& g) {
        Results value;
        LinearMap map = LinearMap::of(f, p, value, "check_grads", loc_);
        map.pull(args(at_inexact(value, u)), g, loc_);
      };
      check(flat(cotangent), x, order - 1, "the vjp of " + name);
    }
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    fail<Error>("check_grads: " + what + ".", loc_, "E72");
  }
  static std::string text(double v) {
    char s[32];
    std::snprintf(s, sizeof s, "%.12g", v);
    return s;
  }
  // Uniform in [-1, 1], from splitmix64.
  double random() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return double(z ^ (z >> 31)) * 0x1p-63 - 1;
  }
  Results direction(Args like) {
    Results r;
    for (const Array& a : like) {
      Array d = Array::make(a.type());
      const std::size_t n = std::size_t(a.size()) * (is_complex(a.dtype()) ? 2 : 1);
      const bool single = real_of(a.dtype()) == f32;
      for (std::size_t i = 0; i < n; ++i) {
        if (single)
          d.data<float>()[i] = float(random());
        else
          d.data<double>()[i] = random();
      }
      r.push_back(std::move(d));
    }
    return r;
  }
  // Results without derivative (integers) take no part.  Others of low precision are compared as
  // they are.
  static void keep_inexact(Results& y, Results& dy) {
    Results a, b;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!is_inexact(y[i].dtype())) continue;
      const bool half = real_of(y[i].dtype()) == f16 || real_of(y[i].dtype()) == bf16;
      a.push_back(half ? lax::convert_element_type(y[i], f32) : y[i]);
      b.push_back(half ? lax::convert_element_type(dy[i], f32) : dy[i]);
    }
    y = std::move(a);
    dy = std::move(b);
  }
  // u, which has an entry for each inexact result, spread over all results.
  static Results at_inexact(const Results& y, const Results& u) {
    Results r;
    std::size_t k = 0;
    for (const Array& a : y)
      r.push_back(is_inexact(a.dtype()) ? lax::convert_element_type(u[k++], a.dtype()) : Array());
    return r;
  }
  Vector at(FlatFn f, Args x, Args v, double h) const {
    Results moved, y;
    for (std::size_t i = 0; i < x.size(); ++i)
      moved.push_back(lax::add(x[i], lax::mul(v[i], lax::full(scalar_type(v[i].dtype()), h))));
    f(args(moved), y);
    Results unused(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) unused[i] = y[i];
    keep_inexact(y, unused);
    return values(args(y), loc_);
  }
  void compare_differences(FlatFn f, Args x, Args v, const Vector& y, const Vector& exact,
                           const std::string& name) {
    const double scale = std::max(1.0, norm(values(x, loc_))), h1 = 1e-8 * scale, h2 = 6e-6 * scale;
    Vector forward = at(f, x, v, h1), plus = at(f, x, v, h2), minus = at(f, x, v, -h2);
    for (std::size_t i = 0; i < y.size(); ++i) {
      forward[i] = (forward[i] - y[i]) / h1;
      plus[i] = (plus[i] - minus[i]) / (2 * h2);
    }
    report.forward_difference = std::max(report.forward_difference, error(exact, forward));
    const double e = error(exact, plus);
    report.central_difference = std::max(report.central_difference, e);
    if (e <= options_.tolerance) return;
    std::size_t worst = 0;
    for (std::size_t i = 0; i < y.size(); ++i)
      if (!(std::abs(exact[i] - plus[i]) <= std::abs(exact[worst] - plus[worst]))) worst = i;
    wrong("the derivative of " + name + " at element " + std::to_string(worst) + " is " +
          text(exact[worst].real()) + " by the rules, " + text(plus[worst].real()) +
          " by central differences");
  }
  const CheckGradsOptions& options_;
  Loc loc_;
  std::uint64_t state_;
};

}  // namespace

Results in_double_precision(Args x, Loc loc) {
  Results r;
  for (const Array& a : x)
    r.push_back(lax::convert_element_type(a, is_complex(a.dtype()) ? c128 : f64, loc));
  return r;
}

GradReport check_grads_flat(FlatFn f, Args x, const CheckGradsOptions& options, Loc loc) {
  Checker c(options, loc);
  c.check(f, x, options.order, "the function");
  return c.report;
}

}  // namespace jaxpp::internal
