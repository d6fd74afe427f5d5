// sparse.h -- sparse derivatives: which entries of a Jacobian can differ from 0, and their values.
//
//   SparsityPattern p = sparsity(f)(x);    // from the program of f: holds at every point
//   auto J = sparse_jacobian(f, x);        // pattern and colouring, found once
//   Array v = J.values(x);                 // the entries, column by column: [J.nnz()]; compiled, and may be traced
//   SparseMatrix m = J(x);                 // values and pattern; m.to_dense(); to_eigen(m) is in sparse_eigen.h
//   auto H = sparse_hessian(loss, x);      // both triangles, by a star colouring
//
// Columns that share no row have one colour, and one product of the Jacobian with a vector gives all columns of a colour: a
// band of width w costs w products, whatever the size.  (Rows likewise, by reverse mode.)
//
// A matrix has a row for each element of the result (leaves of a tree one after the other, row-major) and a column for each
// element of the arguments N... (all elements of the first, then those of the next).  Arrays that f captures are constants:
// zeros and indices among them are seen.
#pragma once
#include "jaxpp/grad.h"
#include "jaxpp/jit.h"

namespace jaxpp {

/// Which entries of a matrix [rows, cols] may differ from 0: by columns, rows ascending in each.
struct SparsityPattern {
  std::int64_t rows = 0, cols = 0;
  std::vector<std::int64_t> start = {0};  ///< cols + 1: entries start[j] ... are those of column j
  std::vector<std::int32_t> row;          ///< of each entry

  std::int64_t nnz() const { return std::int64_t(row.size()); }
  std::span<const std::int32_t> column(std::int64_t j) const {
    const auto first = std::size_t(start[std::size_t(j)]);
    return {row.data() + first, std::size_t(start[std::size_t(j) + 1]) - first};
  }
  bool contains(std::int64_t r, std::int64_t c) const;
  SparsityPattern transpose() const;
  /// Row and column of every entry: i32[nnz] each.
  std::pair<Array, Array> coordinates() const;
  Array to_dense() const;  ///< bool[rows, cols]
  /// The matrix with these values of its entries, [nnz] in their order: T[rows, cols].
  Array to_dense(const Array& values, Loc = Loc::current()) const;
  bool operator==(const SparsityPattern&) const = default;

  /// From the coordinates of its entries, in any order; repetitions count once.
  static SparsityPattern of(std::int64_t rows, std::int64_t cols, std::span<const std::int64_t> row,
                            std::span<const std::int64_t> col, Loc = Loc::current());
  /// The entries of either, or of both, of two patterns of equal size.
  SparsityPattern operator|(const SparsityPattern&) const;
  SparsityPattern operator&(const SparsityPattern&) const;
};

/// A colour for each column (row, vertex): 0 ... count - 1.
struct Coloring {
  std::vector<std::int32_t> color;
  std::int32_t count = 0;
};
/// Columns of one colour share no row.  The fewest colours of several greedy orders; the same on every machine.
Coloring color_columns(const SparsityPattern&);
/// Rows of one colour share no column.
Coloring color_rows(const SparsityPattern&);
/// Of a symmetric pattern, as a graph: neighbours differ, and every path of four vertices has three colours or more.  Each
/// entry of a symmetric matrix can then be read off the product with its colours (a star colouring).
Coloring color_star(const SparsityPattern&, Loc = Loc::current());

/// Which products a Jacobian is computed from.
enum class SparseMode {
  automatic,  ///< those of which fewer are needed
  forward,    ///< with columns: jvp
  reverse     ///< with rows: vjp
};
struct SparseOptions {
  std::optional<SparsityPattern> pattern{};  ///< where it is known: then it is not looked for
  SparseMode mode = SparseMode::automatic;   ///< (Hessians are always computed by columns)
};

/// A sparse matrix: a pattern, and the values of its entries in the pattern's order.
struct SparseMatrix {
  std::shared_ptr<const SparsityPattern> pattern;
  Array values;  ///< [pattern->nnz()]
  Array to_dense(Loc loc = Loc::current()) const { return pattern->to_dense(values, loc); }
};

namespace internal {
/// The pattern of the derivative of f's results by its arguments wrt[0], wrt[1], ...
SparsityPattern sparsity_flat(FlatFn f, Types x, std::span<const int> wrt, const char* who,
                              Loc loc);

/// How the entries are computed, once the pattern is known.
struct SparsePlan {
  std::shared_ptr<const SparsityPattern> pattern;
  std::vector<int> wrt;
  std::vector<Type> types, results;  // of all arguments, and of all results
  bool forward = true;
  Coloring coloring;
  Array colors;  // i32: of every column (forward) or row
  Array source;  // i32 or i64 [nnz]: where an entry is among the products [count, rows or cols]
};
std::shared_ptr<const SparsePlan> sparse_plan(FlatFn f, Args x, std::vector<int> wrt,
                                              bool symmetric, const SparseOptions&, const char* who,
                                              Loc loc);
/// The values of the entries at x.  Works under any transform.
Array sparse_values(FlatFn f, Args x, const SparsePlan&, const char* who, Loc loc);

/// The numbers of the leaves of the arguments N....
template <int... N, class In>
std::vector<int> leaves_of_arguments(const In& in) {
  std::vector<int> first = {0}, wrt;
  std::apply(
      [&](const auto&... a) { (first.push_back(first.back() + int(args(leaves(a)).size())), ...); },
      in);
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    auto add = [&](std::size_t k) {
      for (int i = first[k]; i < first[k + 1]; ++i) wrt.push_back(i);
    };
    (add(K), ...);
  }
  (Argnums<In, N...>());
  return wrt;
}
}  // namespace internal

template <class F, int... N>
struct Sparsity {
  using Traced = F;
  F f;
  Loc loc;
  template <class... A>
  SparsityPattern operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    auto run = internal::flattened(f, in);
    const internal::Results x = internal::leaves(in);
    std::vector<internal::Type> types;
    for (const Array& leaf : x) types.push_back(leaf.type());
    return internal::sparsity_flat(internal::flat(run), types,
                                   internal::leaves_of_arguments<N...>(in), "sparsity", loc);
  }
};
/// sparsity<N...>(f)(args...): the pattern of the Jacobian by the arguments N... (by the first if none is named), from f's
/// program: only types of the arguments matter, the pattern holds at every point.  It may have entries that are always 0 (a
/// superset), never lacks one.  Of a Hessian: sparsity(grad(f))(x).
///   sparsity([](Array x) { return x(Slice(1, None)) - x(Slice(None, -1)); })(x).nnz()  ==  2 * (n - 1)
template <int... N, class F>
auto sparsity(F f, Loc loc = Loc::current()) {
  return Sparsity<F, N...>{std::move(f), loc};
}

/// The entries of f's Jacobian, as a function that jit can compile.
template <class F>
struct SparseValues {
  using Traced = F;
  F f;
  std::shared_ptr<const internal::SparsePlan> plan;
  const char* who;
  Loc loc;
  template <class... A>
  Array operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    auto run = internal::flattened(f, in);
    return internal::sparse_values(internal::flat(run), args(internal::leaves(in)), *plan, who,
                                   loc);
  }
};

/// A Jacobian or Hessian whose structure is known: what sparse_jacobian and sparse_hessian return.
template <class F>
class SparseDerivative {
 public:
  SparseDerivative(F f, std::shared_ptr<const internal::SparsePlan> plan, const char* who, Loc loc)
      : plan_(plan), values_(jit(SparseValues<F>{std::move(f), std::move(plan), who, loc})) {}
  /// Where the entries are.
  const SparsityPattern& pattern() const { return *plan_->pattern; }
  std::int64_t nnz() const { return pattern().nnz(); }
  /// The entries at these arguments, in the order of pattern().row: [nnz].  Compiled at the first call; may itself be
  /// traced, mapped and differentiated.  The arguments have the types that the structure was found for.
  template <class... A>
  Array values(A&&... a) const {
    return values_(std::forward<A>(a)...);
  }
  template <class... A>
  SparseMatrix operator()(A&&... a) const {
    return {plan_->pattern, values(std::forward<A>(a)...)};
  }
  /// How many products with the derivative a call computes (the number of colours), and whether they are jvps.
  std::int64_t colors() const { return plan_->coloring.count; }
  bool forward() const { return plan_->forward; }
  /// The colour of every column (forward) or row.
  const Coloring& coloring() const { return plan_->coloring; }

 private:
  std::shared_ptr<const internal::SparsePlan> plan_;
  Jit<SparseValues<F>> values_;
};

namespace internal {
template <int... N, class F, class... A>
SparseDerivative<F> sparse_derivative(F f, bool symmetric, const char* who,
                                      const SparseOptions& options, Loc loc, const A&... a) {
  auto in = as_args<F>(a...);
  auto run = flattened(f, in);
  const Results x = leaves(in);
  auto plan =
      sparse_plan(flat(run), args(x), leaves_of_arguments<N...>(in), symmetric, options, who, loc);
  return SparseDerivative<F>(std::move(f), std::move(plan), who, loc);
}
/// use(x), or use(the elements of the tuple x).
template <class X, class Use>
decltype(auto) apply_arguments(const X& x, Use use) {
  if constexpr (is_tuple<X>)
    return std::apply(use, x);
  else
    return use(x);
}
}  // namespace internal

/// The Jacobian of f by the arguments N... (the first by default), for arguments of the types of x: one argument, or a tuple
/// of all of them.  Arguments N... and results are real.
///   auto J = sparse_jacobian(f, x);   Array v = J.values(x);
///   auto K = sparse_jacobian<0, 1>(g, std::tuple(x, y));   SparseMatrix m = K(x, y);
template <int... N, class F, class X>
auto sparse_jacobian(F f, const X& x, SparseOptions options = {}, Loc loc = Loc::current()) {
  return internal::apply_arguments(x, [&](const auto&... a) {
    return internal::sparse_derivative<N...>(std::move(f), false, "sparse_jacobian", options, loc,
                                             a...);
  });
}
/// The Hessian of a scalar function by one argument: both triangles, from jvps of the gradient.
///   auto H = sparse_hessian(loss, x);   Array v = H.values(x);
template <int N = 0, class F, class X>
auto sparse_hessian(F f, const X& x, SparseOptions options = {}, Loc loc = Loc::current()) {
  return internal::apply_arguments(x, [&](const auto&... a) {
    return internal::sparse_derivative<N>(grad<N>(std::move(f), {}, loc), true, "sparse_hessian",
                                          options, loc, a...);
  });
}

}  // namespace jaxpp
