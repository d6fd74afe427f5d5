// optimize_least_squares.cc -- Levenberg and Marquardt's method, and Gauss and Newton's: one step of both.
//
// With r the residuals at x (scaled for a robust loss), J their Jacobian and g = J^T r, a step h solves
//   (J^T J + damping D) h = -g,
// and is taken if the cost falls by a part of what the model r + J h promises.  Bounds: parameters at a bound that g pushes outwards
// are held, the rest of the step is projected.
#include <cmath>
#include "jaxpp/grad.h"
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/optimize_internal.h"
#include "jaxpp/random.h"
#include "jaxpp/vmap.h"

namespace jaxpp::optimize::detail {
using namespace internal;
namespace {

// ---- Robust losses: rho(z) of z = (r / f_scale)^2, and two derivatives, as scipy.optimize.least_squares defines them.

struct Rho {
  Array value, first, second;
};
Rho rho_of(std::string_view loss, const Array& z) {
  const Array t = 1. + z;
  if (loss == "soft_l1") {
    const Array s = sqrt(t);
    return {2. * (s - 1.), 1. / s, -0.5 / (t * s)};
  }
  if (loss == "cauchy") return {log1p(z), 1. / t, -1. / square(t)};
  if (loss == "arctan") {
    const Array q = 1. + square(z);
    return {arctan(z), 1. / q, -2. * z / square(q)};
  }
  const Array inlier = z <= 1., s = sqrt(where(inlier, 1., z));  // huber
  return {where(inlier, z, 2. * s - 1.), where(inlier, 1., 1. / s),
          where(inlier, 0., -0.5 / (s * s * s))};
}

// ---- The problem

struct Fit {  // the state of the loop
  Array x, residual, jacobian, gradient, diagonal;
  Array cost, damping, growth, optimality, iteration, evaluations, status;
};

// J v and J^T u at a point.
struct Products {
  Function forward, transposed;
};

class LeastSquaresSolver {
 public:
  LeastSquaresSolver(const Problem& p, const LeastSquaresOptions& o) : p_(p), o_(o) {
    check_choice(p, "method", o.method, {"lm", "gauss_newton"});
    check_choice(p, "solver", o.solver, {"cholesky", "qr", "cg"});
    check_choice(p, "loss", o.loss, {"linear", "soft_l1", "huber", "cauchy", "arctan"});
    matrix_free_ = o.solver == "cg";
    newton_ = o.method == "gauss_newton";
    max_iterations_ = iterations_of(o.max_iterations, 100, p);
    ftol_ = tolerance(o.ftol, p.dtype());
    xtol_ = tolerance(o.xtol, p.dtype());
    gtol_ = tolerance(o.gtol, p.dtype());
    epsilon_ = epsilon(p.dtype());
  }
  void set_bounds(Array lower, Array upper) {
    lower_ = std::move(lower);
    upper_ = std::move(upper);
  }
  bool bounded() const { return lower_.defined(); }

  Array cost(const Array& x) const {
    const Array r = p_.values(x);
    if (o_.loss == "linear") return 0.5 * sum(square(r));
    return 0.5 * o_.f_scale * o_.f_scale * sum(rho_of(o_.loss, square(r / o_.f_scale)).value);
  }
  /// Zero at the solution: the gradient, or how far a step against it leads within the bounds.
  Array optimality(const Array& x, const Array& gradient) const {
    return bounded() ? x - project(x - gradient) : gradient;
  }
  Array solve(const Array& x0, Outcome& o) const {
    const Fit first = start(project(x0));
    const Fit last = iterate(
        first, [this](const Fit& s) { return step(s); }, o_.callback);
    Array x;
    finish(last, first.cost, x, o);
    return x;
  }

 private:
  const Problem& p_;
  const LeastSquaresOptions& o_;
  Array lower_, upper_;
  bool matrix_free_, newton_;
  std::int64_t max_iterations_;
  double ftol_, xtol_, gtol_, epsilon_;

  Array project(const Array& x) const { return bounded() ? clip(x, lower_, upper_) : x; }

  // What residuals and rows of the Jacobian are multiplied by, so that J^T r is the gradient of the robust cost and J^T J has
  // its curvature (Triggs et al., Bundle adjustment, 2000, 4.3), or a tenth of rho' for outliers, whose curvature is not positive:
  // with less, a step that makes one an inlier would change the scale of J^T J by orders of magnitude.
  std::pair<Array, Array> weights(const Array& r) const {
    const Array z = square(r / o_.f_scale);
    const Rho rho = rho_of(o_.loss, z);
    const Array rows = sqrt(maximum(rho.first + 2. * rho.second * z, 0.1 * rho.first));
    return {rho.first / rows, rows};
  }
  // Residuals, Jacobian (without a matrix: empty) and gradient at x.
  std::tuple<Array, Array, Array> linearized(const Array& x) const {
    Array r = p_.values(x);
    if (matrix_free_) {
      Products j = products(x);
      if (o_.loss != "linear") r = r * weights(r).first;
      return {r, zeros({0, 0}, p_.dtype()), j.transposed(r)};
    }
    Array j = jacobian_of([this](Array v) { return p_.values(v); }, x);
    if (o_.loss != "linear") {
      const auto [scale, rows] = weights(r);
      r = r * scale;
      j = j * expand_dims(rows, 1);
    }
    return {r, j, matmul(r, j)};
  }
  Products products(const Array& x) const {
    const auto f = [this](Args in, Results& out) { out.push_back(p_.values(in[0])); };
    const Array in[] = {x};
    Results r;
    const LinearMap map = LinearMap::of(flat(f), in, r, p_.who(), p_.loc());
    const Array rows = o_.loss == "linear" ? Array() : weights(r[0]).second;
    const auto scaled = [rows](const Array& u) { return rows.defined() ? rows * u : u; };
    return {[=, this](Array v) {
              const Array dx[] = {v};
              Results dy;
              map.push(dx, dy, p_.loc());
              return scaled(dy[0]);
            },
            [=, this](Array u) {
              const Array ct[] = {scaled(u)};
              Results dx;
              map.pull(ct, dx, p_.loc());
              return dx[0];
            }};
  }
  Products products(const Fit& s) const {
    if (matrix_free_) return products(s.x);
    return {[j = s.jacobian](Array v) { return matmul(j, v); },
            [j = s.jacobian](Array u) { return matmul(u, j); }};
  }

  Fit start(const Array& x) const {
    Fit s;
    s.x = x;
    s.cost = cost(x);
    std::tie(s.residual, s.jacobian, s.gradient) = linearized(x);
    s.diagonal = diagonal(s);
    s.damping = full({}, newton_ ? 1. : o_.damping, p_.dtype());  // of gauss_newton: the part of h
    s.growth = full({}, 2., p_.dtype());
    s.optimality = greatest(optimality(x, s.gradient));
    s.iteration = Array(0);
    s.evaluations = Array(1);
    const Array finite = isfinite(s.cost) & isfinite(s.optimality) & all(isfinite(s.gradient));
    s.status = where(!finite, int(Status::not_finite),
                     where(s.optimality <= gtol_, int(Status::gradient), 0));
    return s;
  }
  // D: the diagonal of J^T J, of which a column that does (almost) nothing gets a little.  Without a matrix it is estimated: for
  // random signs u the mean of (J^T u)^2 is the diagonal.
  Array diagonal(const Fit& s) const {
    Array d;
    if (matrix_free_) {
      const Shape probes{8, s.residual.size()};
      const Array signs = random::rademacher(random::key(0), probes, p_.dtype());
      d = mean(square(vmap(products(s.x).transposed)(signs)), 0);
    } else {
      d = sum(square(s.jacobian), 0);
    }
    return maximum(d, std::sqrt(epsilon_) * max(d));
  }
  // Zero for parameters that their bounds hold, one for the others.
  Array free_of(const Fit& s) const {
    const Array held =
        ((s.x <= lower_) & (s.gradient > 0.)) | ((s.x >= upper_) & (s.gradient < 0.));
    return where(held, zeros_like(s.x), 1.);
  }

  Array step_of(const Fit& s, const Products& j) const {
    const Array damping = newton_ ? full({}, epsilon_ * double(p_.size()), p_.dtype()) : s.damping;
    const Array d = damping * s.diagonal;
    const Array free = bounded() ? free_of(s) : Array();
    const auto masked = [&](const Array& v) { return bounded() ? v * free : v; };
    const Array g = masked(s.gradient);
    if (matrix_free_) {  // in parameters scaled by D, in which the damping is a multiple of the unit matrix
      const Array scale = 1. / sqrt(where(s.diagonal > 0., s.diagonal, 1.));
      const auto product = [&](Array v) {
        return scale * masked(j.transposed(j.forward(masked(scale * v)))) + damping * v;
      };
      const Array b = -scale * g;
      const Array forcing = minimum(0.01, sqrt(greatest(b) / sqrt(2. * s.cost)));
      return scale * conjugate_gradients(product, b, forcing, 2 * p_.size());
    }
    const Array jacobian = masked(s.jacobian);
    if (o_.solver == "qr") return by_qr(jacobian, s.residual, d);
    const Array normal = matmul(transpose(jacobian), jacobian);
    const Array h = by_cholesky(normal + d * eye(p_.size(), p_.dtype()), -g);
    if (!newton_) return h;
    const Array fine = all(isfinite(h));
    const auto keep = [](Array, Array, Array, Array v) { return v; };
    const auto qr = [this](Array a, Array r, Array e, Array) { return by_qr(a, r, e); };
    return jaxpp::cond(fine, keep, qr, jacobian, s.residual, d, h);
  }
  static Array by_cholesky(const Array& a, const Array& b) {
    const Array l = linalg::cholesky(a);
    const Array y = lax::triangular_solve(l, expand_dims(b, 1), {.left_side = true, .lower = true});
    return squeeze(
        lax::triangular_solve(l, y, {.left_side = true, .lower = true, .transpose_a = true}), 1);
  }
  // The least |J h + r|^2 + |sqrt(d) h|^2, by the QR of both matrices, one above the other.
  static Array by_qr(const Array& j, const Array& r, const Array& d) {
    const std::int64_t n = d.size();
    const auto [q, upper] =
        linalg::qr(concatenate({j, expand_dims(sqrt(d), 1) * eye(n, d.dtype())}));
    const Array b = matmul(-r, q(Slice(0, r.size())));
    return squeeze(lax::triangular_solve(upper, expand_dims(b, 1), {.left_side = true}), 1);
  }

  Fit step(const Fit& s) const {
    const Products j = products(s);
    Array h = step_of(s, j);
    if (newton_) h = s.damping * h;
    const Array x = project(s.x + h);
    if (bounded()) h = x - s.x;
    const Array jh = j.forward(h);
    const Array promised = -dot(s.gradient, h) - 0.5 * dot(jh, jh);
    const Array cost1 = cost(x), fall = s.cost - cost1;
    // Near the solution costs differ by rounding errors only, of residuals that are differences of larger numbers: there the
    // model is believed.
    const Array noise = std::pow(epsilon_, 2. / 3) * s.cost;
    const Array level = (promised <= noise) & (fall >= -noise);
    const Array ratio = where(level, 1., fall / promised);
    const Array good = isfinite(cost1) & (promised > 0.) & (ratio > 1e-3);  // NaN: no

    Fit next = s;
    next.iteration = s.iteration + 1;
    next.evaluations = s.evaluations + 1;
    next.cost = where(good, cost1, s.cost);
    if (newton_) {
      next.damping = where(good, ones_like(s.damping), 0.5 * s.damping);
    } else {
      const double least = epsilon_ * epsilon_;  // 0 could not grow again
      const Array t = 2. * ratio - 1.;
      next.damping = where(good, maximum(s.damping * maximum(1. / 3, 1. - t * t * t), least),
                           s.damping * s.growth);
      next.growth = where(good, full_like(s.growth, 2.), 2. * s.growth);
    }
    const auto move = [this](Array to, Array, Array, Array, Array, Array) {
      Fit t;
      t.x = to;
      std::tie(t.residual, t.jacobian, t.gradient) = linearized(to);
      t.diagonal = diagonal(t);
      return std::array<Array, 5>{to, t.residual, t.jacobian, t.gradient, t.diagonal};
    };
    const auto stay = [](Array, Array from, Array r, Array jac, Array g, Array d) {
      return std::array<Array, 5>{from, r, jac, g, d};
    };
    const auto at =
        jaxpp::cond(good, move, stay, x, s.x, s.residual, s.jacobian, s.gradient, s.diagonal);
    next.x = at[0];
    next.residual = at[1];
    next.jacobian = at[2];
    next.gradient = at[3];
    next.diagonal = maximum(s.diagonal, at[4]);
    next.optimality = greatest(optimality(next.x, next.gradient));

    // Lengths in units of the columns of J: parameters may differ by orders of magnitude (More, 1978).
    const Array unit = sqrt(s.diagonal), length = norm(unit * h);
    const Array flat_cost = (abs(fall) <= ftol_ * s.cost) & (promised <= ftol_ * s.cost) &
                            (promised >= 0.) & (ratio <= 2.);
    const Array short_step = length <= xtol_ * (xtol_ + norm(unit * s.x));
    const Array broken = !isfinite(next.optimality);
    const Array endless = ~(isfinite(next.damping) & (next.damping > 0.));
    Array status = where(next.iteration >= max_iterations_, int(Status::max_iterations), 0);
    status = where(endless, int(Status::stalled), status);
    status = where(short_step, int(Status::step), status);
    status = where(flat_cost, int(Status::cost), status);
    status = where(next.optimality <= gtol_, int(Status::gradient), status);
    next.status = where(broken, int(Status::not_finite), status);
    return next;
  }
};

// One limit for each parameter.
Array limits(const Problem& p, Args x0, Args given, const char* which) {
  Results each;
  if (given.size() != 1 && given.size() != x0.size())
    fail(std::string("least_squares: the ") + which + " bounds hold " +
             std::to_string(given.size()) + " Arrays, the parameters " + std::to_string(x0.size()) +
             ".",
         user_loc(p.loc()), "E70", "Give a tree like the parameters, or one number.");
  for (std::size_t i = 0; i < x0.size(); ++i)
    each.push_back(broadcast_to(given[given.size() == 1 ? 0 : i], x0[i].shape(), p.loc()));
  return p.vector(args(each));
}

}  // namespace

void least_squares_flat(FlatFn residual, Args x0, Args lower, Args upper,
                        const LeastSquaresOptions& options, Outcome& o, Loc loc) {
  TrailFrame frame("least_squares", loc);
  UserLine line(loc);
  const Problem p("least_squares", residual, x0, loc);
  LeastSquaresSolver solver(p, options);
  if (!lower.empty() || !upper.empty()) {
    const Array low = limits(p, x0, lower, "lower"), high = limits(p, x0, upper, "upper");
    if (const Array fit = all(low <= high); fit.concrete() && !fit.item<bool>())
      fail("least_squares: a lower bound is above its upper bound, or one is NaN.",
           user_loc(p.loc()), "E11", "Bounds that are equal hold a parameter.");
    solver.set_bounds(low, high);
  }
  if (p.size() == 0) return nothing_to_find(solver.cost(p.start(x0)), x0, o);
  const auto gradient = [&](Array x) {
    return solver.optimality(x, grad([&](Array v) { return solver.cost(v); })(x));
  };
  const bool free = options.solver == "cg" && !solver.bounded();
  const Array x = implicit_solution(
      p, gradient, free ? Derivative::conjugate_gradients : Derivative::dense, p.start(x0),
      [&](const Array& start, Outcome& found) { return solver.solve(start, found); }, o);
  p.leaves(x, o.x);
  if (context.trace) o.cost = solver.cost(x);
}

}  // namespace jaxpp::optimize::detail
