// optimize.cc -- what all solvers of optimize.h share: parameters as a vector, derivatives of solutions, conjugate gradients, and texts.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include "jaxpp/jacobian.h"
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/optimize_internal.h"
#include "jaxpp/vmap.h"

namespace jaxpp::optimize {

const char* reason(Status s) {
  switch (s) {
    case Status::running: return "still running";
    case Status::gradient: return "converged: the gradient (the function) is within gtol";
    case Status::cost: return "converged: the cost changes by less than ftol";
    case Status::step: return "converged: the step is within xtol";
    case Status::max_iterations: return "not converged: max_iterations reached";
    case Status::not_finite: return "failed: the function or its derivative is not finite";
    case Status::stalled: return "stalled: no step makes progress";
    case Status::stopped: return "stopped by the callback";
    case Status::no_bracket: return "failed: the function has the same sign at both ends";
  }
  return "unknown";
}

namespace detail {
using namespace internal;

// ---- Parameters as a vector

Problem::Problem(const char* who, FlatFn f, Args x0, Loc loc)
    : who_(who), f_(f), loc_(loc), dtype_(f32) {
  if (x0.empty()) fail(std::string(who) + ": the parameters hold no Array.", user_loc(loc), "E90");
  for (const Array& a : x0) {
    if (!is_float(a.dtype()))
      fail(std::string(who) + ": the parameters hold " + a.type()->str() + ".", user_loc(loc),
           is_complex(a.dtype()) ? "E76" : "E14",
           is_complex(a.dtype()) ? "Take the real and the imaginary part as two parameters."
                                 : "Write 2.0 for 2, or convert it: x.astype(f64).");
    types_.push_back(a.type());
    if (a.dtype() == f64) dtype_ = f64;
    size_ += a.size();
  }
}
Array Problem::vector(Args leaves) const {
  Array x;
  ravel_flat(leaves, x, Loc::current());
  return x.astype(dtype_);
}
void Problem::leaves(const Array& x, Results& out) const {
  unravel_flat(x, types_, out, Loc::current());
}
void Problem::call(const Array& x, Results& y) const {
  Results in;
  leaves(x, in);
  UserScope user(context.trace);
  f_(args(in), y);
  for (const Array& a : y)
    if (is_complex(a.dtype()))
      fail(std::string(who_) + ": the function returns " + a.type()->str() + ".", user_loc(loc_),
           "E76", "Return real(y), imag(y), or abs(y).");
}
Array Problem::values(const Array& x) const {
  Results y;
  call(x, y);
  if (y.empty())
    fail(std::string(who_) + ": the function returns no Array.", user_loc(loc_), "E90");
  return vector(args(y));
}
Array Problem::number(const Array& x) const {
  Results y;
  call(x, y);
  if (y.size() != 1 || y[0].ndim() != 0)
    fail(std::string(who_) + ": needs a function that returns one number, not " +
             (y.size() == 1 ? y[0].type()->str() : std::to_string(y.size()) + " arrays") + ".",
         user_loc(loc_), "E17",
         "Reduce it (sum, mean); for sums of squares there is least_squares.");
  return y[0].astype(dtype_);
}

// ---- Small things

double epsilon(DType d) {
  return d == f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
}
double tolerance(const std::optional<double>& given, DType d) {
  return given ? *given : std::sqrt(epsilon(d));
}
Array code(Status s) { return Array(int(s)); }
Array greatest(const Array& x) { return x.size() == 0 ? zeros({}, x.dtype()) : max(abs(x)); }
Array norm(const Array& x) { return sqrt(dot(x, x)); }
void check_choice(const Problem& p, const char* option, std::string_view text,
                  std::initializer_list<std::string_view> known) {
  if (std::find(known.begin(), known.end(), text) != known.end()) return;
  std::string all;
  for (std::string_view k : known) all += (all.empty() ? "\"" : ", \"") + std::string(k) + "\"";
  fail(std::string(p.who()) + ": no " + option + " \"" + std::string(text) + "\".",
       user_loc(p.loc()), "E85", "There are " + all + ".");
}
std::int64_t iterations_of(std::int64_t given, std::int64_t factor, const Problem& p) {
  if (given < 0)
    fail(std::string(p.who()) + ": max_iterations is " + std::to_string(given) + ".",
         user_loc(p.loc()), "E82");
  return given ? given : factor * std::max<std::int64_t>(p.size(), 1);
}
Array jacobian_of(const Function& f, const Array& x) { return jacobian(f)(x); }

// ---- Conjugate gradients

namespace {
struct Cg {
  Array x, r, p, rr, iteration, done;
};
}  // namespace
Array conjugate_gradients(const Function& product, const Array& b, const Array& tolerance,
                          std::int64_t max_iterations) {
  const Array bb = dot(b, b), enough = tolerance * tolerance * bb;
  const auto step = [&](Cg s) {
    const Array ap = product(s.p), curvature = dot(s.p, ap);
    const Array bad = !(curvature > 0.);  // NaN too
    const Array alpha = where(bad, 0., s.rr / where(bad, 1., curvature));
    Array x = s.x + alpha * s.p;
    x = where(bad & (s.iteration == 0), b, x);
    Array r = s.r - alpha * ap;
    r = where(bad, s.r, r);
    const Array rr = dot(r, r), i = s.iteration + 1;
    Array p = r + rr / s.rr * s.p;
    return Cg{x, r, p, rr, i, bad | (rr <= enough) | (i >= max_iterations)};
  };
  const Cg first{zeros_like(b), b, b, bb, Array(0), !(bb > 0.)};
  return while_loop([](const Cg& s) { return !s.done; }, step, first).x;
}

// ---- Derivatives of a solution

void nothing_to_find(const Array& cost, Args x0, Outcome& o) {
  o.x = Results(x0.begin(), x0.end());
  o.cost = o.initial_cost = cost;
  o.optimality = zeros_like(cost);
  o.iterations = Array(0);
  o.evaluations = Array(1);
  o.status = code(Status::gradient);
}

namespace {
// x with g(x) = y for the linear g.
Array solve_linear(const Function& g, const Array& y, Derivative how) {
  if (how == Derivative::elementwise) return y / g(ones_like(y));
  if (how == Derivative::conjugate_gradients) {
    const auto solver = [&](const auto& product, Array b) {
      return conjugate_gradients([&](Array v) { return product(v); }, b,
                                 full({}, 10 * epsilon(b.dtype()), b.dtype()), 2 * b.size());
    };
    return custom_linear_solve(g, y, solver, None, {.symmetric = true});
  }
  const Array columns = vmap(g)(eye(y.size(), y.dtype()));
  return linalg::solve(matrix_transpose(columns), y);
}
}  // namespace

Array implicit_solution(const Problem& p, const Function& equation, Derivative how, const Array& x0,
                        const std::function<Array(const Array&, Outcome&)>& solve, Outcome& o) {
  if (!context.trace) return solve(x0, o);
  // Inside of the root all results are floats: what carries no derivative leaves it beside x.
  const auto equation_flat = [&](Args x, Results& y) { y.push_back(equation(x[0])); };
  struct Solve {
    const std::function<Array(const Array&, Outcome&)>& solve;
    DType dtype;
  } solver{solve, p.dtype()};
  const FlatSolver forward{
      &solver, [](void* self, FlatFn, Args x, Results& y) {
        auto& s = *static_cast<Solve*>(self);
        Outcome found;
        y.push_back(s.solve(x[0], found));
        for (const Array& a : {found.cost, found.optimality, found.initial_cost, found.iterations,
                               found.evaluations, found.status})
          y.push_back(a.astype(s.dtype));
      }};
  const FlatSolver tangent{
      &how, [](void* self, FlatFn g, Args y, Results& x) {
        const Function linear = [&](Array v) {
          Results out;
          const Array in[] = {v};
          g(in, out);
          return out[0];
        };
        x.push_back(solve_linear(linear, y[0], *static_cast<Derivative*>(self)));
      }};
  const Array start[] = {x0};
  Results y;
  root_flat(flat(equation_flat), forward, tangent, start, y, p.loc());
  o.cost = y[1];
  o.optimality = y[2];
  o.initial_cost = y[3];
  o.iterations = y[4].astype(i32);
  o.evaluations = y[5].astype(i32);
  o.status = y[6].astype(i32);
  return y[0];
}

// ---- Texts

namespace {
std::string printed(const char* format, double v) {
  char text[64];
  std::snprintf(text, sizeof text, format, v);
  return text;
}
}  // namespace
std::string summary(const Array& cost, const Array& initial_cost, const Array& optimality,
                    const Array& iterations, const Array& evaluations, const Array& status) {
  const auto lanes = status.to_vector<int>();
  if (status.ndim() == 0 && cost.ndim() == 0)
    return std::string(reason(Status(lanes[0]))) + "; " + std::to_string(iterations.item<int>()) +
           " iterations, " + std::to_string(evaluations.item<int>()) + " evaluations; cost " +
           printed("%.6g", initial_cost.item()) + " -> " + printed("%.6g", cost.item()) +
           ", optimality " + printed("%.2e", optimality.item());
  std::string text = std::to_string(lanes.size()) + " problems:";
  for (int s = 0; s <= int(Status::no_bracket); ++s)
    if (const auto n = std::count(lanes.begin(), lanes.end(), s))
      text += " " + std::to_string(n) + " " + reason(Status(s)) + ";";
  const auto steps = iterations.to_vector<int>();
  if (!steps.empty())
    text +=
        " at most " + std::to_string(*std::max_element(steps.begin(), steps.end())) + " iterations";
  return text;
}

}  // namespace detail
}  // namespace jaxpp::optimize
