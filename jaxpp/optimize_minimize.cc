// optimize_minimize.cc -- descent along directions of four kinds, with one line search.
//
// A method is a memory (a tree of Arrays) with a direction at a point and an update by the step that was taken; `Minimizer`
// is the loop around it.  All numbers of algorithms are those of Nocedal and Wright, Numerical Optimization, second edition, 2006.
#include <cmath>
#include <limits>
#include "jaxpp/grad.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/optimize_internal.h"

namespace jaxpp::optimize::detail {
using namespace internal;
namespace {

using Objective = std::function<std::tuple<Array, Array>(Array)>;  // value and gradient

// ---- The line search (algorithms 3.5 and 3.6)
//
// Both phases are one loop: [low, high] holds points that satisfy the strong Wolfe conditions; as long as high is infinite the
// interval grows.  low is the best point so far that falls enough.

struct Search {
  Array step, evaluations, done;    // step: the next one to try
  Array low, low_value, low_slope;  // at the step low along the direction
  Array high, high_value, high_slope;
  Array x, gradient;  // at low
};
// The minimum of the cubic through both ends (3.59), or the middle where that is too near an end.
Array between(const Search& s) {
  const Array width = s.high - s.low;
  const Array d1 = s.low_slope + s.high_slope - 3. * (s.low_value - s.high_value) / -width;
  const Array d2 = sign(width) * sqrt(d1 * d1 - s.low_slope * s.high_slope);
  const Array part = 1. - (s.high_slope + d2 - d1) / (s.high_slope - s.low_slope + 2. * d2);
  const Array inside = (part > 0.1) & (part < 0.9);  // NaN: no
  return s.low + where(inside, part, 0.5) * width;
}
constexpr int kMostEvaluations = 40;

// Along p from x; slope: of the value there.
Search line_search(const Objective& f, const Array& x, const Array& value, const Array& gradient,
                   const Array& p, const Array& first) {
  const double fall = 1e-4, flatter = 0.9;
  const Array slope = dot(gradient, p), zero = zeros_like(value);
  // Near a minimum differences of values are rounding errors.  So much is no rise; and so much is none where the slope says that
  // the point is good (Hager and Zhang, A new conjugate gradient method, 2005: the approximate Wolfe conditions).
  const double precision = epsilon(value.dtype());
  const Array noise = 4 * precision * abs(value), slack = std::pow(precision, 2. / 3) * abs(value);
  const Array infinite = full_like(value, std::numeric_limits<double>::infinity());
  const Search start{first,    Array(0), Array(false), zero, value,   slope,
                     infinite, value,    slope,        x,    gradient};
  const auto search = [&](Search s) {
    const Array at = x + s.step * p;
    const auto [v, g] = f(at);
    const Array d = dot(g, p);
    const Array flat = abs(d) <= -flatter * slope;
    const Array lower = (v <= value + fall * s.step * slope + noise) & (v <= s.low_value + noise);
    const Array falls = (lower | (flat & (v <= value + slack))) & all(isfinite(g));  // NaN: no
    const Array turned = falls & (d * (s.high - s.low) >= 0.);
    Search t;
    t.high = where(falls, where(turned, s.low, s.high), s.step);
    t.high_value = where(falls, where(turned, s.low_value, s.high_value), v);
    t.high_slope = where(falls, where(turned, s.low_slope, s.high_slope), d);
    t.low = where(falls, s.step, s.low);
    t.low_value = where(falls, v, s.low_value);
    t.low_slope = where(falls, d, s.low_slope);
    t.x = where(falls, at, s.x);
    t.gradient = where(falls, g, s.gradient);
    t.evaluations = s.evaluations + 1;
    t.step = where(isfinite(t.high), between(t), 2. * s.step);
    const Array narrow = abs(t.step - t.low) <= 2 * precision * abs(t.low);
    t.done = (falls & flat) | (t.evaluations >= kMostEvaluations) | narrow | !isfinite(t.step);
    return t;
  };
  return while_loop([](const Search& s) { return !s.done; }, search, start);
}

// ---- Methods

// Algorithm 6.1: the inverse Hessian, updated by the step s and the change y of the gradient (6.17).
struct Bfgs {
  struct Memory {
    Array inverse;
  };
  bool remembers() const { return true; }
  Memory fresh(const Array& x) const { return {eye(x.size(), x.dtype())}; }
  Array direction(const Memory& m, const Array&, const Array& g) const {
    return -matmul(m.inverse, g);
  }
  Memory update(const Memory& m, const Array& s, const Array& y, const Array& first) const {
    const Array sy = dot(s, y), usable = sy > 0., safe = where(usable, sy, 1.);
    // The first update scales the unit matrix (6.20).
    const Array h = where(first, safe / where(usable, dot(y, y), 1.), 1.) * m.inverse;
    const Array hy = matmul(h, y);
    const Array next =
        h + (1. + dot(y, hy) / safe) * outer(s, s) / safe - (outer(hy, s) + outer(s, hy)) / safe;
    return {where(usable, next, m.inverse)};
  }
};

// Algorithms 7.4 and 7.5: the last steps s, changes y of the gradient, and 1 / y s (0: none yet); the newest is the last.
struct LimitedBfgs {
  std::int64_t history;
  struct Memory {
    Array s, y, rho, scale;
  };
  bool remembers() const { return true; }
  Memory fresh(const Array& x) const {
    const Array rows = zeros({history, x.size()}, x.dtype());
    return {rows, rows, zeros({history}, x.dtype()), ones({}, x.dtype())};
  }
  Array direction(const Memory& m, const Array&, const Array& g) const {
    struct Row {
      Array s, y, rho;
    };
    const auto back = [](Array q, Row r) {
      const Array a = r.rho * dot(r.s, q);
      return std::pair(q - a * r.y, a);
    };
    const auto [q, alpha] = scan(back, g, Row{m.s, m.y, m.rho}, {.reverse = true});
    const auto forth = [](Array d, std::pair<Row, Array> e) {
      const Row& r = e.first;
      return std::pair(d + (e.second - r.rho * dot(r.y, d)) * r.s, None);
    };
    return -scan(forth, m.scale * q, std::pair(Row{m.s, m.y, m.rho}, alpha)).first;
  }
  Memory update(const Memory& m, const Array& s, const Array& y, const Array&) const {
    const Array sy = dot(s, y), usable = sy > 0., safe = where(usable, sy, 1.);
    const auto pushed = [&](const Array& all, const Array& row) {
      return where(usable, concatenate({all(Slice(1, None)), expand_dims(row, 0)}), all);
    };
    return {pushed(m.s, s), pushed(m.y, y), pushed(m.rho, 1. / safe),
            where(usable, sy / where(usable, dot(y, y), 1.), m.scale)};
  }
};

// Algorithm 3.3: the Hessian, plus a multiple of the unit matrix large enough for Cholesky's factorisation.
struct Newton {
  Function gradient;
  struct Memory {};
  bool remembers() const { return false; }
  Memory fresh(const Array&) const { return {}; }
  Array direction(const Memory&, const Array& x, const Array& g) const {
    const Array h = jacobian_of(gradient, x), unit = eye(x.size(), x.dtype());
    const Array size = sqrt(sum(square(h))), beta = 1e-3 * where(size > 0., size, 1.);
    const Array least = min(diagonal(h));
    using State = std::pair<Array, Array>;  // the multiple, the factor
    const auto factor = [&](const Array& tau) { return linalg::cholesky(h + tau * unit); };
    const auto fails = [](const State& s) { return !all(isfinite(s.second)); };
    const auto more = [&](const State& s) {
      const Array tau = maximum(2. * s.first, beta);
      return State(tau, factor(tau));
    };
    const auto enough = [&](const State& s) { return fails(s) & (s.first < 1e6 * beta); };
    const Array tau = where(least > 0., zeros_like(least), beta - least);
    const Array l = while_loop(enough, more, State(tau, factor(tau))).second;
    const Array y =
        lax::triangular_solve(l, expand_dims(-g, 1), {.left_side = true, .lower = true});
    return squeeze(
        lax::triangular_solve(l, y, {.left_side = true, .lower = true, .transpose_a = true}), 1);
  }
  Memory update(const Memory& m, const Array&, const Array&, const Array&) const { return m; }
};

// Algorithm 7.1: Newton's equations by conjugate gradients, ended where the curvature is not positive.
struct NewtonCg {
  Function gradient;
  struct Memory {};
  bool remembers() const { return false; }
  Memory fresh(const Array&) const { return {}; }
  Array direction(const Memory&, const Array& x, const Array& g) const {
    const auto f = [this](Args in, Results& out) { out.push_back(gradient(in[0])); };
    const Array in[] = {x};
    Results y;
    const LinearMap hessian = LinearMap::of(flat(f), in, y, "minimize", Loc::current());
    const auto product = [&](Array v) {
      const Array dx[] = {v};
      Results dy;
      hessian.push(dx, dy, Loc::current());
      return dy[0];
    };
    return conjugate_gradients(product, -g, minimum(0.5, sqrt(norm(g))), 2 * x.size());
  }
  Memory update(const Memory& m, const Array&, const Array&, const Array&) const { return m; }
};

// ---- The loop

template <class Memory>
struct Descent {  // the state
  Array x, cost, gradient, optimality, iteration, evaluations, status;
  Array first;  // the memory is fresh
  Memory memory;
};

template <class Method>
class Minimizer {
 public:
  using State = Descent<typename Method::Memory>;
  Minimizer(const Problem& p, const MinimizeOptions& o, Objective f, Method method)
      : o_(o),
        f_(std::move(f)),
        method_(std::move(method)),
        gtol_(tolerance(o.gtol, p.dtype())),
        max_iterations_(iterations_of(o.max_iterations, 200, p)) {}
  Array solve(const Array& x0, Outcome& o) const {
    const State begin = start(x0);
    const State end = iterate(
        begin, [this](const State& s) { return step(s); }, o_.callback);
    Array x;
    finish(end, begin.cost, x, o);
    return x;
  }

 private:
  const MinimizeOptions& o_;
  Objective f_;
  Method method_;
  double gtol_;
  std::int64_t max_iterations_;

  State start(const Array& x) const {
    State s;
    s.x = x;
    std::tie(s.cost, s.gradient) = f_(x);
    s.optimality = greatest(s.gradient);
    s.iteration = Array(0);
    s.evaluations = Array(1);
    s.first = Array(true);
    s.memory = method_.fresh(x);
    const Array finite = isfinite(s.cost) & all(isfinite(s.gradient));
    s.status = where(!finite, int(Status::not_finite),
                     where(s.optimality <= gtol_, int(Status::gradient), 0));
    return s;
  }
  State step(const State& s) const {
    Array p = method_.direction(s.memory, s.x, s.gradient);
    const Array descends = (dot(p, s.gradient) < 0.) & all(isfinite(p));  // NaN: no
    p = where(descends, p, -s.gradient);
    // Without knowledge of the curvature: a step of length 1 at most.
    const Array guess = !descends | (s.first & Array(method_.remembers()));
    const Array length = where(guess, minimum(1., 1. / norm(s.gradient)), 1.);
    const Search found = line_search(f_, s.x, s.cost, s.gradient, p, length);
    const Array moved = found.low > 0.;

    State t;
    t.x = found.x;
    t.cost = found.low_value;
    t.gradient = found.gradient;
    t.optimality = greatest(t.gradient);
    t.iteration = s.iteration + 1;
    t.evaluations = s.evaluations + found.evaluations;
    // A line that leads nowhere: once more with a fresh memory, along the gradient.
    const Array again = !moved & descends & !s.first & Array(method_.remembers());
    const auto updated = method_.update(s.memory, t.x - s.x, t.gradient - s.gradient, s.first);
    t.memory = tree_map([&](const Array& a, const Array& b) { return where(moved, a, b); }, updated,
                        method_.fresh(s.x));
    t.first = !moved;
    const Array change = norm(t.x - s.x);
    const Array fall = s.cost - t.cost, size = maximum(abs(s.cost), abs(t.cost));
    Array status = where(t.iteration >= max_iterations_, int(Status::max_iterations), 0);
    status = where(moved & (change <= o_.xtol * norm(t.x)), int(Status::step), status);
    if (o_.ftol > 0) status = where(moved & (fall <= o_.ftol * size), int(Status::cost), status);
    status = where(!moved & !again, int(Status::stalled), status);
    t.status = where(t.optimality <= gtol_, int(Status::gradient), status);
    return t;
  }
};

}  // namespace

void minimize_flat(FlatFn function, Args x0, const MinimizeOptions& options, Outcome& o, Loc loc) {
  TrailFrame frame("minimize", loc);
  UserLine line(loc);
  const Problem p("minimize", function, x0, loc);
  check_choice(p, "method", options.method, {"bfgs", "l-bfgs", "newton", "newton-cg"});
  if (options.history < 1)
    fail("minimize: history is " + std::to_string(options.history) + ".", user_loc(loc), "E82");
  const auto value = [&](Array x) { return p.number(x); };
  if (p.size() == 0) return nothing_to_find(value(p.start(x0)), x0, o);
  const Objective both = [&](Array x) { return value_and_grad(value)(x); };
  const Function gradient = [&](Array x) { return grad(value)(x); };
  const auto by = [&](auto method) {
    const Minimizer solver(p, options, both, std::move(method));
    const bool cg = options.method == "l-bfgs" || options.method == "newton-cg";
    return implicit_solution(
        p, gradient, cg ? Derivative::conjugate_gradients : Derivative::dense, p.start(x0),
        [&](const Array& start, Outcome& found) { return solver.solve(start, found); }, o);
  };
  const Array x = options.method == "bfgs"     ? by(Bfgs())
                  : options.method == "l-bfgs" ? by(LimitedBfgs{options.history})
                  : options.method == "newton" ? by(Newton{gradient})
                                               : by(NewtonCg{gradient});
  p.leaves(x, o.x);
  if (context.trace) o.cost = value(x);
}

}  // namespace jaxpp::optimize::detail
