// local.h -- one walk over a program in which every equation is folded, simplified and merged as it is added.
//
// fold, cse and simplify are this walk with one of its three steps; optimize takes all of them at once, so that what a
// pattern makes is folded, simplified and merged in its turn.
#pragma once
#include <absl/container/flat_hash_set.h>
#include <optional>
#include "backends/passes/kinds.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {

enum Steps : unsigned { kFold = 1, kSimplify = 2, kMerge = 4 };

/// The value of an equation of rank-0 constants with rank-0 results.  (fold.cc)
bool fold_equation(const Equation&, std::span<const Type> types, Array* y);

/// The equations so far, by what they compute.  (cse.cc)
class Merger {
 public:
  explicit Merger(const std::vector<Equation>& eqns, std::size_t expected);
  /// The index of an equation equal to number i; if there is none, i from now on stands for all equal to it.
  std::size_t first_equal(std::size_t i) { return *seen_.insert(std::uint32_t(i)).first; }

 private:
  struct Hash {
    const std::vector<Equation>* eqns;
    std::size_t operator()(std::uint32_t i) const;
  };
  struct Equal {
    const std::vector<Equation>* eqns;
    bool operator()(std::uint32_t a, std::uint32_t b) const;
  };
  absl::flat_hash_set<std::uint32_t, Hash, Equal> seen_;
};
/// Equal values: the same variable, constants of rank 0 with the same bits, or the same array.
bool same_value(const Atom& a, const Atom& b);
std::size_t hash_value(const Atom& a);

using Operands = SmallVec<Atom, 2>;

class Local : public Rewriter {
 public:
  Local(const JaxprBody& from, unsigned steps);
  /// The whole walk.  Patterns may leave equations that nothing uses.
  JaxprPtr run();
  /// The walk by hand: the next equation of the old program; then Rewriter::finish.
  void step(const Equation&);

  /// The single result of a new equation, after all steps.
  template <class P>
  requires requires(P& p, FieldVisitor& v) { p.visit_fields(v); }
  Atom add(const Primitive& p, P params, Operands in) {
    return add(p, std::make_shared<P>(std::move(params)), std::move(in));
  }
  Atom add(const Primitive& p, Operands in) {
    return add(p, std::shared_ptr<const void>(), std::move(in));
  }
  Atom add(const Primitive& p, std::shared_ptr<const void> params, Operands in);

  Type type(const Atom& a) const { return to.type(a); }
  /// The equation that made a, if it is of that primitive.  Valid until the next add().
  const Equation* made_by(const Atom& a, const Primitive& p) const {
    const Equation* d = maker(a);
    return d && d->prim == &p ? d : nullptr;
  }
  const Equation* maker(const Atom& a) const {
    if (!a.is_var() || !maker_[a.var()]) return nullptr;
    return &to.eqns[maker_[a.var()] - 1];
  }

  /// How often the program read what a stands for, so far as is known: more than once means that it stays whatever a
  /// pattern makes of it.
  std::uint32_t uses(const Atom& a) const { return a.is_var() ? uses_[a.var()] : 0; }

  // Views, in the form that patterns expect: of several forms that mean the same, always one.
  Atom reshaped(const Atom& x, const Shape&);
  Atom broadcast(const Atom& x, const Shape&, const Dims& dims);
  Atom transposed(const Atom& x, const Dims& permutation);
  /// A number in every element.
  Atom full(Type, double);

 private:
  std::optional<Atom> simplified(const Equation& e, Type t);
  /// An equation in its final form: no pattern looks at it again.
  template <class P>
  Atom view(const Primitive& p, P params, const Atom& x, const Shape&);
  Var push(Equation&&, std::span<const Type> types, bool mergeable);
  void give(Var old, Atom now);

  const JaxprBody& from_;
  const unsigned steps_;
  Merger merger_;
  std::vector<Array> folded_;
  std::vector<Atom> pieces_;
  std::vector<std::uint32_t> maker_;     // of each variable: index of its equation + 1
  std::vector<std::uint32_t> old_uses_;  // of each variable of the old program
  std::vector<std::uint32_t> uses_;      // of each variable: those of all that it stands for
  Loc loc_;
  int depth_ = 0;  // of patterns inside patterns
};

/// One equation whose operands are of the new program, not yet in it.
struct Match {
  Local& b;
  const Equation& e;
  Type type;  // of the result

  std::size_t size() const { return e.in.size(); }
  const Atom& in(std::size_t i) const { return e.in[i]; }
  Type in_type(std::size_t i) const { return b.type(e.in[i]); }
  template <class P>
  const P& params() const {
    return e.params().as<P>();
  }
  const Equation* made_by(std::size_t i, const Primitive& p) const { return b.made_by(e.in[i], p); }
};
using Result = std::optional<Atom>;

struct Pattern {
  const Primitive* prim;  // null: every elementwise operation
  const char* what;
  Result (*apply)(const Match&);
};
/// The tables.
std::span<const Pattern> algebra_patterns();      // simplify.cc
std::span<const Pattern> view_patterns();         // views.cc
std::span<const Pattern> contraction_patterns();  // contraction.cc

/// unstack of stack, split of concatenate: the pieces.  (views.cc)
bool forward_pieces(Local&, const Equation& e, Atom* y);

// ---- What patterns of several tables ask
/// The rank-0 value that fills all of a: a itself, or what it is a broadcast of.
Result uniform(const Local&, const Atom& a);
/// Is a the number v in every element?  (-0.0 is not 0.0.)
bool is_number(const Local&, const Atom& a, double v);
/// The literal number that fills all of a, if it is a real or an exact integer.
std::optional<double> number(const Local&, const Atom& a);
/// What an integer array is along one of its axes: index + c, there the same whatever the other indices are.
struct Ramp {
  std::size_t axis;
  std::int64_t c;
};
std::optional<Ramp> ramp(const Local&, const Atom& a, int depth = 8);  // contraction.cc

}  // namespace jaxpp::passes
