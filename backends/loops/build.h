// build.h -- from the equations of a jaxpr to views, statements, structured items and calls.
//
//   build.cc            the driver: variables, substitution, elementwise operations, outputs
//   build_views.cc      what renames indices (transpose, slice, reshape, ...) or joins boxes (concatenate, pad)
//   build_parts.cc      which dimensions reshapes split, and into what
//   build_reduce.cc     reductions, running sums, dot_general
//   build_integers.cc   arithmetic of indices
//   build_indexing.cc   windows at computed positions (gather, scatter, dynamic slices); updates in place
//   build_control.cc    scan, while, cond
//   build_calls.cc      whatever has no loop form: a Call of its kernel
#pragma once
#include <optional>
#include <span>
#include "backends/loops/fusion.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/ops/params.h"

namespace jaxpp::loops::fusion {

// ---- Expressions
E constant(DType, double);
E convert(const E&, DType);
E operation(const Primitive&, DType, std::vector<E> args);
inline bool is_constant(const E& e) { return e->kind == Expr::Kind::constant; }
inline bool is_read(const E& e) { return e->kind == Expr::Kind::read; }
/// A constant of integer type as a number; what i64 lacks becomes its greatest.
std::int64_t integer(const E&);
/// The number v, or the nearest that d has.
E nearest(DType d, std::int64_t v);
/// Subscripts in place of symbols, all at once.
E substitute(const E&, std::span<const Dim> from, std::span<const Subscript> to);
Subscript substitute(const Subscript&, std::span<const Dim> from, std::span<const Subscript> to);
bool same(const E&, const E&);
bool mentions(const E&, Sym);
bool reads(const E&, int value);

// ---- Variables
/// An element of a variable as a function of its index.  A dimension may have several symbols, the digits of its index:
/// where dimensions are joined or split by reshapes, indices then stay affine on both sides.
struct Variable {
  std::vector<Dim> params;
  std::vector<std::uint8_t> parts;  // symbols of each dimension; empty: one each
  E e;
  std::size_t barrier = 0;  // what reads it waits for so many items of the top
};
/// The index space of an array: a loop for each dimension (for each of its digits), but none where there is one index.
struct Space {
  std::vector<Dim> params;
  std::vector<std::uint8_t> parts;
  Subscripts at;    // of each dimension
  Subscripts fine;  // of each digit
  std::vector<Dim> dims;
  Shape shape() const;  // of the digits
};
/// The digits of the dimensions of variables, where there are more than one: parts[variable][dimension].
using Parts = std::unordered_map<Var, std::vector<Dims>>;
Parts choose_parts(const JaxprBody&, bool nested);

/// Its first result is its first operand, changed.
bool is_update(const Primitive&);

class Builder {
 public:
  explicit Builder(const JaxprBody& j) : jaxpr_(j) {}
  Program run();
  /// Elements of the result are made from elements of the operands that stand at the same index.
  static bool is_elementwise(const Primitive&);

 private:
  /// A jaxpr while it is built: its variables, and what is still to come.
  struct Scope {
    const JaxprBody& jaxpr;
    Region* region;
    int id;
    std::vector<Variable> env;
    std::vector<std::uint32_t> order;  // the equations that something needs
    std::vector<std::uint32_t>
        last;  // where, in this order, a variable is used last, from 1; kEnd: an output; 0: nowhere
    Parts parts;
    std::uint32_t now = 0;  // the equation that is being built, as in `last`
  };
  static constexpr std::uint32_t kEnd = ~0u;
  using Rule = void (Builder::*)(Scope&, const Equation&);
  static Rule rule_of(const Primitive&);

  // ---- build.cc
  Scope open(const JaxprBody&, Region&);
  void close(const Scope& s) { finished_[std::size_t(s.id)] = true; }
  void equations(Scope&);
  bool used(const Scope& s, Var v) const { return s.last[v] != 0; }

  Sym fresh(std::int64_t extent);
  int value(const Scope*, DType, const Shape&);
  Space space(const Shape&, const std::vector<Dims>* digits = nullptr);
  Space space(const Scope&, const Atom&);
  Space space(const Scope& s, Var v) { return space(s, Atom::var(v)); }
  Space space(const Variable& like);

  Variable whole(int value);
  Variable nothing(Type);
  Variable literal(const Atom&);
  int constant_array(const Atom&);
  Variable variable(const Scope& s, const Atom& a) {
    return a.is_var() ? s.env[a.var()] : literal(a);
  }
  void bind(Scope&, Var, Variable);
  /// The element of an operand at an index.
  E get(Scope&, const Atom&, const Subscripts&);
  E get(Scope&, Variable&, const Subscripts&);
  /// The same of one that broadcasts: of rank 0, or with sizes of 1.
  E broadcast(Scope&, const Atom&, const Subscripts&);
  std::optional<E> at(const Variable&, const Subscripts&) const;
  bool digits(const Subscript&, std::span<const Dim> parts, Subscripts& out) const;
  Variable unsplit(Scope&, const Variable&);
  std::optional<Item::Operand> rows(const Variable&, Type) const;
  int materialise(Scope&, const Variable&);

  struct Store {
    int value;
    Subscripts at;
    E rhs;
    Combine combine = Combine::set;
    bool onto = false;
    E guard = nullptr;
    bool pinned = false;
  };
  void store(Region&, Store, std::vector<Dim> dims);
  void place(Region&, ItemPtr, std::vector<Dim> dims);
  E compute(Scope&, const std::vector<Dim>& dims, const E& rhs);
  void define(Scope&, Var, const Space&, const E& rhs);
  void elementwise(Scope&, const Equation&);
  void threefry(Scope&, const Equation&);
  void identity(Scope&, const Equation&);
  void barrier(Scope&, const Equation&);
  void output(Scope&, const Atom&, int k);

  // ---- build_views.cc
  void broadcast_in_dim(Scope&, const Equation&);
  void transpose(Scope&, const Equation&);
  void squeeze(Scope&, const Equation&);
  void expand_dims(Scope&, const Equation&);
  void slice(Scope&, const Equation&);
  void rev(Scope&, const Equation&);
  void split(Scope&, const Equation&);
  void unstack(Scope&, const Equation&);
  void tile(Scope&, const Equation&);
  void iota(Scope&, const Equation&);
  void iota_2x32_shape(Scope&, const Equation&);
  void empty(Scope&, const Equation&);
  void reshape(Scope&, const Equation&);
  Variable reshaped(Scope&, const Variable&, const Shape& to);
  void concatenate(Scope&, const Equation&);
  void stack(Scope&, const Equation&);
  void pad(Scope&, const Equation&);

  // ---- build_reduce.cc
  template <Combine C>
  void reduce(Scope&, const Equation&);
  E reduced(Scope&, Combine, const E& x, const std::vector<Dim>& kept,
            const std::vector<Dim>& loops);
  E converted(Scope&, const E&, const std::vector<Dim>& dims, DType);
  template <Combine C>
  void arg_extreme(Scope&, const Equation&);
  void cumulative(Scope&, const Equation&);
  void dot_general(Scope&, const Equation&);
  void dot_call(Scope&, const Equation&);
  bool commute(Scope&, const Equation&);

  // ---- build_integers.cc
  struct Range {
    std::int64_t lo, hi;
  };
  std::optional<Range> range(const Affine&) const;
  std::optional<Affine> number(const E&) const;
  bool fits(const Affine&, DType) const;
  bool inside(const E&, std::int64_t lo, std::int64_t hi) const;
  E of_indices(const Primitive&, DType, const std::vector<E>& args) const;
  Subscript offset(Affine at, const E&, std::int64_t lo, std::int64_t hi) const;

  // ---- build_indexing.cc
  /// What an update changes: all elements of a value, in some order.
  struct Target {
    Variable view;
    int value;
  };
  struct Window {
    Subscripts at;  // in the indexed array
    E inside;       // null: always
  };
  static void updates_last(const JaxprBody&, std::vector<std::uint32_t>& order);
  Target writable(Scope&, const Equation&, std::size_t operand);
  Window window(Scope&, const Atom& indices, const GatherDims&, const Shape& x, const Dims& sizes,
                const Subscripts& dense, bool guarded);
  void gather(Scope&, const Equation&);
  void scatter(Scope&, const Equation&);
  void dynamic_slice(Scope&, const Equation&);
  void dynamic_update_slice(Scope&, const Equation&);
  void add_slice(Scope&, const Equation&);
  Subscripts written(const Target&, const Subscripts& at) const;

  // ---- build_control.cc
  struct Carry;
  ItemPtr structured(Item::Kind);
  bool finish(Region&, ItemPtr, std::vector<Dim> lanes = {});
  void forget(Item&);
  std::vector<Variable> inlined(Scope&, const JaxprBody&, std::vector<Variable> in);
  std::vector<Carry> carries(Scope&, const Equation&, std::size_t operand, const JaxprBody& body,
                             std::size_t input, std::size_t n, Region& init, bool in_place);
  void show(Scope& body, Var, const Carry&, bool ours = true);
  void advance(Scope& body, std::span<const Carry>, std::span<const Atom> results,
               const Variable* running);
  void leave(Scope&, Var out, const Carry&);
  void scan(Scope&, const Equation&);
  void scan_once(Scope&, const Equation&);
  void while_loop(Scope&, const Equation&);
  bool while_loop(Scope&, const Equation&, bool by_select);
  void cond(Scope&, const Equation&);
  bool choose(Scope&, const Equation&);
  void select(Scope&, const Equation&);
  void reduce_by_jaxpr(Scope&, const Equation&);

  // ---- build_calls.cc
  void call(Scope&, const Equation&);
  void call(Scope&, const Equation&, std::shared_ptr<const void> params,
            std::vector<Item::Operand> in, std::vector<Item::Operand> out);
  Item::Operand array(Scope&, const Atom&);

  const JaxprBody& jaxpr_;
  Fusion f_;
  std::vector<Item*> placed_;          // at the top, in the order of the program
  std::vector<Item*> waits_;           // what items of the equation that is being built wait for
  int depth_ = 0;                      // of loops around what is being built
  std::vector<std::int64_t> extents_;  // of symbols
  /// The scope that may change a value in place, and its variables that show it.
  struct Owner {
    int scope = -1;
    std::vector<Var> shown;
  };
  std::vector<Owner> owners_;   // by value
  std::vector<char> finished_;  // by scope
  std::map<internal::Node*, int> constants_;
};

}  // namespace jaxpp::loops::fusion
