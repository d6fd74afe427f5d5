// optimize_root.cc -- roots: Newton's and Broyden's methods for systems, Brent's for numbers.
//
// Both methods for systems go along p = -J^-1 f as far as |f|^2 falls; they differ in what they know of J^-1.
#include <cmath>
#include <limits>
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/optimize_internal.h"

namespace jaxpp::optimize::detail {
using namespace internal;
namespace {

struct Iterate {        // the state
  Array x, f, inverse;  // inverse: of the Jacobian, for broyden
  Array first;          // inverse is exact
  Array cost, optimality, iteration, evaluations, status;
};

class RootSolver {
 public:
  RootSolver(const Problem& p, const RootOptions& o) : p_(p), o_(o) {
    check_choice(p, "method", o.method, {"newton", "broyden"});
    broyden_ = o.method == "broyden";
    gtol_ = tolerance(o.gtol, p.dtype());
    max_iterations_ = iterations_of(o.max_iterations, 200, p);
  }
  Array values(const Array& x) const {
    const Array f = p_.values(x);
    if (f.size() != p_.size())
      fail("root: " + std::to_string(f.size()) + " equations of " + std::to_string(p_.size()) +
               " unknowns.",
           user_loc(p_.loc()), "E91", "least_squares takes any number of equations.");
    return f;
  }
  Array solve(const Array& x0, Outcome& o) const {
    const Iterate begin = start(x0);
    const Iterate end = iterate(
        begin, [this](const Iterate& s) { return step(s); }, o_.callback);
    Array x;
    finish(end, begin.cost, x, o);
    return x;
  }

 private:
  const Problem& p_;
  const RootOptions& o_;
  bool broyden_;
  double gtol_;
  std::int64_t max_iterations_;

  Array jacobian(const Array& x) const {
    return jacobian_of([this](Array v) { return values(v); }, x);
  }
  // j^-1 b; where j is singular, of the least squares with |j|_1 sqrt(n epsilon) added to the diagonal of j^T j (squared).
  Array solved(const Array& j, const Array& b) const {
    const double small = double(p_.size()) * epsilon(p_.dtype());
    const auto plain = [](Array, Array, Array x) { return x; };
    const auto damped = [&](Array a, Array c, Array) {
      const Array jt = transpose(a), size = max(sum(abs(a), 0));
      const Array scale = where(size > 0., size, 1.);
      const Array normal = matmul(jt, a) + small * scale * scale * eye(p_.size(), p_.dtype());
      return linalg::solve(normal, matmul(jt, c));
    };
    const Array x = linalg::solve(j, b);
    return jaxpp::cond(all(isfinite(x)), plain, damped, j, b, x);
  }
  Array inverse(const Array& x) const { return solved(jacobian(x), eye(p_.size(), p_.dtype())); }

  Iterate start(const Array& x) const {
    Iterate s;
    s.x = x;
    s.f = values(x);
    s.inverse = broyden_ ? inverse(x) : zeros({0, 0}, p_.dtype());
    s.first = Array(true);
    s.cost = 0.5 * dot(s.f, s.f);
    s.optimality = greatest(s.f);
    s.iteration = Array(0);
    s.evaluations = Array(1);
    const Array finite = isfinite(s.optimality) & all(isfinite(s.f));
    s.status = where(!finite, int(Status::not_finite),
                     where(s.optimality <= gtol_, int(Status::gradient), 0));
    return s;
  }

  struct Line {
    Array part, x, f, cost, evaluations, done;
  };
  // The first of x + p, x + p / 2, ... at which |f|^2 falls enough: at the derivative -|f|^2 of its half.
  Line backtrack(const Iterate& s, const Array& p) const {
    const auto at = [&](const Array& part, const Array& evaluations) {
      Line l{part, s.x + part * p, {}, {}, evaluations, {}};
      l.f = values(l.x);
      l.cost = 0.5 * dot(l.f, l.f);
      l.done = l.cost <= (1. - 2e-4 * part) * s.cost;  // NaN: no
      return l;
    };
    const auto fails = [](const Line& l) { return (l.part > 1e-9) & !l.done; };
    return while_loop(
        fails, [&](const Line& l) { return at(0.5 * l.part, l.evaluations + 1); },
        at(ones({}, p_.dtype()), Array(1)));
  }

  Iterate step(const Iterate& s) const {
    const Array p = broyden_ ? -matmul(s.inverse, s.f) : solved(jacobian(s.x), -s.f);
    const Line l = backtrack(s, p);
    Iterate t;
    t.x = where(l.done, l.x, s.x);
    t.f = where(l.done, l.f, s.f);
    t.cost = where(l.done, l.cost, s.cost);
    t.optimality = greatest(t.f);
    t.iteration = s.iteration + 1;
    t.evaluations = s.evaluations + l.evaluations;
    t.first = Array(true);
    t.inverse = s.inverse;
    Array stuck = !l.done;
    if (broyden_) {  // made anew where it does not lead on
      t.first = stuck;
      t.inverse = jaxpp::cond(
          l.done,
          [&](Array h, Array dx, Array df, Array) {
            const Array hy = matmul(h, df), row = matmul(dx, h), scale = dot(dx, hy);
            const Array usable = abs(scale) > 1e-12 * dot(dx, dx);
            return where(usable, h + outer(dx - hy, row) / where(usable, scale, 1.), h);
          },
          [&](Array, Array, Array, Array x) { return inverse(x); }, s.inverse, t.x - s.x, t.f - s.f,
          t.x);
      stuck = stuck & s.first;
    }
    Array status = where(t.iteration >= max_iterations_, int(Status::max_iterations), 0);
    status = where(l.done & (norm(p) <= o_.xtol * norm(t.x)), int(Status::step), status);
    status = where(stuck, int(Status::stalled), status);
    status = where(!all(isfinite(p)), int(Status::not_finite), status);
    t.status = where(t.optimality <= gtol_, int(Status::gradient), status);
    return t;
  }
};

// ---- Brent's method, elementwise; names as in scipy's brentq.c: the iterate, the one before, and the one on the other side.

struct Bracket {
  Array x, f, before, f_before, other, f_other;
  Array step, last_step;  // this one, and the one before
  Array iteration, evaluations, status;
};

class BrentSolver {
 public:
  BrentSolver(std::function<Array(Array)> f, DType d, const BrentqOptions& o)
      : f_(std::move(f)),
        xtol_(o.xtol),
        rtol_(o.rtol ? *o.rtol : 4 * epsilon(d)),
        most_(o.max_iterations) {}
  Bracket solve(const Array& a, const Array& b, Array& initial) const {
    const Bracket begin = start(a, b);
    initial = 0.5 * sum(square(begin.f));
    const auto runs = [](const Bracket& s) { return any(s.status == 0); };
    return while_loop(
        runs, [this](const Bracket& s) { return step(s); }, begin);
  }

 private:
  std::function<Array(Array)> f_;
  double xtol_, rtol_;
  std::int64_t most_;

  Bracket start(const Array& a, const Array& b) const {
    Bracket s;
    s.before = a;
    s.x = b;
    s.f_before = f_(a);
    s.f = f_(b);
    s.other = s.f_other = s.step = s.last_step = zeros_like(a);
    s.iteration = zeros_like(a, i32);
    s.evaluations = full_like(a, 2, i32);
    const Array none = s.f * s.f_before > 0.;
    const Array ended = (s.f == 0.) | (s.f_before == 0.);
    s.x = where(s.f_before == 0., a, s.x);
    s.f = where(s.f_before == 0., 0., s.f);
    const Array finite = isfinite(s.f) & isfinite(s.f_before);
    Array status = where(ended, int(Status::gradient), 0);
    status = where(sign(s.f) == sign(s.f_before), int(Status::no_bracket), status);
    status = where(none, int(Status::no_bracket), status);
    status = where(ended, int(Status::gradient), status);
    s.status = where(finite, status, int(Status::not_finite));
    s.x = where((s.status == int(Status::no_bracket)) | (s.status == int(Status::not_finite)),
                std::numeric_limits<double>::quiet_NaN(), s.x);
    return s;
  }
  Bracket step(const Bracket& s) const {
    // The other end is the point before, if the sign changed since.
    const Array crossed = sign(s.f) * sign(s.f_before) < 0.;
    Array other = where(crossed, s.before, s.other),
          f_other = where(crossed, s.f_before, s.f_other);
    Array last_step = where(crossed, s.x - s.before, s.last_step);
    Array step = where(crossed, s.x - s.before, s.step);
    // x is the end with the smaller |f|.
    const Array swap = abs(f_other) < abs(s.f);
    const Array before = where(swap, s.x, s.before), f_before = where(swap, s.f, s.f_before);
    const Array x = where(swap, other, s.x), f = where(swap, f_other, s.f);
    other = where(swap, s.x, other);
    f_other = where(swap, s.f, f_other);

    const Array delta = 0.5 * (xtol_ + rtol_ * abs(x)), half = 0.5 * (other - x);
    const Array done = (f == 0.) | (abs(half) < delta);
    // The secant through two points, or the inverse quadratic interpolation of three.
    const Array secant = -f * (x - before) / (f - f_before);
    const Array d_before = (f_before - f) / (before - x), d_other = (f_other - f) / (other - x);
    const Array inverse = -f * (f_other * d_other - f_before * d_before) /
                          (d_other * d_before * (f_other - f_before));
    const Array guess = where(before == other, secant, inverse);
    const Array good = (abs(last_step) > delta) & (abs(f) < abs(f_before)) &
                       (2. * abs(guess) < minimum(abs(last_step), 3. * abs(half) - delta));
    last_step = where(good, step, half);
    step = where(good, guess, half);
    const Array moved = x + where(abs(step) > delta, step, where(half > 0., delta, -delta));

    Bracket t;
    const Array active = s.status == 0, moves = active & !done;
    const Array next = where(moves, moved, s.x);
    const Array f_next = f_(next);
    const auto keep = [&](const Array& a, const Array& b) { return where(active, a, b); };
    t.x = keep(where(done, x, moved), s.x);
    t.f = keep(where(done, f, f_next), s.f);
    t.before = keep(x, s.before);
    t.f_before = keep(f, s.f_before);
    t.other = keep(other, s.other);
    t.f_other = keep(f_other, s.f_other);
    t.step = keep(step, s.step);
    t.last_step = keep(last_step, s.last_step);
    t.iteration = s.iteration + moves.astype(i32);
    t.evaluations = s.evaluations + moves.astype(i32);
    Array status = where(t.iteration >= most_, int(Status::max_iterations), 0);
    status = where(isnan(t.f), int(Status::not_finite), status);
    status = where(done, where(f == 0., int(Status::gradient), int(Status::step)), status);
    t.status = where(active, status, s.status);
    return t;
  }
};

}  // namespace

void root_of_flat(FlatFn f, Args x0, const RootOptions& options, Outcome& o, Loc loc) {
  TrailFrame frame("root", loc);
  UserLine line(loc);
  const Problem p("root", f, x0, loc);
  const RootSolver solver(p, options);
  if (p.size() == 0) return nothing_to_find(zeros({}, p.dtype()), x0, o);
  const Function equation = [&](Array x) { return solver.values(x); };
  const Array x = implicit_solution(
      p, equation, Derivative::dense, p.start(x0),
      [&](const Array& start, Outcome& found) { return solver.solve(start, found); }, o);
  p.leaves(x, o.x);
  if (context.trace) o.cost = 0.5 * sum(square(solver.values(x)));
}

void brentq_flat(FlatFn function, const Array& a, const Array& b, const BrentqOptions& options,
                 Outcome& o, Loc loc) {
  TrailFrame frame("brentq", loc);
  UserLine line(loc);
  need_array(a, "brentq", loc);
  need_array(b, "brentq", loc);
  Array ends[] = {inexact(a, "brentq", loc), inexact(b, "brentq", loc)};
  promote_types_of("brentq", ends, loc);
  const Shape shape = broadcast_shapes({a.shape(), b.shape()}, loc);
  for (Array& e : ends) e = broadcast_to(e, shape, loc);
  const Type type = ends[0].type();
  // The shape of the vector of parameters is theirs.
  const auto values = [=](Array x) {
    const Array in[] = {x};
    Results y;
    UserScope user(context.trace);
    function(in, y);
    if (y.size() != 1 || y[0].shape() != type->shape || !is_float(y[0].dtype()))
      fail("brentq: the function returns " +
               (y.size() == 1 ? y[0].type()->str() : std::to_string(y.size()) + " arrays") +
               " for " + type->str() + ".",
           user_loc(loc), "E91", "It is evaluated elementwise.");
    return y[0].astype(type->dtype);
  };
  const Problem p("brentq", function, ends, loc);
  const BrentSolver solver(values, type->dtype, options);
  const auto solve = [&](const Array& low, Outcome& found) {
    const Bracket s = solver.solve(low, ends[1], found.initial_cost);
    found.cost = 0.5 * sum(square(s.f));
    found.optimality = greatest(s.f);
    found.iterations = s.iteration;
    found.evaluations = s.evaluations;
    found.status = s.status;
    return s.x;
  };
  const Array x = implicit_solution(p, values, Derivative::elementwise, ends[0], solve, o);
  if (context.trace) o.cost = 0.5 * sum(square(values(x)));
  o.x.push_back(x);
}

}  // namespace jaxpp::optimize::detail
