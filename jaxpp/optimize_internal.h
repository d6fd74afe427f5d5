// optimize_internal.h -- what the solvers of optimize.h share.  Not for users.
//
// A solver works on one vector of all parameters.  It is a State, a tree of Arrays with the members x, cost, optimality, iteration,
// evaluations and status, and a step from one State to the next; `iterate` is the loop, and `implicit_solution` gives what it
// found the derivatives of the equation that it satisfies.
#pragma once
#include <functional>
#include "jaxpp/control.h"
#include "jaxpp/core/trace.h"
#include "jaxpp/debug.h"
#include "jaxpp/jit.h"
#include "jaxpp/optimize.h"

namespace jaxpp::optimize::detail {
using internal::Type;

/// A function of vectors.
using Function = std::function<Array(Array)>;

/// The user's function as one of the vector of all parameters.
class Problem {
 public:
  /// Throws unless x0 holds real floats.
  Problem(const char* who, FlatFn f, Args x0, Loc loc);
  Array start(Args x0) const { return vector(x0); }
  /// Leaves like x0, as a vector of the dtype in which we compute.
  Array vector(Args leaves) const;
  void leaves(const Array& x, Results& out) const;
  /// What f returns, as one vector.
  Array values(const Array& x) const;
  /// What f returns: one number.
  Array number(const Array& x) const;
  std::int64_t size() const { return size_; }
  DType dtype() const { return dtype_; }
  const char* who() const { return who_; }
  Loc loc() const { return loc_; }

 private:
  const char* who_;
  FlatFn f_;
  Loc loc_;
  std::vector<Type> types_;
  DType dtype_;
  std::int64_t size_ = 0;
  void call(const Array& x, Results& y) const;
};

double epsilon(DType d);
/// A tolerance as given, or the square root of epsilon.
double tolerance(const std::optional<double>& given, DType d);
Array code(Status s);
/// The greatest |x|; 0 of nothing.
Array greatest(const Array& x);
Array norm(const Array& x);
/// Throws unless text is one of `known`, which the message lists.
void check_choice(const Problem& p, const char* option, std::string_view text,
                  std::initializer_list<std::string_view> known);
/// The option, or so many times the number of parameters.
std::int64_t iterations_of(std::int64_t given, std::int64_t factor, const Problem& p);
/// f's Jacobian at x, [m, n].
Array jacobian_of(const Function& f, const Array& x);

/// x with A x = b approximately, for a symmetric positive definite product: until |A x - b| <= tolerance |b|, or a direction has no
/// positive curvature (then what there is, or b).  Nocedal and Wright, algorithms 5.2 and 7.1.
Array conjugate_gradients(const Function& product, const Array& b, const Array& tolerance,
                          std::int64_t max_iterations);

/// The loop: steps while the status is `running`.  With a callback that can be called now each step is a call of the compiled one;
/// the callback of a traced loop is told when it runs.
template <class State, class Step>
State iterate(State s, const Step& step, const Callback& callback) {
  const auto runs = [](const State& t) { return t.status == int(Status::running); };
  const auto tell = [callback](const Array& i, const Array& cost, const Array& optimality,
                               const Array& x) {
    return callback({i.item<std::int64_t>(), cost.item(), optimality.item(), x});
  };
  if (callback && !internal::context.trace) {
    const auto compiled = jit([&](State t) { return step(t); });
    while (bool(runs(s))) {
      s = compiled(s);
      if (!tell(s.iteration, s.cost, s.optimality, s.x)) s.status = code(Status::stopped);
    }
    return s;
  }
  const auto body = [&](State t) {
    const Array active = runs(t);  // under vmap a lane that is done waits for the others
    t = step(t);
    if (callback)
      debug::callback(
          [tell](Array now, Array i, Array c, Array o, Array x) {
            if (bool(now)) tell(i, c, o, x);
          },
          active, t.iteration, t.cost, t.optimality, t.x);
    return t;
  };
  return while_loop(runs, body, std::move(s));
}
/// The Outcome but x of a state, and then x.
template <class State>
void finish(const State& s, const Array& initial_cost, Array& x, Outcome& o) {
  x = s.x;
  o.cost = s.cost;
  o.optimality = s.optimality;
  o.initial_cost = initial_cost;
  o.iterations = s.iteration;
  o.evaluations = s.evaluations;
  o.status = s.status;
}

/// The outcome where there are no parameters.
void nothing_to_find(const Array& cost, Args x0, Outcome& o);
/// How the linear systems of the derivative are solved.
enum class Derivative { dense, conjugate_gradients, elementwise };
/// The vector that solve(x0, outcome) finds, as the implicit function  equation(x) = 0  of all that the equation closes over.
Array implicit_solution(const Problem& p, const Function& equation, Derivative how, const Array& x0,
                        const std::function<Array(const Array&, Outcome&)>& solve, Outcome& o);

}  // namespace jaxpp::optimize::detail
